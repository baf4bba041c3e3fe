"""Dice with a reference, expected from the agreement of the members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .conformal import Coverage, IntervalRule, fit_interval

_LEAST_RANGE: Final = 1e-6
"""Range of the agreements below which they explain nothing."""


@dataclass(frozen=True, kw_only=True)
class ExpectedDice:
    """Expected Dice 0 … 1, and the lowest and highest plausible one at each known level."""

    value: float
    intervals: dict[Coverage, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class DiceRule:
    """Line through the agreement of the members: ``intercept`` + ``slope`` · agreement.

    ``interval`` is the rule for the interval around it.
    """

    intercept: float
    slope: float
    interval: IntervalRule

    def expect(self, agreement: float) -> ExpectedDice | None:
        """Return the expected Dice for a pairwise Dice of the members, None if it is unknown."""
        value = self.intercept + self.slope * agreement
        if not math.isfinite(value):
            return None
        # A line leaves the range of a Dice beyond the cases it was fitted on.
        value = min(max(value, 0.0), 1.0)
        return ExpectedDice(value=value, intervals=self.interval.intervals(value, most=1.0))


def fit_dice(
    agreements: Sequence[float], dices: Sequence[float], patients: Sequence[str]
) -> DiceRule | None:
    """Return the rule that explains the measured ``dices`` (N,) of cases of ``patients``.

    The line is that of least squares; its errors are those of lines fitted without the patient.
    None if too few patients are known for an interval.
    """
    table = np.array([agreements, dices], np.float64)
    known = np.isfinite(table).all(axis=0)
    (x, y), names = table[:, known], np.asarray(patients, object)[known].astype(str)
    others = {name: _line(x[names != name], y[names != name]) for name in set(names)}
    left_out = [
        others[name][0] + others[name][1] * value for name, value in zip(names, x, strict=True)
    ]
    rule = fit_interval(left_out, list(y), list(names))
    if rule is None:
        return None
    intercept, slope = _line(x, y)
    # A line of least squares has no bias of its own.
    return DiceRule(intercept=intercept, slope=slope, interval=replace(rule, bias=0.0))


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Return intercept and slope of the line of least squares; level if all ``x`` are equal."""
    if len(x) == 0 or np.ptp(x) < _LEAST_RANGE:
        return float(y.mean()) if len(y) else math.nan, 0.0
    slope, intercept = np.polyfit(x, y, 1)
    return float(intercept), float(slope)
