"""Presence of a structure in the slices: shares of members, addition and removal."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import StoredPosterior
from .alternatives import Alternative
from .slice_checks import Labels
from .slice_edits import copy_structures, remove_structure


def presence(posterior: StoredPosterior, label: int) -> NDArray[np.float64]:
    """Return the (Z,) share of the members, 0 … 1, that see a structure in each slice."""
    shares = np.zeros(posterior.shape[0])
    if posterior.count:
        seen = (posterior.members == label).any(axis=(2, 3))
        shares[posterior.box[0]] = seen.mean(axis=0)
    return shares


def slices_with(volume: Labels, label: int) -> NDArray[np.intp]:
    """Return the (k,) slices of a (Z, Y, X) volume that have a structure, in order."""
    return np.flatnonzero((volume == label).any(axis=(1, 2)))


def find_shapes(
    label: int, alternatives: Iterable[Alternative], volume: Labels, z: int
) -> list[Alternative]:
    """Return the alternatives with a structure, then the slices of (Z, Y, X) labels with it.

    Of the slices, which have no members, the nearest to ``z`` comes first.
    """
    near = sorted(slices_with(volume, label), key=lambda other: abs(other - z))
    slices = (Alternative(labels=volume[other], members=()) for other in near)
    return [*(shape for shape in alternatives if (shape.labels == label).any()), *slices]


def add_structure(
    labels: Labels,
    *,
    source: Labels,
    label: int,
    walls: Collection[int] = (),
    protected: Collection[int] = (),
) -> Labels:
    """Return (Y, X) labels with a structure that they lack, as in ``source``.

    ``walls`` are the labels of the myocardium, which comes with its cavity if ``labels`` have none,
    as in `remove_at_end`. ``protected`` structures stay.
    """
    lacking = [wall for wall in walls if not (labels == wall).any()]
    # The cavity comes last, as it has precedence over its wall.
    for structure in (*lacking, label):
        labels = copy_structures(source, labels, label=structure, protected=protected)
    return labels


def remove_at_end(
    labels: Labels, label: int, *, walls: Collection[int] = (), protected: Collection[int] = ()
) -> Labels:
    """Return (Y, X) labels without a structure that ends before this slice.

    ``walls`` are the labels of the myocardium, which ends together with its cavity at the base;
    none at the apex, where it closes over the cavity. ``protected`` structures stay, and a
    protected cavity keeps its walls.
    """
    for structure in (label, *(() if label in protected else walls)):
        labels = remove_structure(labels, structure, protected=protected)
    return labels
