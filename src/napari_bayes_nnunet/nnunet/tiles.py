"""Tiles of an image, placed as nnU-Net places them, and the weighted sum of their logits."""

from __future__ import annotations

from itertools import product

import torch
from nnunetv2.inference.sliding_window_prediction import (
    compute_gaussian,
    compute_steps_for_sliding_window,
)

TileSlices = tuple[slice, ...]
STEP = 0.5
"""Distance between tiles as a share of their size, as in nnU-Net's predictor."""


class Tiles:
    """Tiles of an image (channels, Z, Y, X) with the running sum of a network's logits.

    With a 2D ``patch`` (y, x) a tile is a stack of up to ``slices`` slices; with a 3D patch
    (z, y, x) it is one patch.
    """

    def __init__(
        self,
        image: torch.Tensor,
        patch: tuple[int, ...],
        *,
        slices: int,
        classes: int,
        sums_on: torch.device,
    ) -> None:
        self._image = image
        self._flat = len(patch) == 2
        self._total = torch.zeros((classes, *image.shape[1:]), device=sums_on)
        self._weight = torch.zeros(image.shape[1:], device=sums_on)
        # nnU-Net's float16 weights; only the sums are more exact here.
        self._gaussian = compute_gaussian(patch, value_scaling_factor=10, device=sums_on).float()
        self.windows = place_windows(tuple(image.shape[1:]), patch, slices)

    def patches(self, window: TileSlices) -> torch.Tensor:
        """Return the patches (N, channels, …) of a window: its slices in 2D, one patch in 3D."""
        return patches_of(self._image, window, flat=self._flat)

    def count(self, window: TileSlices) -> int:
        """Return the number of patches in a window."""
        return window[0].stop - window[0].start if self._flat else 1

    def add(self, window: TileSlices, logits: torch.Tensor) -> None:
        """Add the logits (N, C, …) of the patches of a window."""
        part = logits.to(self._total.device)
        part = part.transpose(0, 1) if self._flat else part[0]
        self._total[(slice(None), *window)] += part * self._gaussian
        self._weight[window] += self._gaussian

    def mean(self) -> torch.Tensor:
        """Return the weighted mean of the logits, (C, Z, Y, X)."""
        return self._total.div_(self._weight)


def patches_of(image: torch.Tensor, window: TileSlices, *, flat: bool) -> torch.Tensor:
    """Return the patches (N, channels, …) of a window: its slices if ``flat``, else one patch."""
    tile = image[(slice(None), *window)]
    return tile.transpose(0, 1) if flat else tile[None]


def place_windows(shape: tuple[int, ...], patch: tuple[int, ...], slices: int) -> list[TileSlices]:
    """Return the tiles (z, y, x) of an image, in 2D in stacks of up to ``slices`` slices."""
    steps = compute_steps_for_sliding_window(shape[-len(patch) :], patch, STEP)
    tiles = [
        tuple(slice(start, start + side) for start, side in zip(starts, patch, strict=True))
        for starts in product(*steps)
    ]
    if len(patch) == 3:
        return tiles
    stacks = [slice(z, min(z + slices, shape[0])) for z in range(0, shape[0], slices)]
    return [(stack, *tile) for stack in stacks for tile in tiles]
