"""Grow and shrink a structure of a slice along the posterior, by one number."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import CERTAIN, SlicePosterior
from ..types import Mask
from .slice_checks import Labels, are_of, checked_same_shape, checked_slice

LEVEL_STEPS = 2 * CERTAIN
"""Steps of the level between a margin of 0 and 1: probabilities are kept in 255, a tie is half."""

# What the ensemble gives less than about 2 % is never gained. The rule by itself asks only that
# nothing else is much more probable, and at low margins would take the blurred borders of all
# other structures. On validation hearts the best level leaves fewer wrong voxels with this floor
# than with none.
_FLOOR = 5

_NEVER = -10 * LEVEL_STEPS
_Ranks = NDArray[np.int16]


def labels_at_margin(
    slice_: SlicePosterior,
    labels: Labels,
    *,
    label: int,
    margin: float,
    protected: Collection[int] = (),
) -> Labels:
    """(Y, X) labels in which the structure ``label`` has grown or shrunk along the posterior.

    It becomes the voxels whose probability exceeds that of every other class by ``margin`` or
    more: below 0 it grows, above 0 it shrinks, and at 0 it is exactly the prediction's, since
    where stored probabilities are equal the stored prediction decides. Structures at a lower
    margin contain those at a higher one. Voxels to which the ensemble gives less than about 2 %
    are never gained.

    ``labels`` (Y, X) uint8 is the slice when the slider was first touched, so that moving it to
    and fro adds nothing up. Voxels given up take the most probable of the other classes. Voxels
    of ``protected`` structures neither change nor are gained; background is always allowed.

    ValueError for a label the posterior does not have, a margin outside -1 … 1, another grid.
    """
    labels = checked_slice(labels)
    checked_same_shape(slice_.prediction, labels, name="the labels")
    grown = _ranks(slice_, label) >= _rank_of(margin)
    if label in protected:
        return labels.copy()
    fixed = are_of(labels, protected)
    result = np.where(grown & ~fixed, np.uint8(label), labels)
    lost = (labels == label) & ~grown
    result[lost] = _second(slice_, lost, allowed=_allowed(slice_, {label, *protected}))
    return result


def _ranks(slice_: SlicePosterior, label: int) -> _Ranks:
    """(Y, X) the margin up to which each voxel belongs to a structure, in STEPS.

    Whole steps are differences of stored probabilities. The voxels of the prediction are never
    below 0 and all others never at it, half a stored step lower: ties are decided, and margin 0
    is the prediction whatever rounding did.
    """
    classes = len(slice_.probabilities)
    if not 1 <= label < classes:
        raise ValueError(f"There is no structure {label}; the posterior has 1 to {classes - 1}.")
    stored = _stored(slice_.probabilities)
    rivals = np.delete(stored, label, axis=0).max(axis=0)
    ranks = 2 * (stored[label] - rivals)
    predicted = slice_.prediction == label
    ranks = np.where(predicted, np.maximum(ranks, 0), np.minimum(ranks, -1))
    never = ~predicted & (stored[label] < _FLOOR)
    ranks[never] = _NEVER
    return np.asarray(ranks, np.int16)


def _rank_of(margin: float) -> int:
    if not -1 <= margin <= 1:
        raise ValueError(f"The level is a margin between -1 and 1, not {margin}.")
    # A margin that is meant as n steps may lie a rounding error above n.
    return math.ceil(margin * LEVEL_STEPS - 1e-6)


def _allowed(slice_: SlicePosterior, refused: Collection[int]) -> list[int]:
    """Classes a voxel given up may take; background is always among them."""
    return [c for c in range(len(slice_.probabilities)) if c == 0 or c not in refused]


def _second(slice_: SlicePosterior, lost: Mask, *, allowed: Sequence[int]) -> Labels:
    """(n,) the most probable allowed class of the lost voxels; of equals the predicted one."""
    classes = np.asarray(allowed, np.uint8)
    ranks = 2 * _stored(slice_.probabilities[classes][:, lost])
    ranks += classes[:, None] == slice_.prediction[lost]
    second: Labels = classes[ranks.argmax(axis=0)]
    return second


def _stored(probabilities: NDArray[np.float32]) -> _Ranks:
    """Probabilities in the steps they are stored in, so that a level means the same reopened."""
    return np.asarray(np.rint(probabilities * np.float32(CERTAIN)), np.int16)
