"""Part of an image that a 2D network computes instead of all of it, the same in all slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.types import Mask, VoxelBox, VoxelIndex

_EDGE = 2
"""Pixels of the image that count as the edge of a part."""


@dataclass(frozen=True)
class ResampledAxis:
    """Axis of ``image`` pixels, resampled to ``network`` pixels, and these padded.

    ``pad`` pixels were added before them; ``padded`` is the number of all.
    """

    image: int
    network: int
    pad: int
    padded: int

    def positions(self) -> NDArray[np.float64]:
        """Return where bilinear resampling reads the (image,) pixels, in padded pixels."""
        # As with align_corners=False, which resamples the logits of whole images.
        at = (np.arange(self.image) + 0.5) * self.network / self.image - 0.5
        return at.clip(0, self.network - 1) + self.pad

    def around(self, first: int, last: int, *, margin: float, fewest: int) -> slice:
        """Return the padded pixels for image pixels ``first`` to ``last``.

        ``margin`` pixels are added on both sides, and more if they would be ``fewest`` or less.
        """
        at = self.positions()
        low = int(np.floor(at[first] - margin))
        size = max(int(np.ceil(at[last] + margin)) + 1 - low, fewest)
        # A part that was enlarged to ``fewest`` pixels still has the voxels in its middle.
        low = min(low, int(np.floor((at[first] + at[last] + 1 - size) / 2)))
        low = max(min(low, self.padded - size), 0)
        return slice(low, min(low + size, self.padded))

    def determined(self, part: slice) -> slice:
        """Return the image pixels that are resampled from a part of the padded pixels alone."""
        at = self.positions()
        inside = np.flatnonzero((np.floor(at) >= part.start) & (np.ceil(at) < part.stop))
        return slice(int(inside[0]), int(inside[-1]) + 1)

    def widened(self, part: slice, *, before: int, after: int) -> slice:
        """Return a part with more padded pixels before and after it, as far as there are any."""
        return slice(max(part.start - before, 0), min(part.stop + after, self.padded))


@dataclass(frozen=True)
class Cutout:
    """Part of an image in the same pixels of all slices, or of some of them.

    ``axes`` are the two axes within slices, in the order of the network, and ``parts`` the padded
    pixels along each. ``numbers`` are the numbers of slice axis and both axes in an image (Z, Y,
    X), and ``starts`` the first voxels there that nnU-Net did not crop away; ``slices`` is the
    number of slices that it kept. ``chosen`` are those of them to compute, None for all.
    """

    axes: tuple[ResampledAxis, ResampledAxis]
    parts: tuple[slice, slice]
    numbers: tuple[int, int, int]
    starts: tuple[int, int, int]
    slices: int
    chosen: tuple[int, ...] | None = None

    @property
    def slice_axis(self) -> int:
        """Axis of the slices in an image (Z, Y, X)."""
        return self.numbers[0]

    @property
    def chosen_slices(self) -> list[int] | None:
        """Numbers of the slices to compute, in the image; None for all."""
        return None if self.chosen is None else [self.starts[0] + number for number in self.chosen]

    def with_slices(self, wanted: NDArray[np.bool_]) -> Cutout:
        """Return the part in the ``wanted`` slices of the image only, (Z,) bool."""
        kept = wanted[self.starts[0] : self.starts[0] + self.slices]
        return replace(self, chosen=tuple(np.flatnonzero(kept).tolist()))

    @property
    def voxels(self) -> VoxelIndex:
        """Voxels of the image (Z, Y, X) that are computed: those of `box` in the chosen slices."""
        chosen, box = self.chosen_slices, self.box
        if chosen is None:
            return box
        z, y, x = (chosen if axis == self.slice_axis else box[axis] for axis in range(3))
        return z, y, x

    @property
    def box(self) -> VoxelBox:
        """Voxels of the image (Z, Y, X) that the part determines."""
        sides = [slice(0, self.slices), *self._determined]
        moved = [
            slice(side.start + start, side.stop + start)
            for side, start in zip(sides, self.starts, strict=True)
        ]
        z, y, x = (moved[self.numbers.index(axis)] for axis in range(3))
        return z, y, x

    @property
    def is_whole(self) -> bool:
        """Whether the part is all that the network would compute in a slice."""
        lengths = [part.stop - part.start for part in self.parts]
        return lengths == [axis.padded for axis in self.axes]

    @property
    def _determined(self) -> list[slice]:
        return [axis.determined(part) for axis, part in zip(self.axes, self.parts, strict=True)]

    def take(self, data: torch.Tensor) -> torch.Tensor:
        """Return the part of padded data (channels, Z, Y, X)."""
        part = data[(slice(None), slice(None), *self.parts)]
        return part if self.chosen is None else part[:, list(self.chosen)]

    def resample(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits (C, Z, y, x) of the part on the voxels of its box, bilinearly."""
        grids = []
        for axis, part, side in zip(self.axes, self.parts, self._determined, strict=True):
            at = axis.positions()[side] - part.start
            # grid_sample counts from -1 to 1 between the outer edges of the pixels.
            grids.append(torch.from_numpy(2 * (at + 0.5) / (part.stop - part.start) - 1).float())
        y, x = torch.meshgrid(*grids, indexing="ij")
        grid = torch.stack([x, y], dim=-1).to(logits.device)
        slices = logits.transpose(0, 1)
        # Without border mode, which mps lacks before torch 2.13; no pixel of the box needs it.
        resampled = torch.nn.functional.grid_sample(
            slices, grid.expand(len(slices), -1, -1, -1), align_corners=False
        )
        return resampled.transpose(0, 1)

    def widened(self, reaches: Callable[[VoxelBox], bool], *, by: Sequence[int]) -> Cutout | None:
        """Return a wider part if something reaches an edge of the `box`, else None.

        ``reaches`` is called with the voxels of an edge, counted from the start of the box. The
        part gets ``by`` (y, x) pixels of the network on these sides. An edge where the image ends
        is not asked for.
        """
        parts = []
        for index, (axis, part) in enumerate(zip(self.axes, self.parts, strict=True)):
            first, last = (
                self._edge(index + 1, side) for side in (slice(0, _EDGE), slice(-_EDGE, None))
            )
            before = by[index] if part.start > 0 and reaches(first) else 0
            after = by[index] if part.stop < axis.padded and reaches(last) else 0
            parts.append(axis.widened(part, before=before, after=after))
        return None if tuple(parts) == self.parts else replace(self, parts=(parts[0], parts[1]))

    def _edge(self, axis: int, side: slice) -> VoxelBox:
        """Return the voxels at one side of an axis of the network, all along the others."""
        number = self.numbers[axis]
        z, y, x = (side if other == number else slice(None) for other in range(3))
        return z, y, x


