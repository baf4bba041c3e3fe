"""Voxels next to the contours of a label map, and voxels far from them.

A contour runs between any two voxels of one slice with different labels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from ..types import LabelMap, Mask

GROSS_MM: Final = 3.0
"""Distance from a contour, in mm, beyond which an error is gross."""


def border_band(labels: LabelMap) -> Mask:
    """Return the mask (Z, Y, X) of the voxels on either side of every contour of ``labels``."""
    return _differs_from_any(labels, [(0, 1), (1, 0)])


def far_from_contours(
    labels: LabelMap, spacing: Sequence[float], *, farther_than: float = GROSS_MM
) -> Mask:
    """Return the mask (Z, Y, X) of voxels more than ``farther_than`` mm from every contour.

    ``labels`` (Z, Y, X), ``spacing`` (z, y, x) in mm. Distances are from centre to centre within
    the slice. In a slice with only one label, all voxels are far.
    """
    step_y, step_x = spacing[1:]
    _, height, width = labels.shape
    reach_y = min(height - 1, math.ceil(farther_than / step_y))
    reach_x = min(width - 1, math.ceil(farther_than / step_x))
    # Half of the disc is enough, because each comparison counts for both voxels.
    disc = (
        (y, x)
        for y in range(reach_y + 1)
        for x in range(-reach_x, reach_x + 1)
        if (y > 0 or x > 0) and math.hypot(y * step_y, x * step_x) <= farther_than
    )
    return ~_differs_from_any(labels, disc)


def _differs_from_any(labels: LabelMap, steps: Iterable[tuple[int, int]]) -> Mask:
    """Return the voxels whose label differs from one ``steps`` (y, x) away, in either direction."""
    labels = np.asarray(labels)
    _, height, width = labels.shape
    differs = np.zeros(labels.shape, bool)
    for y, x in steps:
        first = (slice(None), slice(0, height - y), slice(max(0, -x), width - max(0, x)))
        second = (slice(None), slice(y, height), slice(max(0, x), width - max(0, -x)))
        different = labels[first] != labels[second]
        differs[first] |= different
        differs[second] |= different
    return differs
