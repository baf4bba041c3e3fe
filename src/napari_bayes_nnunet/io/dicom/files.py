"""DICOM files of a folder, recognised by their first bytes, and pseudonyms; quick to import."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from ..files.special import may_be_file

MOST_FILES_CHECKED: Final = 300
"""Files of a folder that are opened to decide if it may hold DICOM images."""
_PREAMBLE: Final = 128
_MARK: Final = b"DICM"
_PSEUDONYM: Final = "dicom-"
_HASHED_BYTES: Final = 1 << 20
"""Bytes from the start of a file that distinguish it from all others."""


def list_files(path: Path, onerror: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """Yield the file itself, or all files in a folder and its subfolders.

    ``onerror`` is called for each folder that cannot be opened.
    """
    if may_be_file(path):
        yield path
        return
    for folder, _, names in os.walk(path, onerror=onerror):
        yield from filter(may_be_file, (Path(folder, name) for name in names))


def is_dicom(file: Path) -> bool:
    """Return whether a file begins with the marks of a DICOM file."""
    try:
        return has_mark(file)
    except OSError:
        return False


def may_hold_dicom(path: Path) -> bool:
    """Return whether a file, or one of the first files of a folder, is a DICOM file."""
    return any(map(is_dicom, islice(list_files(path), MOST_FILES_CHECKED)))


def make_pseudonym(identity: str) -> str:
    """Return the pseudonym of UIDs: always the same for the same UIDs, without a patient's name."""
    return f"{_PSEUDONYM}{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def is_pseudonym(case: str) -> bool:
    """Return whether a case is named by `make_pseudonym`: no other patient has this name."""
    return re.fullmatch(f"{_PSEUDONYM}[0-9a-f]{{16}}", case) is not None


def hash_content(file: Path) -> str:
    """Return a checksum of a file's content, which replaces a missing UID."""
    with file.open("rb") as content:
        return hashlib.sha256(content.read(_HASHED_BYTES)).hexdigest()


def has_mark(file: Path) -> bool:
    """Return whether a file begins with the marks of DICOM. Raises OSError."""
    with file.open("rb") as content:
        return content.read(_PREAMBLE + len(_MARK))[_PREAMBLE:] == _MARK
