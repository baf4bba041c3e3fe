"""Means, pooled calibration and failure detection over the table of cases, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.metrics.bootstrap import (
    FEWEST_PATIENTS,
    Estimate,
    bootstrap,
    exact_interval,
    mean_estimate,
)
from ...core.metrics.calibration import ReliabilityBins

if TYPE_CHECKING:
    from pandas import DataFrame

Aggregation: TypeAlias = Callable[["DataFrame"], "Aggregate"]
"""Function of a table of cases (`case_table`)."""
ScoreStatistic: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
"""Number of the scores, higher for a better expected result, and the risks of (n,) cases."""
ALL: Final = ""
"""Structure of the numbers of a whole case."""
PATIENT_COLUMN: Final = ("patient", ALL)
RELIABILITY_COLUMN: Final = ("reliability", ALL)
_NOTHING: Final = Estimate(math.nan, np.full(1, math.nan))


@dataclass(frozen=True, kw_only=True, eq=False)
class Aggregate:
    """A number over several volumes.

    ``estimate`` is over patients. ``deviation`` is the standard deviation over the volumes (n - 1),
    NaN unless the number is their mean. ``indices`` are those of the volumes that have a value,
    ``patients`` counts their patients, and ``skipped`` the volumes without a value.
    ``exact_interval``, if given, replaces that of the estimate.
    """

    estimate: Estimate
    deviation: float
    indices: tuple[int, ...]
    patients: int
    skipped: int
    exact_interval: tuple[float, float] | None = None

    @property
    def volumes(self) -> int:
        """Number of volumes that have a value."""
        return len(self.indices)

    @property
    def value(self) -> float:
        """The number itself, NaN if no volume has a value."""
        return self.estimate.value

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval over patients; NaN for fewer than `FEWEST_PATIENTS`."""
        if self.exact_interval is not None:
            return self.exact_interval
        # Resampling one patient gives an interval without width, and two to four one that is far
        # too narrow.
        return self.estimate.interval if self.patients >= FEWEST_PATIENTS else (math.nan, math.nan)


def numbers_of(table: DataFrame, column: str, structure: str = ALL) -> NDArray[np.float64]:
    """Return a column of a structure, or of the whole cases, (n,); NaN where it is not defined."""
    key = (column, structure)
    return np.asarray(table[key] if key in table else np.full(len(table), math.nan), np.float64)


def mean_over_volumes(column: str, structure: str = ALL) -> Aggregation:
    """Return an aggregation: the mean of a number of each volume, without NaN."""

    def aggregate(table: DataFrame) -> Aggregate:
        values = numbers_of(table, column, structure)
        found = np.flatnonzero(~np.isnan(values))
        estimate = mean_estimate(values, list(table[PATIENT_COLUMN])) if len(values) else _NOTHING
        deviation = float(values[found].std(ddof=1)) if len(found) > 1 else math.nan
        return _aggregate(estimate, found, table, deviation=deviation)

    return aggregate


def share_of_volumes(column: str) -> Aggregation:
    """Return an aggregation: the share of the volumes for which a number is 1, not 0.

    Its interval is the exact binomial one (Clopper and Pearson) for as many patients, because the
    volumes of a patient are not independent.
    """
    mean = mean_over_volumes(column)

    def aggregate(table: DataFrame) -> Aggregate:
        found = mean(table)
        # If all patients have the same value, a bootstrap has no width, however few they are.
        exact = exact_interval(found.value * found.patients, found.patients)
        # Of zeros and ones the deviation follows from the share.
        return replace(found, deviation=math.nan, exact_interval=exact)

    return aggregate


def pooled_bins(table: DataFrame) -> ReliabilityBins:
    """Return the voxels of all volumes in the same bins."""
    bins = [volume for volume in table[RELIABILITY_COLUMN] if volume is not None]
    return sum(bins, ReliabilityBins.empty(len(bins[0].voxels) if bins else 100))


def pooled_ece(table: DataFrame) -> Aggregate:
    """Return the calibration error of all voxels together, in which large hearts count more."""
    binned = np.flatnonzero(~np.isnan(numbers_of(table, "ece")))
    bins = table[RELIABILITY_COLUMN].iloc[binned]
    # Gaps and voxels of volumes add up, so a resample only weighs them.
    gaps = np.array([volume.confidence_sum - volume.correct for volume in bins])
    voxels = np.array([volume.voxel_count for volume in bins])

    def weighted_ece(weights: NDArray[np.int64]) -> float:
        return float(np.abs(weights @ gaps).sum() / (weights @ voxels))

    return _resampled(weighted_ece, binned, table)


@dataclass(frozen=True)
class CaseScore:
    """A number of a case that needs no reference.

    ``sign`` times the ``column`` is higher for a better expected result.
    """

    key: str
    title: str
    description: str
    column: str
    sign: int = -1

    def pairs(self, table: DataFrame) -> NDArray[np.float64]:
        """Return the (n, 2) scores of all cases and their risks, 1 - mean Dice."""
        risks = 1 - numbers_of(table, "dice")
        return np.stack([self.sign * numbers_of(table, self.column), risks], axis=1)


def rank_cases(statistic: ScoreStatistic, score: CaseScore) -> Aggregation:
    """Return an aggregation: a statistic of the scores and risks of cases that have both."""

    def aggregate(table: DataFrame) -> Aggregate:
        pairs = score.pairs(table)
        known = np.flatnonzero(~np.isnan(pairs).any(axis=1))

        def weighted_statistic(weights: NDArray[np.int64]) -> float:
            # A case that is drawn twice counts twice.
            return statistic(*np.repeat(pairs[known], weights, axis=0).T)

        return _resampled(weighted_statistic, known, table)

    return aggregate


def aggregate_difference(first: Aggregate, second: Aggregate) -> Aggregate:
    """Return ``first`` - ``second``, resample by resample; NaN unless the volumes are the same."""
    # Means over other volumes differ by the choice of the volumes, too.
    if first.indices != second.indices:
        nothing = replace(first, estimate=_NOTHING, indices=(), patients=0)
        return replace(nothing, deviation=math.nan, exact_interval=None)
    change = Estimate(
        first.value - second.value, first.estimate.resampled - second.estimate.resampled
    )
    return replace(first, estimate=change, deviation=math.nan, exact_interval=None)


def _resampled(
    statistic: Callable[[NDArray[np.int64]], float], found: NDArray[np.intp], table: DataFrame
) -> Aggregate:
    """Return a number of the volumes ``found`` together, which has no deviation."""
    patients: Sequence[str] = list(table[PATIENT_COLUMN].iloc[found])
    return _aggregate(bootstrap(statistic, patients) if patients else _NOTHING, found, table)


def _aggregate(
    estimate: Estimate, found: NDArray[np.intp], table: DataFrame, *, deviation: float = math.nan
) -> Aggregate:
    """Return a number of the volumes ``found`` in the table."""
    return Aggregate(
        estimate=estimate,
        deviation=deviation,
        indices=tuple(found.tolist()),
        patients=table[PATIENT_COLUMN].iloc[found].nunique(),
        skipped=len(table) - len(found),
    )
