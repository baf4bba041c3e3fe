"""Rule for the end of a review: how far a number may still change.

It is calibrated on patients with reference labels, whose slices take the reference's labels one
after another in the order of the queue. The change that remains after k slices is bounded for 80 or
90 % of new patients, including later changes, so that stopping at the first k below a target keeps
the promise (conformal risk control, Angelopoulos et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .. import InputError
from ..heart.function import heart_function
from ..heart.measurements import Structure
from ..heart.slice_volumes import PhaseVolumes, Values
from ..metrics.conformal import COVERAGES, Coverage, conformal_quantile
from ..types import Phase, Place
from .queue import review_queue
from .queue_yield import SHARE

LEAST_PATIENTS: Final = 9
"""Patients that a rule needs: fewer cannot bound the change in 90 %."""
_DIGITS: Final = 2


@dataclass(frozen=True, kw_only=True)
class RemainingChange:
    """Bounds of the change of a number during the rest of a review.

    ``after_80[k]`` and ``after_90[k]`` bound it in 80 and 90 % of the patients once the first k
    slices of the queue are corrected, in the unit of the number; the last entry holds for all
    further slices. They do not increase. ``patients`` is the number of patients they were fitted
    on. Raises InputError for anything else.
    """

    after_80: tuple[float, ...]
    after_90: tuple[float, ...]
    patients: int

    def __post_init__(self) -> None:
        for steps in (self.after_80, self.after_90):
            values = np.array(steps, np.float64)
            if not len(values) or not np.isfinite(values).all() or values.min() < 0:
                raise InputError("Expected changes of at least 0, found {found}.", found=steps)
            if (np.diff(values) > 0).any() or self.patients < 1:
                raise InputError(
                    "Expected changes that do not increase, found {found}.", found=steps
                )

    def bound(self, done: int, level: Coverage = 90) -> float:
        """Return the bound after the first ``done`` slices of the queue."""
        steps = self._steps(level)
        return steps[min(done, len(steps) - 1)]

    def slices_for(self, target: float, level: Coverage = 90) -> int | None:
        """Return the fewest slices after which the bound is at most ``target``; None if never."""
        return next((k for k, bound in enumerate(self._steps(level)) if bound <= target), None)

    def _steps(self, level: Coverage) -> tuple[float, ...]:
        return self.after_80 if level == 80 else self.after_90


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferencedVolume:
    """Volume of a patient with a reference.

    ``predicted`` and ``reference`` are the (Z,) volumes of each structure of the heart in the
    slices, mL. ``scores`` are the (Z,) scores of the slices by name of the structure.
    """

    predicted: Mapping[Structure, Values]
    reference: Mapping[Structure, Values]
    scores: Mapping[str, Values]


def queue_places(volumes: Mapping[int, ReferencedVolume]) -> list[Place]:
    """Return (phase, z) in the order of the queue of all ``volumes`` by phase."""
    items = review_queue({phase: volume.scores for phase, volume in volumes.items()})
    return [(item.phase, item.z) for item in items]


def numbers_during_review(
    volumes: Mapping[int, ReferencedVolume], *, ed: int, es: int
) -> dict[str, Values]:
    """Return the numbers after 0, 1 … slices of the queue, and last with all slices corrected.

    A corrected slice has the volumes of the reference. ``volumes`` are those of the phases ``ed``
    and ``es``. Numbers ("LV EF") that are unknown at any step are left out.
    """
    steps: list[dict[Phase, PhaseVolumes]] = [
        {phase: _corrected(volume, []) for phase, volume in volumes.items()}
    ]
    done: dict[int, list[int]] = {phase: [] for phase in volumes}
    for phase, z in queue_places(volumes):
        assert phase is not None
        done[phase].append(z)
        steps.append({**steps[-1], phase: _corrected(volumes[phase], done[phase])})
    steps.append({phase: _corrected(v, slice(None)) for phase, v in volumes.items()})
    measured = [heart_function(step, ed=ed, es=es) for step in steps]
    names = [name for name in measured[0] if all(name in numbers for numbers in measured)]
    values = {name: np.array([m[name].value for m in measured]) for name in names}
    return {name: series for name, series in values.items() if np.isfinite(series).all()}


def remaining_changes(numbers: Values) -> Values:
    """Return the largest distance from the last number, from each step on.

    ``numbers`` (K + 2,) are those of `numbers_during_review`; the result (K + 1,) is for 0 … K
    slices and does not increase.
    """
    distances = np.abs(numbers[:-1] - numbers[-1])
    return np.maximum.accumulate(distances[::-1])[::-1]


def fit_remaining_change(changes: Sequence[Values]) -> RemainingChange | None:
    """Return the rule that holds for new patients like these; None for fewer than nine.

    ``changes`` has the `remaining_changes` of each patient.
    """
    if len(changes) < LEAST_PATIENTS:
        return None
    longest = max(map(len, changes))
    table = np.array([_extended(series, longest) for series in changes])
    low, high = (_bounds(table, level) for level in COVERAGES)
    return RemainingChange(after_80=low, after_90=high, patients=len(changes))


def _bounds(table: Values, level: Coverage) -> tuple[float, ...]:
    """Return the bounds of the columns of (patients, steps), without equal ones at the end."""
    bounds = [conformal_quantile(column, level) for column in table.T]
    known = [math.ceil(bound * 10**_DIGITS) / 10**_DIGITS for bound in bounds if bound is not None]
    return tuple(known[: known.index(known[-1]) + 1])


def urgent_places(places: Sequence[Place]) -> set[Place]:
    """Return the slices with a high score: the first 30 % of a queue."""
    return set(places[: round(SHARE * len(places))])


def count_leading(places: Sequence[Place], accepted: Collection[Place]) -> int:
    """Return how many slices at the beginning of a queue are accepted."""
    return next((k for k, place in enumerate(places) if place not in accepted), len(places))


def _corrected(volume: ReferencedVolume, done: list[int] | slice) -> PhaseVolumes:
    """Return the volumes with the slices ``done`` as in the reference, without members."""
    labels = {name: predicted.copy() for name, predicted in volume.predicted.items()}
    for name, volumes in labels.items():
        volumes[done] = volume.reference[name][done]
    depth = len(next(iter(labels.values()), ()))
    return PhaseVolumes(
        labels=labels,
        members={name: np.zeros((0, depth)) for name in labels},
        reviewed=np.zeros(depth, np.bool_),
    )


def _extended(series: Values, length: int) -> Values:
    return np.concatenate([series, np.full(length - len(series), series[-1])])
