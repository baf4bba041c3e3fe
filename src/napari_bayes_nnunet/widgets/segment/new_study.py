"""A result of the dock Segment becomes a study that the dock Review opens."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...app import AppError
from ...io import DataError
from ...io.images.geometry import make_geometry
from ...io.images.nifti import read_volume
from ...io.study.study import (
    SourceImage,
    StudyInfo,
    find_image,
    has_corrections,
    is_study,
    open_study_lock,
    read_study_info,
    write_study,
)
from ..layers.image_input import load_voxels
from ..layers.result import SegmentationResult

PACKAGE = Path(__file__).parents[2]
NOTHING_DONE = "Let the segmentation of one phase end first: then it can be reviewed."


@dataclass(frozen=True)
class ResultStudy:
    """The study of a result; ``is_new`` unless its review was begun before."""

    folder: Path
    is_new: bool

    @property
    def sentence(self) -> str:
        """What the user should know of it."""
        if self.is_new:
            return f"The study is in {self.folder}."
        return (
            f"There is a study in {self.folder} already: it goes on with what was segmented then."
        )


def folder_beside(result: SegmentationResult) -> Path | None:
    """``<case>_study`` beside the image; None where nothing may or can be written there."""
    if result.source is None:
        return None
    parent = result.source.absolute().parent
    if parent.is_relative_to(PACKAGE) or not os.access(parent, os.W_OK):
        return None
    return parent / _name(result)


def folder_in(result: SegmentationResult, chosen: Path) -> Path:
    """``<case>_study`` in a folder the user has chosen, or beside it where that is a study."""
    return (chosen.parent if is_study(chosen) else chosen) / _name(result)


def study_of(result: SegmentationResult, folder: Path, *, image: Any) -> ResultStudy:
    """Write a study of the phases all members have answered for; for a thread.

    A study that a reader has worked on, or that is open in a window, is never replaced: it is
    gone on with. ``image`` are the voxels of the layer, which go into the study where they came
    from no file. Raises AppError where no phase is done, and DataError where nothing can be
    written there or the study is that of another image.
    """
    if not result.posteriors:
        raise AppError(NOTHING_DONE)
    if is_study(folder) and (has_corrections(folder) or _is_open(folder)):
        _check_same_image(result, folder, image)
        return ResultStudy(folder, is_new=False)
    info = _info(result)
    voxels = load_voxels(image) if info.image is None else None
    write_study(folder, info, result.posteriors, image=voxels)
    return ResultStudy(folder, is_new=True)


def _name(result: SegmentationResult) -> str:
    return f"{result.case}_study"


def _info(result: SegmentationResult) -> StudyInfo:
    known = result.known_phases
    geometry = result.geometry or make_geometry(result.shape, result.spacing)
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
        phases_from=result.phases_from,
    )


def _image_file(result: SegmentationResult) -> SourceImage | None:
    """The file of the image, unless it is gone or the layer shows something else than it."""
    file = result.source if result.geometry is not None else None
    return SourceImage.of(file) if file is not None and file.is_file() else None


def _is_open(folder: Path) -> bool:
    """Whether a window has the study, or nothing can be written there."""
    try:
        open_study_lock(folder).release()
    except DataError:
        return True
    return False


def _check_same_image(result: SegmentationResult, folder: Path, image: Any) -> None:
    """Raise DataError where the review that was begun is one of another image."""
    info, file = read_study_info(folder), _image_file(result)
    if info.image is not None and file is not None:
        same = (info.image.bytes, info.image.sha256) == (file.bytes, file.sha256)
    else:
        same = info.shape == result.shape and _shows(info, folder, image)
    if not same:
        raise DataError(
            f"{folder} holds the review of another image of this name, or the image has changed "
            "since: rename that folder to begin a new review."
        )


def _shows(info: StudyInfo, folder: Path, image: Any) -> bool:
    """Whether the image of a study, where it is found, has these voxels."""
    file = find_image(info, folder)
    if file is None:
        return True
    there = read_volume(file, allow_blank=True).voxels
    return np.array_equal(there, np.asarray(load_voxels(image), dtype=there.dtype))
