"""Files of a result, the same as those of ``bayes-nnunet predict``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ...app import AppError
from ...app.prediction.output_files import (
    RESULTS_NOT_WRITTEN,
    SAVED_MAPS,
    case_files,
    frame_name,
    write_case,
)
from ...core.ensemble.maps import ENTROPY, MAPS
from ...core.problems import Action
from ...io import DataError
from ...io.files.given_path import is_same_path
from ...io.images.integrity import is_image, nifti_header
from ...io.images.nifti import write_labels
from ..layers.result import PhaseState, SegmentationResult

DEFAULT_MAPS = (ENTROPY.name,)
NO_POSITION = (
    "{case} has no position in the patient, so its segmentation cannot be saved as NIfTI. Open the "
    "image from a .nii or .nii.gz file."
)
NOTHING_TO_SAVE = "None of the chosen phases is segmented yet. Segment them, then save the result."
SAME_FILE = "{file} is the image itself. Choose another folder."
OTHER_IMAGE = "{file} is an image. Choose another folder."
STOPPED_PHASE = "Stopped after {done} of {total} members."
PROVISIONAL_PHASE = (
    "Provisional: segmented by one member, in a window around the heart of another phase."
)
PHASE_BY_STUDENT = (
    "Provisional: segmented by the student of the ensemble, in a window around the heart of "
    "another phase."
)


def check_savable(result: SegmentationResult, folder: Path | None = None) -> None:
    """Raise AppError if ``result`` cannot be saved as NIfTI in ``folder``."""
    if result.geometry is None:
        raise AppError(NO_POSITION, case=result.case)
    if not any(_parts(result)):
        raise AppError(NOTHING_TO_SAVE)
    if folder is None:
        return
    for file in result_files(result, folder, maps=MAPS):
        if result.source is not None and file.exists() and is_same_path(file, result.source):
            raise AppError(SAME_FILE, file=file.name)
    for file in _label_files(result, folder):
        if is_image(file):
            raise AppError(OTHER_IMAGE, file=file.name)


def result_files(
    result: SegmentationResult, folder: Path, *, maps: Collection[str] = DEFAULT_MAPS
) -> list[Path]:
    """Return all files that `save_result` would write."""
    files = [
        folder / file
        for _, name, state in _parts(result)
        for file in case_files(name, _complete(maps, state)).values()
    ]
    return [*files, folder / f"{result.case}.nii.gz"] if _is_whole_cine(result) else files


def _label_files(result: SegmentationResult, folder: Path) -> list[Path]:
    """Return the files of labels: of each phase, and of a whole cine."""
    names = [name for _, name, _ in _parts(result)]
    names += [result.case] if _is_whole_cine(result) else []
    return [folder / case_files(name, ())["labels"] for name in names]


def replaced_files(result: SegmentationResult, folder: Path) -> list[Path]:
    """Return the files of an earlier result that `save_result` would replace or delete."""
    names = [name for _, name, _ in _parts(result)]
    files = [folder / file for name in names for file in case_files(name, SAVED_MAPS).values()]
    whole_cine = [folder / f"{result.case}.nii.gz"] if _is_whole_cine(result) else []
    files += whole_cine or _earlier_cine(result, folder)
    return [file for file in files if file.exists()]


def save_result(
    result: SegmentationResult, folder: Path, *, maps: Collection[str] = DEFAULT_MAPS
) -> list[Path]:
    """Write labels, ``maps`` and report of each segmented phase, and a 4D file of a whole cine.

    The report is written last, so that a case with a report is complete. Maps and the 4D file of an
    earlier result are deleted, because they would not belong to the new labels. Returns the files.
    Raises AppError without geometry or phases to save, and DataError if writing fails.
    """
    check_savable(result, folder)
    try:
        _write_files(result, folder, maps)
    except OSError as error:
        values = {"folder": folder, "reason": error.strerror or error}
        raise DataError(RESULTS_NOT_WRITTEN, Action.OTHER_OUTPUT, **values) from error
    return result_files(result, folder, maps=maps)


def _write_files(result: SegmentationResult, folder: Path, maps: Collection[str]) -> None:
    assert result.geometry is not None
    geometry = result.geometry.frame()
    for file in _earlier_cine(result, folder):
        file.unlink()
    for phase, name, state in _parts(result):
        arrays = {key: result.of_phase(result.maps[key], phase) for key in _complete(maps, state)}
        labels, report = result.of_phase(result.labels, phase), _report(result, phase, name, state)
        write_case(folder, name, labels, arrays, report, like=geometry)
    if _is_whole_cine(result):
        write_labels(folder / f"{result.case}.nii.gz", result.labels, result.geometry)


def _earlier_cine(result: SegmentationResult, folder: Path) -> list[Path]:
    """Return the 4D labels of an earlier result, if there are any; an image is left alone."""
    file = folder / f"{result.case}.nii.gz"
    if len(result.shape) != 4 or nifti_header(file) is None or is_image(file):
        return []
    is_source = result.source is not None and is_same_path(file, result.source)
    return [] if is_source else [file]


def _complete(maps: Collection[str], state: PhaseState) -> list[str]:
    """Return the maps that a phase has: those that are not streamed only if it is finished."""
    return [name for name in maps if MAPS[name].is_streamed or state.report is not None]


def _parts(result: SegmentationResult) -> Iterator[tuple[int | None, str, PhaseState]]:
    """Yield the phase, file name and state of each 3D image that was to be segmented."""
    for phase, state in sorted(result.phases.items(), key=lambda item: item[0] or 0):
        is_wanted = phase in (result.requested or result.phases)  # none before ED and ES are found
        if state.provisional and not is_wanted:
            continue  # a student's look at a phase between ED and ES
        yield phase, frame_name(result.case, phase, result.phase_cases), state


def _is_whole_cine(result: SegmentationResult) -> bool:
    is_whole = len(result.shape) == 4 and len(result.phases) == result.shape[0]
    return is_whole and not result.provisional


def _report(
    result: SegmentationResult, phase: int | None, name: str, state: PhaseState
) -> dict[str, Any]:
    source = result.source.name if result.source is not None else ""
    own_file = bool(result.phase_cases)
    about: dict[str, Any] = {"case": name, "image": source, "phase": None if own_file else phase}
    known, phases_from = result.known_ends
    if known is not None and phase in known and not own_file:
        about |= {"ED": known.ed, "ES": known.es, "phases_from": phases_from}
    if state.report is None:
        return about | _unfinished(result, state)
    return about | dict(state.report)


def _unfinished(result: SegmentationResult, state: PhaseState) -> dict[str, Any]:
    """Return the report of a phase that was stopped."""
    settings = result.settings
    looked = PHASE_BY_STUDENT if state.by_student else PROVISIONAL_PHASE
    stopped = STOPPED_PHASE.format(done=state.done, total=state.total)
    return {
        "provisional": state.provisional,
        "ensemble": result.ensemble,
        "method": settings.method,
        "mirroring": settings.mirroring,
        "window": settings.window,
        "temperature": settings.temperature,
        "warnings": [looked if state.provisional else stopped],
    }
