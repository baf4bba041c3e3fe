"""What every correction of a slice keeps to: its form, its protected structures, no holes left."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..types import Mask

Labels = NDArray[np.uint8]


def checked_slice(labels: Labels) -> Labels:
    """(Y, X) uint8 ``labels`` as they are; ValueError for another shape or type."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(
            f"A slice is (Y, X) labels in uint8, not {labels.shape} in {labels.dtype}."
        )
    return labels


def checked_same_shape(labels: Labels, other: NDArray[Any], *, name: str) -> None:
    """ValueError, which calls ``other`` by its ``name``, unless both are (Y, X) of one grid."""
    if other.shape != labels.shape:
        raise ValueError(f"The slice is {labels.shape}, {name} {other.shape}: not one grid.")


def checked_structures(structures: Collection[int]) -> tuple[int, ...]:
    """Labels of structures, sorted; ValueError for one that is background or no uint8."""
    for label in structures:
        if not 1 <= label <= 255:
            raise ValueError(f"Label {label} is no structure; these are 1 to 255.")
    return tuple(sorted(set(structures)))


def are_of(labels: Labels, structures: Collection[int]) -> Mask:
    """Where (Y, X) ``labels`` are one of the ``structures``; ValueError as checked_structures."""
    # A table is several times faster than np.isin, and used at every move of a slider.
    table = np.zeros(256, np.bool_)
    table[list(checked_structures(structures))] = True
    return table[labels]


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece of a (Y, X) ``mask``, the first of equals; none of an empty one.

    Voxels that touch only at a corner are not connected.
    """
    pieces, count = ndimage.label(mask)
    if count <= 1:
        return np.asarray(mask, np.bool_)
    largest: Mask = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return largest


def give_up(
    labels: Labels,
    voxels: Mask,
    *,
    protected: Collection[int] = (),
    beside: Collection[int] = (),
) -> Labels:
    """(Y, X) labels in which the ``voxels`` no longer belong to the structure they have now.

    They become background, except where that would make no sense in a heart:

    - what would be left as a hole beside another structure, cut off from the background around
      the heart, takes the nearest other structure: where an LV in its ring of myocardium shrinks,
      the myocardium follows, and where an RV draws back from the middle of the septum, the septum
      does;
    - the structures ``beside`` follow wherever they touch: a voxel nearer to one of them than to
      anything else takes it, also where the ring is open.

    A protected structure is not gained; what it would have taken becomes background.
    """
    labels = checked_slice(labels)
    checked_same_shape(labels, voxels, name="the voxels given up")
    result = labels.copy()
    if (labels[voxels] > 0).any():
        # Whatever is nearest lies inside the box of all structures or one voxel around it.
        ((y, x),) = ndimage.find_objects((labels > 0).astype(np.uint8))
        box, voxels = np.pad(labels[y, x], 1), np.pad(voxels[y, x], 1)
        result[y, x] = _given_up(box, voxels & (box > 0), protected, beside)[1:-1, 1:-1]
    return result


def _given_up(
    labels: Labels, voxels: Mask, protected: Collection[int], beside: Collection[int]
) -> Labels:
    without = np.where(voxels, np.uint8(0), labels)
    hole = holes(without)
    result = without.copy()
    for label in np.unique(labels[voxels]):
        own = voxels & (labels == label)
        others = (without != 0) & (without != label)
        taken = np.where(_touching(own & hole, others), nearest(without, known=others), np.uint8(0))
        if beside:
            around = nearest(without, known=~own & (without != label))
            follows = are_of(around, beside) & _touching(own, are_of(without, beside))
            taken = np.where(follows, around, taken)
        result[own] = np.where(are_of(taken, protected), np.uint8(0), taken)[own]
    return result


def _touching(mask: Mask, others: Mask) -> Mask:
    """The pieces of a mask that touch one of the others."""
    pieces, count = ndimage.label(mask)
    touched = np.zeros(count + 1, np.bool_)
    touched[pieces[ndimage.binary_dilation(others)]] = True
    touched[0] = False
    touching: Mask = touched[pieces]
    return touching


def holes(labels: Labels) -> Mask:
    """(Y, X) background that structures cut off from the background around the heart."""
    parts, _ = ndimage.label(np.pad(labels == 0, 1, constant_values=True))
    cut_off: Mask = parts > 1  # the part of the first corner, around all, is the first
    return cut_off[1:-1, 1:-1]


def nearest(labels: Labels, *, known: Mask) -> Labels:
    """(Y, X) for every voxel the label of the nearest known one; background where none is."""
    if not known.any():
        return np.zeros_like(labels)
    y, x = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    found: Labels = labels[y, x]
    return found
