"""Confidence intervals of evaluation results, by resampling patients or exact ones of a share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import InputError

FEWEST_PATIENTS = 5
"""Patients needed for an interval: with fewer it would be far too narrow."""
RESAMPLES = 2000
_SEED = 2022


@dataclass(frozen=True, eq=False)
class Estimate:
    """Value, and the (B,) values of resampled patients."""

    value: float
    resampled: NDArray[np.float64]

    @property
    def interval(self) -> tuple[float, float]:
        """Interval that contains 95 % of the resampled values; NaN without them."""
        if np.isnan(self.resampled).all():
            return np.nan, np.nan
        low, high = np.nanpercentile(self.resampled, (2.5, 97.5))
        return float(low), float(high)

    def relative_to(self, other: Estimate) -> Estimate:
        """Return the ratio to another estimate of the same resampled patients."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = self.resampled / other.resampled
        return Estimate(self.value / other.value if other.value else np.nan, ratios)


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], patients: Sequence[str]) -> Estimate:
    """Return a statistic of n cases with its values for resampled patients.

    ``patients`` (n,) names the patient of each case. ``statistic`` gets the (n,) `case_weights`,
    all 1 for the value itself. A resample whose statistic is NaN does not enter the interval. The
    same patients give the same resamples, so methods can be compared resample by resample.

    Raises InputError without a case.
    """
    weights = case_weights(patients)
    # With few patients, the same counts are drawn again and again.
    distinct, drawn = np.unique(weights, axis=0, return_inverse=True)
    values = np.array([statistic(counts) for counts in distinct], np.float64)
    value = float(statistic(np.ones(len(patients), np.int64)))
    return Estimate(value, values[drawn.reshape(-1)])


def mean_estimate(
    values: Sequence[float] | NDArray[np.floating], patients: Sequence[str]
) -> Estimate:
    """Return the mean of (n,) values of cases, NaN left out; NaN without any value.

    Resampled as in `bootstrap`.
    """
    values = np.asarray(values, np.float64)
    present = ~np.isnan(values)
    if not present.any():
        return Estimate(math.nan, np.full(RESAMPLES, math.nan))
    weights = case_weights(patients)[:, present]
    with np.errstate(invalid="ignore"):
        resampled = (weights @ values[present]) / weights.sum(axis=1)
    return Estimate(float(values[present].mean()), resampled)


def case_weights(patients: Sequence[str]) -> NDArray[np.int64]:
    """Return (B, n) counts of n cases when as many patients are drawn as there are.

    All cases of a patient are drawn together. B is 0 for fewer than `FEWEST_PATIENTS`. Raises
    InputError without a case.
    """
    names, owner = np.unique(np.asarray(patients, np.str_), return_inverse=True)
    if not len(names):
        raise InputError("No patients to resample.")
    resamples = 0 if len(names) < FEWEST_PATIENTS else RESAMPLES
    equal = np.full(len(names), 1 / len(names))
    # Always the same patients, so that two methods are compared resample by resample.
    drawn = np.random.default_rng(_SEED).multinomial(len(names), equal, size=resamples)
    return np.asarray(drawn[:, owner], np.int64)


def exact_interval(successes: float, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of Clopper and Pearson of a share; NaN without trials."""
    if not trials:
        return math.nan, math.nan
    from scipy.stats import beta

    failures = trials - successes
    # The distribution is not defined without a success, where the limit is 0.
    low = float(beta.ppf(0.025, successes, failures + 1)) if successes > 0 else 0.0
    high = float(beta.ppf(0.975, successes + 1, failures)) if failures > 0 else 1.0
    return low, high
