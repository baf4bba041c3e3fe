"""Shifts between slices, which breath-holds at different depths leave in a short-axis stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..types import Mask


def slice_shifts(mask: Mask, spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return the (Z,) distance of each slice from the line between both of its neighbours, mm.

    It is that of the centre of a structure, the (Z, Y, X) ``mask``, in the plane of the slices;
    ``spacing`` (z, y, x) in mm. NaN if the structure is not in the slice and both neighbours. A
    curved heart has such distances too.
    """
    sides = [mask.sum(axis=axis) for axis in (2, 1)]  # voxels in each row and column of a slice
    sums = [side @ np.arange(side.shape[1]) for side in sides]
    with np.errstate(invalid="ignore"):  # NaN in a slice without the structure
        centres = np.stack(sums, axis=1) / sides[0].sum(axis=1)[:, None] * spacing[1:]
    shifts = np.full(len(mask), np.nan)
    beside = (centres[:-2] + centres[2:]) / 2
    shifts[1:-1] = np.linalg.norm(centres[1:-1] - beside, axis=1)
    return shifts
