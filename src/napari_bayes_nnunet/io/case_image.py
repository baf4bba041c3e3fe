"""An image to segment, wherever it comes from: a NIfTI file with its channels, or DICOM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .dicom import choose_stack, read_stack, stacks_in
from .dicom_files import is_dicom
from .nifti import Volume, case_name, read_channels


@dataclass(frozen=True)
class CaseImage:
    """Where it is, what its results are called, and how its channels are read."""

    path: Path
    case: str
    read: Callable[[], tuple[Volume, ...]]


def case_image(
    path: Path, *, series: int | None = None, named_by_folder: bool = False
) -> CaseImage:
    """The image of a NIfTI file, or the short-axis cine in a DICOM folder or file.

    A DICOM cine is called by a pseudonym, or where it is ``named_by_folder`` as its folder: that
    may tell who the patient is. Raises DataError where ``path`` has no single cine.
    """
    if not _is_dicom(path):
        return CaseImage(path, case_name(path), lambda: read_channels(path))
    stack = choose_stack(stacks_in(path), series=series)
    name = path.absolute().stem if named_by_folder else stack.pseudonym
    return CaseImage(path, name, lambda: (read_stack(stack, path, name=name),))


def _is_dicom(path: Path) -> bool:
    return path.is_dir() or is_dicom(path)
