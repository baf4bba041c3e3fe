"""Does uncertainty find the wrong voxels? And which of them are more than a border's blur."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .. import InputError
from ..types import Mask
from .border import GROSS_MM, far_from_contours
from .overlap import LabelMap


@dataclass(frozen=True, kw_only=True)
class ErrorDetection:
    """How well a map of uncertainty tells ``errors`` wrong voxels from the rest of ``voxels``.

    ``auroc`` area under the receiver operating characteristic, 0.5 for chance; ``auprc`` average
    precision, ``errors / voxels`` for chance. Both NaN where nothing or everything is wrong.
    """

    auroc: float
    auprc: float
    errors: int
    voxels: int


def error_detection(uncertainty: NDArray[np.floating], wrong: Mask) -> ErrorDetection:
    """Judge uncertainty, the higher the more likely wrong, by what is ``wrong``: one shape, any.

    Equal uncertainties count as one threshold. Raises ValueError if the shapes differ.
    """
    uncertainty, wrong = np.asarray(uncertainty), np.asarray(wrong, bool)
    if uncertainty.shape != wrong.shape:
        raise InputError(
            "Uncertainty and errors need one shape, not {shape} and {shape_2}.",
            shape=uncertainty.shape,
            shape_2=wrong.shape,
        )
    errors, voxels = int(np.count_nonzero(wrong)), wrong.size
    if errors in (0, voxels):
        return ErrorDetection(auroc=math.nan, auprc=math.nan, errors=errors, voxels=voxels)
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth, score = wrong.ravel(), uncertainty.ravel()
    return ErrorDetection(
        auroc=float(roc_auc_score(truth, score)),
        auprc=float(average_precision_score(truth, score)),
        errors=errors,
        voxels=voxels,
    )


def gross_errors(prediction: LabelMap, reference: LabelMap, spacing: Sequence[float]) -> Mask:
    """(Z, Y, X) voxels that are wrong and more than 3 mm from every reference contour.

    ``prediction`` and ``reference`` (Z, Y, X) labels, ``spacing`` (z, y, x) in mm. Distances are
    those of `far_from_contours`: in a slice where the reference has one label alone there is no
    contour, and every wrong voxel is far from it.

    Raises ValueError if the shapes differ.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    if prediction.shape != reference.shape:
        raise InputError(
            "The labels need the shape of their reference, {shape} (z, y, x), not {shape_2}.",
            shape=reference.shape,
            shape_2=prediction.shape,
        )
    far = far_from_contours(reference, spacing, farther_than=GROSS_MM)
    return np.asarray(far & (prediction != reference), bool)


FloatSeries: TypeAlias = Sequence[float] | NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskCoverage:
    """Mean risk of the most confident cases, against how many of n these are.

    ``coverage`` (n,) 1/n, 2/n … 1; ``risk`` (n,) in the unit that was given.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]


def risk_coverage(confidence: FloatSeries, risk: FloatSeries) -> RiskCoverage:
    """Risk, as 1 - Dice, of (n,) cases when only the most confident are kept.

    Equal confidences have no order: the curve is the mean over all of theirs, exactly, so each of
    these cases counts with the mean of their risks. Cases where either number is NaN are left out.

    Raises ValueError unless there are as many of both.
    """
    confidence, risk = _pairs(confidence, risk)
    _, group = np.unique(-confidence, return_inverse=True)
    mean_risk = np.bincount(group, risk) / np.bincount(group)
    kept = np.arange(1, len(risk) + 1)
    return RiskCoverage(
        coverage=kept / max(1, len(risk)), risk=np.cumsum(mean_risk[np.sort(group)]) / kept
    )


def area_under_risk_coverage(confidence: FloatSeries, risk: FloatSeries) -> float:
    """AURC: mean of the n risks of `risk_coverage`, less is better; NaN without a case."""
    risks = risk_coverage(confidence, risk).risk
    return float(risks.mean()) if len(risks) else math.nan


def rank_correlation(score: FloatSeries, quality: FloatSeries) -> float:
    """Spearman's correlation of (n,) scores with what they promise, -1 … 1.

    Cases where either number is NaN are left out. NaN for less than three cases, and where all
    scores or all qualities are equal. Raises ValueError unless there are as many of both.
    """
    from scipy import stats  # takes half a second to import

    score, quality = _pairs(score, quality)
    if len(score) < 3 or len(np.unique(score)) == 1 or len(np.unique(quality)) == 1:
        return math.nan
    return float(stats.spearmanr(score, quality).statistic)


def _pairs(
    first: FloatSeries, second: FloatSeries
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64, without the cases where either is NaN."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise InputError(
            "Every case needs both numbers, not {shape} and {shape_2}.",
            shape=a.shape,
            shape_2=b.shape,
        )
    there = ~(np.isnan(a) | np.isnan(b))
    return a[there], b[there]
