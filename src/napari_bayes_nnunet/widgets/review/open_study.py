"""A study read from the disk, with its image wherever that is now; for a thread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...app.review.session import ReviewSession
from ...io import DataError
from ...io.images.nifti import Volume, read_volume
from ...io.study.arrays import EDITED, IMAGE
from ...io.study.study import Study, find_image, open_study_lock, read_study
from ..common.wording import in_the_window
from ..reading.picture import OpenedStudy


def open_study(folder: Path, *, image: Path | None = None) -> OpenedStudy:
    """Read the study in ``folder``; ``image`` is its image where it cannot be found by itself.

    What is wrong, but no reason not to go on, is in ``problems``. The study is locked before it is
    read, so that what another window saves meanwhile is not lost. Raises DataError.
    """
    try:
        lock, refused = open_study_lock(folder), ""
    except DataError as error:
        lock, refused = None, in_the_window(error)
    try:
        opened = _read_all(folder, image)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    problems = (refused, *opened.problems) if refused else opened.problems
    return replace(opened, lock=lock, problems=problems)


def _read_all(folder: Path, image: Path | None) -> OpenedStudy:
    study = read_study(folder)
    if study.edited.dtype != np.uint8:
        raise DataError(
            f"{folder / EDITED} holds labels up to {study.edited.max()}, which are no structures: "
            "rename it to begin the corrections anew from the prediction."
        )
    found, problem = _chosen(study, image) if image is not None else _found(study)
    problems = (*study.problems, problem) if problem else study.problems
    session = ReviewSession(study)
    session.scores()  # kept: the window has them at once
    return OpenedStudy(session, found, problems)


def _chosen(study: Study, image: Path) -> tuple[Volume, str]:
    """An image the reader has chosen, and whether it is certainly the right one."""
    volume, source = _read(study, image), study.info.image
    try:
        same = source is not None and source.is_at(image)
    except OSError as error:
        raise DataError(f"{image} cannot be read: {error.strerror}.") from error
    unsure = f"{image.name} is not the file this study was made of: check that the contours fit."
    return volume, "" if same else unsure


def _found(study: Study) -> tuple[Volume | None, str]:
    """The image wherever it is now; else None, and why."""
    try:
        file = find_image(study.info, study.folder)
        if file is not None:
            return _read(study, file), ""
    except DataError as error:
        return None, f"{in_the_window(error).removesuffix('.')}. The labels lie on black."
    name = study.info.image.name if study.info.image else IMAGE
    return None, (
        f"{name} was not found: the labels lie on black. Put it beside the study and open this "
        "again, or choose it with Find image…"
    )


def _read(study: Study, file: Path) -> Volume:
    volume = read_volume(file, allow_blank=True)
    if not volume.geometry.same_grid(study.info.geometry):
        raise DataError(
            f"{file.name} has another grid ({volume.geometry}) than the study "
            f"({study.info.geometry}): choose the image the study was made of."
        )
    return volume
