"""The queue of a review: slices in the order in which a reader should look at them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from .. import InputError
from ..ensemble.stored_posterior import StoredPosterior
from ..types import Phase
from . import slice_scores as measures
from .slice_scores import Boxed, SliceScores, Votes


@dataclass(frozen=True, kw_only=True)
class Score:
    """A way to say how unsure the ensemble is of a structure in a slice.

    ``title`` and ``help`` are for the reader, ``unit`` is "" for none. One that ``needs_members``
    compares them and says nothing of an ensemble of one.
    """

    name: str
    title: str
    unit: str
    help: str
    measure: Callable[[Votes], SliceScores]
    needs_members: bool = True


DEFAULT_SCORE: Final = "mutual-information"
"""Finds the most gross errors in 30 % of the slices: see docs/explanation/review_queue.md."""

REVIEW_SCORES: Final[Mapping[str, Score]] = MappingProxyType(
    {
        score.name: score
        for score in (
            Score(
                name="mutual-information",
                title="What the models disagree on",
                unit="mm²·bit",
                help=(
                    "Mutual information, summed over the voxels that some but not all models "
                    "label as the structure: the part of the uncertainty that the models do not "
                    "share. It led to the most gross errors in the first slices."
                ),
                measure=measures.mutual_information,
            ),
            Score(
                name="gross-errors",
                title="Expected gross errors",
                unit="mm²",
                help=(
                    "The area that is probably wrong and lies more than 3 mm from every drawn "
                    "contour, by the probabilities of the ensemble: the blur of the borders does "
                    "not count. It needs no second model."
                ),
                measure=measures.gross_error_score,
                needs_members=False,
            ),
            Score(
                name="disagreement",
                title="Unlike outlines (1 − Dice)",
                unit="",
                help=(
                    "1 − the mean Dice of all pairs of models: 0 where they draw the same, 1 "
                    "where nothing overlaps. Small structures stand out, at the base and apex."
                ),
                measure=measures.disagreement,
            ),
            Score(
                name="area-spread",
                title="Spread of the area",
                unit="mL",
                help=(
                    "How far the models' areas of the structure differ (standard deviation), "
                    "times the distance of the slices: what the slice adds to the spread of the "
                    "volume."
                ),
                measure=measures.area_spread,
            ),
            Score(
                name="entropy",
                title="All uncertainty (entropy)",
                unit="mm²·bit",
                help=(
                    "Entropy, summed over the voxels that any model labels as the structure. It "
                    "counts the blur of every border too, so slices with long borders come first."
                ),
                measure=measures.entropy_score,
                needs_members=False,
            ),
        )
    }
)


@dataclass(frozen=True, kw_only=True)
class QueueItem:
    """A slice to look at: its phase, ``z`` from 0, its score and the structure with most of it."""

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
    """Score of every slice of a volume: structure → (Z,), in the unit of the score.

    ``structures`` maps names to labels, ``spacing`` is (z, y, x) in mm. With ``leave_out_border``
    the one voxel on either side of the predicted contours does not count. NaN where the score
    needs several members and there is one.

    Raises ValueError for a score that does not exist.
    """
    chosen = _score(score)
    depth = posterior.shape[0]
    if chosen.needs_members and posterior.count < 2:
        return {name: np.full(depth, math.nan) for name in structures}
    boxed = Boxed(posterior, spacing, leave_out_border)
    found = {name: np.zeros(depth) for name in structures}
    for name, label in structures.items():
        found[name][posterior.box[0]] = chosen.measure(Votes(boxed, label))
    return found


def review_queue(
    scores: Mapping[Phase, Mapping[str, SliceScores]], *, structure: str | None = None
) -> list[QueueItem]:
    """All slices of all phases with a score above 0, the worst first; equal ones as they lie.

    ``scores``: phase → structure → (Z,). A slice's score is the sum over its structures, or that
    of the one ``structure``.

    Raises ValueError for a structure that was not scored.
    """
    items = []
    for phase, of_phase in scores.items():
        if structure is not None and structure not in of_phase:
            raise InputError(
                "{structure} has no scores, only {of_phase} have.",
                structure=structure,
                of_phase=", ".join(of_phase),
            )
        names = list(of_phase) if structure is None else [structure]
        table = np.array([of_phase[name] for name in names]).reshape(len(names), -1)
        for z, column in enumerate(table.T):
            if (total := float(column.sum())) > 0:
                most = names[int(column.argmax())]
                items.append(QueueItem(phase=phase, z=z, structure=most, score=total))
    return sorted(items, key=lambda item: -item.score)


def usable_score(posteriors: Iterable[StoredPosterior], score: str) -> tuple[str, str]:
    """The score to order by, and a sentence where that is not ``score``: else "".

    An ensemble of one member cannot disagree with itself: what compares members gives way to
    entropy. Raises ValueError for a score that does not exist.
    """
    chosen = _score(score)
    if not chosen.needs_members or all(posterior.count > 1 for posterior in posteriors):
        return score, ""
    return "entropy", (
        f"A single model cannot disagree with itself: the slices are ordered by "
        f"“{REVIEW_SCORES['entropy'].title}” instead of “{chosen.title}”."
    )


def _score(name: str) -> Score:
    if name not in REVIEW_SCORES:
        raise InputError(
            "There is no score {name!r}, only {REVIEW_SCORES}.",
            name=name,
            REVIEW_SCORES=", ".join(REVIEW_SCORES),
        )
    return REVIEW_SCORES[name]
