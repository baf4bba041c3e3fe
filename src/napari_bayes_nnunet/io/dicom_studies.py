"""Which DICOM studies the files of a folder belong to, by a single tag of a few of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from .dicom_files import is_dicom
from .dicom_images import DAMAGED, DERIVED, tolerant

TAGS: Final = ["SOPClassUID", "Modality", "StudyInstanceUID"]


def studies_among(files: Sequence[Path]) -> list[str]:
    """UIDs of the studies with images among the files; "" stands for one that cannot be read.

    Where the first file, the last and one in the middle are of the same study, so are the others.
    """
    few = [files[place] for place in sorted({0, len(files) // 2, len(files) - 1}) if files]
    found = _studies(few)
    if len(found) != 1 or found <= {None, ""}:
        found = _studies(files)
    return sorted(study for study in found if study) or [""] * ("" in found)


def _studies(files: Iterable[Path]) -> set[str | None]:
    return {_study_of(file) for file in files}


def _study_of(file: Path) -> str | None:
    """UID of the study of an image, "" where it is damaged; None of what is no DICOM image."""
    if not is_dicom(file):
        return None
    with tolerant():
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(TAGS))
            kind = header.file_meta.get("MediaStorageSOPClassUID")
            if kind == MediaStorageDirectoryStorage or header.get("Modality") in DERIVED:
                return None
            return str(header.get("StudyInstanceUID") or "")
        except (InvalidDicomError, *DAMAGED):
            return ""
