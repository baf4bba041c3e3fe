"""Queue of a review: slices in the order in which a reader should see them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from ..ensemble.stored_posterior import StoredPosterior
from ..types import Phase
from . import slice_scores as measures
from .slice_scores import Boxed, SliceScores, Votes


@dataclass(frozen=True, kw_only=True)
class Score:
    """Score of a slice: how uncertain the ensemble is about a structure in it.

    ``title`` and ``help`` are for the reader, ``unit`` is "" for a score without unit. A score that
    ``needs_members`` compares members and is undefined for a single one.
    """

    name: str
    title: str
    unit: str
    help: str
    measure: Callable[[Votes], SliceScores]
    needs_members: bool = True


DEFAULT_SCORE: Final = "mutual-information"
"""Score that finds the most gross errors early: see docs/explanation/review_queue.md."""

REVIEW_SCORES: Final[Mapping[str, Score]] = MappingProxyType(
    {
        score.name: score
        for score in (
            Score(
                name="mutual-information",
                title="Member disagreement",
                unit="mm²·bit",
                help=(
                    "Mutual information, summed over the voxels that only some members label as "
                    "the structure. The default, because no other score was measurably better."
                ),
                measure=measures.mutual_information,
            ),
            Score(
                name="gross-errors",
                title="Expected gross errors",
                unit="mm²",
                help=(
                    "Expected wrong area more than 3 mm from every predicted contour, so the blur "
                    "of borders does not count. A single member is enough."
                ),
                measure=measures.gross_error_score,
                needs_members=False,
            ),
            Score(
                name="disagreement",
                title="Different outlines (1 − Dice)",
                unit="",
                help=(
                    "1 − mean Dice of all pairs of members: 0 if they agree, 1 without any "
                    "overlap. Small structures at the base and apex score high."
                ),
                measure=measures.disagreement,
            ),
            Score(
                name="area-spread",
                title="Spread of the area",
                unit="mL",
                help=(
                    "Standard deviation of the structure's area over the members, times the slice "
                    "distance: the contribution to the spread of the volume."
                ),
                measure=measures.area_spread,
            ),
            Score(
                name="entropy",
                title="Total uncertainty (entropy)",
                unit="mm²·bit",
                help=(
                    "Entropy, summed over the voxels that any member labels as the structure. "
                    "Borders are always uncertain, so slices with long borders come first."
                ),
                measure=measures.entropy_score,
                needs_members=False,
            ),
        )
    }
)


@dataclass(frozen=True, kw_only=True)
class QueueItem:
    """Slice to review: its phase, ``z`` from 0, its score and the structure with most of it."""

    phase: Phase
    z: int
    structure: str
    score: float


def slice_scores(
    posterior: StoredPosterior,
    structures: Mapping[str, int],
    spacing: tuple[float, float, float],
    *,
    score: str = DEFAULT_SCORE,
    leave_out_border: bool = False,
) -> dict[str, SliceScores]:
    """Return the (Z,) scores of all slices per structure, in the unit of the score.

    ``structures`` maps names to labels, ``spacing`` is (z, y, x) in mm. ``leave_out_border``
    ignores the voxels on either side of the predicted contours. All scores are NaN if the score
    compares members and there is only one.
    """
    chosen = REVIEW_SCORES[score]
    depth = posterior.shape[0]
    if chosen.needs_members and posterior.count < 2:
        return {name: np.full(depth, math.nan) for name in structures}
    boxed = Boxed(posterior, spacing, leave_out_border)
    scores = {name: np.zeros(depth) for name in structures}
    for name, label in structures.items():
        scores[name][posterior.box[0]] = chosen.measure(Votes(boxed, label))
    return scores


def review_queue(
    scores: Mapping[Phase, Mapping[str, SliceScores]], *, structure: str | None = None
) -> list[QueueItem]:
    """Return all slices of all phases with a score above 0, the highest first.

    Slices with equal scores keep their order. ``scores`` maps phase and structure to (Z,). The
    score of a slice is the sum over its structures, or that of the one ``structure``.
    """
    items = []
    for phase, of_phase in scores.items():
        names = list(of_phase) if structure is None else [structure]
        table = np.array([of_phase[name] for name in names]).reshape(len(names), -1)
        for z, column in enumerate(table.T):
            # NaN, the score of a member that is alone, is not above 0 either.
            if (total := float(column.sum())) > 0:
                most = names[int(column.argmax())]
                items.append(QueueItem(phase=phase, z=z, structure=most, score=total))
    return sorted(items, key=lambda item: -item.score)


def usable_score(posteriors: Iterable[StoredPosterior], score: str) -> tuple[str, str]:
    """Return the score to order by, and a sentence if it is not ``score``, else "".

    A single member cannot disagree with itself, so scores that compare members are replaced by the
    entropy.
    """
    chosen = REVIEW_SCORES[score]
    if not chosen.needs_members or all(posterior.count > 1 for posterior in posteriors):
        return score, ""
    return "entropy", (
        f"A single member cannot disagree with itself. The slices are ordered by "
        f"“{REVIEW_SCORES['entropy'].title}” instead of “{chosen.title}”."
    )
