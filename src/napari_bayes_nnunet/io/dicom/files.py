"""The DICOM files of a folder, known by their first bytes, and pseudonyms; quick to load."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

LOOKED_AT: Final = 300
"""Files of a folder that are looked at to tell whether it may hold DICOM images."""
_PREAMBLE: Final = 128
_MARK: Final = b"DICM"
_TELLING: Final = 1 << 20
"""Bytes of a file that tell it from all others."""


def files_in(path: Path) -> Iterator[Path]:
    """The file, or all files in a folder and its sub-folders."""
    if path.is_file():
        yield path
    else:
        yield from (file for file in path.rglob("*") if file.is_file())


def is_dicom(file: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with file.open("rb") as content:
            return content.read(_PREAMBLE + len(_MARK))[_PREAMBLE:] == _MARK
    except OSError:
        return False


def may_hold_dicom(path: Path) -> bool:
    """Whether a file is DICOM, or one of the first files of a folder is."""
    return any(map(is_dicom, islice(files_in(path), LOOKED_AT)))


def pseudonym(identity: str) -> str:
    """A name that is the same whenever this is found, and names nobody; of UIDs, never of names."""
    return f"dicom-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def content_of(file: Path) -> str:
    """What stands for a UID where there is none: a name that only the content tells."""
    with file.open("rb") as content:
        return hashlib.sha256(content.read(_TELLING)).hexdigest()
