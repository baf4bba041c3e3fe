"""Output files of a segmented case: names, locks, writing and replacing, notes on its geometry."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from ...core.ensemble.maps import MAPS
from ...core.problems import Action, Statement, change, statement
from ...core.types import Spacing
from ...io import DataError
from ...io.files.atomic import remove_leftovers, replacing, write_json, write_text
from ...io.files.given_path import is_same_path
from ...io.images.geometry import FILE_AXES, Geometry
from ...io.images.integrity import is_image
from ...io.images.nifti import Volume, read_labels, write_labels, write_map
from ...io.study.info import is_study
from .. import AppError

SAVED_MAPS: Final = (*MAPS, "probabilities")
STUDY_OUTPUT = "study"
"""Name of the study among the outputs to save."""
INFO_CFG = "Info.cfg next to the image"
FILE_NAMES = "names of the files"
FOUND_BY_VOLUME = "largest and smallest LV volume found by one member"
FOUND_AMONG_CHOSEN = "largest and smallest LV volume among the chosen phases"
"""Source of the phases ED and ES in a report."""
RESULTS_NOT_WRITTEN = "The results cannot be written to {folder} ({reason})."
IS_IMAGE = "The labels would replace the image {image}."
DISK_FULL = (
    "The disk is full, so nothing more can be written to {folder}. Complete results stay. Free "
    "some disk space."
)


def frame_name(case: str, phase: int | None, phase_cases: Sequence[str] = ()) -> str:
    """Return the name of a 3D image: the case, or one phase of a cine, counted from 1.

    ``phase_cases`` are the names of all phases, if they were joined from files of their own.
    """
    if phase is not None and phase_cases:
        return phase_cases[phase - 1]
    return case if phase is None else f"{case}_frame{phase:02d}"


def case_files(name: str, maps: Collection[str]) -> dict[str, str]:
    """Return output → file name of a 3D image: labels, the ``maps``, last the report."""
    names = {
        "labels": f"{name}.nii.gz",
        **{entry.name: f"{name}_{entry.key}.nii.gz" for entry in MAPS.values()},
        "probabilities": f"{name}_probabilities.npz",
        "report": f"{name}.json",
    }
    return {key: file for key, file in names.items() if key in {"labels", "report", *maps}}


def dicom_file_names(
    case: str, phases: Iterable[int | None], *, contours: bool = False
) -> tuple[list[str], list[str], str, str]:
    """Return the file names of a DICOM export.

    They are labels and, with ``contours``, the contours of each phase, measurements, CSV table.
    """
    frames = [frame_name(case, phase) for phase in phases]
    drawn = [f"{frame}_contours.dcm" for frame in frames if contours]
    labels = [f"{frame}_seg.dcm" for frame in frames]
    return labels, drawn, f"{case}_measurements.dcm", f"{case}_numbers.csv"


def write_case(
    folder: Path,
    name: str,
    labels: NDArray[np.uint8],
    arrays: Mapping[str, NDArray[np.float32]],
    report: Mapping[str, Any],
    *,
    like: Geometry,
) -> None:
    """Write labels, arrays and, last, the report of a 3D image with the geometry ``like``.

    ``arrays`` are maps, and "probabilities" in the order of `write_probabilities`. Those of an
    earlier result are removed, and after an error all files of the case. Files that are
    replaced pass their permissions on. Raises DataError if the folder cannot be written to.
    """
    files = {key: folder / file for key, file in case_files(name, arrays).items()}
    try:
        with whole_or_absent(*files.values()):
            remove_case(folder, name, replaced=files.values())
            for key, values in arrays.items():
                if key in MAPS:
                    write_map(files[key], values, like)
                else:
                    write_probabilities(files[key], like.to_file_order(values))
            write_labels(files["labels"], labels, like)
            write_json(files["report"], report)
    except OSError as error:
        raise DataError(
            RESULTS_NOT_WRITTEN, Action.OTHER_OUTPUT, folder=folder, reason=error.strerror or error
        ) from error


@contextmanager
def whole_or_absent(*files: Path) -> Iterator[None]:
    """Remove these files after an error in the block, so that none is taken for a result."""
    try:
        yield
    except BaseException:  # also after Ctrl-C
        for file in files:
            with suppress(OSError):  # Windows does not delete a file that is open elsewhere
                file.unlink(missing_ok=True)
        raise


def disk_full(folder: Path) -> AppError:
    """Return the error that ends a run, because all further images would fail too."""
    return AppError(DISK_FULL, Action.CONTINUE, folder=folder)


def is_about_full_disk(failure: Statement | str) -> bool:
    """Return whether a failure, perhaps of a worker, is `disk_full`."""
    return isinstance(failure, Statement) and failure.template == DISK_FULL


def write_probabilities(path: Path, probabilities: NDArray[np.float32]) -> None:
    """Write (C, z, y, x) float32 probabilities under the key ``probabilities``, compressed.

    Their axes are in the order of the image file, as in nnU-Net's own files.
    """
    with replacing(path) as temporary:
        np.savez_compressed(temporary, probabilities=probabilities)


def write_cine(folder: Path, case: str, names: Iterable[str], like: Volume) -> None:
    """Write the labels of all phases as one 4D file.

    The labels are read from the files of the phases, because some may be from an earlier run.
    """
    # A killed process leaves its temporary file.
    remove_leftovers(folder, f"{case}.nii.gz")
    parts = [read_labels(folder / f"{name}.nii.gz", like=like.geometry).voxels for name in names]
    write_labels(folder / f"{case}.nii.gz", np.stack(parts), like)


def remove_case(folder: Path, name: str, *, replaced: Collection[Path] = ()) -> None:
    """Delete the labels, maps and report of a 3D image, and what a killed process left of them.

    Files to be ``replaced`` stay, because the new ones get their permissions. A report among them
    becomes empty, so that a kill leaves a case that is not finished.
    """
    files = case_files(name, SAVED_MAPS)
    for file in {folder / file for file in files.values()} - {*replaced}:
        file.unlink(missing_ok=True)
    remove_leftovers(folder, *files.values())
    if (report := folder / files["report"]) in replaced and report.exists():
        write_text(report, "")


def refuse_replacing(
    folder: Path, names: Collection[str], image: Path, *, maps: Collection[str], may_replace: bool
) -> None:
    """Raise AppError if files of these cases exist and must stay; images always stay."""
    files = [folder / file for name in names for file in case_files(name, maps).values()]
    existing = [file for file in files if file.exists()]
    if any(is_same_path(file, image) for file in existing):
        raise AppError(IS_IMAGE, Action.OTHER_OUTPUT, image=image)
    labels = (folder / f"{name}.nii.gz" for name in names)
    if images := [file for file in labels if is_image(file)]:
        raise AppError(IS_IMAGE, Action.OTHER_OUTPUT, image=images[0])
    if existing and not may_replace:
        raise AppError(
            "{file} exists in {folder}.",
            *(Action.OVERWRITE, Action.CONTINUE),
            file=existing[0].name,
            folder=folder,
        )


def refuse_inside_study(folder: Path) -> None:
    """Raise AppError if results could replace a reader's corrections."""
    if study := next((path for path in (folder, *folder.parents) if is_study(path)), None):
        raise AppError(
            "The output folder is inside the study {study}.", Action.OTHER_OUTPUT, study=study
        )


