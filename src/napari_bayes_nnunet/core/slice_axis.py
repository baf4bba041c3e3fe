"""Axis along which the slices of a short-axis stack lie, found from spacing and shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

COARSE: Final = 1.5
"""Lowest ratio at which the coarsest of three spacings is the distance between slices."""
FEW: Final = 4
"""Lowest ratio by which the axis of the slices has fewer voxels than both others."""


THICK: Final = 3.0
"""Smallest distance of two slices on a fourth axis, mm."""
STACK_LENGTH: Final = (20.0, 250.0)
"""Extent of a stack of slices, mm."""
BEATS: Final = ((0.3, 3.0), (300.0, 3000.0))
"""Duration of a cine in s and in ms; the header often does not name the unit."""


def find_slice_axis(shape: Sequence[int], spacing: Sequence[float]) -> int | None:
    """Return the axis of the slices (0, 1 or 2), or None if spacing and shape do not show it.

    ``shape`` and ``spacing`` are those of the last three axes. The slices lie along the one coarse
    axis; if no axis is coarse, along the one with far fewer voxels. A coarse first axis, the usual
    case, may have any length; any other coarse axis must be the shortest.
    """
    lengths, coarse = tuple(shape[-3:]), coarse_axis(shape, spacing)
    if coarse is None:
        return axis_with_few_voxels(shape)
    if contradicts_shape(shape, spacing):
        return None
    return coarse if coarse == 0 or lengths[coarse] < _shortest_other(lengths, coarse) else None


def axis_with_few_voxels(shape: Sequence[int]) -> int | None:
    """Return the one of the last three axes with far fewer voxels than both others, or None."""
    lengths = tuple(shape[-3:])
    few = [axis for axis in range(3) if lengths[axis] * FEW <= _shortest_other(lengths, axis)]
    return few[0] if few else None


def contradicts_shape(shape: Sequence[int], spacing: Sequence[float]) -> bool:
    """Return whether another axis has far fewer voxels than the coarse one.

    No stack of slices looks like this; an array whose axes were swapped without its header does.
    """
    lengths, coarse = tuple(shape[-3:]), coarse_axis(shape, spacing)
    return coarse is not None and _shortest_other(lengths, coarse) * FEW <= lengths[coarse]


def coarse_axis(shape: Sequence[int], spacing: Sequence[float]) -> int | None:
    """Return the axis that is `COARSE` times coarser than both others, or None.

    The spacing of an axis with a single voxel does not count, because nothing lies at that
    distance.
    """
    if 1 in shape[-3:] or not is_stack(spacing):
        return None
    return max(range(3), key=lambda axis: spacing[axis])


def is_stack(spacing: Sequence[float]) -> bool:
    """Return whether one spacing is `COARSE` times coarser than both others."""
    *_, second, largest = sorted(spacing)
    return largest >= COARSE * second


def fourth_axis_holds_slices(count: int, step: float, pixel: float) -> bool | None:
    """Return whether the ``count`` images along a fourth axis are slices; False for phases.

    ``step`` is their distance in the header, in mm or in a unit of time, and ``pixel`` is the
    spacing in the slice, mm. None if the header does not show it: a step of 1 is its default.
    """
    if step == 1:
        return None
    if step >= max(THICK, COARSE * pixel) and STACK_LENGTH[0] <= count * step <= STACK_LENGTH[1]:
        return True
    return False if any(low <= count * step <= high for low, high in BEATS) else None


def order_with_slices_on(
    axis: int, shape: Sequence[int], spacing: Sequence[float]
) -> tuple[int, int, int]:
    """Return the order of the last three axes that puts the slices on ``axis``.

    The other two axes keep their order. If the axis of the slices is unclear, nothing moves.
    """
    slices = find_slice_axis(shape, spacing)
    if slices is None:
        return 0, 1, 2
    rest = [other for other in range(3) if other != slices]
    rest.insert(axis, slices)
    return rest[0], rest[1], rest[2]


def _shortest_other(lengths: Sequence[int], axis: int) -> int:
    return min(length for other, length in enumerate(lengths) if other != axis)
