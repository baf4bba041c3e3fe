"""The distinct answers the members of an ensemble give for a slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import SlicePosterior
from .slice_checks import Labels, checked_structures

NEAR = 0.9
"""Dice from which two answers are taken for one, in every structure."""
MOST = 8
"""Alternatives of a slice, at most."""

_Distances = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Alternative:
    """An answer for a slice: (Y, X) uint8 ``labels`` as one member gave them.

    ``members`` are the numbers, from 0, of all members that say so or nearly so, the one whose
    labels these are first.
    """

    labels: Labels
    members: tuple[int, ...]


def alternatives(
    slice_: SlicePosterior, structures: Mapping[str, int], *, near: float = NEAR
) -> list[Alternative]:
    """The distinct answers of the members for a slice, those of most members first, at most 8.

    Answers are near-equal, and grouped, when the Dice of every structure (name: label) is at
    least ``near`` between any two of a group; two that both lack a structure agree on it. If that
    leaves more than 8 groups, the nearest are joined until there are 8. A group is shown by its
    medoid, the member that is on average nearest to the others: no mixture, an answer that was
    really given. Among groups of one size the one nearest to all members comes first.

    ValueError for a slice without members, a ``near`` outside 0 … 1, a label that is background.
    """
    if len(slice_.members) == 0:
        raise ValueError("Alternatives need the labels of at least one member; there are none.")
    if not 0 <= near <= 1:
        raise ValueError(f"Near-equal is a Dice between 0 and 1, not {near}.")
    distances = _distances(slice_.members, structures)
    groups = [_medoid_first(group, distances) for group in _groups(distances, 1 - near)]
    groups.sort(key=lambda group: (-len(group), distances[group[0]].mean(), group[0]))
    return [Alternative(labels=slice_.members[group[0]], members=group) for group in groups]


def _distances(members: Labels, structures: Mapping[str, int]) -> _Distances:
    """(n, n) 1 − Dice between members, that of the structure they agree least on."""
    labels = checked_structures(structures.values())
    distances = np.zeros((len(members), len(members)))
    y, x = np.nonzero(members.any(axis=0))
    for label in labels:
        # Bits, as a matrix product starts threads that wait for each other on a busy machine.
        masks = np.packbits(members[:, y, x] == label, axis=1)
        common = np.bitwise_count(masks[:, None] & masks).sum(axis=2, dtype=np.float64)
        sizes = common.diagonal()[:, None] + common.diagonal()
        dice = np.divide(2 * common, sizes, out=np.ones_like(common), where=sizes > 0)
        distances = np.maximum(distances, 1 - dice)
    return distances


def _groups(distances: _Distances, furthest: float) -> list[NDArray[np.intp]]:
    """Members in groups of which no two are further apart, as long as these are not too many."""
    if len(distances) == 1:
        return [np.array([0])]
    # Not on top: a tenth of a second that the dock Review would take longer to open.
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    tree = hierarchy.complete(squareform(distances))
    # Rounding must not part what is exactly as far apart as allowed.
    numbers = hierarchy.fcluster(tree, furthest + 1e-9, criterion="distance")
    if numbers.max() > MOST:
        numbers = hierarchy.fcluster(tree, MOST, criterion="maxclust")
    return [np.flatnonzero(numbers == number) for number in np.unique(numbers)]


def _medoid_first(group: NDArray[np.intp], distances: _Distances) -> tuple[int, ...]:
    medoid = group[distances[np.ix_(group, group)].sum(axis=1).argmin()]
    return int(medoid), *(int(member) for member in group if member != medoid)
