"""The DICOM files of a folder, known by their first bytes, and pseudonyms; quick to load."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from .headers import DAMAGED, DERIVED, tolerant

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


TAGS: Final = ["SOPClassUID", "Modality", "StudyInstanceUID"]


def studies_among(files: Sequence[Path]) -> dict[str, list[Path]]:
    """The images among the files of a folder, by the UID of their study.

    Every file is looked at: another patient may lie anywhere between. Those that do not say their
    study count where no other does, and are then under "".
    """
    found: dict[str, list[Path]] = {}
    with tolerant():
        for file in filter(is_dicom, files):
            study = _study_of(file)
            if study is not None:
                found.setdefault(study, []).append(file)
    if len(found) > 1:
        found.pop("", None)
    return dict(sorted(found.items()))


def _study_of(file: Path) -> str | None:
    """UID of the study of an image, "" where it is damaged; None of what is no image."""
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(TAGS))
        kind = header.file_meta.get("MediaStorageSOPClassUID")
        if kind == MediaStorageDirectoryStorage or header.get("Modality") in DERIVED:
            return None
        return str(header.get("StudyInstanceUID") or "")
    except (InvalidDicomError, *DAMAGED):
        return ""
