"""Outlines of where a map of a slice reaches a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from ..ensemble.stored_posterior import SlicePosterior
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


def outlines_at(
    slice_: SlicePosterior, label: int, levels: Sequence[float] = (0.1, 0.5, 0.9)
) -> list[list[Points]]:
    """For each level the outlines of where the structure ``label`` is at least that probable.

    Interpolated between voxels. Where the structure comes nowhere near a level there is none.
    ValueError for a label the posterior does not have, or a level not between 0 and 1.
    """
    _check(slice_, label)
    for level in levels:
        if not 0 < level < 1:
            raise ValueError(f"An inclusion is a probability between 0 and 1, not {level}.")
    return [outlines_of(slice_.probabilities[label], level) for level in levels]


def member_outlines(slice_: SlicePosterior, label: int) -> list[list[Points]]:
    """For each member the outlines of its structure ``label``; none where it has none.

    ValueError for a label the posterior does not have.
    """
    _check(slice_, label)
    return [outlines_of(labels == label, 0.5) for labels in slice_.members]


def _check(slice_: SlicePosterior, label: int) -> None:
    classes = len(slice_.probabilities)
    if not 1 <= label < classes:
        raise ValueError(f"There is no structure {label}; the posterior has 1 to {classes - 1}.")
