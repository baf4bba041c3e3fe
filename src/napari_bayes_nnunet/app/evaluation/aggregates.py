"""Means, pooled calibration and failure detection over several volumes, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

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
from .case import CaseEvaluation

Cases: TypeAlias = Sequence[CaseEvaluation]
OfCase: TypeAlias = Callable[[CaseEvaluation], float]
Aggregation: TypeAlias = Callable[[Cases], "Aggregate"]
ScoreStatistic: TypeAlias = Callable[[NDArray[np.float64], NDArray[np.float64]], float]
"""Number of the scores, higher for a better expected result, and the risks of (n,) cases."""

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
        return self.estimate.interval if self.patients >= FEWEST_PATIENTS else (math.nan, math.nan)


def mean_over_volumes(of_case: OfCase) -> Aggregation:
    """Return an aggregation: the mean of a number of each volume, without NaN."""

    def aggregate(cases: Cases) -> Aggregate:
        values = np.array([of_case(case) for case in cases], np.float64)
        indices = np.flatnonzero(~np.isnan(values)).tolist()
        known = values[indices]
        return Aggregate(
            estimate=mean_estimate(values, [c.patient for c in cases]) if cases else _NOTHING,
            deviation=float(known.std(ddof=1)) if len(known) > 1 else math.nan,
            indices=tuple(indices),
            patients=len({cases[n].patient for n in indices}),
            skipped=len(values) - len(known),
        )

    return aggregate


def share_of_volumes(of_case: OfCase) -> Aggregation:
    """Return an aggregation: the share of the volumes for which a number is 1, not 0.

    Its interval is the exact binomial one (Clopper and Pearson) for as many patients, because the
    volumes of a patient are not independent.
    """
    mean = mean_over_volumes(of_case)

    def aggregate(cases: Cases) -> Aggregate:
        found = mean(cases)
        exact = exact_interval(found.value * found.patients, found.patients)
        return replace(found, deviation=math.nan, exact_interval=exact)

    return aggregate


def pooled_bins(cases: Cases) -> ReliabilityBins:
    """Return the voxels of all volumes in the same bins."""
    bins = [case.reliability for case in cases if case.reliability is not None]
    return sum(bins, ReliabilityBins.empty(len(bins[0].voxels) if bins else 100))


def pooled_ece(cases: Cases) -> Aggregate:
    """Return the calibration error of all voxels together, in which large hearts count more."""
    binned = [n for n, case in enumerate(cases) if not math.isnan(case.ece)]
    bins = [cases[n].reliability or ReliabilityBins.empty() for n in binned]
    gaps = np.array([volume.confidence_sum - volume.correct for volume in bins])
    voxels = np.array([volume.voxel_count for volume in bins])

    def weighted_ece(weights: NDArray[np.int64]) -> float:
        return float(np.abs(weights @ gaps).sum() / (weights @ voxels))

    return _resampled(weighted_ece, binned, cases)


def risk(case: CaseEvaluation) -> float:
    """Return 1 - the mean Dice over the structures of a case."""
    return 1 - case.mean_dice


def aggregate_scores(statistic: ScoreStatistic, score: OfCase) -> Aggregation:
    """Return an aggregation: a statistic of the scores and risks of cases that have both."""

    def aggregate(cases: Cases) -> Aggregate:
        pairs = np.array([(score(case), risk(case)) for case in cases], np.float64).reshape(-1, 2)
        indices = np.flatnonzero(~np.isnan(pairs).any(axis=1)).tolist()

        def weighted_statistic(weights: NDArray[np.int64]) -> float:
            return statistic(*np.repeat(pairs[indices], weights, axis=0).T)

        return _resampled(weighted_statistic, indices, cases)

    return aggregate


def aggregate_difference(first: Aggregate, second: Aggregate) -> Aggregate:
    """Return ``first`` - ``second``, resample by resample; NaN unless the volumes are the same."""
    comparable = first.indices == second.indices
    return Aggregate(
        estimate=Estimate(
            first.value - second.value, first.estimate.resampled - second.estimate.resampled
        )
        if comparable
        else _NOTHING,
        deviation=math.nan,
        indices=first.indices if comparable else (),
        patients=first.patients if comparable else 0,
        skipped=first.skipped,
    )


def _resampled(
    statistic: Callable[[NDArray[np.int64]], float], indices: Sequence[int], cases: Cases
) -> Aggregate:
    """Return a number of all volumes at ``indices`` together, which has no deviation."""
    patients = [cases[n].patient for n in indices]
    return Aggregate(
        estimate=bootstrap(statistic, patients) if patients else _NOTHING,
        deviation=math.nan,
        indices=tuple(indices),
        patients=len(set(patients)),
        skipped=len(cases) - len(indices),
    )
