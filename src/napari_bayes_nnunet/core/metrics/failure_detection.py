"""Does a score of a whole case find those that failed?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = Sequence[float] | NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, eq=False)
class RiskCoverage:
    """Mean risk of the most confident cases, against how many of n these are.

    ``coverage`` (n,) 1/n, 2/n … 1; ``risk`` (n,) in the unit that was given.
    """

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]


def risk_coverage(confidence: Numbers, risk: Numbers) -> RiskCoverage:
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


def area_under_risk_coverage(confidence: Numbers, risk: Numbers) -> float:
    """AURC: mean of the n risks of `risk_coverage`, less is better; NaN without a case."""
    risks = risk_coverage(confidence, risk).risk
    return float(risks.mean()) if len(risks) else math.nan


def rank_correlation(score: Numbers, quality: Numbers) -> float:
    """Spearman's correlation of (n,) scores with what they promise, -1 … 1.

    Cases where either number is NaN are left out. NaN for less than three cases, and where all
    scores or all qualities are equal. Raises ValueError unless there are as many of both.
    """
    from scipy import stats  # takes half a second to import

    score, quality = _pairs(score, quality)
    if len(score) < 3 or len(np.unique(score)) == 1 or len(np.unique(quality)) == 1:
        return math.nan
    return float(stats.spearmanr(score, quality).statistic)


def _pairs(first: Numbers, second: Numbers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64, without the cases where either is NaN."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"Every case needs both numbers, not {a.shape} and {b.shape}.")
    there = ~(np.isnan(a) | np.isnan(b))
    return a[there], b[there]
