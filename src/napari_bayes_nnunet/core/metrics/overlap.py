"""Overlap of a segmentation with a reference, and of the members of an ensemble."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import InputError
from ..types import LabelMap


def dice(
    prediction: LabelMap, reference: LabelMap, structures: Mapping[str, int]
) -> dict[str, float]:
    """Return the Dice of each structure between two (Z, Y, X) label maps.

    Parameters
    ----------
    prediction, reference : NDArray, (Z, Y, X), integer
        Label maps of the same shape.
    structures : Mapping[str, int]
        Label of each structure.

    Returns
    -------
    dict[str, float]
        Dice per structure, 0 … 1. It is 0 if one of the maps lacks the structure, NaN if both do.

    Raises
    ------
    InputError
        If the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> overlap = dice(np.array([[[1, 1, 0, 2]]]), np.array([[[1, 0, 0, 2]]]), {"RV": 1, "MYO": 2})
    >>> {name: round(float(value), 3) for name, value in overlap.items()}
    {'RV': 0.667, 'MYO': 1.0}
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    check_shape(prediction, reference.shape)
    return {
        name: _dice_of_masks(prediction == label, reference == label)
        for name, label in structures.items()
    }


def check_shape(labels: LabelMap, expected: tuple[int, ...]) -> None:
    """Raise InputError if a label map has another shape."""
    if labels.shape != expected:
        raise InputError(
            "Expected a label map of shape {expected}, found {found}.",
            expected=expected,
            found=labels.shape,
        )


def pairwise_dice(
    label_maps: Iterable[LabelMap], structures: Mapping[str, int]
) -> dict[str, float]:
    """Return the mean Dice of each structure over all pairs of label maps.

    Parameters
    ----------
    label_maps : Iterable of NDArray, (Z, Y, X), integer
        Label map of each member.
    structures : Mapping[str, int]
        Label of each structure, 1 or more.

    Returns
    -------
    dict[str, float]
        Mean Dice per structure, 0 … 1; NaN for fewer than two members. A pair in which both members
        lack the structure counts as 1.

    Raises
    ------
    InputError
        If the shapes differ, a label map does not contain integers or a label is background.

    Examples
    --------
    >>> import numpy as np
    >>> members = [np.array([[[1, 1, 0]]]), np.array([[[1, 0, 0]]]), np.array([[[1, 1, 0]]])]
    >>> {name: round(value, 3) for name, value in pairwise_dice(members, {"RV": 1}).items()}
    {'RV': 0.778}
    """
    pairs = PairwiseDice(structures)
    for labels in label_maps:
        pairs.add(labels)
    return pairs.mean()


class PairwiseDice:
    """Mean Dice over all pairs of members of one volume, per structure: the case score.

    A pair in which both members lack the structure agrees and counts as 1. Each pair needs both
    label maps, so earlier members are kept, but only as one bit per voxel inside the box of each
    structure: 0.5 MB for 30 members of a heart in 12 x 256 x 256 voxels, instead of 24 MB of label
    maps.

    ``structures`` maps names to labels. Raises InputError for a label below 1.
    """

    def __init__(self, structures: Mapping[str, int]) -> None:
        for name, label in structures.items():
            if label < 1:
                raise InputError(
                    "Label {label} of {name!r} is background: structures start at 1.",
                    label=label,
                    name=name,
                )
        self._structures = dict(structures)
        self._members: list[dict[str, _PackedMask]] = []
        self._sums = dict.fromkeys(self._structures, 0.0)
        self._shape: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """Number of members."""
        return len(self._members)

    def add(self, labels: LabelMap) -> None:
        """Compare the (Z, Y, X) label map of a member with those added before.

        Raises InputError for another shape or a type other than integers.
        """
        labels = np.asarray(labels)
        if not np.issubdtype(labels.dtype, np.integer):
            raise InputError("Expected label maps of integers, found {dtype}.", dtype=labels.dtype)
        self._shape = self._shape or labels.shape
        check_shape(labels, self._shape)
        # One pass finds the boxes of all structures.
        boxes = ndimage.find_objects(labels, max(self._structures.values(), default=1))
        member = {
            name: _PackedMask.from_labels(labels, label, boxes[label - 1])
            for name, label in self._structures.items()
        }
        for name, mask in member.items():
            self._sums[name] += sum(mask.dice(other[name]) for other in self._members)
        self._members.append(member)

    def mean(self) -> dict[str, float]:
        """Return the mean Dice of each structure over all pairs, 0 … 1; NaN below two members."""
        pairs = math.comb(self.count, 2)
        return {name: total / pairs if pairs else math.nan for name, total in self._sums.items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class _PackedMask:
    """Voxels of a structure, eight to a byte along x, only inside its box.

    ``start`` is the first byte (z, y, x // 8) of the box, ``bits`` are its voxels, uint8. The box
    starts at whole bytes of the volume, so the overlap of two masks is a slice of their bits.
    """

    start: tuple[int, ...]
    bits: NDArray[np.uint8]
    size: int

    @classmethod
    def from_labels(
        cls, labels: LabelMap, label: int, box: tuple[slice, ...] | None
    ) -> _PackedMask:
        # A structure that the member has not drawn has no box.
        if box is None:
            origin = (0,) * labels.ndim
            return cls(start=origin, bits=np.zeros(origin, np.uint8), size=0)
        *rows, x = box
        first_byte = x.start // 8
        mask = labels[(*rows, slice(first_byte * 8, x.stop))] == label
        return cls(
            start=(*(side.start for side in rows), first_byte),
            bits=np.packbits(mask, axis=-1),
            size=int(np.count_nonzero(mask)),
        )

    def dice(self, other: _PackedMask) -> float:
        """Return 2 |A ∩ B| / (|A| + |B|); 1 if both are empty."""
        if self.size + other.size == 0:
            return 1.0
        first = np.maximum(self.start, other.start)
        end = np.minimum(np.add(self.start, self.bits.shape), np.add(other.start, other.bits.shape))
        if np.any(end <= first):
            return 0.0
        both = self._between(first, end) & other._between(first, end)
        common = int(np.bitwise_count(both).sum(dtype=np.int64))
        return 2 * common / (self.size + other.size)

    def _between(self, first: NDArray[np.integer], end: NDArray[np.integer]) -> NDArray[np.uint8]:
        sides = zip(first - self.start, end - self.start, strict=True)
        return self.bits[tuple(slice(low, high) for low, high in sides)]


def _dice_of_masks(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    size = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / size if size else math.nan
