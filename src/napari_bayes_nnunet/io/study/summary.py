"""The studies in a folder, as a list of cases that starts with the worst."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import DataError
from .info import is_study, read_study_info
from .review_state import ReviewState, read_review


@dataclass(frozen=True, kw_only=True)
class StudySummary:
    """One line of a list of studies.

    ``quality``, 0 … 1, is predicted: the mean pairwise Dice of the members over structures and
    phases, None where it is unknown. ``reviewed`` of the ``slices`` are decided, ``flagged`` of
    them to be looked at again. ``problem`` says why the study cannot be opened.
    """

    folder: Path
    case: str
    quality: float | None = None
    warnings: tuple[str, ...] = ()
    reviewed: int = 0
    flagged: int = 0
    slices: int = 0
    finished: bool = False
    problem: str = ""


def list_studies(folder: Path) -> list[StudySummary]:
    """The studies in ``folder`` and the folders in it: unreadable ones, then the worst first.

    Only their JSON files are read. Those of unknown quality are last.
    """
    return sorted((summary_of(study) for study in _studies(folder)), key=_worst_first)


def summary_of(folder: Path) -> StudySummary:
    """One study; a study that cannot be opened says why."""
    try:
        info = read_study_info(folder)
        review = read_review(folder) or ReviewState()
    except DataError as error:
        return StudySummary(folder=folder, case=folder.name, problem=str(error))
    return StudySummary(
        folder=folder,
        case=info.case,
        quality=info.quality,
        warnings=info.warnings,
        reviewed=len(review.decisions),
        flagged=review.count("flagged"),
        slices=info.slices,
        finished=review.finished,
    )


def _studies(folder: Path) -> Iterator[Path]:
    for place, folders, _ in os.walk(folder):
        if is_study(Path(place)):
            folders.clear()
            yield Path(place)
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("."))


def _worst_first(summary: StudySummary) -> tuple[bool, float, str]:
    quality = 2.0 if summary.quality is None else summary.quality
    return not summary.problem, quality, summary.case
