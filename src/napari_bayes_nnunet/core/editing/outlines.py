"""Outlines of where a map of a slice reaches a level."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from .closed_curve import Points


def outlines_of(map_: NDArray[Any], level: float) -> list[Points]:
    """Closed (m, 2) outlines of where a (Y, X) map reaches ``level``, the end left open.

    (y, x) in voxels, interpolated between their centres, one for each piece and each hole; none
    where the map stays below. Along the edge of the slice they run outside the last voxels.
    """
    boxes = ndimage.find_objects((map_ >= level).astype(np.uint8))
    if not boxes:
        return []
    y, x = boxes[0]
    # One voxel more, where there is one: the outline runs between it and the last one inside.
    first = max(y.start - 1, 0), max(x.start - 1, 0)
    around = np.pad(map_[first[0] : y.stop + 1, first[1] : x.stop + 1].astype(np.float64), 1)
    found = find_contours(around, level)  # type: ignore[no-untyped-call]
    return [np.subtract(outline[:-1], 1) + first for outline in found]
