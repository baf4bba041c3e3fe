"""Rules for every correction of a slice: protected structures and holes.

Labels are (Y, X) uint8 slices of one grid, and structures are 1 to 255: a study whose labels are
others is refused when it is opened for review.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import scipy
from numpy.typing import NDArray

from ..types import Mask

Labels = NDArray[np.uint8]


def structure_mask(labels: Labels, structures: Collection[int]) -> Mask:
    """Return the mask (Y, X) of the ``structures``, labels from 1 to 255."""
    # A lookup table is several times faster than np.isin, and sliders need this at every move.
    table = np.zeros(256, np.bool_)
    table[list(structures)] = True
    return table[labels]


def largest_piece(mask: Mask) -> Mask:
    """Return the largest connected piece of a (Y, X) ``mask``, the first of equal pieces.

    Voxels that touch only at a corner are not connected. An empty mask stays empty.
    """
    pieces, count = scipy.ndimage.label(mask)
    if count <= 1:
        return np.asarray(mask, np.bool_)
    largest: Mask = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return largest


def pieces_at(mask: Mask, where: Mask, *, corners: bool = False) -> Mask:
    """Return the connected pieces of a (Y, X) ``mask`` with a voxel in the mask ``where``.

    With ``corners``, voxels that touch only at a corner are connected.
    """
    pieces, count = scipy.ndimage.label(mask, structure=np.ones((3, 3)) if corners else None)
    is_touched = np.zeros(count + 1, np.bool_)
    is_touched[pieces[where]] = True
    # Piece 0 is what lies outside the mask.
    is_touched[0] = False
    result: Mask = is_touched[pieces]
    return result


def give_up_voxels(
    labels: Labels,
    voxels: Mask,
    *,
    protected: Collection[int] = (),
    beside: Collection[int] = (),
) -> Labels:
    """Return (Y, X) labels in which the ``voxels`` no longer belong to their current structure.

    They become background, with two exceptions that keep a heart plausible:

    - voxels that would become a hole next to another structure, cut off from the background around
      the heart, take the nearest other structure. The myocardium follows an LV that shrinks in its
      ring, and the septum follows an RV that withdraws from it;
    - structures in ``beside`` follow wherever they touch, even if the ring is open: a voxel that is
      nearest to one of them takes it.

    A protected structure is not gained: voxels it would have taken become background.
    """
    result = labels.copy()
    if (labels[voxels] > 0).any():
        # The nearest structures lie in the box of all structures, enlarged by one voxel.
        ((y, x),) = scipy.ndimage.find_objects((labels > 0).astype(np.uint8))
        box, voxels = np.pad(labels[y, x], 1), np.pad(voxels[y, x], 1)
        result[y, x] = _given_up(box, voxels & (box > 0), protected, beside)[1:-1, 1:-1]
    return result


def _given_up(
    labels: Labels, voxels: Mask, protected: Collection[int], beside: Collection[int]
) -> Labels:
    without = np.where(voxels, np.uint8(0), labels)
    hole = find_holes(without)
    result = without.copy()
    for label in np.unique(labels[voxels]):
        lost = voxels & (labels == label)
        others = (without != 0) & (without != label)
        replacement = np.where(
            _touching(lost & hole, others), nearest_labels(without, known=others), np.uint8(0)
        )
        if beside:
            closest = nearest_labels(without, known=~lost & (without != label))
            follows = structure_mask(closest, beside) & _touching(
                lost, structure_mask(without, beside)
            )
            replacement = np.where(follows, closest, replacement)
        is_protected = structure_mask(replacement, protected)
        result[lost] = np.where(is_protected, np.uint8(0), replacement)[lost]
    return result


def _touching(mask: Mask, others: Mask) -> Mask:
    """Return the pieces of a mask that touch the mask ``others``."""
    return pieces_at(mask, scipy.ndimage.binary_dilation(others))


def find_holes(labels: Labels) -> Mask:
    """Return the mask (Y, X) of background that structures separate from the surroundings."""
    parts, _ = scipy.ndimage.label(np.pad(labels == 0, 1, constant_values=True))
    cut_off: Mask = parts > 1  # part 1 contains the corner, so it surrounds the heart
    return cut_off[1:-1, 1:-1]


def nearest_labels(labels: Labels, *, known: Mask) -> Labels:
    """Return (Y, X) labels in which every voxel has the label of the nearest ``known`` voxel.

    All is background if no voxel is known.
    """
    if not known.any():
        return np.zeros_like(labels)
    y, x = scipy.ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    nearest_labels: Labels = labels[y, x]
    return nearest_labels
