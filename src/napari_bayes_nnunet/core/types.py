"""Types that stand for the same thing in every layer."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Phase: TypeAlias = int | None
"""Phase of a cine, counted from 1; None for an image that has no phases."""
Place: TypeAlias = tuple[Phase, int]
"""Phase, and slice counted from 0."""
Spacing: TypeAlias = tuple[float, float, float]
"""Distance of voxels along (z, y, x) in mm."""
VoxelBox: TypeAlias = tuple[slice, slice, slice]
"""Voxels (z, y, x) of an image."""
VoxelIndex: TypeAlias = tuple[slice | list[int], slice | list[int], slice | list[int]]
"""Voxels (z, y, x) of an image, with the numbers of the slices on one axis; or a `VoxelBox`."""
Mask: TypeAlias = NDArray[np.bool_]
LabelMap: TypeAlias = NDArray[np.integer]
