"""Prediction intervals by split conformal prediction over patients.

A patient counts once, however many volumes are measured: each volume weighs one over the number of
its patient's volumes (hierarchical conformal prediction, Lee, Barber and Willett 2023).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import InputError

Coverage: TypeAlias = Literal[80, 90]
COVERAGES: Final[tuple[Coverage, ...]] = (80, 90)
"""Levels of the intervals, %."""
_GAIN: Final = 0.9
"""Share of the constant width below which the width is scaled by the difficulty."""


@dataclass(frozen=True, kw_only=True)
class IntervalRule:
    """Rule for the interval of a measurement: value + ``bias`` ± half-width.

    The half-widths are in the unit of the measurement, or, if ``difficulty_floor`` is not None,
    multiples of the difficulty plus this floor. A half-width is None if its level needs more than
    the ``patients`` from which the rule was fitted. Raises InputError for a half-width below 0, or
    a number of patients or a floor that is not above 0.
    """

    bias: float
    half_width_80: float | None
    half_width_90: float | None
    patients: int
    difficulty_floor: float | None = None

    def __post_init__(self) -> None:
        widths = [width for width in map(self.half_width, COVERAGES) if width is not None]
        floor = 1.0 if self.difficulty_floor is None else self.difficulty_floor
        if min(widths, default=0.0) < 0 or min(floor, self.patients) <= 0:
            raise InputError("Expected half-widths of at least 0, found {found}.", found=widths)

    def half_width(self, level: Coverage) -> float | None:
        """Return the half-width of a level before it is scaled, None if unknown."""
        return self.half_width_80 if level == 80 else self.half_width_90

    def intervals(
        self, value: float, *, difficulty: float = math.nan, most: float = math.inf
    ) -> dict[Coverage, tuple[float, float]]:
        """Return level → the lowest and highest plausible value, from 0 to ``most``.

        The value itself is always one of them: it may be right by now, as its slices are reviewed.
        Levels with an unknown half-width are left out; empty for a value outside these limits and
        an unknown difficulty that is needed.
        """
        scale = 1.0 if self.difficulty_floor is None else self.difficulty_floor + difficulty
        found = {}
        for level in COVERAGES:
            if (width := self.half_width(level)) is not None:
                below, above = (max(width * scale + sign * self.bias, 0.0) for sign in (-1, 1))
                found[level] = _around(value, below, above, most)
        return {level: interval for level, interval in found.items() if interval is not None}


@dataclass(frozen=True, kw_only=True)
class RemainingChange:
    """Bounds of the change of a number during the rest of a review, and so its interval.

    Once the spread of the models that is left is at most ``spreads[n]``, the change is at most
    ``bounds_80[n]`` in 80 % and ``bounds_90[n]`` in 90 % of the patients, all in the unit of the
    number. The last bound also holds for larger spreads. It alone is that of a whole review: the
    others are of patients whose spread was larger until slices were reviewed, or is small, and hold
    too few of those who begin there. All three do not decrease. ``patients`` is the number of
    patients they were fitted on. Raises InputError for anything else.
    """

    spreads: tuple[float, ...]
    bounds_80: tuple[float, ...]
    bounds_90: tuple[float, ...]
    patients: int

    def __post_init__(self) -> None:
        columns = self.spreads, self.bounds_80, self.bounds_90
        if len({len(column) for column in columns}) > 1 or not self.spreads or self.patients < 1:
            raise InputError("Expected as many bounds as spreads, found {found}.", found=columns)
        for column in columns:
            values = np.array(column, np.float64)
            if not np.isfinite(values).all() or values[0] < 0 or (np.diff(values) < 0).any():
                raise InputError(
                    "Expected numbers of at least 0 that do not decrease, found {found}.",
                    found=column,
                )

    def intervals(
        self, value: float, *, difficulty: float = math.nan, most: float = math.inf
    ) -> dict[Coverage, tuple[float, float]]:
        """Return level → ``value`` ± the bound at a spread of ``difficulty``, from 0 to ``most``.

        Empty for a value outside these limits or an unknown spread.
        """
        if math.isnan(difficulty):
            return {}
        widths = {level: self.bound(difficulty, level) for level in COVERAGES}
        found = {level: _around(value, w, w, most) for level, w in widths.items()}
        return {level: interval for level, interval in found.items() if interval is not None}

    def bound(self, spread: float, level: Coverage = 90) -> float:
        """Return the bound of the change for a spread that is left, ∞ before the first slice."""
        index = min(bisect_left(self.spreads, spread), len(self.spreads) - 1)
        return self._bounds(level)[index]

    def scaled(self, factors: Sequence[float]) -> RemainingChange:
        """Return the rule whose bounds at each level are a factor times the bounds at 90 %."""
        low, high = (tuple(factor * bound for bound in self.bounds_90) for factor in factors)
        return replace(self, bounds_80=low, bounds_90=high)

    def spread_for(self, target: float, level: Coverage = 90) -> float | None:
        """Return the largest spread with a bound of at most ``target``; None if there is none."""
        count = bisect_right(self._bounds(level), target)
        return self.spreads[count - 1] if count else None

    def _bounds(self, level: Coverage) -> tuple[float, ...]:
        return self.bounds_80 if level == 80 else self.bounds_90


NumberRule: TypeAlias = IntervalRule | RemainingChange
"""Rule for the interval of a number: the second wherever it is known, as it ends with a review."""


def fit_interval(
    values: Sequence[float],
    references: Sequence[float],
    patients: Sequence[str],
    *,
    difficulties: Sequence[float] | None = None,
) -> IntervalRule | None:
    """Return the rule that would have covered these references, None if no level can be reached.

    ``values``, their ``references`` and their ``difficulties`` are numbers of the same (N,) cases
    of ``patients``; a case with an unknown value or reference is left out. The bias is the mean
    residual of the patients. A residual is compared with the bias of the *other* patients
    (jackknife), because that of its own would be too small. The half-width at level L is the
    smallest residual with which at least L (n + 1) / n of the patients' weights are covered. It is
    scaled by the difficulties if all are known and the intervals become narrower by a tenth or
    more.
    """
    columns = [values, references, *([] if difficulties is None else [difficulties])]
    table = np.array(columns, np.float64)
    known = np.isfinite(table[:2]).all(axis=0)
    table, names = table[:, known], np.asarray(patients, object)[known]
    count = len(set(names))
    if _rank(count, COVERAGES[0]) > count:
        return None
    of_patient = np.unique(names.astype(str), return_inverse=True)[1]
    weights = 1 / np.bincount(of_patient)[of_patient]
    residuals = table[1] - table[0]
    of_patients = np.bincount(of_patient, weights * residuals)
    bias_of_others = (of_patients.sum() - of_patients) / (count - 1)
    sizes = np.abs(residuals - bias_of_others[of_patient])
    bias = float(of_patients.mean())
    constant = _rule(bias, sizes, weights, count)
    if difficulties is None or not np.isfinite(table[2]).all():
        return constant
    # Without a floor, members that agree would give an interval without width.
    floor = float(np.median(table[2]))
    if floor <= 0:
        return constant
    scaled = _rule(bias, sizes / (floor + table[2]), weights, count, floor)
    narrow = _mean_width(scaled, table[2], weights) < _GAIN * _mean_width(constant, 0, weights)
    return scaled if narrow else constant


def chance_of_misses(missed: int, cases: int, patients: int, level: Coverage) -> float:
    """Return the chance that at least ``missed`` of new ``cases`` lie outside their intervals.

    It is that of cases exchangeable with the ``patients`` on which a half-width was fitted as the
    k-th smallest of n residuals. The coverage of such intervals has a beta distribution with the
    parameters k and n + 1 − k (Vovk 2012), so the number of misses has a beta-binomial one. A small
    chance speaks against exchangeability.
    """
    from scipy.stats import betabinom  # takes half a second, of every process and dock

    rank = _rank(patients, level)
    return float(betabinom(cases, patients + 1 - rank, rank).sf(missed - 1))


def conformal_quantile(
    sizes: Sequence[float] | NDArray[np.float64], level: Coverage
) -> float | None:
    """Return the smallest of the ``sizes``, one per patient, that bounds a new one at ``level`` %.

    None if the level needs more patients.
    """
    values = np.asarray(sizes, np.float64)
    return _quantile(values, np.ones(len(values)), len(values), level)


def _around(value: float, below: float, above: float, most: float) -> tuple[float, float] | None:
    """Return the ends of an interval, cut off at 0 and ``most``; None if the value is outside."""
    low, high = max(value - below, 0.0), min(value + above, most)
    return (low, high) if low <= value <= high < math.inf else None


def _rule(
    bias: float,
    sizes: NDArray[np.float64],
    weights: NDArray[np.float64],
    patients: int,
    floor: float | None = None,
) -> IntervalRule:
    low, high = (_quantile(sizes, weights, patients, level) for level in COVERAGES)
    return IntervalRule(
        bias=bias,
        half_width_80=low,
        half_width_90=high,
        patients=patients,
        difficulty_floor=floor,
    )


def _rank(patients: int, level: Coverage) -> int:
    """Return which of the patients' residuals, from the smallest, is the half-width of a level."""
    return -(-(patients + 1) * level // 100)


def _quantile(
    sizes: NDArray[np.float64], weights: NDArray[np.float64], patients: int, level: Coverage
) -> float | None:
    needed = (patients + 1) * level / 100
    order = np.argsort(sizes)
    # Weights such as 1/3 do not add up exactly.
    covered = np.cumsum(weights[order]) >= needed - 1e-9
    return float(sizes[order][covered.argmax()]) if covered.any() else None


def _mean_width(
    rule: IntervalRule, difficulties: NDArray[np.float64] | int, weights: NDArray[np.float64]
) -> float:
    scale = 1 if rule.difficulty_floor is None else rule.difficulty_floor + difficulties
    # Few patients may be enough for one level only.
    level = COVERAGES[-1] if rule.half_width_90 is not None else COVERAGES[0]
    width = rule.half_width(level)
    assert width is not None
    return width * float(np.average(np.broadcast_to(scale, weights.shape), weights=weights))
