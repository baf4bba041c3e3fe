"""The predictive posterior as running sums over the members, its entropy and its split.

Sections 2.1 and 2.2 of Zhao et al., MICCAI 2022. Every function takes NumPy arrays and torch
tensors alike and returns the kind it was given, on the same device; torch is never imported here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from .. import InputError

Array: TypeAlias = Any
"""A NumPy array or a torch tensor."""

# Below it, p·log2 p is nothing in float32, and at it log2 is finite: 0·log 0 becomes 0.
_SMALLEST = float(np.finfo(np.float32).tiny)
_SUM_TOLERANCE = 0.01


@dataclass(kw_only=True, eq=False)
class RunningPosterior:
    """Sums of p and of H(p) over the members of an ensemble; memory does not grow with them.

    ``probability_sum`` is (C, Z, Y, X), ``entropy_sum`` (Z, Y, X) in bit, both float32 and None
    before the first member; any shape after C will do. The sums are fields, so that they can be
    kept, moved to another device and taken up again.

    ``temperature`` τ calibrates the pool: `mean` and `total_entropy` are those of softmax(log p/τ).
    The labels do not change with it, and what the members disagree on is measured without it.
    """

    probability_sum: Array = None
    entropy_sum: Array = None
    count: int = 0
    temperature: float = 1.0

    def add(self, probabilities: Array) -> None:
        """Add one member's (C, Z, Y, X) softmax probabilities, which are neither kept nor changed.

        Raises ValueError for another shape than the members before, and for values that do not sum
        to 1 over the classes (logits, sigmoids, NaN): they would pass through the sums unnoticed.
        """
        self._check_shape(probabilities)
        _check_sums_to_one(probabilities)
        self._allocate(probabilities)
        member_entropy = entropy(probabilities)  # what may run out of memory comes first
        self.probability_sum += probabilities
        self.entropy_sum += member_entropy
        self.count += 1

    def merge(self, other: RunningPosterior) -> None:
        """Add the sums of other members, which ``other`` has seen and this posterior has not.

        Raises ValueError if the shapes differ.
        """
        if other.count == 0:
            return
        self._check_shape(other.probability_sum)
        self._allocate(other.probability_sum)
        self.probability_sum += other.probability_sum
        self.entropy_sum += other.entropy_sum
        self.count += other.count

    def mean(self) -> Array:
        """(C, Z, Y, X) mean probabilities, float32 (Eq. 2). ValueError without members."""
        self._check_members()
        return tempered(self.probability_sum / self.count, self.temperature)

    def labels(self) -> Array:
        """(Z, Y, X) most probable class of the mean, uint8. ValueError without members."""
        self._check_members()
        return most_probable(self.probability_sum)

    def total_entropy(self) -> Array:
        """(Z, Y, X) entropy of the mean over all classes, bit (Eq. 3). ValueError without members.

        0 … log2 C; what the ensemble as a whole is uncertain about.
        """
        self._check_members()
        if self.temperature != 1:
            return entropy(self.mean())
        return _entropy(self.probability_sum, self.count)

    def expected_entropy(self) -> Array:
        """(Z, Y, X) mean entropy of the members, bit: blurred in each of them, as at a border.

        Raises ValueError without members.
        """
        self._check_members()
        return self.entropy_sum / self.count

    def mutual_information(self) -> Array:
        """(Z, Y, X) total minus expected entropy, 0 or more, bit: what the members disagree on.

        Raises ValueError without members.
        """
        self._check_members()
        difference = _entropy(self.probability_sum, self.count)
        difference -= self.entropy_sum / self.count
        return difference.clip(0)

    def _allocate(self, like: Array) -> None:
        if self.probability_sum is None:
            xp = _namespace(like)
            self.probability_sum = xp.zeros_like(like, dtype=xp.float32)
            self.entropy_sum = xp.zeros_like(like[0], dtype=xp.float32)

    def _check_shape(self, probabilities: Array) -> None:
        if self.probability_sum is None:
            return
        expected, found = tuple(self.probability_sum.shape), tuple(probabilities.shape)
        if found != expected:
            raise InputError(
                "Members' probabilities are {expected}, this one's are {found}.",
                expected=expected,
                found=found,
            )

    def _check_members(self) -> None:
        if self.count == 0:
            raise InputError("The posterior needs at least one member; none was added.")


def tempered(probabilities: Array, temperature: float) -> Array:
    """(C, Z, Y, X) softmax(log p/τ): less sure for a temperature τ above 1, surer below.

    ValueError for a temperature that is not above 0.
    """
    if not 0 < temperature < math.inf:
        raise InputError(
            "A temperature is a number above 0, not {temperature}.", temperature=temperature
        )
    if temperature == 1:
        return probabilities
    xp = _namespace(probabilities)
    # Of the highest the power is 1, so that not all of them vanish however low the temperature.
    powers = (probabilities / xp.amax(probabilities, 0)) ** (1 / temperature)
    powers /= xp.sum(powers, 0)
    return powers


def entropy(probabilities: Array) -> Array:
    """(Z, Y, X) entropy of (C, Z, Y, X) probabilities over all classes, float32, bit (Eq. 3).

    0 … log2 C, with 0·log 0 = 0.
    """
    return _entropy(probabilities, 1)


def most_probable(probabilities: Array) -> Array:
    """(Z, Y, X) class of the highest of (C, Z, Y, X) probabilities, uint8; the first where equal.

    ValueError for more classes than uint8 can number.
    """
    xp = _namespace(probabilities)
    if len(probabilities) > 256:
        raise InputError(
            "Labels are uint8: at most 256 classes, not {count}.", count=len(probabilities)
        )
    highest = xp.asarray(probabilities[0])
    labels = xp.zeros_like(highest, dtype=xp.uint8)
    # argmax would make a (Z, Y, X) int64 array, and torch promises no order among equals.
    for label in range(1, len(probabilities)):
        labels[probabilities[label] > highest] = label
        highest = xp.maximum(highest, probabilities[label])
    return labels


def _entropy(probability_sum: Array, members: int) -> Array:
    """Entropy of the mean, one class at a time: no temporary is as large as all classes."""
    xp = _namespace(probability_sum)
    total = xp.zeros_like(probability_sum[0], dtype=xp.float32)
    for class_sum in probability_sum:
        p = xp.asarray(class_sum, dtype=xp.float32) / members
        total -= p * xp.log2(p.clip(_SMALLEST))
    return xp.clip(total, 0, math.log2(len(probability_sum)), out=total)


def _check_sums_to_one(probabilities: Array) -> None:
    xp = _namespace(probabilities)
    voxels = max(1, math.prod(probabilities.shape[1:]))
    mean_sum = float(xp.sum(probabilities, dtype=xp.float32)) / voxels
    if not abs(mean_sum - 1) <= _SUM_TOLERANCE:
        raise InputError(
            "A member's probabilities must sum to 1 over the classes (axis 0); their mean sum is "
            "{mean_sum:.4g}.",
            mean_sum=mean_sum,
        )


def _namespace(array: Array) -> Any:
    """The module with the functions for ``array``: numpy, or torch where that is loaded already.

    The few functions used here have the same names and arguments in both.
    """
    if isinstance(array, np.ndarray):
        return np
    return import_module(type(array).__module__.partition(".")[0])
