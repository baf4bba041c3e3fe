"""Labels between two slices, by moving their shapes together and blending signed distances."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from ..types import Mask
from .slice_checks import (
    Labels,
    find_holes,
    nearest_labels,
    structure_mask,
)

_Depth = NDArray[np.float64]

_HALF = 0.5  # a border is half-way between the centres of two voxels
ENOUGH_OVERLAP: Final = 0.8
"""Share of the smaller shape inside the larger one from which shapes are blended in place."""


def blend_slices(below: Labels, above: Labels, share: float) -> Labels:
    """Return (Y, X) labels between two slices, ``share`` of the way from ``below`` to ``above``.

    The border of each structure moves evenly between its two borders, by signed distances in voxels
    (assumed to be square). A structure inside another, such as the LV in its myocardium, is blended
    within the outline of both. It stays inside, and the wall keeps the thickness of the slices.

    Shapes that overlap little, such as the crescents of an RV near the apex, first move to the
    centroid between theirs. Without the move, the blend of shapes that lie apart would be empty.

    If a slice lacks a structure, the structure tapers like a cone that ends in that slice. It
    withdraws from the background and stays at adjacent structures, as an RV stays at the septum. A
    wall that ends together with its cavity keeps its thickness.
    """
    boxes = scipy.ndimage.find_objects(((below > 0) | (above > 0)).astype(np.uint8))
    if not boxes:
        return np.zeros_like(below)
    ((y, x),) = boxes
    blended, margin = _blended_box(below[y, x], above[y, x], share)
    result = np.zeros(np.add(below.shape, 2 * margin), np.uint8)
    result[y.start : y.stop + 2 * margin, x.start : x.stop + 2 * margin] = blended
    return result[margin:-margin, margin:-margin]


def _blended_box(below: Labels, above: Labels, share: float) -> tuple[Labels, int]:
    """Return the labels between two boxes, and the margin by which they are larger."""
    slices = np.pad(np.stack([below, above]), ((0, 0), (1, 1), (1, 1)))
    shapes = _Shapes(slices=slices, parents=_parents(slices))
    further = max(int(np.ceil(np.abs(shapes.move(label)).max())) for label in shapes.parents)
    # Room for the shapes that move.
    slices = np.pad(slices, ((0, 0), (further, further), (further, further)))
    shapes = replace(shapes, slices=slices)
    result = np.zeros_like(slices[0])
    # Structures of both slices come before those that taper, outer before inner structures.
    for label in sorted(shapes.parents, key=shapes.tapers):
        inside = shapes.depth(label, share) >= 0
        result[(result == shapes.parents[label]) & inside] = label
    # Single voxels may be left without a structure if three borders meet.
    gaps = find_holes(result) & ~find_holes(slices[0]) & ~find_holes(slices[1])
    result[gaps] = nearest_labels(result, known=result > 0)[gaps]
    return result, 1 + further


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
            move = self.move(label)
            return (1 - share) * _shifted(signed_distance(low), share * move) + share * _shifted(
                signed_distance(high), (share - 1) * move
            )
        distance = share if low.any() else 1 - share
        return self._depth_from_background(label) - distance * self._withdrawal(label)

    def move(self, label: int) -> NDArray[np.float64]:
        """Return the (y, x) shift between the centroids of a region, zero if it stays in place."""
        low, high = self._regions({label})
        overlap = np.count_nonzero(low & high)
        if overlap >= ENOUGH_OVERLAP * min(np.count_nonzero(low), np.count_nonzero(high)):
            return np.zeros(2)
        centroids = np.array([scipy.ndimage.center_of_mass(region) for region in (low, high)])
        way: NDArray[np.float64] = centroids[1] - centroids[0]
        return way

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
        outside: _Depth = scipy.ndimage.distance_transform_edt(~regions[present])
        return np.where(together, signed_distance(together) - outside, _HALF - outside)

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
    # By their boxes, because a thin wall has fewer voxels than the cavity in it.
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
    # Their sum is not 0, because the outermost voxels are background.
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def signed_distance(mask: Mask) -> _Depth:
    """Return the distance to the border of a mask in voxels, positive inside."""
    inside: _Depth = scipy.ndimage.distance_transform_edt(mask)
    outside: _Depth = scipy.ndimage.distance_transform_edt(~mask)
    return np.where(mask, inside - _HALF, _HALF - outside)


def _shifted(depth: _Depth, move: NDArray[np.float64]) -> _Depth:
    """Return a (Y, X) depth moved by (y, x) voxels."""
    if not move.any():
        return depth
    shifted: _Depth = scipy.ndimage.shift(depth, move, order=1, mode="nearest")
    return shifted
