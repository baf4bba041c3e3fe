"""Files and study of a result."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...app import AppError
from ...app.prediction.output_files import (
    FOUND_AMONG_CHOSEN,
    FOUND_BY_VOLUME,
    SAVED_MAPS,
    case_files,
    frame_name,
    refuse_replacing,
    write_case,
)
from ...core.ensemble.maps import ENTROPY, MAPS
from ...io import DataError
from ...io.files.access import writing
from ...io.files.given_path import is_same_path
from ...io.images.geometry import Geometry, make_geometry
from ...io.images.integrity import is_image, nifti_header
from ...io.images.nifti import CardiacPhases, write_labels
from ...io.study.info import (
    SourceImage,
    StudyInfo,
    find_image,
    is_study,
    read_study_image,
    read_study_info,
)
from ...io.study.study import has_corrections, open_study_lock, write_study
from ..layers.image_input import load_voxels
from ..layers.result import PhaseState, SegmentationResult

DEFAULT_MAPS = (ENTROPY.name,)
NO_POSITION = (
    "{case} has no position in the patient, so its segmentation cannot be saved as NIfTI. Open the "
    "image from a .nii or .nii.gz file."
)
NOTHING_TO_SAVE = "None of the chosen phases is segmented yet. Segment them, then save the result."
STOPPED_PHASE = "Stopped after {done} of {total} members."
PROVISIONAL_PHASE = (
    "Provisional: segmented by one network, in a window around the heart of another phase."
)


def check_savable(result: SegmentationResult, folder: Path | None = None) -> None:
    """Raise AppError if ``result`` cannot be saved as NIfTI, or would replace an image."""
    if result.geometry is None:
        raise AppError(NO_POSITION, case=result.case)
    if not any(_parts(result)):
        raise AppError(NOTHING_TO_SAVE)
    if folder is not None:
        image = result.source or Path()
        refuse_replacing(folder, _names(result), image, maps=MAPS, may_replace=True)


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


def _names(result: SegmentationResult) -> list[str]:
    """Return the names of the labels: of each phase, and of a whole cine."""
    names = [name for _, name, _ in _parts(result)]
    return [*names, result.case] if _is_whole_cine(result) else names


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
    Raises AppError as `check_savable` does, and DataError or OSError if writing fails.
    """
    check_savable(result, folder)
    assert result.geometry is not None
    geometry = result.geometry.frame()
    with writing(folder):
        # Deleted first, so that nothing of another result stays beside new labels, even after an
        # error.
        for file in _earlier_cine(result, folder):
            file.unlink()
    for phase, name, state in _parts(result):
        arrays = {key: result.of_phase(result.maps[key], phase) for key in _complete(maps, state)}
        labels, report = result.of_phase(result.labels, phase), _report(result, phase, name, state)
        write_case(folder, name, labels, arrays, report, like=geometry)
    if _is_whole_cine(result):
        write_labels(folder / f"{result.case}.nii.gz", result.labels, result.geometry)
    return result_files(result, folder, maps=maps)


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
            continue  # the first look at a phase between ED and ES
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
    stopped = STOPPED_PHASE.format(done=state.done, total=state.total)
    return {
        "provisional": state.provisional,
        "ensemble": result.ensemble,
        "method": settings.method,
        "mirroring": settings.mirroring,
        "window": settings.window,
        "temperature": settings.temperature,
        "warnings": [PROVISIONAL_PHASE if state.provisional else stopped],
    }


PACKAGE = Path(__file__).parents[2]
FOLDER_ENDING = "_study"
NOTHING_DONE = "No phase is finished. Press Segment to finish one, then start the review."
NEW_STUDY = "The study is in {folder}."
BEGUN_STUDY = (
    "The earlier review is open, not the new result. To review the new result, close it, rename "
    "{folder}, and press Review… again."
)
OTHER_IMAGE_REVIEWED = (
    "{folder} holds the review of another image with this name, or the image has changed. Rename "
    "this folder to start a new review."
)
CORRECTED_ALONE = (
    "{folder} has corrections of one of these phases. They are not in this study, so open that one "
    "to see them."
)
SLICES_MOVED = (
    "The slices lie along axis {axis} of the layer, so the review shows a copy of the image with "
    "this axis first."
)


@dataclass(frozen=True)
class ResultStudy:
    """The study of a result; ``is_new`` unless its review has already begun.

    ``slice_axis`` is the axis of the layer, from 1, that holds the slices if it is not the first.
    ``corrected_alone`` are studies with corrections of single phases that were joined here.
    """

    folder: Path
    is_new: bool
    slice_axis: int | None = None
    corrected_alone: tuple[Path, ...] = ()

    @property
    def sentence(self) -> str:
        """The sentence for the user."""
        text = (NEW_STUDY if self.is_new else BEGUN_STUDY).format(folder=self.folder)
        moved = "" if self.slice_axis is None else SLICES_MOVED.format(axis=self.slice_axis)
        alone = (CORRECTED_ALONE.format(folder=folder) for folder in self.corrected_alone)
        return " ".join(filter(None, [text, moved, *alone]))


def default_study_folder(result: SegmentationResult) -> Path | None:
    """Return ``<case>_study`` next to the image, None if nothing can be written there."""
    parent = folder_of_image(result)
    return parent / _name(result) if parent is not None else None


