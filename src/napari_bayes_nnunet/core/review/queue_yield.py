"""Is a queue any good? The share of wrong voxels that lies in the first slices of each study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import InputError
from ..metrics.bootstrap import Estimate, case_weights
from ..metrics.detection import gross_errors
from ..metrics.overlap import LabelMap

SHARE = 0.3
"""Share of the slices at which orders are compared."""
CURVE_STEPS = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class ReviewedSlices:
    """The slices of one study in an order of review.

    ``errors`` (S,) wrong voxels of each slice, ``order`` (S,) the slices, first to be looked at
    first. ``patient`` is whom the study belongs to.
    """

    patient: str
    errors: NDArray[np.float64]
    order: NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class QueueYield:
    """How early an order finds the wrong voxels of all studies together.

    ``curve`` (CURVE_STEPS + 1,) share found, 0 … 1, after 0, 1, 2 … 100 % of the slices of every
    study; ``at_share`` its value at 30 % of them; ``area`` under it, 0.5 for random order.
    """

    curve: NDArray[np.float64]
    at_share: Estimate
    area: Estimate


@dataclass(frozen=True, kw_only=True, eq=False)
class WrongVoxels:
    """Voxels of each slice whose label is not the reference's.

    ``all`` (Z,) of them, and the ``gross`` (Z,): more than 3 mm from every reference contour of
    their slice.
    """

    all: NDArray[np.float64]
    gross: NDArray[np.float64]


def wrong_voxels(
    prediction: LabelMap, reference: LabelMap, spacing: Sequence[float]
) -> WrongVoxels:
    """Count what is wrong in (Z, Y, X) labels; ``spacing`` (z, y, x) in mm. See `gross_errors`.

    Raises ValueError if the shapes differ.
    """
    gross = gross_errors(prediction, reference, spacing)
    wrong = np.asarray(prediction) != np.asarray(reference)
    return WrongVoxels(all=_per_slice(wrong), gross=_per_slice(gross))


def in_best_order(review: ReviewedSlices) -> ReviewedSlices:
    """The same slices, those with the most wrong voxels first: no queue finds them earlier."""
    return replace(review, order=np.argsort(-review.errors, kind="stable"))


def in_slice_order(review: ReviewedSlices) -> ReviewedSlices:
    """The same slices as they lie in the study."""
    return replace(review, order=np.arange(len(review.errors)))


def in_random_order(review: ReviewedSlices) -> ReviewedSlices:
    """What the mean over all orders finds, exactly: every slice has the mean of the errors."""
    return replace(review, errors=np.full(len(review.errors), review.errors.mean()))


def queue_yield(
    reviews: Sequence[ReviewedSlices], *, resamples: int = 2000, seed: int = 2022
) -> QueueYield:
    """Share of all wrong voxels found after reviewing a share of the slices of every study.

    A part of a slice counts in proportion. NaN where nothing is wrong. The intervals come from
    drawing as many patients as there are again and again, with all their studies.

    Raises ValueError without a review.
    """
    if not reviews:
        raise InputError("A queue is judged on at least one study; there is none.")
    shares = np.arange(CURVE_STEPS + 1) / CURVE_STEPS
    numbers = np.array([_numbers(review, shares) for review in reviews])
    patients = [review.patient for review in reviews]
    weights = case_weights(patients, resamples=resamples, seed=seed)
    *curve, at_share, area = _shares(numbers.sum(axis=0))
    resampled = _shares(weights @ numbers)
    return QueueYield(
        curve=np.array(curve),
        at_share=Estimate(float(at_share), resampled[:, -2]),
        area=Estimate(float(area), resampled[:, -1]),
    )


def _per_slice(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.count_nonzero(mask, axis=(1, 2)), dtype=np.float64)


def _numbers(review: ReviewedSlices, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wrong voxels found after ``shares`` and after `SHARE`, the area, and all wrong voxels."""
    found = np.concatenate([[0.0], np.cumsum(review.errors[review.order])])
    place = np.linspace(0, 1, len(found))
    curve = np.interp([*shares, SHARE], place, found)
    return np.array([*curve, np.trapezoid(found, place), found[-1]])


def _shares(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(numbers[..., :-1] / numbers[..., -1:], dtype=np.float64)
