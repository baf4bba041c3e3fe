"""Labels between two slices, by blending the signed distances of their shapes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import InputError
from ..types import Mask
from .slice_checks import (
    Labels,
    check_same_shape,
    check_slice,
    find_holes,
    nearest_labels,
    structure_mask,
)

_Depth = NDArray[np.float64]

_HALF = 0.5  # a border is half-way between the centres of two voxels


def blend_slices(below: Labels, above: Labels, share: float) -> Labels:
    """Return (Y, X) labels between two slices, ``share`` of the way from ``below`` to ``above``.

    The border of each structure moves evenly between its two borders, by signed distances in voxels
    (assumed to be square). A structure inside another, such as the LV in its myocardium, is blended
    within the outline of both. It stays inside, and the wall keeps the thickness of the slices.

    If a slice lacks a structure, the structure tapers like a cone that ends in that slice. It
    withdraws from the background and stays at adjacent structures, as an RV stays at the septum. A
    wall that ends together with its cavity keeps its thickness.

    Raises InputError for labels that are not slices or differ in shape, or a share not between 0
    and 1.
    """
    below, above = check_slice(below), check_slice(above)
    check_same_shape(below, above, name="the other slice")
    if not 0 < share < 1:
        raise InputError("Expected a share between 0 and 1, found {share}.", share=share)
    result = np.zeros_like(below)
    boxes = ndimage.find_objects(((below > 0) | (above > 0)).astype(np.uint8))
    if boxes:
        result[boxes[0]] = _blended_box(below[boxes[0]], above[boxes[0]], share)
    return result


def _blended_box(below: Labels, above: Labels, share: float) -> Labels:
    slices = np.stack([np.pad(below, 1), np.pad(above, 1)])
    shapes = _Shapes(slices=slices, parents=_parents(slices))
    result = np.zeros_like(slices[0])
    # Structures of both slices come before those that taper, outer before inner structures.
    for label in sorted(shapes.parents, key=shapes.tapers):
        inside = shapes.depth(label, share) >= 0
        result[(result == shapes.parents[label]) & inside] = label
    # Single voxels may be left without a structure if three borders meet.
    gaps = find_holes(result) & ~find_holes(slices[0]) & ~find_holes(slices[1])
    result[gaps] = nearest_labels(result, known=result > 0)[gaps]
    inside_box: Labels = result[1:-1, 1:-1]
    return inside_box


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shapes:
    """Structures of two slices (2, Y, X), whose outermost voxels are background.

    ``parents`` maps each structure, larger before smaller, to the structure that contains it, or 0.
    The region of a structure is the structure with everything inside it.
    """

    slices: Labels
    parents: dict[int, int]

    def tapers(self, label: int) -> bool:
        """Return whether one of the slices lacks the region of the structure."""
        return not self._regions({label}).any(axis=(1, 2)).all()

    def depth(self, label: int, share: float) -> _Depth:
        """Return the (Y, X) depth in a structure's region between the slices; 0 is its border."""
        low, high = self._regions({label})
        if not self.tapers(label):
            return (1 - share) * _signed(low) + share * _signed(high)
        distance = share if low.any() else 1 - share
        return self._depth_from_background(label) - distance * self._withdrawal(label)

    def _withdrawal(self, label: int) -> float:
        """Return the depth by which a structure is withdrawn in the slice that lacks it.

        It is the structure's own depth. A wall is withdrawn as far as its cavity, and so keeps its
        thickness. On the last slices of real hearts that is nearer to the truth than a wall that
        thins to nothing, or than a cavity that ends before its wall.
        """
        cavities = [child for child, parent in self.parents.items() if parent == label]
        if cavities:
            return max(self._withdrawal(cavity) for cavity in cavities)
        return float(self._depth_from_background(label).max()) + _HALF

    def _depth_from_background(self, label: int) -> _Depth:
        """Return the (Y, X) depth in a region that one slice lacks, from the background only.

        The region keeps its border with adjacent larger structures, so the depth falls inside
        these.
        """
        regions = self._regions({label})
        present = 0 if regions[0].any() else 1
        larger = itertools.takewhile(lambda other: other != label, self.parents)
        neighbours = {other for other in larger if self.parents[other] == self.parents[label]}
        together = self._regions({label, *neighbours})[present]
        outside: _Depth = ndimage.distance_transform_edt(~regions[present])
        return np.where(together, _signed(together) - outside, _HALF - outside)

    def _regions(self, structures: set[int]) -> Mask:
        """Return the (2, Y, X) mask of structures and everything inside them."""
        region = set(structures)
        for child, parent in self.parents.items():
            if parent in region:
                region.add(child)
        return structure_mask(self.slices, region)


def _parents(slices: Labels) -> dict[int, int]:
    """Return for each structure, larger before smaller, the structure that contains it, or 0.

    A structure is contained by the one that makes up more than half of its border in both slices
    together. That holds for an LV even if its ring is open, but not for an RV.
    """
    sizes = {
        int(label): np.prod(np.ptp(np.argwhere(slices == label), axis=0)[1:] + 1)
        for label in np.unique(slices[slices > 0])
    }
    parents: dict[int, int] = {}
    for label in sorted(sizes, key=lambda label: (-sizes[label], label)):
        shares = _border_shares(slices, label)
        container = max(parents, key=lambda larger: shares[larger], default=0)
        parents[label] = container if shares[container] > 0.5 else 0
    return parents


def _border_shares(slices: Labels, label: int) -> NDArray[np.float64]:
    """Return the (256,) shares of a structure's border in (2, Y, X) slices with each label."""
    counts = np.zeros(256)
    for axis in (1, 2):
        along = np.moveaxis(slices, axis, 0)
        for own, other in ((along[:-1], along[1:]), (along[1:], along[:-1])):
            neighbours = other[(own == label) & (other != label)]
            counts += np.bincount(neighbours, minlength=256)
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def _signed(mask: Mask) -> _Depth:
    """Return the distance to the border of a mask in voxels, positive inside."""
    inside: _Depth = ndimage.distance_transform_edt(mask)
    outside: _Depth = ndimage.distance_transform_edt(~mask)
    return np.where(mask, inside - _HALF, _HALF - outside)
