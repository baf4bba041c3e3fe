"""Which voxels lie at the contours of a label map, and which far from them.

A contour runs between any two voxels of one slice that have different labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from ..types import Mask
from .overlap import LabelMap

GROSS_MM: Final = 3.0
"""Farther than this from a contour, an error is gross, and doubt more than a border's blur."""


def border_band(labels: LabelMap) -> Mask:
    """(Z, Y, X) the one voxel on either side of every contour of (Z, Y, X) labels."""
    return _differs_from_any(labels, [(0, 1), (1, 0)])


def far_from_contours(
    labels: LabelMap, spacing: Sequence[float], *, farther_than: float = GROSS_MM
) -> Mask:
    """(Z, Y, X) voxels with no voxel of another label within ``farther_than`` mm in their slice.

    ``labels`` (Z, Y, X), ``spacing`` (z, y, x) in mm. Distances are from centre to centre. In a
    slice of one label there is no contour, and all is far from it.
    """
    step_y, step_x = spacing[1:]
    _, height, width = labels.shape
    reach_y = min(height - 1, math.ceil(farther_than / step_y))
    reach_x = min(width - 1, math.ceil(farther_than / step_x))
    # Half of the disc: to compare one voxel with another is to compare the other with it.
    disc = (
        (y, x)
        for y in range(reach_y + 1)
        for x in range(-reach_x, reach_x + 1)
        if (y > 0 or x > 0) and math.hypot(y * step_y, x * step_x) <= farther_than
    )
    return ~_differs_from_any(labels, disc)


def _differs_from_any(labels: LabelMap, steps: Iterable[tuple[int, int]]) -> Mask:
    """Voxels with another label than the one ``steps`` (y, x) away, there or back."""
    labels = np.asarray(labels)
    _, height, width = labels.shape
    differs = np.zeros(labels.shape, bool)
    for y, x in steps:
        here = (slice(None), slice(0, height - y), slice(max(0, -x), width - max(0, x)))
        there = (slice(None), slice(y, height), slice(max(0, x), width - max(0, -x)))
        unlike = labels[here] != labels[there]
        differs[here] |= unlike
        differs[there] |= unlike
    return differs
