"""List of the studies in a folder, worst first, and pictures for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.problems import Statement
from .. import DataError
from .arrays import EDITED
from .info import STUDY_FILE, find_image, read_study_image, read_study_info
from .patient import read_patient
from .readings import own_review
from .review_state import REVIEW, ReviewState, read_review
from .study import read_work


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """One row of a list of studies.

    ``patient`` is the name or ID of the patient, "" if no header said it.
    ``quality`` is the predicted quality, 0 … 1: the mean expected or pairwise Dice over
    structures and phases, None if unknown. ``reviewed`` of the ``slices`` have a decision,
    ``flagged`` of them are flagged. ``problem`` says why the study cannot be opened, if it cannot.
    """

    folder: Path
    case: str
    patient: str = ""
    quality: float | None = None
    warnings: tuple[str, ...] = ()
    reviewed: int = 0
    flagged: int = 0
    slices: int = 0
    finished: bool = False
    problem: Statement | None = None


def list_studies(folder: Path, reader: str = "") -> list[StudySummary]:
    """Return the studies in ``folder`` and its subfolders, unreadable ones first, then by quality.

    The decisions are those of ``reader``, see `own_review`.

    Only their JSON files are read, unless labels are newer than the decisions on them. Studies of
    unknown quality come last.
    """
    every = (summarise_study(study, reader) for study in _study_folders(folder))
    return sorted(every, key=_worst_first)


def summarise_study(folder: Path, reader: str = "") -> StudySummary:
    """Return the row of one study, with the problem if it cannot be opened."""
    try:
        info = read_study_info(folder)
        own = own_review(folder, reader)
        review = own or read_review(folder) or ReviewState()
        # A kill between labels and decisions would count slices that have changed as accepted.
        if own is None and review.decisions and _are_labels_newer(folder):
            _, review = read_work(folder, info, [])
    except DataError as error:
        return StudySummary(folder=folder, case=folder.name, problem=error.statement)
    patient = read_patient(folder, case=info.case, problems=[])
    return StudySummary(
        folder=folder,
        case=info.case,
        # The name of a NIfTI file is that of the case, which is shown as well.
        patient="" if patient.files else patient.identity,
        quality=info.quality,
        warnings=info.warnings,
        reviewed=len(review.decisions),
        flagged=review.count("flagged"),
        slices=info.slices,
        finished=review.finished,
    )


def _are_labels_newer(folder: Path) -> bool:
    """Return whether labels were written after the review, as before a kill, or are lost."""
    labels, review = folder / EDITED, folder / REVIEW
    return not labels.exists() or labels.stat().st_mtime_ns > review.stat().st_mtime_ns


def _study_folders(folder: Path) -> Iterator[Path]:
    for path, subfolders, files in os.walk(folder):
        if STUDY_FILE in files:
            # The subfolders of a study are its posteriors and readings.
            subfolders.clear()
            yield Path(path)
        else:
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))


def _worst_first(summary: StudySummary) -> tuple[bool, float, str]:
    # Above any quality, so that unknown ones come last.
    quality = 2.0 if summary.quality is None else summary.quality
    return summary.problem is None, quality, summary.case


def read_study_thumbnail(folder: Path) -> NDArray[np.generic] | None:
    """Return the (Y, X) middle slice of ED, or of the first phase; None if the image is missing.

    Raises DataError if study or image cannot be read.
    """
    info = read_study_info(folder)
    file = find_image(info, folder)
    if file is None:
        return None
    voxels = read_study_image(info, file).voxels
    if voxels.ndim == 4:  # which may lack the ED that Info.cfg names
        voxels = voxels[info.ed - 1 if info.ed and info.ed <= len(voxels) else 0]
    middle: NDArray[np.generic] = np.asarray(voxels[len(voxels) // 2])
    return middle
