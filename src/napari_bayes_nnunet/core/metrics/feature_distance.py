"""Distance of an image's features from those of the training images.

Mahalanobis distance with the covariance of Ledoit and Wolf (2004), kept as a few directions and
the variance of all others, so that it is small in a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .. import InputError

DIRECTIONS: Final = 16
"""Most directions of the covariance that are kept."""
PERCENTILE: Final = 95
"""Percentile of the validation patients beyond which an image is unlike the training images."""
FEWEST_FOR_FEATURES: Final = 4
"""Training images and validation patients needed for a rule."""
_DIGITS: Final = 4
"""Significant digits of the numbers in a rule."""


@dataclass(frozen=True, kw_only=True)
class FeatureRule:
    """Mean and covariance of the training images' features, and the largest usual distance.

    The covariance is Σ v vᵀ + ``variance`` · I over the ``directions`` v, (directions, features).
    ``threshold`` is the distance beyond which an image is unlike the training images, the largest
    of the ``patients`` if there are fewer than 39. Raises InputError for sizes that do not fit
    together, or a variance that is not above 0.
    """

    mean: tuple[float, ...]
    directions: tuple[tuple[float, ...], ...]
    variance: float
    threshold: float
    patients: int

    def __post_init__(self) -> None:
        sizes = {len(direction) for direction in self.directions} | {len(self.mean)}
        if len(sizes) != 1 or not self.variance > 0:
            raise InputError(
                "Expected directions of the size of the mean, found {sizes}.", sizes=sizes
            )

    def distance(self, features: NDArray[np.floating] | Sequence[float]) -> float:
        """Return the Mahalanobis distance of the features, (features,), of an image.

        By Woodbury's identity. Raises InputError for another number of features.
        """
        offset = np.asarray(features, np.float64)
        if offset.shape != (len(self.mean),):
            raise InputError(
                "Expected {expected} features, found the shape {found}.",
                expected=len(self.mean),
                found=offset.shape,
            )
        offset = offset - np.array(self.mean)
        v = np.array(self.directions, np.float64).reshape(-1, len(offset))
        inner = np.eye(len(v)) * self.variance + v @ v.T
        along = v @ offset
        squared = (offset @ offset - along @ np.linalg.solve(inner, along)) / self.variance
        # Rounding may make it negative.
        return math.sqrt(max(squared, 0.0))


def fit_features(
    training: NDArray[np.floating], validation: NDArray[np.floating], patients: Sequence[str]
) -> FeatureRule | None:
    """Return the rule for ``training`` (N, features) and ``validation`` (M, features) images.

    The threshold is the split-conformal 95th percentile of the validation ``patients`` (M,), each
    with the largest distance of its images. None for fewer than four training images or patients.
    """
    distinct = sorted(set(patients))
    if min(len(training), len(distinct)) < FEWEST_FOR_FEATURES:
        return None
    mean, directions, variance = _covariance(np.asarray(training, np.float64))
    rule = FeatureRule(
        mean=rounded(mean),
        directions=tuple(map(rounded, directions)),
        variance=variance,
        threshold=0.0,
        patients=len(distinct),
    )
    distances = np.array([rule.distance(features) for features in validation])
    names = np.asarray(patients, object)
    largest = sorted(distances[names == name].max() for name in distinct)
    rank = min(math.ceil((len(distinct) + 1) * PERCENTILE / 100), len(distinct))
    return replace(rule, threshold=float(largest[rank - 1]))


def _covariance(
    training: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the mean, the directions (k, features) scaled by their excess, and the variance."""
    from sklearn.covariance import ledoit_wolf

    covariance, _ = ledoit_wolf(training)
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    # N images span N − 1 directions, and one direction must be left for the variance.
    kept = min(DIRECTIONS, len(training) - 1, len(values) - 1)
    variance = max(float(values[kept:].mean()), float(np.finfo(np.float32).tiny))
    excess = np.sqrt(np.maximum(values[:kept] - variance, 0.0))
    return training.mean(axis=0), (vectors[:, :kept] * excess).T, variance


def rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return numbers with few digits, so that a rule is small in a file."""
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
