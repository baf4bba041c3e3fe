"""Seals of preprocessed images, which are only used if this installation made them.

A run folder may come from anywhere. nnU-Net unpickles the properties of preprocessed images, and
blosc2 starts Python for codecs that it does not know, so images of others are made again instead.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from platformdirs import user_data_path

from ..io import DataError
from ..io.files.checksum import sha256

KEY = "key"
"""File with the secret number of this installation; without it, no seal is valid."""
_LENGTH = 32


def seal_files(files: Iterable[Path]) -> str:
    """Return a text that only this installation can make for the names and contents of files.

    It is "" without files or without a secret number, which a container without a home cannot
    keep. Raises OSError if a file cannot be read.
    """
    key = _secret_number()
    lines = [f"{sha256(file)} {file.name}" for file in sorted(files)] if key else []
    return hmac.digest(key, "\n".join(lines).encode(), "sha256").hex() if lines else ""


def is_sealed(files: Iterable[Path], seal: object) -> bool:
    """Return whether the seal is that of the files, which are only read if there is one."""
    try:
        return bool(seal) and seal_files(files) == seal
    except (OSError, DataError):
        return False


def _key_folder() -> Path:
    return user_data_path("napari-bayes-nnunet", appauthor=False)


def _secret_number() -> bytes:
    file = _key_folder() / KEY
    try:
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = file.with_name(f"{KEY}-{os.getpid()}")
            fresh.touch(0o600)
            fresh.write_bytes(secrets.token_bytes(_LENGTH))
            fresh.replace(file)
        key = file.read_bytes()
    except OSError:
        return b""
    return key if len(key) == _LENGTH and not os.path.islink(file) else b""
