"""Which DICOM studies the files of a folder belong to, by a single tag of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from .files import is_dicom
from .headers import DAMAGED, DERIVED, tolerant

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
