"""Correction of a slice, carried to the same slice of another phase."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from ..types import Mask, Spacing
from .slice_checks import Labels

Motion: TypeAlias = NDArray[np.float64]
"""(2, Y, X) row and column in one image of what lies at each voxel of another image."""
MOTION_MARGIN_MM: Final = 20.0
"""Margin around the heart in which motion is estimated, mm."""
_HALF: Final = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class PhaseSlice:
    """Slice of one phase: (Y, X) ``image``, ``predicted`` labels and current ``labels``."""

    image: NDArray[Any]
    predicted: Labels
    labels: Labels


def carry_change(
    source: PhaseSlice,
    target: PhaseSlice,
    members: NDArray[np.uint8],
    *,
    spacing: Spacing,
    protected: Collection[int] = (),
) -> Labels:
    """Return the (Y, X) labels of ``target`` with the changes that were made in ``source``.

    Changed voxels move with the heart, and a voxel takes its corrected label only if at least one
    of the ``members`` (n, Y, X) of the target has this label there. Voxels of the target that
    were corrected already stay, as do ``protected`` structures. ``spacing`` is (z, y, x) in mm.
    """
    before, after, labels = source.predicted, source.labels, target.labels
    box = _heart_box(before, after, labels, spacing=spacing)
    if box is None:
        return labels.copy()
    motion = estimate_motion(source.image[box], target.image[box])
    moved, corrected = move_change(before[box], after[box], motion)
    corrected = np.where(moved, corrected, labels[box])
    seen = (members[(slice(None), *box)] == corrected).any(axis=0)
    fixed = np.isin(labels[box], list(protected)) | np.isin(corrected, list(protected))
    fixed |= labels[box] != target.predicted[box]
    result = labels.copy()
    result[box] = np.where(seen & ~fixed, corrected, labels[box])
    return result


def estimate_motion(source: NDArray[Any], target: NDArray[Any]) -> Motion:
    """Return the place in the (Y, X) source image of each voxel of the target image.

    Dense optical flow by iterative Lucas-Kanade (Le Besnerais and Champagnat 2005), after scaling
    the 1st and the 99th percentile of each image to 0 and 1.
    """
    from skimage.registration import optical_flow_ilk

    # It leads from its first image to its second.
    flow = optical_flow_ilk(  # type: ignore[no-untyped-call]
        _scaled(target), _scaled(source)
    )
    return np.asarray(np.indices(target.shape) + flow, np.float64)


def move_change(before: Labels, after: Labels, motion: Motion) -> tuple[Mask, Labels]:
    """Return which (Y, X) voxels of the target correspond to changed voxels, and their labels.

    A voxel corresponds to changed voxels if more than half of its interpolated value does; it takes
    the corrected label with the largest share.
    """
    changed = before != after
    values = np.unique(after[changed])
    if not len(values):
        return np.zeros(motion.shape[1:], bool), np.zeros(motion.shape[1:], np.uint8)
    shares = np.stack([sample(changed & (after == value), motion) for value in values])
    return shares.sum(axis=0) > _HALF, values[shares.argmax(axis=0)].astype(np.uint8)


def sample(mask: Mask, motion: Motion) -> NDArray[np.float32]:
    """Return the (Y, X) share, 0 … 1, of a mask at the places of a motion, bilinearly."""
    values = scipy.ndimage.map_coordinates(mask.astype(np.float32), motion, order=1, mode="nearest")
    return np.asarray(values, np.float32)


def _heart_box(*slices: Labels, spacing: Spacing) -> tuple[slice, slice] | None:
    """Return the box around all labels with a margin; None without any label."""
    heart = np.any([labels > 0 for labels in slices], axis=0)
    if not heart.any():
        return None
    sides = []
    for axis, step in enumerate(spacing[1:]):
        having = np.flatnonzero(heart.any(axis=1 - axis))
        margin = round(MOTION_MARGIN_MM / step)
        sides.append(slice(max(0, int(having[0]) - margin), int(having[-1]) + margin + 1))
    return sides[0], sides[1]


def _scaled(image: NDArray[Any]) -> NDArray[np.float32]:
    low, high = np.percentile(image, (1, 99))
    scaled = (image - low) / max(float(high - low), np.finfo(np.float32).tiny)
    return np.asarray(np.clip(scaled, 0, 1), np.float32)
