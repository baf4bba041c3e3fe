"""Presence of a structure in the slices: shares of members, addition and removal."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .. import InputError
from ..ensemble.stored_posterior import StoredPosterior
from .alternatives import Alternative
from .slice_checks import Labels
from .slice_edits import copy_structures, interpolate_slice, remove_structure


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


def add_structure(
    volume: Labels,
    z: int,
    *,
    label: int,
    alternatives: Sequence[Alternative],
    walls: Collection[int] = (),
    protected: Collection[int] = (),
) -> Labels:
    """Return (Y, X) labels of slice ``z`` with a structure that it lacks.

    ``volume`` is (Z, Y, X) uint8. The structure is copied from the alternative of most members that
    has it. If none has it, it is interpolated between the nearest slices that have it, or copied
    from the nearest one if all of them are on one side. ``walls`` are the labels of the myocardium,
    which comes with its cavity from the same source if the slice lacks it, as in `remove_at_end`.
    ``protected`` structures stay.

    Raises InputError if no alternative and no other slice has the structure.
    """
    slice_ = volume[z]
    lacking = [wall for wall in walls if not (slice_ == wall).any()]
    if seen := [a for a in alternatives if (a.labels == label).any()]:
        # The cavity comes last, as it has precedence over its wall.
        return _copied(seen[0].labels, slice_, [*lacking, label], protected)
    having = slices_with(volume, label)
    below, above = having[having < z], having[having > z]
    if not len(below) and not len(above):
        raise InputError("No slice has the structure {label}. Draw it.", label=label)
    if len(below) and len(above):
        sources = int(below[-1]), int(above[0])
        # A wall that neither source has would be refused.
        known = [wall for wall in lacking if (volume[[*sources]] == wall).any()]
        return interpolate_slice(
            volume, z, sources=sources, structures=[*known, label], protected=protected
        )
    source = int(below[-1] if len(below) else above[0])
    return _copied(volume[source], slice_, [*lacking, label], protected)


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


def _copied(
    source: Labels, labels: Labels, structures: Iterable[int], protected: Collection[int]
) -> Labels:
    """Return (Y, X) labels with ``structures`` as in the source; the last one has precedence."""
    for structure in structures:
        labels = copy_structures(source, labels, label=structure, protected=protected)
    return labels
