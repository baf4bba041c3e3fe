"""The distinct segmentations that the members of an ensemble give for a slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import SlicePosterior
from .slice_checks import Labels

NEAR = 0.9
"""Dice, in every structure, from which two segmentations count as the same."""
MOST = 8
"""Maximum number of alternatives of a slice."""

_Distances = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Alternative:
    """Segmentation of a slice: (Y, X) uint8 ``labels`` as one member gave them.

    ``members`` are the numbers, from 0, of all members with the same or nearly the same labels. The
    member whose labels these are comes first.
    """

    labels: Labels
    members: tuple[int, ...]


def find_alternatives(slice_: SlicePosterior, structures: Mapping[str, int]) -> list[Alternative]:
    """Return the distinct segmentations of a slice, those of most members first, at most 8.

    Members are grouped when the Dice of every structure (name: label) is at least `NEAR` between
    any two of a group. Two members that both lack a structure agree on it. If that leaves more than
    8 groups, the nearest are joined until there are 8. A group is represented by its medoid, the
    member with the smallest mean distance from the rest of the group, so every alternative is the
    segmentation of a real member. Groups of the same size are ordered by their distance to all
    members, the nearest first.
    """
    distances = _distances(slice_.members, structures)
    groups = [_medoid_first(group, distances) for group in _groups(distances, 1 - NEAR)]
    groups.sort(key=lambda group: (-len(group), distances[group[0]].mean(), group[0]))
    return [Alternative(labels=slice_.members[group[0]], members=group) for group in groups]


def _distances(members: Labels, structures: Mapping[str, int]) -> _Distances:
    """Return the (n, n) largest 1 − Dice over the structures, between any two members."""
    distances = np.zeros((len(members), len(members)))
    # Where all members have background, they do not differ.
    y, x = np.nonzero(members.any(axis=0))
    for label in structures.values():
        # Bits are counted, because a matrix product starts threads that block each other on a busy
        # machine.
        masks = np.packbits(members[:, y, x] == label, axis=1)
        common = np.bitwise_count(masks[:, None] & masks).sum(axis=2, dtype=np.float64)
        sizes = common.diagonal()[:, None] + common.diagonal()
        dice = np.divide(2 * common, sizes, out=np.ones_like(common), where=sizes > 0)
        distances = np.maximum(distances, 1 - dice)
    return distances


def _groups(distances: _Distances, furthest: float) -> list[NDArray[np.intp]]:
    """Return at most `MOST` groups of members that are at most ``furthest`` apart.

    Groups are joined beyond that distance only if there would be too many.
    """
    if len(distances) == 1:
        return [np.array([0])]
    # Imported here because it would delay opening the Review dock by a tenth of a second.
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    tree = hierarchy.complete(squareform(distances))
    # Rounding must not separate members that are exactly as far apart as allowed.
    numbers = hierarchy.fcluster(tree, furthest + 1e-9, criterion="distance")
    if numbers.max() > MOST:
        numbers = hierarchy.fcluster(tree, MOST, criterion="maxclust")
    return [np.flatnonzero(numbers == number) for number in np.unique(numbers)]


def _medoid_first(group: NDArray[np.intp], distances: _Distances) -> tuple[int, ...]:
    medoid = group[distances[np.ix_(group, group)].sum(axis=1).argmin()]
    return int(medoid), *(int(member) for member in group if member != medoid)
