"""Sentences on the axis of an image along which its slices lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...core.problems import Action
from ...core.slice_axis import contradicts_shape, find_slice_axis
from ...core.types import Spacing
from .. import AppError

CONTRADICTION: Final = (
    "The spacing of the image ({spacing} mm) contradicts its shape ({shape}), because the axis "
    "with the largest spacing is not the one with few slices."
)
UNKNOWN_SLICES: Final = (
    "Neither spacing ({spacing} mm) nor shape ({shape}) of the image tells where its slices are, "
    "so its first axis was taken."
)
SLICES_FOUND: Final = (
    "The slices were found on axis {axis} of the image and moved to the first axis for the "
    "network. The results have the axes of the image."
)


def check_slices(shape: Sequence[int], spacing: Spacing) -> None:
    """Raise AppError if spacing and shape (z, y, x) cannot both be right."""
    if contradicts_shape(shape, spacing):
        raise AppError(CONTRADICTION, Action.GIVE_SPACING, **_values(shape, spacing))


def slice_warnings(shape: Sequence[int], spacing: Spacing) -> tuple[str, ...]:
    """Return a warning if it cannot be told which axis (z, y, x) holds the slices.

    The image is not refused: a stack that was resampled to equal steps is such an image, and its
    slices are on the first axis unless somebody has moved them.
    """
    if find_slice_axis(shape, spacing) is not None:
        return ()
    return (UNKNOWN_SLICES.format(**_values(shape, spacing)),)


def slice_notes(shape: Sequence[int], spacing: Spacing) -> tuple[str, ...]:
    """Return a note if the slices are on another axis (z, y, x) than the first."""
    axis = find_slice_axis(shape, spacing)
    return () if axis in (None, 0) else (SLICES_FOUND.format(axis=axis + 1),)


def _values(shape: Sequence[int], spacing: Spacing) -> dict[str, str]:
    return {
        "spacing": " × ".join(f"{step:.4g}" for step in spacing),
        "shape": " × ".join(str(length) for length in shape[-3:]),
    }
