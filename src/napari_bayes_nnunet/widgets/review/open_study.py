"""Opening of a study and its image, to be run in a thread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ...app.review.learnt_profile import with_site
from ...app.review.session import ReviewSession
from ...core.heart.intensity_window import heart_window
from ...io import DataError
from ...io.heart.normal_ranges import PETERSEN, read_normal_ranges
from ...io.heart.site_profile import read_profile
from ...io.images.nifti import Volume
from ...io.study.arrays import EDITED, IMAGE
from ...io.study.info import find_image, read_study_image
from ...io.study.readings import open_reading, own_review
from ...io.study.study import Study, open_study_lock, read_study
from ..common.wording import in_the_window
from ..reading.picture import OpenedStudy

ON_BLACK: Final = "The labels are shown on black."


OTHERS_READING: Final = (
    "{folder} cannot be changed here, and the reading that is open in it is another reader's. "
    "Close the study in the other window, or copy it to a folder that you can write to."
)


def open_study(
    folder: Path,
    *,
    image: Path | None = None,
    ranges: str = PETERSEN,
    site: str = "",
    reader: str = "",
    named: bool = False,
    reading: Path | None = None,
) -> OpenedStudy:
    """Read the study in ``folder``, with ``image`` if its image cannot be found.

    ``ranges`` are the normal ranges to compare its numbers with, see `read_normal_ranges`, and
    ``site`` is the file with the intervals of the site, see `with_site`, "" for none. The reading
    is that of the ``reader``, see `open_reading`, or in the folder of a kept ``reading``, which can
    only be viewed.

    ``problems`` of the result lists what is wrong but does not prevent a review. The study is
    locked before it is read, so that no other window can save in between. Raises DataError.
    """
    if reading is not None:
        return _read_all(folder, image, ranges, site, reading)
    try:
        lock, lock_problem = open_study_lock(folder), ""
    except DataError as error:
        lock, lock_problem = None, in_the_window(error)
        if own_review(folder, reader) is not None:
            raise DataError(OTHERS_READING, folder=folder) from error
    try:
        if lock is not None:
            open_reading(folder, reader, named=named)
        opened = _read_all(folder, image, ranges, site)
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    problems = (lock_problem, *opened.problems) if lock_problem else opened.problems
    return replace(opened, lock=lock, problems=problems)


def _read_all(
    folder: Path, image: Path | None, ranges: str, site: str, reading: Path | None = None
) -> OpenedStudy:
    study = read_study(folder, reading=reading)
    if study.edited.dtype != np.uint8:
        raise DataError(
            "{file} contains labels up to {largest}, which are not structures. Rename the file to "
            "start the corrections again from the prediction.",
            file=(reading or folder) / EDITED,
            largest=int(study.edited.max()),
        )
    volume, problem = _read_chosen(study, image) if image is not None else _find(study)
    problems = (*study.problems, problem) if problem else study.problems
    try:
        study = with_site(study, read_profile(Path(site))) if site else study
    except DataError as error:
        problems = (*problems, in_the_window(error))
    session = ReviewSession(study, volume.voxels if volume is not None else None)
    try:
        session.ranges = read_normal_ranges(ranges)
    except DataError as error:
        problems = (*problems, in_the_window(error))
    session.scores()  # computed here, and kept, so that the window need not wait
    window = None
    if volume is not None:
        window = heart_window(volume.voxels, study.prediction, study.info.structures)
    return OpenedStudy(session, volume, problems, window)


def _read_chosen(study: Study, image: Path) -> tuple[Volume, str]:
    """Return the image that the reader has chosen, and a doubt about it or ""."""
    volume, source = read_study_image(study.info, image), study.info.image
    try:
        same = source is not None and source.is_at(image)
    except OSError as error:
        raise DataError(
            "{file} cannot be read ({reason}).", file=image, reason=error.strerror
        ) from error
    doubt = f"{image.name} is not the file this study was made from. Check that the contours fit."
    return volume, "" if same else doubt


def _find(study: Study) -> tuple[Volume | None, str]:
    """Return the image and ""; or None and the reason if it cannot be found or read."""
    try:
        file = find_image(study.info, study.folder)
        if file is not None:
            return read_study_image(study.info, file), ""
    except DataError as error:
        return None, f"{in_the_window(error)} {ON_BLACK}"
    name = study.info.image.name if study.info.image else IMAGE
    return None, (
        f"{name} was not found. {ON_BLACK} Put the file next to the study and reopen the study, or "
        "choose the file with Find image…"
    )
