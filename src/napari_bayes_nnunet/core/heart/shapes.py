"""Plausibility of the shapes of a heart's structures, without a reference."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from ..types import LabelMap

_TOUCHING = ndimage.generate_binary_structure(3, 2)
"""Voxels that share a face or an edge are connected."""


def fragment_share(labels: LabelMap, structures: Iterable[int]) -> float:
    """Return the share 0 … 1 of the structures' voxels that lie in separate pieces.

    ``labels`` (Z, Y, X). Pieces are voxels outside the largest connected part of their structure,
    such as those beyond a slice without the structure. 0 if no structure is drawn.
    """
    separate = drawn = 0
    for label in structures:
        mask = labels == label
        parts, count = ndimage.label(mask, _TOUCHING)
        if count:
            sizes = np.bincount(parts[mask])
            separate += int(sizes.sum() - sizes.max())
            drawn += int(sizes.sum())
    return separate / drawn if drawn else 0.0


def open_wall_share(labels: LabelMap, cavity: int, wall: int) -> float:
    """Return the share 0 … 1 of the cavity's contour that does not touch the wall.

    ``labels`` (Z, Y, X); the contour runs between voxels of one slice. 0 without a cavity.
    """
    touching = contour = 0
    for axis in (1, 2):
        first = labels.take(range(labels.shape[axis] - 1), axis)
        second = labels.take(range(1, labels.shape[axis]), axis)
        for inside, outside in ((first, second), (second, first)):
            beside = outside[(inside == cavity) & (outside != cavity)]
            contour += beside.size
            touching += int(np.count_nonzero(beside == wall))
    return 1 - touching / contour if contour else 0.0
