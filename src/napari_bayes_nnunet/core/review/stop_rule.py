"""Rule for the end of a review: how far a number may still change.

It is calibrated on patients with reference labels, whose slices take the reference's labels one
after another in the order of the queue. The change that remains is bounded by the spread of the
models that is left, for 80 or 90 % of new patients and including later changes, so that stopping at
the first slice with a bound below a target keeps the promise (conformal risk control, Angelopoulos
et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..ensemble.stored_posterior import StoredPosterior
from ..heart.function import heart_function
from ..heart.measurements import Structure
from ..heart.slice_volumes import PhaseVolumes, Values, label_volumes
from ..metrics.conformal import COVERAGES, Coverage, RemainingChange, conformal_quantile
from ..types import LabelMap, Phase, Place, Spacing
from .queue import DEFAULT_SCORE, review_queue, slice_scores, usable_score
from .queue_yield import SHARE

REVIEW_PATIENTS: Final = 9
"""Patients that a rule needs: fewer cannot bound the change in 90 %."""
_BOUND_STEP: Final = 0.1
"""Bounds are rounded up to multiples of this, in the unit of the number."""
_SPREAD_DIGITS: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewPath:
    """A number during the review of a patient.

    ``values`` (K + 2,) are those after 0, 1 … K slices of the queue, and with all slices corrected.
    ``spreads`` (K + 1,) are the SDs over the models after 0 … K slices.
    """

    values: Values
    spreads: Values

    @property
    def changes(self) -> Values:
        """Largest distance (K + 1,) from the last value, from each step on."""
        distances = np.abs(self.values[:-1] - self.values[-1])
        return np.asarray(np.maximum.accumulate(distances[::-1])[::-1])

    def first_step(self, spread: float) -> int:
        """Return how many slices are corrected until the spread is at most this; K if never."""
        reached = np.flatnonzero(self.spreads <= spread)
        return int(reached[0]) if len(reached) else len(self.spreads) - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferencedVolume:
    """Volume of a patient with a reference.

    ``predicted`` and ``reference`` are the (Z,) volumes of each structure of the heart in the
    slices, mL, ``members`` (n, Z) those of each member. ``scores`` are the (Z,) scores of the
    slices by name of the structure.
    """

    predicted: Mapping[Structure, Values]
    members: Mapping[Structure, Values]
    reference: Mapping[Structure, Values]
    scores: Mapping[str, Values]

    @classmethod
    def compare(
        cls,
        posterior: StoredPosterior,
        reference: LabelMap,
        spacing: Spacing,
        structures: Mapping[str, int],
    ) -> ReferencedVolume:
        """Return a prediction and its reference (Z, Y, X), with the scores of the default queue."""
        score, _ = usable_score([posterior], DEFAULT_SCORE)
        predicted = PhaseVolumes.from_labels(posterior.prediction, posterior, spacing, structures)
        return cls(
            predicted=predicted.labels,
            members=predicted.members,
            reference=label_volumes(reference, spacing, structures),
            scores=slice_scores(posterior, structures, spacing, score=score),
        )


def queue_places(volumes: Mapping[int, ReferencedVolume]) -> list[Place]:
    """Return (phase, z) in the order of the queue of all ``volumes`` by phase."""
    items = review_queue({phase: volume.scores for phase, volume in volumes.items()})
    return [(item.phase, item.z) for item in items]


def numbers_during_review(
    volumes: Mapping[int, ReferencedVolume], *, ed: int, es: int
) -> dict[str, ReviewPath]:
    """Return the numbers while the slices take the volumes of the reference, by name ("LV EF").

    ``volumes`` are those of the phases ``ed`` and ``es``. Numbers that are unknown at any step, or
    without a spread, are left out.
    """
    steps: list[dict[Phase, PhaseVolumes]] = [
        {phase: _corrected(volume, []) for phase, volume in volumes.items()}
    ]
    done: dict[int, list[int]] = {phase: [] for phase in volumes}
    for phase, z in queue_places(volumes):
        assert phase is not None
        done[phase].append(z)
        # The other phase stays, and is not counted again.
        steps.append({**steps[-1], phase: _corrected(volumes[phase], done[phase])})
    steps.append({phase: _corrected(v, slice(None)) for phase, v in volumes.items()})
    measured = [heart_function(step, ed=ed, es=es) for step in steps]
    names = [name for name in measured[0] if all(name in numbers for numbers in measured)]
    paths = {
        name: ReviewPath(
            values=np.array([numbers[name].value for numbers in measured]),
            spreads=np.array([numbers[name].spread for numbers in measured[:-1]]),
        )
        for name in names
    }
    return {
        name: path
        for name, path in paths.items()
        if np.isfinite(path.values).all() and np.isfinite(path.spreads).all()
    }


def fit_remaining_change(paths: Sequence[ReviewPath]) -> RemainingChange | None:
    """Return the rule that holds for new patients like these; None for fewer than nine."""
    if len(paths) < REVIEW_PATIENTS:
        return None
    known = [float(spread) for path in paths for spread in path.spreads]
    # The largest one is rounded up, so that its bounds are those of whole reviews.
    spreads = sorted({0.0, *map(_round_down, known), -_round_down(-max(known))})
    rows: list[tuple[float, float, float]] = []
    for spread in spreads:
        changes = [float(path.changes[path.first_step(spread)]) for path in paths]
        low, high = (_bound(changes, level) for level in COVERAGES)
        if rows and rows[-1][1:] == (low, high):
            rows.pop()  # the larger spread has the same bounds
        rows.append((spread, low, high))
    spread_column, low_column, high_column = zip(*rows, strict=True)
    return RemainingChange(
        spreads=spread_column, bounds_80=low_column, bounds_90=high_column, patients=len(paths)
    )


def _bound(changes: Sequence[float], level: Coverage) -> float:
    bound = conformal_quantile(changes, level)
    assert bound is not None  # nine patients are enough
    # The error of a sum such as 0.1 + 0.2 must not add a step.
    return round(math.ceil(bound / _BOUND_STEP - 1e-9) * _BOUND_STEP, 6)


def _round_down(spread: float) -> float:
    return math.floor(spread * 10**_SPREAD_DIGITS) / 10**_SPREAD_DIGITS


def urgent_places(places: Sequence[Place]) -> set[Place]:
    """Return the slices with a high score: the first 30 % of a queue."""
    return set(places[: round(SHARE * len(places))])


def _corrected(volume: ReferencedVolume, done: list[int] | slice) -> PhaseVolumes:
    """Return the volumes with the slices ``done`` reviewed and as in the reference."""
    labels = {name: predicted.copy() for name, predicted in volume.predicted.items()}
    for name, volumes in labels.items():
        volumes[done] = volume.reference[name][done]
    reviewed = np.zeros(len(next(iter(labels.values()), ())), np.bool_)
    # A slice that was reviewed adds nothing to the spread any more.
    reviewed[done] = True
    return PhaseVolumes(labels=labels, members=volume.members, reviewed=reviewed)
