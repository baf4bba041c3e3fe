"""Area of the heart in the slices, and its surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

NEARBY_MM: Final = 15.0
"""Distance from the heart up to which a voxel belongs to its surroundings."""


def find_heart(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the (Y, X) projection of the heart, from labels ([T,] Z, Y, X) with 0 as background.

    It is the connected part with the most labelled voxels; labels elsewhere, such as a kidney taken
    for a ventricle, are left out. It is empty if there are no labels.
    """
    counts = np.count_nonzero(labels, axis=tuple(range(labels.ndim - 2)))
    parts, count = scipy.ndimage.label(counts)
    if not count:
        return np.zeros(counts.shape, bool)
    voxels = scipy.ndimage.sum_labels(counts, parts, index=range(1, count + 1))
    return np.asarray(parts == 1 + int(np.argmax(voxels)))


def find_surroundings(heart: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.bool_]:
    """Return the (Y, X) mask of a heart and `NEARBY_MM` around it; everything if it is empty.

    ``spacing`` (y, x) is in mm.
    """
    if not heart.any():
        return np.ones_like(heart)
    distance = scipy.ndimage.distance_transform_edt(~heart, sampling=spacing)
    return np.asarray(distance <= NEARBY_MM)
