"""Images to segment: NIfTI files with their channels, and DICOM studies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from .. import DataError
from ..dicom.files import is_dicom
from ..dicom.reader import choose_stack, read_stack, read_stacks
from ..dicom.series import Stack
from ..files.checksum import sha256
from ..images.nifti import Volume, case_name, read_channels
from .studies import StudyInput

UNNAMED_FILE: Final = "One of the files"


@dataclass(frozen=True)
class CaseImage:
    """Path of an image, the case name of its results, and a function that reads its channels."""

    path: Path
    case: str
    read: Callable[[], tuple[Volume, ...]]
    is_file: bool = False

    @cached_property
    def sha256(self) -> str:
        """Checksum of a NIfTI file; "" for DICOM, whose case name is already unique."""
        return sha256(self.path) if self.is_file else ""


def case_image(
    path: Path, *, series: int | None = None, named_by_folder: bool = False
) -> CaseImage:
    """Return the image of a NIfTI file, or the short-axis cine in a DICOM folder or file.

    The case of a DICOM cine is a pseudonym or, with ``named_by_folder``, the name of its folder,
    which may identify the patient. Raises DataError if the folder does not have exactly one cine.
    """
    if not _is_dicom(path):
        return CaseImage(path, case_name(path), lambda: read_channels(path), is_file=True)
    stack = choose_stack(read_stacks(path), series=series)
    name = (path.absolute().stem if named_by_folder else "") or stack.pseudonym
    return CaseImage(path, name, lambda: (read_stack(stack, path, name=name),))


def study_image(study: StudyInput, *, series: int | None = None) -> CaseImage:
    """Return the image of a study found in a tree, which is read once when it is needed.

    Reading may raise DataError; for DICOM, the error does not name files, folders or series.
    """

    @cache
    def read() -> tuple[Volume, ...]:
        if study.kind == "NIfTI":
            return read_channels(study.paths[0])
        return (_read_dicom(study, series),)

    return CaseImage(study.paths[0], study.case, read, is_file=study.kind == "NIfTI")


def _read_dicom(study: StudyInput, series: int | None) -> Volume:
    try:
        # Sub-folders are not searched, because they may hold many other patients.
        files = [file for path in study.paths for file in _files_at(path)]
    except OSError as error:
        raise DataError(
            "The DICOM files cannot be read ({reason}).", reason=error.strerror
        ) from None
    try:
        stacks = read_stacks(*files, study=study.study)
        describe = Stack.describe_anonymously
        stack = choose_stack(stacks, series=series, describe=describe, guess=False)
        return read_stack(stack, study.paths[0], name=study.case, describe=describe)
    except DataError as error:
        raise _without_file_names(error, files) from None


def _files_at(path: Path) -> list[Path]:
    return [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]


def _without_file_names(error: DataError, files: Sequence[Path]) -> DataError:
    names = {str(name) for file in files for name in (file, file.name)}
    values = {
        key: UNNAMED_FILE if str(value) in names else value for key, value in error.values.items()
    }
    return DataError(error.statement.template, *error.remedies, **values)


def _is_dicom(path: Path) -> bool:
    return path.is_dir() or is_dicom(path)
