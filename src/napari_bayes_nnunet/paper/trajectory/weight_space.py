"""Distances between the weights of a training's epochs, and its modes.

Section "Training Trajectory Visualization" of Zhao et al., MICCAI 2022, in numbers. A mode is the
region around the members of one cycle. Distances are Euclidean, in the unit of the weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096
"""Weights processed together, so that memory does not grow with their number."""


@dataclass(frozen=True, kw_only=True)
class Modes:
    """Mean distance of two members ``within`` a cycle and ``between`` different cycles.

    ``silhouette``, -1 … 1, is near 1 if every member is far nearer to the members of its cycle than
    to any other cycle. Values without such pairs are NaN.
    """

    within: float
    between: float
    silhouette: float

    @property
    def ratio(self) -> float:
        """Distance between cycles divided by the distance within them; NaN if the latter is 0."""
        return self.between / self.within if self.within > 0 else math.nan


def pairwise_distances(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return (n, n) distances of (n, P) sets of P weights, exact to about 1e-7 of their spread."""
    products = np.zeros((len(weights), len(weights)))
    for start in range(0, weights.shape[1], _BLOCK):
        block = weights[:, start : start + _BLOCK].astype(np.float64)
        block -= block[:1]  # values near 0 lose less precision in the difference below
        products += block @ block.T
    squares = np.diagonal(products)
    # Rounding can make the square of a small distance negative.
    distances = np.sqrt((squares[:, None] + squares - 2 * products).clip(0))
    np.fill_diagonal(distances, 0)
    return np.asarray((distances + distances.T) / 2)


def step_lengths(distances: NDArray[np.float64], epochs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (n,) distances of ascending epochs (n,) to the previous epoch; NaN if missing."""
    lengths = np.full(len(epochs), math.nan)
    lengths[1:] = np.where(np.diff(epochs) == 1, np.diagonal(distances, 1), math.nan)
    return lengths


def compare_modes(distances: NDArray[np.float64], cycles: NDArray[np.int64]) -> Modes:
    """Return the distances of members within and between cycles, from (n, n) distances.

    ``cycles`` is (n,).
    """
    first, second = np.triu_indices(len(cycles), 1)
    pairs, same = distances[first, second], cycles[first] == cycles[second]
    return Modes(
        within=_mean(pairs[same]),
        between=_mean(pairs[~same]),
        silhouette=_silhouette(distances, cycles),
    )


def _silhouette(distances: NDArray[np.float64], cycles: NDArray[np.int64]) -> float:
    # It takes two cycles, and a cycle with several members.
    if not 2 <= len(np.unique(cycles)) < len(cycles):
        return math.nan
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(distances, cycles, metric="precomputed"))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan
