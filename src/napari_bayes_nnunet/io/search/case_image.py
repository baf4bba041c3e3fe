"""Images to segment: NIfTI files with their channels, and DICOM studies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from .. import DataError
from ..dicom.examination import classify_series
from ..dicom.files import is_dicom
from ..dicom.reader import choose_stack, read_stack, read_stacks
from ..dicom.series import Stack
from ..files.access import reading
from ..files.case_names import result_name
from ..files.checksum import sha256, sha256_of_files
from ..files.special import may_be_file
from ..images.nifti import Volume, case_name, channel_files, read_channels
from .studies import StudyInput

UNNAMED_FILE: Final = "One of the files"
NO_CINE_TAGS: Final = (
    "By its DICOM tags, {stack} is not a short-axis cine, because {reason}. To segment it "
    "all the same, use --anyway in a terminal."
)


@dataclass(frozen=True)
class CaseImage:
    """Path of an image, the case name of its results, and a function that reads its channels.

    ``files`` returns the files of the image, in the order of its channels.
    """

    path: Path
    case: str
    read: Callable[[], tuple[Volume, ...]]
    files: Callable[[], Sequence[Path]]
    is_file: bool = False

    @cached_property
    def checksums(self) -> dict[str, Any]:
        """Entries of a report from which a changed image is recognised.

        ``image_sha256`` is that of the first NIfTI file, or of all files of a DICOM cine together,
        ``channels_sha256`` has those of further NIfTI files. Raises DataError for a missing file.
        """
        with reading(self.path if self.is_file else "The image"):
            if not self.is_file:
                return {"image_sha256": sha256_of_files(set(self.files()))}
            first, *further = map(sha256, self.files())
        return {"image_sha256": first} | ({"channels_sha256": further} if further else {})


def case_image(
    path: Path,
    *,
    series: int | None = None,
    named_by_folder: bool = False,
    anyway: bool = False,
) -> CaseImage:
    """Return the image of a NIfTI file, or the short-axis cine in a DICOM folder or file.

    The case of a DICOM cine is a pseudonym or, with ``named_by_folder``, the name of its folder,
    which may identify the patient. Raises DataError if the folder does not have exactly one cine,
    or, unless ``anyway``, if its tags are those of another image.
    """
    if not _is_dicom(path):
        return _nifti_image(path, result_name(case_name(path)))
    stacks = read_stacks(path)
    stack = choose_stack(stacks, series=series)
    if not anyway:
        _check_tags(stack)
    name = (path.absolute().stem if named_by_folder else "") or stack.pseudonym
    views = classify_series(stacks, stack)
    return CaseImage(
        path,
        name,
        lambda: (read_stack(stack, path, name=name, views=views),),
        lambda: _files_of(stack),
    )


def study_image(study: StudyInput, *, series: int | None = None, anyway: bool = False) -> CaseImage:
    """Return the image of a study found in a tree, which is read once when it is needed.

    Reading may raise DataError, as `case_image` does; for DICOM, the error does not name files,
    folders or series.
    """
    if study.kind == "NIfTI":
        return _nifti_image(study.paths[0], study.case)

    @cache
    def stacks() -> tuple[Stack, list[Stack]]:
        with _without_file_names(study):
            chosen, found = _choose_stack(study, series)
        if not anyway:
            _check_tags(chosen)
        return chosen, found

    @cache
    def read() -> tuple[Volume, ...]:
        stack, found = stacks()
        with _without_file_names(study):
            describe, views = Stack.describe_anonymously, classify_series(found, stack)
            name, path = study.case, study.paths[0]
            return (read_stack(stack, path, name=name, describe=describe, views=views),)

    # A new file in the folder changes no checksum unless it belongs to the cine.
    return CaseImage(study.paths[0], study.case, read, lambda: _files_of(stacks()[0]))


def _check_tags(stack: Stack) -> None:
    """Raise DataError if the tags are those of another image than a short-axis cine."""
    if reason := stack.no_cine_because:
        # Descriptions of series may hold the name of a patient.
        name = stack.describe_anonymously()
        raise DataError(NO_CINE_TAGS, stack=name, reason=reason)


def _nifti_image(path: Path, case: str) -> CaseImage:
    read = cache(lambda: read_channels(path))
    return CaseImage(path, case, read, lambda: channel_files(path), is_file=True)


def _files_of(stack: Stack) -> list[Path]:
    return [image.file for images in stack.slices for image in images]


def _choose_stack(study: StudyInput, series: int | None) -> tuple[Stack, list[Stack]]:
    """Return the short-axis cine, and all stacks of the study."""
    stacks = read_stacks(*_dicom_files(study), study=study.study)
    describe = Stack.describe_anonymously
    return choose_stack(stacks, series=series, describe=describe, guess=False), stacks


def _dicom_files(study: StudyInput) -> list[Path]:
    with reading("The DICOM study"):
        # Subfolders are not searched, because they may hold many other patients.
        return [file for path in study.paths for file in _files_at(path)]


def _files_at(path: Path) -> list[Path]:
    return [*filter(may_be_file, path.iterdir())] if path.is_dir() else [path]


@contextmanager
def _without_file_names(study: StudyInput) -> Iterator[None]:
    """Raise a DataError of the block again, without the names of the study's files."""
    try:
        yield
    except DataError as error:
        files = _dicom_files(study)
        names = {str(name) for file in files for name in (file, file.name)}
        values = {
            key: UNNAMED_FILE if str(value) in names else value
            for key, value in error.values.items()
        }
        # The first error would show the names in a traceback.
        raise DataError(error.statement.template, *error.remedies, **values) from None


def _is_dicom(path: Path) -> bool:
    return path.is_dir() or is_dicom(path)
