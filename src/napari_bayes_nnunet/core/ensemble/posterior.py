"""Running sums of the predictive posterior over the members, and its entropy.

Sections 2.1 and 2.2 of Zhao et al., MICCAI 2022. Every function accepts NumPy arrays and torch
tensors and returns the same kind on the same device. Torch is never imported here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from .. import InputError
from ..types import VoxelIndex

Array: TypeAlias = Any
"""A NumPy array or a torch tensor."""

# Smaller values of p·log2 p vanish in float32, and log2 of this value is finite: 0·log 0 is 0.
_SMALLEST = float(np.finfo(np.float32).tiny)
_SUM_TOLERANCE = 0.01


@dataclass(kw_only=True, eq=False)
class RunningPosterior:
    """Sums of probabilities and entropies over the members of an ensemble.

    Memory does not grow with the number of members. `mean` and `total_entropy` are those of
    softmax(log p/τ) for a ``temperature`` τ. The labels, the mutual information and the variance do
    not depend on it.

    Parameters
    ----------
    probability_sum : array, (C, Z, Y, X) float32, optional
        Sum of the probabilities; None before the first member. Any shape after C is allowed.
    entropy_sum : array, (Z, Y, X) float32, optional
        Sum of the members' entropies in bit; None before the first member.
    square_sum : array, (Z, Y, X) float32, optional
        Sum of the members' squared probabilities over the classes; None before the first member.
    count : int
        Number of members.
    temperature : float
        Temperature τ that calibrates the mean.
    class_order : tuple of int
        Label of each class if the classes are regions that overlap, with a probability each
        (sigmoid) and no background; () if they exclude each other. The entropy is then the mean of
        the regions' binary entropies.

    Examples
    --------
    >>> import numpy as np
    >>> posterior = RunningPosterior()
    >>> posterior.add(np.array([0.9, 0.1], np.float32).reshape(2, 1, 1, 1))
    >>> posterior.add(np.array([0.3, 0.7], np.float32).reshape(2, 1, 1, 1))
    >>> posterior.count, posterior.labels().item()
    (2, 0)
    >>> round(posterior.total_entropy().item(), 3), round(posterior.mutual_information().item(), 3)
    (0.971, 0.296)
    """

    probability_sum: Array = None
    entropy_sum: Array = None
    square_sum: Array = None
    count: int = 0
    temperature: float = 1.0
    class_order: tuple[int, ...] = ()

    def add(self, probabilities: Array, voxels: VoxelIndex | None = None) -> None:
        """Add the (C, Z, Y, X) probabilities of a member, which are not kept or changed.

        With ``voxels`` (z, y, x) they are those of these only. Elsewhere mean and mutual
        information stay as they are: the member counts as the mean of the members before it.

        Raises InputError for another shape than the members before, without members before
        ``voxels``, and for values that do not sum to 1 over the classes (logits, NaN; sigmoids
        but of regions), which would otherwise stay unnoticed in the sums.
        """
        if voxels is None:
            self._check_shape(probabilities)
        else:
            self._check_members()
        if self.class_order:
            _check_range(probabilities)
        else:
            _check_sums_to_one(probabilities)
        self._allocate(probabilities)
        # First, because they may run out of memory.
        entropies = entropy(probabilities, regions=bool(self.class_order))
        values = probabilities, entropies, _sum_squares(probabilities)
        if voxels is None:
            self._add_all(values)
        else:
            self._add_in(voxels, values)
        self.count += 1

    def _add_all(self, values: Sequence[Array]) -> None:
        for whole, added in zip(self._sums, values, strict=True):
            whole += added

    def _add_in(self, voxels: VoxelIndex, values: Sequence[Array]) -> None:
        part = (..., *voxels)
        _check_same_shape(self.probability_sum[part].shape, values[0].shape)
        # First, because it may run out of memory.
        inside = [whole[part] + added for whole, added in zip(self._sums, values, strict=True)]
        for whole, sums in zip(self._sums, inside, strict=True):
            # Elsewhere the new member counts as the mean of the others.
            whole *= (self.count + 1) / self.count
            whole[part] = sums

    def mean(self) -> Array:
        """Return the (C, Z, Y, X) mean probabilities, float32 (Eq. 2).

        Raises InputError without members.
        """
        self._check_members()
        return apply_temperature(self.probability_sum / self.count, self.temperature)

    def labels(self) -> Array:
        """Return the (Z, Y, X) most probable class of the mean, or labels of its regions, uint8.

        Raises InputError without members.
        """
        self._check_members()
        if self.class_order:
            return region_labels(self.probability_sum / self.count, self.class_order)
        # The sum has the same order of classes as the mean.
        return most_probable(self.probability_sum)

    def total_entropy(self) -> Array:
        """Return the (Z, Y, X) entropy of the mean over all classes, 0 … log2 C bit (Eq. 3).

        Of regions it is 0 … 1 bit.

        Raises InputError without members.
        """
        return entropy(self.mean()) if self.temperature != 1 else self.untempered_entropy()

    def untempered_entropy(self) -> Array:
        """Return the `total_entropy` at a temperature of 1.

        Raises InputError without members.
        """
        self._check_members()
        return _entropy(self.probability_sum, self.count, regions=bool(self.class_order))

    def expected_entropy(self) -> Array:
        """Return the (Z, Y, X) mean entropy of the members, bit, such as the blur of a border.

        Raises InputError without members.
        """
        self._check_members()
        return self.entropy_sum / self.count

    def mutual_information(self) -> Array:
        """Return the (Z, Y, X) total minus expected entropy, 0 or more, bit: the disagreement.

        Raises InputError without members.
        """
        difference = self.untempered_entropy()
        difference -= self.expected_entropy()
        # Rounding may make it negative.
        return difference.clip(0)

    def variance(self) -> Array:
        """Return the (Z, Y, X) variance of the members' probabilities, summed over the classes.

        It is Σ E[p²] − E[p]² over the classes, 0 … 1 − 1/C. Of regions it is the mean over the
        regions of this sum for two classes, inside and outside, 0 … 0.5.

        Raises InputError without members.
        """
        self._check_members()
        difference = self.square_sum - _sum_squares(self.probability_sum) / self.count
        if self.class_order:
            difference *= 2 / len(self.class_order)
        return (difference / self.count).clip(0)

    def move_to_main_memory(self) -> None:
        """Move the sums, which are torch tensors, off their device."""
        if self.probability_sum is not None:
            self.probability_sum, self.entropy_sum, self.square_sum = (
                part.cpu() for part in self._sums
            )

    @property
    def _sums(self) -> tuple[Array, Array, Array]:
        return self.probability_sum, self.entropy_sum, self.square_sum

    def _allocate(self, like: Array) -> None:
        if self.probability_sum is None:
            xp = _namespace(like)
            # All or none, because a later one may run out of memory.
            self.probability_sum, self.entropy_sum, self.square_sum = (
                xp.zeros_like(part, dtype=xp.float32) for part in (like, like[0], like[0])
            )

    def _check_shape(self, probabilities: Array) -> None:
        if self.probability_sum is not None:
            _check_same_shape(self.probability_sum.shape, probabilities.shape)

    def _check_members(self) -> None:
        if self.count == 0:
            raise InputError("The posterior has no members. Add at least one.")


def apply_temperature(probabilities: Array, temperature: float) -> Array:
    """Return (C, Z, Y, X) softmax(log p/τ): softer for a temperature τ above 1, sharper below.

    Raises InputError for a temperature that is not above 0.
    """
    if not 0 < temperature < math.inf:
        raise InputError(
            "Expected a temperature above 0, found {temperature}.", temperature=temperature
        )
    if temperature == 1:
        return probabilities
    xp = _namespace(probabilities)
    # The highest power is 1, so that at least one is above 0 at any temperature.
    powers = (probabilities / xp.amax(probabilities, 0)) ** (1 / temperature)
    powers /= xp.sum(powers, 0)
    return powers


def entropy(probabilities: Array, *, regions: bool = False) -> Array:
    """Return the (Z, Y, X) entropy of (C, Z, Y, X) probabilities, float32, 0 … log2 C bit (Eq. 3).

    0·log 0 counts as 0. Of C overlapping ``regions`` it is the mean of their binary entropies,
    (1/C) Σ −p·log2 p − (1 − p)·log2(1 − p), 0 … 1 bit.
    """
    return _entropy(probabilities, 1, regions=regions)


def region_labels(probabilities: Array, class_order: Sequence[int]) -> Array:
    """Return the (Z, Y, X) labels of overlapping regions, uint8, as nnU-Net draws them.

    Where the probability of a region is above 0.5 its label of the ``class_order`` (C,) is drawn,
    over those of earlier regions.
    """
    xp = _namespace(probabilities)
    labels = xp.zeros_like(probabilities[0], dtype=xp.uint8)
    for probability, label in zip(probabilities, class_order, strict=True):
        labels[probability > 0.5] = label
    return labels


def drawn_labels(probabilities: Array, class_order: Sequence[int]) -> Array:
    """Return `region_labels`, or without a ``class_order`` those that are `most_probable`."""
    if class_order:
        return region_labels(probabilities, class_order)
    return most_probable(probabilities)


def most_probable(probabilities: Array) -> Array:
    """Return the (Z, Y, X) class of the highest of (C, Z, Y, X) probabilities, uint8.

    The first of equal classes is taken. Raises InputError for more than 256 classes.
    """
    xp = _namespace(probabilities)
    if len(probabilities) > 256:
        raise InputError("Expected at most 256 classes, found {count}.", count=len(probabilities))
    highest = xp.asarray(probabilities[0])
    labels = xp.zeros_like(highest, dtype=xp.uint8)
    # argmax would allocate a (Z, Y, X) int64 array, and torch may return any of equal classes.
    for label in range(1, len(probabilities)):
        labels[probabilities[label] > highest] = label
        highest = xp.maximum(highest, probabilities[label])
    return labels


def _entropy(probability_sum: Array, members: int, *, regions: bool) -> Array:
    """Return the entropy of the mean, class by class, so that temporaries stay small."""
    xp = _namespace(probability_sum)
    total = xp.zeros_like(probability_sum[0], dtype=xp.float32)
    for class_sum in probability_sum:
        p = xp.asarray(class_sum, dtype=xp.float32) / members
        total -= p * xp.log2(p.clip(_SMALLEST))
        if regions:
            total -= (1 - p) * xp.log2((1 - p).clip(_SMALLEST))
    if regions:
        total /= len(probability_sum)
    return xp.clip(total, 0, 1 if regions else math.log2(len(probability_sum)), out=total)


def _sum_squares(values: Array) -> Array:
    """Return the sum of squares over the classes, class by class, which takes little memory."""
    xp = _namespace(values)
    total = xp.zeros_like(values[0], dtype=xp.float32)
    for of_class in values:
        p = xp.asarray(of_class, dtype=xp.float32)
        total += p * p
    return total


def _check_same_shape(expected: Sequence[int], found: Sequence[int]) -> None:
    expected, found = tuple(expected), tuple(found)
    if found != expected:
        raise InputError(
            "Expected probabilities of shape {expected}, found {found}.",
            expected=expected,
            found=found,
        )


def _check_range(probabilities: Array) -> None:
    # In this direction, because NaN fails every comparison.
    if not 0 <= probabilities.min() <= probabilities.max() <= 1:
        raise InputError("Expected probabilities of regions, 0 to 1. Found other values.")


def _check_sums_to_one(probabilities: Array) -> None:
    xp = _namespace(probabilities)
    voxels = max(1, math.prod(probabilities.shape[1:]))
    mean_sum = float(xp.sum(probabilities, dtype=xp.float32)) / voxels
    # In this direction, because NaN fails every comparison.
    if not abs(mean_sum - 1) <= _SUM_TOLERANCE:
        raise InputError(
            "Expected probabilities that sum to 1 over the classes (axis 0), found a mean sum of "
            "{mean_sum:.4g}.",
            mean_sum=mean_sum,
        )


def _namespace(array: Array) -> Any:
    """Return numpy for a NumPy array, torch for a torch tensor.

    The functions used here have the same names and arguments in both.
    """
    if isinstance(array, np.ndarray):
        return np
    return import_module(type(array).__module__.partition(".")[0])
