"""The DICOM files of a folder, known by their first bytes, not by their names; quick to load."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

LOOKED_AT: Final = 300
"""Files of a folder that are looked at to tell whether it may hold DICOM images."""
_PREAMBLE: Final = 128
_MARK: Final = b"DICM"


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
