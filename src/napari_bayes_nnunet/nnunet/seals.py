"""Seals of preprocessed images, which are only used if this installation made them.

A run folder may come from anywhere. nnU-Net unpickles the properties of preprocessed images, and
blosc2 starts Python for codecs that it does not know, so images of others are made again instead.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from platformdirs import user_data_path

from ..io import DataError
from ..io.files.checksum import sha256


def seal_files(files: Sequence[Path], *about: object) -> None:
    """Note that this installation made the files, with what is known ``about`` them as JSON.

    A container without a home cannot keep the note, and makes them again.
    """
    with suppress(OSError):
        note = _note(files, about)
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        note.touch()


def is_sealed(files: Sequence[Path], *about: object) -> bool:
    """Return whether this installation made files of these names and contents, see `seal_files`."""
    try:
        return bool(files) and _note(files, about).exists()
    except (OSError, DataError):
        return False


def _note(files: Sequence[Path], about: Sequence[object]) -> Path:
    """Return the empty file that stands for the files, outside of any run folder."""
    lines = [f"{sha256(file)} {file.name}" for file in sorted(files)]
    content = json.dumps([*about, *lines], sort_keys=True)
    return _folder() / hashlib.sha256(content.encode()).hexdigest()


def _folder() -> Path:
    return user_data_path("napari-bayes-nnunet", appauthor=False) / "seals"
