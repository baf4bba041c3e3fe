"""When further members would not change an answer any more."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

LABELS_TOLERANCE: Final = 0.01
"""Share of the foreground whose label may still differ from one look to the next."""
ENTROPY_TOLERANCE: Final = 0.1
"""Share of the summed entropy that may still move, voxel by voxel."""
VOLUME: Final = 0.02
"""Share of its volume by which a structure may still grow or shrink."""
IN_A_ROW: Final = 2
"""So many looks in a row have to find the answer at rest."""


class Stability:
    """Looks at an answer again and again, and says whether it has come to rest.

    It is at rest between two looks where labels, entropy and the volume of every structure have
    moved by no more than `LABELS_TOLERANCE`, `ENTROPY_TOLERANCE` and `VOLUME`.
    """

    def __init__(self) -> None:
        self._before: tuple[NDArray[np.integer], NDArray[np.floating]] | None = None
        self._at_rest = 0

    def look(self, labels: NDArray[np.integer], entropy: NDArray[np.floating]) -> bool:
        """Look at (Z, Y, X) labels and entropy; whether they have been at rest long enough."""
        if self._before is not None:
            rests = _rests(*self._before, labels, entropy)
            self._at_rest = self._at_rest + 1 if rests else 0
        self._before = labels, entropy
        return self._at_rest >= IN_A_ROW


def _rests(
    labels: NDArray[np.integer],
    entropy: NDArray[np.floating],
    new_labels: NDArray[np.integer],
    new_entropy: NDArray[np.floating],
) -> bool:
    foreground = np.count_nonzero((labels > 0) | (new_labels > 0))
    differing = np.count_nonzero(labels != new_labels)
    moved = np.abs(entropy - new_entropy).sum(dtype=np.float64)
    highest = int(max(labels.max(initial=0), new_labels.max(initial=0))) + 1
    volumes, new_volumes = (
        np.bincount(of.ravel(), minlength=highest)[1:] for of in (labels, new_labels)
    )
    changes = np.abs(new_volumes - volumes)
    return bool(
        differing <= LABELS_TOLERANCE * foreground
        and moved <= ENTROPY_TOLERANCE * entropy.sum(dtype=np.float64)
        and (changes <= VOLUME * volumes).all()
    )
