"""Check, warning and note on the axis of an image that holds its slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...core.problems import Action
from ...core.slice_axis import contradicts_shape, find_slice_axis
from ...core.types import Spacing
from .. import AppError

CONTRADICTION: Final = (
    "The spacing ({spacing} mm) and the shape ({shape}) of the image contradict each other, "
    "because the axis with the largest spacing has far more voxels than another."
)
UNKNOWN_SLICES: Final = (
    "Neither the spacing ({spacing} mm) nor the shape ({shape}) of the image shows along which "
    "axis its slices lie, so the first axis was used."
)
SLICES_FOUND: Final = (
    "The slices lie along axis {axis} of the image, so this axis was moved to the front for the "
    "network. The results have the axes of the image."
)


def check_slices(shape: Sequence[int], spacing: Spacing) -> None:
    """Raise AppError if spacing and shape (z, y, x) cannot both be right."""
    if contradicts_shape(shape, spacing):
        raise AppError(CONTRADICTION, Action.GIVE_SPACING, **_values(shape, spacing))


def slice_warnings(shape: Sequence[int], spacing: Spacing) -> tuple[str, ...]:
    """Return a warning if it is unclear which axis (z, y, x) holds the slices.

    The image is not refused, because a stack that was resampled to equal voxels looks like this.
    Its slices lie along the first axis unless somebody has moved them.
    """
    if find_slice_axis(shape, spacing) is not None:
        return ()
    return (UNKNOWN_SLICES.format(**_values(shape, spacing)),)


def slice_notes(shape: Sequence[int], spacing: Spacing) -> tuple[str, ...]:
    """Return a note if the slices do not lie along the first axis (z, y, x)."""
    axis = find_slice_axis(shape, spacing)
    return () if axis in (None, 0) else (SLICES_FOUND.format(axis=axis + 1),)


def _values(shape: Sequence[int], spacing: Spacing) -> dict[str, str]:
    return {
        "spacing": " × ".join(f"{step:.4g}" for step in spacing),
        "shape": " × ".join(str(length) for length in shape[-3:]),
    }