def folder_of_image(result: SegmentationResult) -> Path | None:
    """Return the folder of the image; None if it is unknown or nothing can be written there.

    Nothing is written to this installation, which holds the sample. Windows says only when writing
    fails that nothing can be written.
    """
    if result.source is None:
        return None
    parent = result.source.absolute().parent
    writable = not parent.is_relative_to(PACKAGE) and os.access(parent, os.W_OK)
    return parent if writable else None


def study_folder_in(result: SegmentationResult, chosen: Path) -> Path:
    """Return ``<case>_study`` in the ``chosen`` folder, or next to it if that is a study."""
    return (chosen.parent if is_study(chosen) else chosen) / _name(result)


def make_result_study(result: SegmentationResult, folder: Path, *, image: Any) -> ResultStudy:
    """Write a study of the phases that all members have segmented; call it in a thread.

    An existing study that has corrections or is open in a window is kept and returned. If it is of
    another method, the study is made next to it, in a folder with the name of the method.
    ``image`` are the voxels of the layer, which are saved in the study if they come from no file.
    Raises AppError if no phase is finished, DataError if nothing can be written to ``folder`` or
    if its study is of another image.

    A layer without a file may hold its slices on any axis. In the study they come first, as in
    images that were read from files, because they are reviewed one by one.
    """
    if not result.posteriors:
        raise AppError(NOTHING_DONE)
    geometry = result.geometry or make_geometry(result.shape, result.spacing).with_slices_found()
    axis = 0 if result.geometry is not None else 2 - geometry.slice_axis
    slice_axis = len(result.shape) - 2 + axis if axis else None
    info = _info(result, geometry)
    if is_study(folder) and (has_corrections(folder) or _is_open(folder)):
        _check_same_image(result, geometry, folder, image, axis)
        if read_study_info(folder).method != info.method:
            name = f"{folder.name.removesuffix(FOLDER_ENDING)}_{info.method}{FOLDER_ENDING}"
            return make_result_study(result, folder.with_name(name), image=image)
        return ResultStudy(folder, is_new=False, slice_axis=slice_axis)
    voxels = _load(image, axis) if info.image is None else None
    posteriors = {p: stored.with_first_axis(axis) for p, stored in result.posteriors.items()}
    looks = {phase: np.moveaxis(labels, axis, 0) for phase, labels in result.looks.items()}
    write_study(
        folder,
        info,
        posteriors,
        image=voxels,
        looks=looks,
        patient=result.patient,
        long_axes=result.long_axes,
    )
    alone = (folder.with_name(f"{case}{FOLDER_ENDING}") for case in result.phase_cases)
    corrected = tuple(other for other in alone if is_study(other) and has_corrections(other))
    return ResultStudy(folder, is_new=True, slice_axis=slice_axis, corrected_alone=corrected)


def _load(image: Any, axis: int) -> Any:
    """Return the voxels of the layer ``image`` with ``axis`` as the first axis of its volumes."""
    return np.moveaxis(load_voxels(image), axis - 3, -3)


def _name(result: SegmentationResult) -> str:
    return f"{result.case}{FOLDER_ENDING}"


def _info(result: SegmentationResult, geometry: Geometry) -> StudyInfo:
    known, phases_from = _ends(result)
    return StudyInfo(
        case=result.case,
        image=_image_file(result),
        geometry=geometry,
        structures=dict(result.structures),
        classes=result.classes,
        phases=tuple(sorted(result.posteriors, key=lambda phase: phase or 0)),
        reports={phase: result.phases[phase].report or {} for phase in result.posteriors},
        ed=known.ed if known is not None else None,
        es=known.es if known is not None else None,
        phases_from=phases_from,
        unfinished=result.unfinished,
        phase_cases=result.phase_cases,
    )


def _ends(result: SegmentationResult) -> tuple[CardiacPhases | None, str]:
    """Return ED and ES, if a review cannot find them in the curve of its phases, and their source.

    Provisional phases are missing in that curve.
    """
    known, phases_from = result.known_ends
    if known is None and result.provisional:
        numbers = result.numbers()
        if numbers.ed is not None and numbers.es is not None:
            source = FOUND_AMONG_CHOSEN if numbers.compared else FOUND_BY_VOLUME
            return CardiacPhases(numbers.ed, numbers.es), source
    return known, phases_from


def _image_file(result: SegmentationResult) -> SourceImage | None:
    """Return the file of the image, None if it is missing or the layer differs from it."""
    file = result.source if result.geometry is not None else None
    return SourceImage.from_file(file) if file is not None and file.is_file() else None


def _is_open(folder: Path) -> bool:
    """Return True if a window has opened the study, or if nothing can be written to it."""
    try:
        open_study_lock(folder).release()
    except DataError:
        return True
    return False


def _check_same_image(
    result: SegmentationResult, geometry: Geometry, folder: Path, image: Any, axis: int
) -> None:
    """Raise DataError if the study in ``folder`` is of another image."""
    info, file = read_study_info(folder), _image_file(result)
    if info.image is not None and file is not None:
        same = (info.image.bytes, info.image.sha256) == (file.bytes, file.sha256)
    else:
        same = info.shape == geometry.shape and _shows(info, folder, image, axis)
    if not same:
        raise DataError(OTHER_IMAGE_REVIEWED, folder=folder)


def _shows(info: StudyInfo, folder: Path, image: Any, axis: int) -> bool:
    """Return True if the image of a study has these voxels, or if it is missing."""
    file = find_image(info, folder)
    if file is None:
        return True
    voxels = read_study_image(info, file).voxels
    return np.array_equal(voxels, np.asarray(_load(image, axis), dtype=voxels.dtype))
