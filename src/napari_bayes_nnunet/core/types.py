"""Types that stand for the same thing in every layer."""

from __future__ import annotations

from typing import Literal, TypeAlias

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
Mirroring: TypeAlias = Literal["full", "spread", "none"]
"""Mirrored copies of the image that a pass sees: all, one in turn with the others, or none."""
Window: TypeAlias = Literal["heart", "whole"]
"""Part of the slices that all members see: a window around the structures, or all of them."""
DropoutPlacement: TypeAlias = Literal["encoder", "everywhere"]
"""Blocks of a network that drop channels: those of the encoder with the bottleneck, or all."""
Augmentation: TypeAlias = Literal["nnunet", "wide"]
"""Random changes of training images: those of nnU-Net, or those of other scanners too."""
LargestComponent: TypeAlias = Literal["auto", "on", "off"]
"""Whether only the largest component is kept: as the ensemble's training data show, or chosen."""
Precision: TypeAlias = Literal["auto", "full"]
"""Numbers of a network: half precision if the device is fast with it, or always float32."""
