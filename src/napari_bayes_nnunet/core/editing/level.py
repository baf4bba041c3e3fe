"""Level of a structure in a slice: growing and shrinking along the posterior."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import CERTAIN, SlicePosterior
from ..types import Mask
from .slice_checks import Labels, structure_mask

LEVEL_STEPS = 2 * CERTAIN
"""Steps of the level from margin 0 to 1: 255 probabilities, and ties half-way between them."""

# A probability below about 2 % is never gained. The margin alone only requires that no other class
# is much more probable, so low margins would take the blurred borders of all other structures. On
# validation hearts the best level leaves fewer wrong voxels with this floor than without it.
_FLOOR = 5

_NEVER = -10 * LEVEL_STEPS
_Ranks = NDArray[np.int16]


def apply_level(
    slice_: SlicePosterior,
    labels: Labels,
    *,
    label: int,
    margin: float,
    protected: Collection[int] = (),
) -> Labels:
    """Return (Y, X) labels with the structure ``label`` grown or shrunk along the posterior.

    The structure becomes the voxels whose probability exceeds that of every other class by
    ``margin`` or more. Below 0 it grows, above 0 it shrinks, and at 0 it is exactly the predicted
    structure, because the stored prediction decides between equal probabilities. Structures at a
    lower margin contain those at a higher margin. Voxels with a probability below about 2 % are
    never gained.

    ``labels`` (Y, X) uint8 is the slice from before the slider was moved, so moving it back and
    forth accumulates nothing. Voxels given up take the most probable of the other classes. Voxels
    of ``protected`` structures neither change nor are gained; background is always allowed.
    """
    # Rounding may put a margin of n steps slightly above n.
    grown = level_ranks(slice_, label) >= math.ceil(margin * LEVEL_STEPS - 1e-6)
    if label in protected:
        return labels.copy()
    fixed = structure_mask(labels, protected)
    result = np.where(grown & ~fixed, np.uint8(label), labels)
    lost = (labels == label) & ~grown
    result[lost] = _second(slice_, lost, allowed=_allowed(slice_, {label, *protected}))
    return result


def level_ranks(slice_: SlicePosterior, label: int) -> _Ranks:
    """Return the (Y, X) margin up to which each voxel belongs to a structure, in steps.

    Whole steps are differences of stored probabilities. Predicted voxels rank at least 0, all
    others at most half a stored step below it. So ties are decided, and margin 0 gives the
    prediction whatever was rounded. Pieces that were removed, because they lie apart from the
    heart, are never gained.
    """
    stored = _stored(slice_.probabilities)
    rivals = np.delete(stored, label, axis=0).max(axis=0)
    ranks = 2 * (stored[label] - rivals)
    predicted = slice_.prediction == label
    ranks = np.where(predicted, np.maximum(ranks, 0), np.minimum(ranks, -1))
    removed = (slice_.prediction == 0) & (stored[0] < stored.max(axis=0))
    never = ~predicted & ((stored[label] < _FLOOR) | removed)
    ranks[never] = _NEVER
    return np.asarray(ranks, np.int16)


def _allowed(slice_: SlicePosterior, refused: Collection[int]) -> list[int]:
    """Return the classes that a voxel given up may take, background always included."""
    return [c for c in range(len(slice_.probabilities)) if c == 0 or c not in refused]


def _second(slice_: SlicePosterior, lost: Mask, *, allowed: Sequence[int]) -> Labels:
    """Return the (n,) most probable allowed class of lost voxels; ties follow the prediction."""
    classes = np.asarray(allowed, np.uint8)
    ranks = 2 * _stored(slice_.probabilities[classes][:, lost])
    ranks += classes[:, None] == slice_.prediction[lost]
    second: Labels = classes[ranks.argmax(axis=0)]
    return second


def _stored(probabilities: NDArray[np.float32]) -> _Ranks:
    """Return probabilities in their stored steps, so that a level means the same when reopened."""
    return np.asarray(np.rint(probabilities * np.float32(CERTAIN)), np.int16)
