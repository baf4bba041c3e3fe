"""An image to segment, wherever it comes from: a NIfTI file with its channels, or DICOM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from .. import DataError
from ..dicom.files import is_dicom
from ..dicom.reader import choose_stack, read_stack, stacks_in
from ..dicom.series import Stack
from ..files.checksum import sha256
from ..images.nifti import Volume, case_name, read_channels
from .studies import StudyInput


@dataclass(frozen=True)
class CaseImage:
    """Where it is, what its results are called, and how its channels are read."""

    path: Path
    case: str
    read: Callable[[], tuple[Volume, ...]]
    is_file: bool = False

    @cached_property
    def sha256(self) -> str:
        """What tells its file from another of this name; "" of DICOM, whose name does."""
        return sha256(self.path) if self.is_file else ""


def case_image(
    path: Path, *, series: int | None = None, named_by_folder: bool = False
) -> CaseImage:
    """The image of a NIfTI file, or the short-axis cine in a DICOM folder or file.

    A DICOM cine is called by a pseudonym, or where it is ``named_by_folder`` as its folder: that
    may tell who the patient is. Raises DataError where ``path`` has no single cine.
    """
    if not _is_dicom(path):
        return CaseImage(path, case_name(path), lambda: read_channels(path), is_file=True)
    stack = choose_stack(stacks_in(path), series=series)
    name = (path.absolute().stem if named_by_folder else "") or stack.pseudonym
    return CaseImage(path, name, lambda: (read_stack(stack, path, name=name),))


def study_image(study: StudyInput, *, series: int | None = None) -> CaseImage:
    """The image of a study that was found in a tree, read once and not before it is needed.

    Reading it raises DataError; of DICOM the sentence has no name of a file, folder or series.
    """

    @cache
    def read() -> tuple[Volume, ...]:
        if study.kind == "NIfTI":
            return read_channels(study.paths[0])
        return (_read_dicom(study, series),)

    return CaseImage(study.paths[0], study.case, read, is_file=study.kind == "NIfTI")


def _read_dicom(study: StudyInput, series: int | None) -> Volume:
    try:
        # Not those in sub-folders: they may be of a thousand other patients.
        files = [file for path in study.paths for file in _files_at(path)]
    except OSError as error:
        raise DataError(f"The DICOM files cannot be read: {error.strerror}.") from None
    try:
        stacks = stacks_in(*files, study=study.study)
        stack = choose_stack(stacks, series=series, tell=Stack.in_numbers, guess=False)
        return read_stack(stack, study.paths[0], name=study.case, tell=Stack.in_numbers)
    except DataError as error:
        raise DataError(_nameless(str(error), files)) from None


def _files_at(path: Path) -> list[Path]:
    return [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]


def _nameless(sentence: str, files: Sequence[Path]) -> str:
    """Without the file's name it may begin with."""
    names = (name for file in files for name in (str(file), file.name))
    name = next((name for name in names if sentence.startswith(f"{name} ")), None)
    return sentence if name is None else f"One of the files{sentence.removeprefix(name)}"


def _is_dicom(path: Path) -> bool:
    return path.is_dir() or is_dicom(path)
