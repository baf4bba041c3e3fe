"""Outlines at which a map of a slice reaches a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray
from skimage.measure import find_contours

from ..ensemble.stored_posterior import SlicePosterior
from ..types import Mask
from .closed_curve import Points
from .smooth_contours import smooth_contours

_APART: Final = 3
"""Voxels between the outlines of two members while they are smoothed together."""


def trace_outlines(map_: NDArray[Any], level: float) -> list[Points]:
    """Return the closed (m, 2) outlines at which a (Y, X) map reaches ``level``.

    Points are (y, x) in voxels, interpolated between centres; the first is not repeated at the end.
    Each piece and each hole has an outline. A map that stays below the level has none. At the edge
    of the slice, outlines run outside the last voxels.
    """
    boxes = scipy.ndimage.find_objects((map_ >= level).astype(np.uint8))
    if not boxes:
        return []
    y, x = boxes[0]
    # The outline runs between the last voxel inside and the next one, so that one is included.
    first = max(y.start - 1, 0), max(x.start - 1, 0)
    padded = np.pad(map_[first[0] : y.stop + 1, first[1] : x.stop + 1].astype(np.float64), 1)
    contours = find_contours(padded, level)  # type: ignore[no-untyped-call]
    return [np.subtract(outline[:-1], 1) + first for outline in contours]


def level_outlines(
    slice_: SlicePosterior, label: int, levels: Sequence[float] = (0.1, 0.5, 0.9)
) -> list[list[Points]]:
    """Return for each level the outlines at which the structure ``label`` is that probable.

    They are interpolated between voxels. A level that the structure does not reach has no outlines.
    """
    return [trace_outlines(slice_.probabilities[label], level) for level in levels]


def member_outlines(slice_: SlicePosterior, label: int) -> list[list[Points]]:
    """Return for each member the smooth outlines of its structure ``label``, if it has any."""
    masks = slice_.members == label
    outlines: list[list[Points]] = [[] for _ in masks]
    boxes = scipy.ndimage.find_objects(masks.any(axis=0).astype(np.uint8))
    if not boxes:
        return outlines
    # All members lie side by side in one slice, which takes no longer than a few of them alone.
    y, x = boxes[0]
    tiles = np.pad(masks[:, y, x], ((0, 0), (_APART, _APART), (_APART, 0)))
    width = tiles.shape[2]
    row = np.pad(np.concatenate(list(tiles), axis=1), ((0, 0), (0, _APART)))
    for points in smooth_contours(row, [1])[1]:
        member = int(points[:, 1].min() // width)
        origin = y.start - _APART, x.start - _APART - member * width
        outlines[member].append(points + origin)
    return outlines


def hatch_lines(mask: Mask, step: int = 3) -> list[Points]:
    """Return the (2, 2) ends (y, x) of diagonal lines, ``step`` voxels apart, inside a (Y, X) mask.

    Lines rise to the right. They lie at the same places for every mask, so that they stand still
    when it changes.
    """
    lines: list[Points] = []
    mirrored, columns = mask[:, ::-1], mask.shape[1]
    for offset in range(1 - mask.shape[0], columns):
        if offset % step:
            continue
        borders = np.flatnonzero(
            np.diff(np.diagonal(mirrored, offset), prepend=False, append=False)
        )
        first = np.array([max(-offset, 0), columns - 1 - max(offset, 0)])
        for start, end in zip(borders[::2] - 0.5, borders[1::2] - 0.5, strict=True):
            lines.append(first + np.outer([start, end], [1, -1]))
    return lines