OUTPUT_IN_USE: Final = "Another process is writing to {folder}."
LOCKS: Final = ".running"
"""Folder of the locks in an output folder; it is removed at the end."""
_WHOLE: Final = "cohort"


@contextmanager
def locked_case(output: Path, case: str) -> Iterator[None]:
    """Lock a case of an output folder. Raises AppError if it is being written already.

    A run of images locks each case, so that others can segment other images into the same folder. A
    cohort locks the folder; its workers take no lock. The operating system releases the lock of a
    process that has died.
    """
    with ExitStack() as stack:
        _enter(stack, output, f"case_{case}")
        _try(output, _WHOLE)
        yield


@contextmanager
def locked_output(output: Path) -> Iterator[None]:
    """Lock an output folder. Raises AppError if it, or a case in it, is being written already."""
    with ExitStack() as stack:
        # Take this lock first, as `locked_case` takes its own, so at most one of the two continues.
        _enter(stack, output, _WHOLE)
        for file in (output / LOCKS).glob("case_*.lock"):
            _try(output, file.stem)
        yield


def _try(output: Path, name: str) -> None:
    if (output / LOCKS / f"{name}.lock").exists():
        with ExitStack() as stack:
            _enter(stack, output, name)


def _enter(stack: ExitStack, output: Path, name: str) -> None:
    """Take a lock and keep it until the ``stack`` ends.

    Do nothing if the folder is not writable or its drive has no locks. Writing the results reports
    a folder that is not writable.
    """
    file = output / LOCKS / f"{name}.lock"
    lock = FileLock(file, timeout=0, thread_local=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise AppError(OUTPUT_IN_USE, Action.WAIT, Action.OTHER_OUTPUT, folder=output) from error
    except OSError:
        return
    stack.callback(_leave, lock, file)


def _leave(lock: FileLock, file: Path) -> None:
    """Remove the file before the lock ends, so that no lock of another process is removed."""
    with suppress(OSError):  # Windows does not delete a locked file
        file.unlink(missing_ok=True)
    lock.release()
    with suppress(OSError):  # the folder may hold other locks
        if os.name == "nt":
            file.unlink(missing_ok=True)
        file.parent.rmdir()


SLICES_STORED: Final = (
    "The image file stores its slices along the {axis} axis, so its axes were reordered when it "
    "was read. The files of results have the axes of the image."
)
TWO_VOXEL_SIZES: Final = (
    "The header of the image gives two voxel sizes (z, y, x), {affine} mm in its affine and "
    "{pixdim} mm in its pixdim. The affine was used. With pixdim, all volumes would be "
    "{factor:.3g} times as large."
)
CLOSE_SLICES: Final = (
    "By the header, the distance between slices is {distance:.4g} mm, as if it were unknown. Check "
    "the voxel size, because all volumes depend on it."
)
_CLOSE: Final = 3.0
"""Distance in mm below which no scanner puts the slices of a cine."""
_SHALLOW: Final = 25.0
"""Depth in mm below which a stack was not resampled to such a distance."""
SKEWED: Final = (
    "The axes of the image are not perpendicular in its header, but were treated as if they were. "
    "By the affine, all volumes would be {factor:.3g} times as large. Resample the image to "
    "perpendicular axes."
)


def with_geometry(
    report: Mapping[str, Any],
    geometry: Geometry,
    *,
    word: Callable[[Statement], str] = str,
) -> dict[str, Any]:
    """Return the report with the grid and spacing used, and notes on an unusual image file.

    If pixdim and affine differ, the report has the volumes for both. If a spacing was given, the
    header's does not count. ``word`` turns a statement into text for the command line or the
    window.
    """
    about: dict[str, Any] = {
        "spacing_mm": list(geometry.spacing),
        "spacing_from": geometry.spacing_source,
        "grid": str(geometry.frame()),
    }
    notes: list[Statement] = []
    if geometry.slice_axis != 2:
        notes.append(statement(SLICES_STORED, axis=FILE_AXES[geometry.slice_axis]))
    distance, *_ = geometry.spacing
    is_shallow = distance < _CLOSE and geometry.shape[-3] * distance < _SHALLOW
    if is_shallow and geometry.given_spacing is None:
        notes.append(statement(CLOSE_SLICES, change("spacing"), distance=distance))
    pixdim = geometry.other_spacing
    if pixdim is not None and geometry.given_spacing is None:
        factor = prod(pixdim) / prod(geometry.spacing)
        about["pixdim_mm"] = list(pixdim)
        about["volumes_ml_by_pixdim"] = {
            name: volume["ensemble"] * factor
            for name, volume in report.get("volumes_ml", {}).items()
        }
        notes.append(_two_spacings(geometry.spacing, pixdim, factor))
    if geometry.skew is not None and geometry.given_spacing is None:
        notes.append(statement(SKEWED, factor=geometry.skew))
    return {**report, **about, "notes": [*report.get("notes", ()), *map(word, notes)]}


def _two_spacings(affine: Spacing, pixdim: Spacing, factor: float) -> Statement:
    texts = (" × ".join(f"{step:.4g}" for step in spacing) for spacing in (affine, pixdim))
    sizes = dict(zip(("affine", "pixdim"), texts, strict=True))
    return statement(TWO_VOXEL_SIZES, change("spacing"), factor=factor, **sizes)