def cutout_around(
    found: Mask,
    properties: dict[str, Any],
    *,
    network: Sequence[int],
    padded: Sequence[int],
    pads: Sequence[int],
    numbers: tuple[int, int, int],
    margin: Sequence[float],
    patch: Sequence[int],
) -> Cutout | None:
    """Return the part of an image around the ``found`` voxels (Z, Y, X), at least a patch large.

    Parameters
    ----------
    found : array, (Z, Y, X) bool
        Voxels of the image.
    properties : dict
        nnU-Net's properties of the preprocessed image.
    network, padded, pads : sequence of int
        Number of pixels along (y, x) of the network, the same with padding, and those added before.
    numbers : tuple of int
        Axes of the image (Z, Y, X) in the order of the network.
    margin : sequence of float
        Pixels of the network along (y, x) to add on each side.
    patch : sequence of int
        Patch (y, x) of the network.

    Returns
    -------
    Cutout or None
        None if nothing was found where nnU-Net did not crop the image.
    """
    cropped = [slice(*edges) for edges in properties["bbox_used_for_cropping"]]
    inside = np.moveaxis(found, numbers, (0, 1, 2))[tuple(cropped)]
    if not inside.any():
        return None
    axes, parts = [], []
    for index in range(2):
        axis = ResampledAxis(inside.shape[index + 1], network[index], pads[index], padded[index])
        along = np.flatnonzero(inside.any(axis=(0, 2 - index)))
        axes.append(axis)
        parts.append(
            axis.around(int(along[0]), int(along[-1]), margin=margin[index], fewest=patch[index])
        )
    starts = (cropped[0].start, cropped[1].start, cropped[2].start)
    return Cutout(
        axes=(axes[0], axes[1]),
        parts=(parts[0], parts[1]),
        numbers=numbers,
        starts=starts,
        slices=inside.shape[0],
    )
