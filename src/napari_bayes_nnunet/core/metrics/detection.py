"""Detection of errors by uncertainty, and the errors that exceed the blur of a border."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..types import LabelMap, Mask
from .border import GROSS_MM, far_from_contours


class ErrorDetection(NamedTuple):
    """Detection of wrong voxels by a map of uncertainty.

    ``auroc`` is the area under the receiver operating characteristic, 0.5 for chance, and ``auprc``
    the average precision, the share of wrong voxels for chance. Both are NaN if no voxel or every
    voxel is wrong.
    """

    auroc: float
    auprc: float


def error_detection(uncertainty: NDArray[np.floating], wrong: Mask) -> ErrorDetection:
    """Return how well uncertainty detects ``wrong`` voxels, both of one shape.

    Equal uncertainties count as one threshold.
    """
    truth, score = wrong.ravel(), uncertainty.ravel()
    if truth.all() or not truth.any():
        return ErrorDetection(math.nan, math.nan)
    # Only an evaluation needs it, and importing it takes a second.
    from sklearn.metrics import average_precision_score, roc_auc_score

    return ErrorDetection(
        auroc=float(roc_auc_score(truth, score)),
        auprc=float(average_precision_score(truth, score)),
    )


def gross_errors(prediction: LabelMap, reference: LabelMap, spacing: Sequence[float]) -> Mask:
    """Return the mask (Z, Y, X) of wrong voxels more than 3 mm from every reference contour.

    ``prediction`` and ``reference`` are (Z, Y, X) labels, ``spacing`` is (z, y, x) in mm. Distances
    are those of `far_from_contours`: a slice whose reference has only one label has no contour, so
    every wrong voxel in it is far from one.
    """
    far = far_from_contours(reference, spacing, farther_than=GROSS_MM)
    return np.asarray(far & (prediction != reference), bool)


FloatSeries: TypeAlias = Sequence[float] | NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskCoverage:
    """Mean risk of the most confident cases against their share of all n cases.

    ``coverage`` (n,) is 1/n, 2/n … 1, ``risk`` (n,) has the unit of the given risks.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]


def risk_coverage(confidence: FloatSeries, risk: FloatSeries) -> RiskCoverage:
    """Return the risk, such as 1 - Dice, of (n,) cases if only the most confident count.

    Equal confidences have no order: each of their cases counts with the mean of their risks, which
    is exactly the mean over all orders. Cases with a NaN are left out.
    """
    confidence, risk = _pairs(confidence, risk)
    _, group = np.unique(-confidence, return_inverse=True)
    mean_risk = np.bincount(group, risk) / np.bincount(group)
    counts = np.arange(1, len(risk) + 1)
    return RiskCoverage(
        coverage=counts / max(1, len(risk)), risk=np.cumsum(mean_risk[np.sort(group)]) / counts
    )


def area_under_risk_coverage(confidence: FloatSeries, risk: FloatSeries) -> float:
    """Return the AURC, the mean of the risks of `risk_coverage`; NaN without a case."""
    risks = risk_coverage(confidence, risk).risk
    return float(risks.mean()) if len(risks) else math.nan


def excess_area_under_risk_coverage(confidence: FloatSeries, risk: FloatSeries) -> float:
    """Return the e-AURC: the AURC less that of the best possible order (Geifman et al. 2019)."""
    confidence, risk = _pairs(confidence, risk)
    return area_under_risk_coverage(confidence, risk) - area_under_risk_coverage(-risk, risk)


def area_under_generalized_risk_coverage(confidence: FloatSeries, risk: FloatSeries) -> float:
    """Return the AUGRC, the mean of risk times coverage (Traub et al. 2024); NaN without a case.

    It is the mean risk of a case that is accepted although it failed, over all thresholds.
    """
    curve = risk_coverage(confidence, risk)
    return float((curve.risk * curve.coverage).mean()) if len(curve.risk) else math.nan


def worst_fifth_auroc(confidence: FloatSeries, risk: FloatSeries) -> float:
    """Return the AUROC with which low confidence detects the fifth of cases with the largest risk.

    The fifth is rounded up; cases with the same risk as its smallest belong to it. NaN if that is
    every case, or without a case.
    """
    confidence, risk = _pairs(confidence, risk)
    if not len(risk):
        return math.nan
    worst = risk >= np.sort(risk)[-math.ceil(len(risk) / 5)]
    if worst.all():
        return math.nan
    # The AUROC is Mann and Whitney's U of the ranks, divided by the number of pairs.
    ranks = _centred_ranks(-confidence)
    return float(0.5 + (ranks[worst].mean() - ranks[~worst].mean()) / len(risk))


def rank_correlation(score: FloatSeries, quality: FloatSeries) -> float:
    """Return Spearman's correlation of (n,) scores with the quality they predict, -1 … 1.

    Cases with a NaN are left out. NaN for fewer than three cases, or if all scores or all qualities
    are equal.
    """
    score, quality = _pairs(score, quality)
    if len(score) < 3:
        return math.nan
    # scipy.stats.spearmanr also finds a p-value and takes many times as long, which counts when
    # thousands of resamples are correlated.
    first, second = _centred_ranks(score), _centred_ranks(quality)
    scale = math.sqrt((first @ first) * (second @ second))
    return float(first @ second) / scale if scale else math.nan


def _centred_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value minus the mean of the ranks; equal values share a rank."""
    ordered = np.sort(values)
    lowest = np.searchsorted(ordered, values, side="left")
    highest = np.searchsorted(ordered, values, side="right") - 1
    return (lowest + highest - (len(values) - 1)) / 2


def _pairs(
    first: FloatSeries, second: FloatSeries
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both as float64, without cases that have a NaN."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    present = ~(np.isnan(a) | np.isnan(b))
    return a[present], b[present]
