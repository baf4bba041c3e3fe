"""Numbers of several volumes: means, pooled calibration, failure detection, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.metrics.bootstrap import Estimate, bootstrap, mean_estimate
from ...core.metrics.calibration import ReliabilityBins
from .case import CaseEvaluation

Cases: TypeAlias = Sequence[CaseEvaluation]
OfCase: TypeAlias = Callable[[CaseEvaluation], float]
Aggregation: TypeAlias = Callable[[Cases], "Aggregate"]

_FEWEST: Final = 5
"""Patients that an interval needs: drawn from fewer, it would be far too narrow."""
_NOTHING: Final = Estimate(math.nan, np.full(1, math.nan))


@dataclass(frozen=True, kw_only=True, eq=False)
class Aggregate:
    """One number of several volumes.

    ``estimate`` over patients; ``deviation`` standard deviation over the volumes (n - 1), NaN for a
    number that is no mean of them; ``places``, among all volumes, of those that have a value, of so
    many ``patients``, and how many were ``skipped`` because theirs is not defined.
    """

    estimate: Estimate
    deviation: float
    places: tuple[int, ...]
    patients: int
    skipped: int

    @property
    def volumes(self) -> int:
        """How many volumes have a value."""
        return len(self.places)

    @property
    def value(self) -> float:
        """The number itself, NaN where there is none."""
        return self.estimate.value

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval over patients; NaN for less than `_FEWEST` of them."""
        return self.estimate.interval if self.patients >= _FEWEST else (math.nan, math.nan)


def mean_over_volumes(of_case: OfCase) -> Aggregation:
    """The mean of one number of each volume, those that are NaN skipped and counted."""

    def aggregate(cases: Cases) -> Aggregate:
        values = np.array([of_case(case) for case in cases], np.float64)
        there = np.flatnonzero(~np.isnan(values)).tolist()
        known = values[there]
        return Aggregate(
            estimate=mean_estimate(values, [c.patient for c in cases]) if cases else _NOTHING,
            deviation=float(known.std(ddof=1)) if len(known) > 1 else math.nan,
            places=tuple(there),
            patients=len({cases[n].patient for n in there}),
            skipped=len(values) - len(known),
        )

    return aggregate


def pooled_bins(cases: Cases) -> ReliabilityBins:
    """The voxels of all volumes in the same bins."""
    there = [case.reliability for case in cases if case.reliability is not None]
    return sum(there, ReliabilityBins.empty(len(there[0].voxels) if there else 100))


def pooled_ece(cases: Cases) -> Aggregate:
    """Calibration error of all voxels of all volumes together: large hearts count more."""
    binned = [n for n, case in enumerate(cases) if not math.isnan(case.ece)]
    bins = [cases[n].reliability or ReliabilityBins.empty() for n in binned]
    gaps = np.array([volume.confidence_sum - volume.correct for volume in bins])
    voxels = np.array([volume.voxel_count for volume in bins])

    def of_weighted(weights: NDArray[np.int64]) -> float:
        return float(np.abs(weights @ gaps).sum() / (weights @ voxels))

    return _of_all(of_weighted, binned, cases)


def risk(case: CaseEvaluation) -> float:
    """What is lost of a case: 1 - its mean Dice over the structures."""
    return 1 - case.mean_dice


def of_scores(
    statistic: Callable[[NDArray[np.float64], NDArray[np.float64]], float], score: OfCase
) -> Aggregation:
    """A statistic of the cases' scores and risks; those without either are skipped."""

    def aggregate(cases: Cases) -> Aggregate:
        pairs = np.array([(score(case), risk(case)) for case in cases], np.float64).reshape(-1, 2)
        there = np.flatnonzero(~np.isnan(pairs).any(axis=1)).tolist()

        def of_weighted(weights: NDArray[np.int64]) -> float:
            return statistic(*np.repeat(pairs[there], weights, axis=0).T)

        return _of_all(of_weighted, there, cases)

    return aggregate


def aggregate_difference(one: Aggregate, other: Aggregate) -> Aggregate:
    """``one`` less ``other``, draw by draw; nothing where they are not of the same volumes."""
    comparable = one.places == other.places
    return Aggregate(
        estimate=Estimate(
            one.value - other.value, one.estimate.resampled - other.estimate.resampled
        )
        if comparable
        else _NOTHING,
        deviation=math.nan,
        places=one.places if comparable else (),
        patients=one.patients if comparable else 0,
        skipped=one.skipped,
    )


def _of_all(
    statistic: Callable[[NDArray[np.int64]], float], there: Sequence[int], cases: Cases
) -> Aggregate:
    """A number of all volumes that are ``there``, which has no deviation over them."""
    patients = [cases[n].patient for n in there]
    return Aggregate(
        estimate=bootstrap(statistic, patients) if patients else _NOTHING,
        deviation=math.nan,
        places=tuple(there),
        patients=len(set(patients)),
        skipped=len(cases) - len(there),
    )
