"""Stopping rule: further members would no longer change a result."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LABELS_TOLERANCE: Final = 0.01
"""Share of the foreground whose labels may differ between two results."""
ENTROPY_TOLERANCE: Final = 0.1
"""Share of the summed entropy that may change, voxel by voxel."""
VOLUME: Final = 0.02
"""Share by which the volume of a structure may change."""
IN_A_ROW: Final = 2
"""Number of successive small changes after which a result is stable."""


class Stability:
    """Comparison of successive results, which reports when they have become stable.

    Two results agree if labels, entropy and the volume of every structure changed by no more than
    `LABELS_TOLERANCE`, `ENTROPY_TOLERANCE` and `VOLUME`.
    """

    def __init__(self) -> None:
        self._before: tuple[NDArray[np.integer], NDArray[np.floating]] | None = None
        self._agreements = 0

    def update(self, labels: NDArray[np.integer], entropy: NDArray[np.floating]) -> bool:
        """Compare (Z, Y, X) labels and entropy with the last ones; return True once stable."""
        if self._before is not None:
            agrees = _agree(*self._before, labels, entropy)
            self._agreements = self._agreements + 1 if agrees else 0
        self._before = labels, entropy
        return self._agreements >= IN_A_ROW


def _agree(
    labels: NDArray[np.integer],
    entropy: NDArray[np.floating],
    new_labels: NDArray[np.integer],
    new_entropy: NDArray[np.floating],
) -> bool:
    foreground = np.count_nonzero((labels > 0) | (new_labels > 0))
    changed_labels = np.count_nonzero(labels != new_labels)
    entropy_change = np.abs(entropy - new_entropy).sum(dtype=np.float64)
    highest = int(max(labels.max(initial=0), new_labels.max(initial=0))) + 1
    volumes, new_volumes = (
        np.bincount(array.ravel(), minlength=highest)[1:] for array in (labels, new_labels)
    )
    volume_changes = np.abs(new_volumes - volumes)
    return bool(
        changed_labels <= LABELS_TOLERANCE * foreground
        and entropy_change <= ENTROPY_TOLERANCE * entropy.sum(dtype=np.float64)
        and (volume_changes <= VOLUME * volumes).all()
    )
