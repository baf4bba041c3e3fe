"""The contour of a structure in a slice, applied to its labels.

Points are (y, x) in voxels, with whole numbers at the centres of voxels.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..types import Mask
from .closed_curve import fill_curve
from .slice_checks import (
    Labels,
    give_up_voxels,
    largest_piece,
    structure_mask,
)


def contour_region(labels: Labels, label: int, *, inner: Collection[int] = ()) -> Mask:
    """Return the mask (Y, X) that a contour encloses: the largest piece of a structure.

    A wall is outlined together with its cavity ``inner``, such as the myocardium with the LV, so
    that the curve is the outer outline of the wall even if the ring is open.
    """
    return largest_piece(structure_mask(labels, {label, *inner}))


def apply_contour(
    labels: Labels,
    curve: ArrayLike,
    *,
    label: int,
    start: ArrayLike | None = None,
    inner: Collection[int] = (),
    over: Collection[int] = (),
    protected: Collection[int] = (),
) -> Labels:
    """Return (Y, X) labels in which the structure ``label`` ends at a closed (m, 2) ``curve``.

    Inside the curve, background and the structure itself become the structure; other structures
    stay, so the curve of the myocardium does not change the LV. Outside the curve, voxels of the
    piece that `contour_region` returns for the same ``inner`` are given up; other pieces stay.
    Voxels given up become background, unless they are a hole between structures (see
    `give_up_voxels`): the myocardium follows an LV that shrinks in its ring.

    ``start`` is the curve before its handles were moved. With it, only the voxels that the curve
    passed over change, and the changes connected to them. Labels far from the dragged handle stay,
    and a contour that was not moved returns the labels bit for bit.

    ``over`` are structures that share the moved border and follow it in both directions, even if a
    ring is open: {MYO} for the contour of the LV. Inside the curve they are overwritten, and they
    gain the voxels given up next to them. ``protected`` structures neither change nor are gained. A
    curve that contains no centre of a voxel removes the piece. If the structure is absent, the
    curve draws it.
    """
    inside = fill_curve(curve, labels.shape)
    if label in protected:
        return labels.copy()
    yielding = (labels == 0) | structure_mask(labels, {*over} - {label, *protected})
    gained = inside & yielding
    lost = contour_region(labels, label, inner=inner) & (labels == label) & ~inside
    if start is not None:
        moved = _connected_changes(inside ^ fill_curve(start, labels.shape), gained | lost)
        gained, lost = gained & moved, lost & moved
    grown = np.where(gained, np.uint8(label), labels)
    followers = {*over} - {label, *protected}
    return give_up_voxels(grown, lost, protected=protected, beside=followers)


def _connected_changes(passed: Mask, changes: Mask) -> Mask:
    """Return the voxels a curve passed over, and the changes connected to them.

    A smooth curve leaves out steps of the outline to which it was fitted. They would stay behind as
    specks if the curve is moved.
    """
    neighbours = np.ones((3, 3), np.bool_)
    return np.asarray(scipy.ndimage.binary_propagation(passed, neighbours, mask=passed | changes))
