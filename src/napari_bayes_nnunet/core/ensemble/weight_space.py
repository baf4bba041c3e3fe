"""Places in the space of weights: how far apart the epochs of a training lie, and its modes.

Section "Training Trajectory Visualization" of Zhao et al., MICCAI 2022, in numbers. A mode is what
the members of one cycle are around; distances are Euclidean, in the unit of the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096
"""Weights that are looked at together: memory does not grow with their number."""


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Mean distance of two members of one cycle, ``within``, and of different ones, ``between``.

    ``silhouette``, -1 … 1, is near 1 where every member is far nearer to those of its cycle than to
    any other cycle. NaN where there are no such pairs.
    """

    within: float
    between: float
    silhouette: float

    @property
    def ratio(self) -> float:
        """How many times further apart members of different cycles are."""
        return self.between / self.within if self.within > 0 else math.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class Spreading:
    """How members of one cycle part: mean ``distances`` (L,) of those that are ``lags`` (L,) apart.

    Lags are in epochs, ascending.
    """

    lags: NDArray[np.int64]
    distances: NDArray[np.float64]

    @property
    def exponent(self) -> float:
        """The power of the lag with which the distance grows, NaN for less than two lags.

        0 where the weights bounce about one place, 0.5 on a random walk, 1 straight ahead.
        """
        there = self.distances > 0
        if np.count_nonzero(there) < 2:
            return math.nan
        slope, _ = np.polyfit(np.log(self.lags[there]), np.log(self.distances[there]), 1)
        return float(slope)


def pairwise_distances(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, n) distances of n (n, P) sets of P weights, exact to about 1e-7 of their spread."""
    products = np.zeros((len(weights), len(weights)))
    for start in range(0, weights.shape[1], _BLOCK):
        block = weights[:, start : start + _BLOCK].astype(np.float64)
        block -= block[:1]  # the nearer to 0, the less is lost in the difference below
        products += block @ block.T
    squares = np.diagonal(products)
    found = np.sqrt((squares[:, None] + squares - 2 * products).clip(0))
    np.fill_diagonal(found, 0)
    return np.asarray((found + found.T) / 2)


def steps(distances: NDArray[np.float64], epochs: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) distance of (n,) ascending epochs to the one before; NaN where it is not there."""
    found = np.full(len(epochs), math.nan)
    found[1:] = np.where(np.diff(epochs) == 1, np.diagonal(distances, 1), math.nan)
    return found


def modes(distances: NDArray[np.float64], cycles: NDArray[np.int64]) -> Modes:
    """How the members lie by their cycles: (n, n) distances, (n,) cycles."""
    one, other = np.triu_indices(len(cycles), 1)
    pairs, same = distances[one, other], cycles[one] == cycles[other]
    return Modes(
        within=_mean(pairs[same]),
        between=_mean(pairs[~same]),
        silhouette=_silhouette(distances, cycles),
    )


def spreading(
    distances: NDArray[np.float64], epochs: NDArray[np.int64], cycles: NDArray[np.int64]
) -> Spreading:
    """Mean distance of members of one cycle by the epochs between them: all arrays of (n,)."""
    one, other = np.triu_indices(len(epochs), 1)
    same = cycles[one] == cycles[other]
    apart = np.abs(epochs[other] - epochs[one])[same]
    lags, group = np.unique(apart, return_inverse=True)
    sums = np.bincount(group, distances[one, other][same], minlength=len(lags))
    return Spreading(lags=lags, distances=sums / np.bincount(group, minlength=len(lags)))


def _silhouette(distances: NDArray[np.float64], cycles: NDArray[np.int64]) -> float:
    if not 2 <= len(np.unique(cycles)) < len(cycles):
        return math.nan
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(distances, cycles, metric="precomputed"))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan
