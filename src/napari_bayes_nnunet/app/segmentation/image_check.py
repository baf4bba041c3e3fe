"""Checks of an image before segmentation, and clipping of extreme voxel values."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.counts import format_count, phase_names
from ...core.problems import change
from ...core.slice_axis import contradicts_shape, find_slice_axis
from ...core.types import Spacing
from .. import AppError

Image: TypeAlias = NDArray[Any]
"""(Z, Y, X) or (channels, Z, Y, X)."""

WRONG_SHAPE: Final = (
    "The image has the shape {shape} and the type {type}. Use a (Z, Y, X) image of real numbers."
)
NOT_FINITE: Final = "The image has NaN or infinite voxel values. Replace them before segmenting."
LARGE_VALUES: Final = "The image has voxel values up to {largest:.3g}. Check how it was converted."
WRONG_SPACING: Final = "The spacing {spacing} is invalid. Use three positive lengths in mm."
EMPTY_IMAGE: Final = "All voxels of the image are 0. Choose another image."
CONSTANT_IMAGE: Final = "All voxels of the image are {value:g}. Choose another image."
BLANK_PHASES: Final = (
    "The image of {phases} is blank or invalid. ED and ES were chosen among the other phases."
)
CLIPPED: Final = (
    "Extreme voxel values such as {furthest:.3g} were clipped to {limit:.3g} ({count})."
)
ODD_SLICES: Final = (
    "Blank slices, or copies of the slice before, make the volumes wrong (slice {numbers}). Export "
    "the image again."
)
_LARGEST: Final = 1e18
"""Largest voxel value: the variance of larger ones overflows float32, and no scanner has them."""
_SHARE: Final = 0.1
"""Percent of the voxels at either end that may be outliers."""
_FAR: Final = 5
"""Distance from the other 99.8 %, in multiples of their range, from which a voxel is an outlier.

The furthest voxel in 611 volumes of ACDC, Sunnybrook and another scanner is at 1.2.
"""
_FAR_CONSTANT: Final = 0.25
"""The same for an extreme value (not 0) of more than `_SHARE`, which is at most at 0.04 there."""


def checked_image(image: Image, spacing: Spacing) -> tuple[Image, tuple[str, ...]]:
    """Return the image as (channels, Z, Y, X), and sentences on what was changed.

    An image without outliers is returned as it is. Raises AppError if it cannot be segmented.
    """
    channels = _valid_channels(image, spacing)
    clipped = [_without_outliers(channel) for channel in channels]
    notes = tuple(note for _, note in clipped if note)
    return (np.stack([channel for channel, _ in clipped]) if notes else channels), notes


def odd_slice_warnings(image: Image, spacing: Spacing) -> tuple[str, ...]:
    """Return a warning if slices of (channels, Z, Y, X) are blank, or equal to the one before.

    Blank ones beyond all others are padding. No volume of ACDC or Sunnybrook has such slices.
    """
    planes = np.moveaxis(image, 1 + (find_slice_axis(image.shape[1:], spacing) or 0), 1)
    blank = (planes == planes[:, :, :1, :1]).all(axis=(0, 2, 3))
    first, last = np.flatnonzero(~blank)[[0, -1]] if not blank.all() else (0, 0)
    equal = (planes[:, 1:] == planes[:, :-1]).all(axis=(0, 2, 3))
    odd = [z for z in range(first + 1, last + 1) if blank[z] or equal[z - 1]]
    numbers = ", ".join(str(z + 1) for z in odd)
    return (ODD_SLICES.format(numbers=numbers),) if odd else ()


def usable_phases(cine: Image, spacing: Spacing) -> list[int]:
    """Return the phases, from 1, of a cine (channels, T, Z, Y, X) that can be segmented."""
    return [p for p in range(1, cine.shape[1] + 1) if _is_usable(cine[:, p - 1], spacing)]


def note_on_left_out(usable: Collection[int], count: int) -> str:
    """Return a sentence on the phases of ``count`` without ED and ES; "" if all are usable."""
    left_out = [phase for phase in range(1, count + 1) if phase not in usable]
    return BLANK_PHASES.format(phases=phase_names(left_out)) if usable and left_out else ""


def _is_usable(image: Image, spacing: Spacing) -> bool:
    try:
        return not odd_slice_warnings(_valid_channels(image, spacing), spacing)
    except AppError:
        return False


def _valid_channels(image: Image, spacing: Spacing) -> Image:
    """Return the image as (channels, Z, Y, X). Raises AppError if it cannot be segmented."""
    channels = image[None] if image.ndim == 3 else image
    if channels.ndim != 4 or 0 in channels.shape or channels.dtype.kind not in "buif":
        raise AppError(WRONG_SHAPE, shape=image.shape, type=image.dtype)
    if not np.isfinite(channels).all():
        raise AppError(NOT_FINITE)
    largest = max(abs(float(channels.min())), abs(float(channels.max())))
    if largest > _LARGEST:
        raise AppError(LARGE_VALUES, largest=largest)
    if len(spacing) != 3 or not all(math.isfinite(s) and s > 0 for s in spacing):
        raise AppError(WRONG_SPACING, spacing=spacing)
    # nnU-Net crops to the voxels that are not 0.
    if not channels.any():
        raise AppError(EMPTY_IMAGE)
    # One channel may be blank next to others.
    if all(channel.min() == channel.max() for channel in channels):
        raise AppError(CONSTANT_IMAGE, value=float(channels.flat[0]))
    return channels


def _without_outliers(voxels: Image) -> tuple[Image, str]:
    """Return (Z, Y, X) voxels with outliers moved to the nearest other value, and a note.

    nnU-Net divides by the standard deviation of all voxels, so a single voxel of 1e9 would remove
    the contrast. Voxels of 0 do not count, because many images are padded with them, nor those of
    the lowest and the highest value, with which others are padded.
    """
    ends = voxels.min(), voxels.max()
    others = voxels[(voxels != 0) & (voxels != ends[0]) & (voxels != ends[1])].astype(np.float64)
    if not others.size:
        return voxels, ""
    low, high = np.percentile(others, (_SHARE, 100 - _SHARE))
    are_constant = [end != 0 and 100 * np.mean(voxels == end) > _SHARE for end in ends]
    reach = [(high - low) * (_FAR_CONSTANT if constant else _FAR) for constant in are_constant]
    far = ((voxels < low - reach[0]) | (voxels > high + reach[1])) & (voxels != 0)
    # Without a range, as in a mask, nothing can be far from it.
    if low == high or not far.any():
        return voxels, ""
    near = voxels[~far]
    low, high = near.min(), near.max()
    # As Python's numbers, because the absolute value of the lowest int16 overflows.
    furthest = max(voxels[far].tolist(), key=abs)
    count = format_count(int(np.count_nonzero(far)), "voxel")
    limit = high if furthest > high else low
    return voxels.clip(low, high), CLIPPED.format(count=count, furthest=furthest, limit=limit)


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
        raise AppError(CONTRADICTION, change("spacing"), **_values(shape, spacing))


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
