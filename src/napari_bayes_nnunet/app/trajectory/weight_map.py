"""Maps of sets of weights, on which neighbours in the space of weights are neighbours too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FEWEST: Final = 5
"""Sets of weights below which a t-SNE shows nothing."""
PERPLEXITY: Final = 15.0
"""Neighbours that each epoch of a t-SNE is kept near to, at most: a part of a cycle."""
SEED: Final = 2022


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightMap:
    """t-SNE of n sets of weights: ``places`` (n, 2), which have no unit, at a ``perplexity``."""

    places: NDArray[np.float64]
    perplexity: float


def t_sne(weights: NDArray[np.float32], cycles: NDArray[np.int64]) -> WeightMap:
    """Map of n (n, P) sets of weights of (n,) cycles, the same each time; n at least ``FEWEST``.

    The perplexity is half as many as a cycle has, within limits: with more neighbours than there
    are of its own cycle, every cycle would shrink to a point.
    """
    from sklearn.manifold import TSNE

    of_cycle = len(weights) / len(np.unique(cycles))
    perplexity = min(PERPLEXITY, max(2.0, of_cycle / 2))
    machine = TSNE(init="pca", perplexity=perplexity, random_state=SEED)
    places = machine.fit_transform(weights)
    return WeightMap(places=places.astype(np.float64), perplexity=perplexity)
