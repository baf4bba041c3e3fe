"""How sure is a number of an evaluation? The same number of patients drawn again and again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import InputError


@dataclass(frozen=True, eq=False)
class Estimate:
    """A number and the (B,) same number of resampled patients."""

    value: float
    resampled: NDArray[np.float64]

    @property
    def interval(self) -> tuple[float, float]:
        """Within it lie 95 % of the resampled numbers; NaN where there are none."""
        if np.isnan(self.resampled).all():
            return np.nan, np.nan
        low, high = np.nanpercentile(self.resampled, (2.5, 97.5))
        return float(low), float(high)

    def relative_to(self, other: Estimate) -> Estimate:
        """Ratio to what was found of the same patients, resampled alike."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = self.resampled / other.resampled
        return Estimate(self.value / other.value if other.value else np.nan, ratios)


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    patients: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 2022,
) -> Estimate:
    """Any number of n cases, and the same of patients drawn again; ``patients`` (n,) one a case.

    ``statistic`` gets the (n,) `case_weights`, how often each case counts: once for the number
    itself. A draw for which it is NaN is left out of the interval. The same patients and seed give
    the same draws, so numbers of several methods can be compared draw by draw.

    Raises ValueError without a case.
    """
    drawn = case_weights(patients, resamples=resamples, seed=seed)
    value = float(statistic(np.ones(len(patients), np.int64)))
    return Estimate(value, np.array([statistic(weights) for weights in drawn], np.float64))


def mean_estimate(
    values: Sequence[float] | NDArray[np.floating],
    patients: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 2022,
) -> Estimate:
    """Mean of (n,) values, one a case, without those that are NaN; NaN where none is left.

    Drawn as in `bootstrap`. Raises ValueError unless there are as many patients.
    """
    values = np.asarray(values, np.float64)
    if values.shape != (len(patients),):
        raise InputError(
            "Every value needs its patient: {shape} values, {count} patients.",
            shape=values.shape,
            count=len(patients),
        )
    there = ~np.isnan(values)
    if not there.any():
        return Estimate(math.nan, np.full(resamples, math.nan))
    weights = case_weights(patients, resamples=resamples, seed=seed)[:, there]
    with np.errstate(invalid="ignore"):
        resampled = (weights @ values[there]) / weights.sum(axis=1)
    return Estimate(float(values[there].mean()), resampled)


def case_weights(patients: Sequence[str], *, resamples: int, seed: int) -> NDArray[np.int64]:
    """(B, n) how often each of n cases counts when as many patients are drawn as there are.

    All cases of a patient are drawn together. Raises ValueError without a case.
    """
    names, owner = np.unique(np.asarray(patients, np.str_), return_inverse=True)
    if not len(names):
        raise InputError("Patients are drawn from at least one; there is none.")
    equal = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), equal, size=resamples)
    return np.asarray(drawn[:, owner], np.int64)
