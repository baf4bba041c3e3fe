"""Posterior of a volume, small enough to be stored with it for a review without the ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import LabelMap, VoxelBox
from .maps import HasMaps
from .posterior import most_probable

CERTAIN = 255
"""Stored value of a probability of 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SlicePosterior:
    """Posterior of one slice.

    ``prediction`` (Y, X) uint8, ``probabilities`` (C, Y, X) float32, the mean over the members in
    steps of 1/255, and ``members`` (n, Y, X) uint8 labels of each member.
    """

    prediction: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    members: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanePosterior:
    """Mean probabilities in one plane of a volume, without copies.

    ``prediction`` (a, b) uint8 is that of the whole plane. ``probabilities`` (C, p, q) uint8, 255
    for 1, are those of a part that begins at ``origin``; outside it, all is background.
    """

    prediction: NDArray[np.uint8]
    probabilities: NDArray[np.uint8]
    origin: tuple[int, int]

    def probability(
        self, label: NDArray[Any], row: NDArray[np.intp], column: NDArray[np.intp]
    ) -> NDArray[np.int16]:
        """Return the (n,) probabilities, 255 for 1, of one label for each of these voxels."""
        row, column = row - self.origin[0], column - self.origin[1]
        rows, columns = self.probabilities.shape[1:]
        stored = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        # With a sign, because their differences have one.
        values = np.where(np.equal(label, 0), np.int16(CERTAIN), np.int16(0))
        values[stored] = self.probabilities[label[stored], row[stored], column[stored]]
        return values


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredPosterior(HasMaps):
    """Posterior of one volume, with probabilities in 8 bit.

    ``prediction`` (Z, Y, X) uint8, ``maps`` name → (Z, Y, X) float32.
    ``probabilities`` (C, z, y, x) uint8, 255 for 1, and the labels ``members`` (n, z, y, x) uint8
    are stored only inside ``box``; outside it, all is background.

    Rounding to 8 bit keeps the order of the classes, so the prediction is always among the most
    probable classes. If several are equal, the prediction decides.
    """

    prediction: NDArray[np.uint8]
    maps: Mapping[str, NDArray[np.float32]]
    box: VoxelBox
    probabilities: NDArray[np.uint8]
    members: NDArray[np.uint8]

    @classmethod
    def from_members(
        cls,
        probabilities: NDArray[np.float32],
        members: Sequence[LabelMap] | NDArray[np.uint8],
        *,
        prediction: NDArray[np.uint8],
        maps: Mapping[str, NDArray[np.float32]],
    ) -> StoredPosterior:
        """Return the posterior of mean (C, Z, Y, X) probabilities and (n, Z, Y, X) labels."""
        stored = np.rint(np.asarray(probabilities) * CERTAIN).astype(np.uint8)
        labels = np.asarray(members, dtype=np.uint8)
        box = _box_of((stored[0] < CERTAIN) | labels.any(axis=0) | (prediction > 0))
        # The parts are copied, because a view would keep the whole arrays in memory.
        return cls(
            prediction=prediction,
            maps=maps,
            box=box,
            probabilities=np.ascontiguousarray(stored[(slice(None), *box)]),
            members=np.ascontiguousarray(labels[(slice(None), *box)]),
        )

    @cached_property
    def removed(self) -> NDArray[np.uint8]:
        """(Z, Y, X) labels that are most probable, but that the prediction lacks; 0 elsewhere.

        The prediction lacks what lies apart from its `largest_component`.
        """
        probable = np.zeros_like(self.prediction)
        probable[self.box] = most_probable(self.probabilities)
        return np.where(self.prediction == 0, probable, np.uint8(0))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (Z, Y, X) of the volume."""
        z, y, x = self.prediction.shape
        return z, y, x

    @property
    def classes(self) -> int:
        """Number C of classes, background included."""
        return len(self.probabilities)

    @property
    def count(self) -> int:
        """Number n of members."""
        return len(self.members)

    def with_first_axis(self, axis: int) -> StoredPosterior:
        """Return the posterior with ``axis`` (0, 1 or 2) as the first one, that of the slices."""
        box = list(self.box)
        z, y, x = box.pop(axis), *box

        def moved(values: NDArray[Any]) -> NDArray[Any]:
            return np.ascontiguousarray(np.moveaxis(values, axis - 3, -3))

        return StoredPosterior(
            prediction=moved(self.prediction),
            maps={name: moved(values) for name, values in self.maps.items()},
            box=(z, y, x),
            probabilities=moved(self.probabilities),
            members=moved(self.members),
        )

    def slice_at(self, z: int) -> SlicePosterior:
        """Return the posterior of the whole slice ``z``."""
        shape = self.shape[1:]
        probabilities = np.zeros((self.classes, *shape), np.float32)
        # Beyond the box all is certainly background.
        probabilities[0] = 1
        members = np.zeros((self.count, *shape), np.uint8)
        depth, *plane = self.box
        if depth.start <= z < depth.stop:
            inside = (slice(None), *plane)
            probabilities[inside] = self.probabilities[:, z - depth.start] / np.float32(CERTAIN)
            members[inside] = self.members[:, z - depth.start]
        return SlicePosterior(
            prediction=self.prediction[z],
            probabilities=probabilities,
            members=members,
        )

    def plane_at(self, index: tuple[int | slice, ...]) -> PlanePosterior:
        """Return the plane at an index of (z, y, x) that has one number and two whole slices."""
        ((axis, number),) = [(a, i) for a, i in enumerate(index) if not isinstance(i, slice)]
        first, second = (side for other, side in enumerate(self.box) if other != axis)
        side = self.box[axis]
        inside = number - side.start if side.start <= number < side.stop else None
        probabilities = np.moveaxis(self.probabilities, axis + 1, 0)
        return PlanePosterior(
            prediction=self.prediction[index],
            probabilities=(
                probabilities[inside]
                if inside is not None
                else np.zeros((self.classes, 0, 0), np.uint8)
            ),
            origin=(first.start, second.start),
        )

    def member(self, number: int) -> NDArray[np.uint8]:
        """Return the (Z, Y, X) labels of a member, counted from 0."""
        labels = np.zeros(self.shape, np.uint8)
        labels[self.box] = self.members[number]
        return labels


def _box_of(mask: NDArray[Any]) -> VoxelBox:
    """Return the smallest box around the true voxels, an empty box if all are false."""
    sides = []
    for axis in range(3):
        (indices,) = np.nonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        sides.append(slice(int(indices[0]), int(indices[-1]) + 1) if len(indices) else slice(0, 0))
    z, y, x = sides
    return z, y, x
