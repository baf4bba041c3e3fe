"""Failure score of a case: how far its signs of failure exceed those of the validation patients.

A sign is a number that needs no reference and is higher for a worse expected result. Each is
measured in multiples of its usual range; the score is their root mean square, in which a single
glaring sign counts more than in the mean, and rises with every sign.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .. import InputError

FAILED_DICE: Final = 0.85
"""Mean Dice below which a segmentation has failed."""
FALSE_ALARMS: Final = 0.10
"""Share of the validation cases without failure above the threshold."""
STRUCTURE_ALARMS: Final = 0.05
"""Share of the validation cases without a failed structure that may be warned of one."""
LARGEST_EXCESS: Final = 10.0
"""Most multiples of its usual range by which a sign counts."""
_FEWEST: Final = 5
"""Patients needed for a rule."""


@dataclass(frozen=True, kw_only=True)
class SignRange:
    """Median of a sign over the validation cases, and its distance to their 90th percentile.

    If these are equal, it is the distance to the next larger value.

    Raises InputError for a distance that is not above 0.
    """

    median: float
    reach: float

    def __post_init__(self) -> None:
        if not self.reach > 0:
            raise InputError("Expected a range above 0, found {reach}.", reach=self.reach)

    def excess(self, value: float) -> float:
        """Return by how many times the reach a value exceeds the median, 0 to `LARGEST_EXCESS`."""
        return min(max((value - self.median) / self.reach, 0.0), LARGEST_EXCESS)


@dataclass(frozen=True, kw_only=True)
class FailureAssessment:
    """Failure score of a case, and the threshold above which there is a warning."""

    score: float
    threshold: float

    @property
    def warned(self) -> bool:
        """Whether the score exceeds the threshold."""
        return self.score > self.threshold


@dataclass(frozen=True, kw_only=True)
class FailureRule:
    """Usual ``ranges`` of the signs, and the ``threshold`` of the score, from ``patients``.

    Raises InputError without signs.
    """

    ranges: dict[str, SignRange]
    threshold: float
    patients: int

    def __post_init__(self) -> None:
        if not self.ranges:
            raise InputError("Expected ranges of signs.")

    def assess(self, signs: Mapping[str, float]) -> FailureAssessment | None:
        """Return the score of a case with these signs; None unless all are known."""
        score = self.score(signs)
        known = math.isfinite(score)
        return FailureAssessment(score=score, threshold=self.threshold) if known else None

    def score(self, signs: Mapping[str, float]) -> float:
        """Return the root mean square excess of the signs; NaN if one is unknown."""
        values = {name: signs.get(name, math.nan) for name in self.ranges}
        if not all(map(math.isfinite, values.values())):
            return math.nan
        squares = [r.excess(values[name]) ** 2 for name, r in self.ranges.items()]
        return math.sqrt(math.fsum(squares) / len(squares))


def fit_failure(
    signs: Sequence[Mapping[str, float]], dices: Sequence[float], patients: Sequence[str]
) -> FailureRule | None:
    """Return the rule of validation cases with these signs and mean ``dices``.

    A patient counts once, however many cases there are. A sign that is unknown in one of the cases,
    or exceeds the median of those that did not fail in none, is left out. None for fewer than five
    patients whose cases did not fail, or without signs.
    """
    names = np.asarray(patients, object).astype(str)
    good = np.asarray(dices, np.float64) >= FAILED_DICE
    count = len(set(names[good]))
    ranges = {}
    for name in dict.fromkeys(name for case in signs for name in case):
        values = np.array([case.get(name, math.nan) for case in signs], np.float64)
        if np.isfinite(values).all():
            usual = _usual_range(values, names, good)
            if usual is not None:
                ranges[name] = usual
    if count < _FEWEST or not ranges:
        return None
    # It has no threshold yet, because its own scores give it.
    rule = FailureRule(ranges=ranges, threshold=0.0, patients=count)
    scores = np.array([rule.score(case) for case in signs])
    threshold = _between(scores[good], names[good], 1 - FALSE_ALARMS)
    return FailureRule(ranges=ranges, threshold=threshold, patients=count)


def fit_least_dice(
    expected: Sequence[float], dices: Sequence[float], patients: Sequence[str]
) -> float:
    """Return the expected Dice of a structure below which there is a warning.

    ``expected`` and ``dices`` (N,) are the lowest expected and the lowest measured Dice among the
    structures of validation cases, which failed below `FAILED_DICE`. At most `STRUCTURE_ALARMS` of
    the others are below the returned value, which is `FAILED_DICE` at most, and if there are none.
    A patient counts once.
    """
    table = np.array([expected, dices], np.float64).reshape(2, -1)
    good = np.isfinite(table).all(axis=0) & (table[1] >= FAILED_DICE)
    names = np.asarray(patients, object).astype(str)
    least = -_quantile(-table[0, good], names[good], 1 - STRUCTURE_ALARMS)
    return min(FAILED_DICE, least)


def _usual_range(
    values: NDArray[np.float64], patients: NDArray[np.str_], good: NDArray[np.bool_]
) -> SignRange | None:
    """Return the range of a sign in the good cases, None if no case exceeds their median.

    If fewer than a tenth of the good cases exceed it, it reaches to the smallest value that does;
    if none does, to that of the failed cases.
    """
    median = _quantile(values[good], patients[good], 0.5)
    reach = _quantile(values[good], patients[good], 1 - FALSE_ALARMS) - median
    for above in (values[good & (values > median)], values[values > median]):
        if reach == 0 and len(above):
            reach = float(above.min()) - median
    return SignRange(median=median, reach=reach) if reach > 0 else None


def _between(values: NDArray[np.float64], patients: NDArray[np.str_], share: float) -> float:
    """Return the middle between the `_quantile` and the next larger value."""
    quantile = _quantile(values, patients, share)
    larger = values[values > quantile]
    return (quantile + float(larger.min())) / 2 if len(larger) else quantile


def _quantile(values: NDArray[np.float64], patients: NDArray[np.str_], share: float) -> float:
    """Return the smallest value that at least this share of the patients' cases do not exceed."""
    if not len(values):
        return math.nan
    _, of_patient = np.unique(patients, return_inverse=True)
    weights = 1 / np.bincount(of_patient)[of_patient]
    order = np.argsort(values)
    # Weights such as 1/3 do not add up exactly.
    reached = np.cumsum(weights[order]) >= share * weights.sum() - 1e-9
    return float(values[order][reached.argmax()])
