"""Stopping rule: further members would no longer change a slice."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LABELS_TOLERANCE: Final = 0.02
"""Share of the foreground whose labels may differ between two results."""
ENTROPY_TOLERANCE: Final = 0.2
"""Share of the summed entropy that may change, voxel by voxel."""
VOLUME: Final = 0.05
"""Share by which the volume of a structure may change."""


class Stability:
    """Comparison of successive results, which tells the slices that have come to rest.

    A slice is at rest if labels, entropy and the area of every structure changed by no more than
    `LABELS_TOLERANCE`, `ENTROPY_TOLERANCE` and `VOLUME` of their amount in the slice, or of their
    mean over the slices if that is more. So the changes of all slices at rest add up to at most
    twice these shares of a volume.
    """

    def __init__(self) -> None:
        self._before: tuple[NDArray[np.integer], NDArray[np.floating]] | None = None

    def update(
        self, labels: NDArray[np.integer], entropy: NDArray[np.floating]
    ) -> NDArray[np.bool_]:
        """Compare (Z, Y, X) labels and entropy with the last ones; return (Z,) slices at rest."""
        before, self._before = self._before, (labels, entropy)
        if before is None:
            # The first result has nothing to be compared with.
            return np.zeros(len(labels), bool)
        return _at_rest(*before, labels, entropy)


def _at_rest(
    labels: NDArray[np.integer],
    entropy: NDArray[np.floating],
    new_labels: NDArray[np.integer],
    new_entropy: NDArray[np.floating],
) -> NDArray[np.bool_]:
    foreground = _per_slice((labels > 0) | (new_labels > 0))
    at_rest = _per_slice(labels != new_labels) <= LABELS_TOLERANCE * _usual(foreground)
    moved = _per_slice(np.abs(entropy - new_entropy))
    at_rest &= moved <= ENTROPY_TOLERANCE * _usual(_per_slice(entropy))
    for structure in range(1, int(max(labels.max(initial=0), new_labels.max(initial=0))) + 1):
        area, new_area = _per_slice(labels == structure), _per_slice(new_labels == structure)
        at_rest &= np.abs(new_area - area) <= VOLUME * _usual(area)
    return at_rest


def _per_slice(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values.sum(axis=tuple(range(1, values.ndim)), dtype=np.float64))


def _usual(amounts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the amount of each slice, or the mean over the slices if that is more."""
    return np.maximum(amounts, amounts.mean() if len(amounts) else 0)
