"""What a heart looks like between two slices: their shapes blended through signed distances."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..types import Mask
from .slice_checks import Labels, are_of, checked_same_shape, checked_slice, holes, nearest

_Depth = NDArray[np.float64]

_HALF = 0.5  # a border runs half-way between two voxels' centres


def blended(below: Labels, above: Labels, share: float) -> Labels:
    """(Y, X) labels between two slices, ``share`` of the way from ``below`` to ``above``.

    Each structure's border moves evenly between its two borders, by signed distances in voxels
    (taken as square). A structure that lies in another, as the LV in its myocardium, is blended
    inside the outline of both together: it stays in it, with the wall as thick as in the slices.

    Where a slice lacks a structure, it tapers: as a cone it would reach nothing in that slice,
    withdrawing from the background and staying at structures it leans on, as an RV at the septum.
    A wall that ends with its cavity keeps its thickness around it.

    ValueError for labels that are no slices or of two grids, or a share not between 0 and 1.
    """
    below, above = checked_slice(below), checked_slice(above)
    checked_same_shape(below, above, name="the other slice")
    if not 0 < share < 1:
        raise ValueError(f"A share of the way is more than 0 and less than 1, not {share}.")
    result = np.zeros_like(below)
    boxes = ndimage.find_objects(((below > 0) | (above > 0)).astype(np.uint8))
    if boxes:
        result[boxes[0]] = _blended_box(below[boxes[0]], above[boxes[0]], share)
    return result


def _blended_box(below: Labels, above: Labels, share: float) -> Labels:
    slices = np.stack([np.pad(below, 1), np.pad(above, 1)])
    shapes = _Shapes(slices=slices, parents=_parents(slices))
    result = np.zeros_like(slices[0])
    # What both slices have comes before what tapers, and what lies in something after it.
    for label in sorted(shapes.parents, key=shapes.tapers):
        inside = shapes.depth(label, share) >= 0
        result[(result == shapes.parents[label]) & inside] = label
    # Where three borders meet, single voxels may be left to none.
    left = holes(result) & ~holes(slices[0]) & ~holes(slices[1])
    result[left] = nearest(result, known=result > 0)[left]
    inside_box: Labels = result[1:-1, 1:-1]
    return inside_box


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shapes:
    """The structures of two slices (2, Y, X), whose outermost voxels are background.

    ``parents`` is for each structure, larger before smaller, the one it lies in, 0 for none. A
    structure's region is the structure and all that lies in it.
    """

    slices: Labels
    parents: dict[int, int]

    def tapers(self, label: int) -> bool:
        """Whether one of the slices lacks the structure's region."""
        return not self._regions({label}).any(axis=(1, 2)).all()

    def depth(self, label: int, share: float) -> _Depth:
        """(Y, X) how deep in a structure's region a voxel is between the slices; inside from 0."""
        low, high = self._regions({label})
        if not self.tapers(label):
            return (1 - share) * _signed(low) + share * _signed(high)
        away = share if low.any() else 1 - share
        return self._leaning(label) - away * self._withdrawal(label)

    def _withdrawal(self, label: int) -> float:
        """How far a structure is withdrawn in the slice that lacks it: as far as it is deep.

        A wall is withdrawn as far as the cavity in it, and so keeps its thickness. On the last
        slices of real hearts that is nearer to the truth than a wall that thins to nothing, or
        than a cavity that ends before its wall.
        """
        cavities = [child for child, parent in self.parents.items() if parent == label]
        if cavities:
            return max(self._withdrawal(cavity) for cavity in cavities)
        return float(self._leaning(label).max()) + _HALF

    def _leaning(self, label: int) -> _Depth:
        """(Y, X) depth in a region that one slice lacks, from the background only.

        Not from larger structures beside it, at which it shall stay; in these the depth falls.
        """
        regions = self._regions({label})
        there = 0 if regions[0].any() else 1
        larger = itertools.takewhile(lambda other: other != label, self.parents)
        beside = {other for other in larger if self.parents[other] == self.parents[label]}
        together = self._regions({label, *beside})[there]
        outside: _Depth = ndimage.distance_transform_edt(~regions[there])
        return np.where(together, _signed(together) - outside, _HALF - outside)

    def _regions(self, structures: set[int]) -> Mask:
        """(2, Y, X) structures and all that lies in them."""
        region = set(structures)
        for child, parent in self.parents.items():
            if parent in region:
                region.add(child)
        return are_of(self.slices, region)


def _parents(slices: Labels) -> dict[int, int]:
    """For each structure, larger before smaller, the one it lies in, 0 for none.

    A structure lies in the one that makes up more than half of its border in both slices
    together: so does an LV also where its ring is open, but no RV, which only leans on it.
    """
    sizes = {
        int(label): np.prod(np.ptp(np.argwhere(slices == label), axis=0)[1:] + 1)
        for label in np.unique(slices[slices > 0])
    }
    parents: dict[int, int] = {}
    for label in sorted(sizes, key=lambda label: (-sizes[label], label)):
        shares = _border_shares(slices, label)
        around = max(parents, key=lambda larger: shares[larger], default=0)
        parents[label] = around if shares[around] > 0.5 else 0
    return parents


def _border_shares(slices: Labels, label: int) -> NDArray[np.float64]:
    """(256,) the share of a structure's border in (2, Y, X) slices that is with each label."""
    counts = np.zeros(256)
    for axis in (1, 2):
        along = np.moveaxis(slices, axis, 0)
        for own, other in ((along[:-1], along[1:]), (along[1:], along[:-1])):
            beside = other[(own == label) & (other != label)]
            counts += np.bincount(beside, minlength=256)
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _signed(mask: Mask) -> _Depth:
    """Distance to the border of a mask in voxels, above 0 inside and below 0 outside."""
    inside: _Depth = ndimage.distance_transform_edt(mask)
    outside: _Depth = ndimage.distance_transform_edt(~mask)
    return np.where(mask, inside - _HALF, _HALF - outside)
