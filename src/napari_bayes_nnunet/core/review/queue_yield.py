"""Evaluation of a queue: the share of wrong voxels in the first slices of each study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..metrics.bootstrap import Estimate, case_weights
from ..metrics.detection import gross_errors
from ..types import LabelMap

SHARE = 0.3
"""Share of the slices at which orders are compared."""
CURVE_STEPS = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewedSlices:
    """Slices of one study in an order of review.

    ``errors`` (S,) are the wrong voxels of each slice, ``order`` (S,) the slices in the order of
    review. ``patient`` identifies the patient of the study.
    """

    patient: str
    errors: NDArray[np.float64]
    order: NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class QueueYield:
    """Share of the wrong voxels of all studies that an order finds early.

    ``curve`` (CURVE_STEPS + 1,) is the share found, 0 … 1, after 0, 1, 2 … 100 % of the slices of
    every study, ``at_share`` its value at 30 %, and ``area`` the area under it, 0.5 for a random
    order.
    """

    curve: NDArray[np.float64]
    at_share: Estimate
    area: Estimate


def wrong_voxels(
    prediction: LabelMap, reference: LabelMap, spacing: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """Return the number of voxels of each slice whose label differs from the reference, (Z,).

    "all" counts every one, "gross" those more than 3 mm from every reference contour, see
    `gross_errors`. The labels are (Z, Y, X), ``spacing`` (z, y, x) in mm.
    """
    gross = gross_errors(prediction, reference, spacing)
    wrong = np.asarray(prediction) != np.asarray(reference)
    kinds = {"all": wrong, "gross": gross}
    return {kind: np.count_nonzero(of, axis=(1, 2)).astype(float) for kind, of in kinds.items()}


def in_best_order(review: ReviewedSlices) -> ReviewedSlices:
    """Return the slices with the most wrong voxels first, which is the best possible order."""
    return replace(review, order=np.argsort(-review.errors, kind="stable"))


def in_random_order(review: ReviewedSlices) -> ReviewedSlices:
    """Return the mean over all orders, in which every slice has the mean of the errors."""
    return replace(review, errors=np.full(len(review.errors), review.errors.mean()))


def queue_yield(reviews: Sequence[ReviewedSlices]) -> QueueYield:
    """Return the share of all wrong voxels found after a share of the slices of every study.

    A part of a slice counts in proportion. NaN without any wrong voxel. Intervals come from
    resampling patients with all their studies.
    """
    shares = np.arange(CURVE_STEPS + 1) / CURVE_STEPS
    # Those of several studies add up, so a resample only weighs them.
    numbers = np.array([_numbers(review, shares) for review in reviews])
    patients = [review.patient for review in reviews]
    *curve, at_share, area = _shares(numbers.sum(axis=0))
    resampled = _shares(case_weights(patients) @ numbers)
    return QueueYield(
        curve=np.array(curve),
        at_share=Estimate(float(at_share), resampled[:, -2]),
        area=Estimate(float(area), resampled[:, -1]),
    )


def _numbers(review: ReviewedSlices, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the wrong voxels found at ``shares`` and `SHARE`, the area, and all wrong voxels."""
    cumulative = np.concatenate([[0.0], np.cumsum(review.errors[review.order])])
    # By shares, because studies differ in their numbers of slices.
    position = np.linspace(0, 1, len(cumulative))
    curve = np.interp([*shares, SHARE], position, cumulative)
    return np.array([*curve, np.trapezoid(cumulative, position), cumulative[-1]])


def _shares(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    # Without a wrong voxel the share is 0 / 0, which is NaN.
    with np.errstate(invalid="ignore"):
        return np.asarray(numbers[..., :-1] / numbers[..., -1:], dtype=np.float64)
