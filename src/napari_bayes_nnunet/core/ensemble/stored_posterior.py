"""What an ensemble said of a volume, small enough to be kept beside it and reviewed without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..metrics.overlap import LabelMap

VoxelBox: TypeAlias = tuple[slice, slice, slice]
CERTAIN = 255
"""What is stored for a probability of 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SlicePosterior:
    """What the members said of one slice.

    ``prediction`` (Y, X) uint8, ``probabilities`` (C, Y, X) float32, the mean over the members in
    steps of 1/255, ``members`` (n, Y, X) uint8 labels of each, ``entropy`` and
    ``mutual_information`` (Y, X) float32, bit.
    """

    prediction: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    members: NDArray[np.uint8]
    entropy: NDArray[np.float32]
    mutual_information: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredPosterior:
    """What the members said of one volume, probabilities in 8 bit.

    ``prediction`` (Z, Y, X) uint8, ``entropy`` and ``mutual_information`` (Z, Y, X) float32, bit.
    ``probabilities`` (C, z, y, x) uint8, 255 for 1, and the labels of the ``members``
    (n, z, y, x) uint8 are kept only inside ``box``, outside of which all is background.

    Rounding to 8 bit keeps the order of the classes, so the prediction is always among the most
    probable of them; where several are equal, the prediction decides.
    """

    prediction: NDArray[np.uint8]
    entropy: NDArray[np.float32]
    mutual_information: NDArray[np.float32]
    box: VoxelBox
    probabilities: NDArray[np.uint8]
    members: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        probabilities: NDArray[np.float32],
        members: Sequence[LabelMap] | NDArray[np.uint8],
        *,
        prediction: NDArray[np.uint8],
        entropy: NDArray[np.float32],
        mutual_information: NDArray[np.float32],
    ) -> StoredPosterior:
        """From the mean (C, Z, Y, X) probabilities and the (n, Z, Y, X) labels of the members."""
        stored = np.rint(np.asarray(probabilities) * CERTAIN).astype(np.uint8)
        labels = np.asarray(members, dtype=np.uint8)
        box = _box_of((stored[0] < CERTAIN) | labels.any(axis=0) | (prediction > 0))
        return cls(
            prediction=prediction,
            entropy=entropy,
            mutual_information=mutual_information,
            box=box,
            probabilities=np.ascontiguousarray(stored[(slice(None), *box)]),
            members=np.ascontiguousarray(labels[(slice(None), *box)]),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        z, y, x = self.prediction.shape
        return z, y, x

    @property
    def classes(self) -> int:
        """C, background included."""
        return len(self.probabilities)

    @property
    def count(self) -> int:
        """n, number of members."""
        return len(self.members)

    def at(self, z: int) -> SlicePosterior:
        """The slice ``z``, whole."""
        shape = self.shape[1:]
        probabilities = np.zeros((self.classes, *shape), np.float32)
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
            entropy=self.entropy[z],
            mutual_information=self.mutual_information[z],
        )

    def member(self, number: int) -> NDArray[np.uint8]:
        """(Z, Y, X) labels of one member, from 0."""
        labels = np.zeros(self.shape, np.uint8)
        labels[self.box] = self.members[number]
        return labels


def _box_of(mask: NDArray[Any]) -> VoxelBox:
    """The smallest box around what is true; an empty one where nothing is."""
    sides = []
    for axis in range(3):
        (places,) = np.nonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        sides.append(slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0))
    z, y, x = sides
    return z, y, x
