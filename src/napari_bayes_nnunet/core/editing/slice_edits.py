"""Corrections of a whole slice: a structure taken out, or brought from other slices and phases."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from .interpolation import blended
from .slice_checks import (
    Labels,
    are_of,
    checked_same_shape,
    checked_slice,
    checked_structures,
    give_up,
)


def with_structure_absent(
    labels: Labels, label: int | None = None, *, protected: Collection[int] = ()
) -> Labels:
    """(Y, X) labels without the structure ``label``, or without any: the heart is not in the slice.

    Its voxels become background, or what encloses them (see `give_up`): where an LV ends, the
    myocardium around it is the cap of the apex. ``protected`` structures stay. ValueError for
    labels that are no slice, a label that is no structure.
    """
    labels = checked_slice(labels)
    if label is None:
        return np.where(are_of(labels, protected), labels, np.uint8(0))
    gone = are_of(labels, {label}) & ~are_of(labels, protected)
    return give_up(labels, gone, protected=protected)


def copied(
    source: Labels,
    target: Labels,
    *,
    label: int | None = None,
    protected: Collection[int] = (),
) -> Labels:
    """(Y, X) labels of ``target`` with a structure, or all, as in ``source``.

    ``source`` is a slice beside it or the same in another phase. The structure ``label``
    overwrites what else is there; where the target had it and the source does not, it is given
    up (see `give_up`). ``protected`` structures neither change nor are gained: where the source
    has them and the target does not, it gives background. ValueError for labels that are no
    slices or of two grids, a label that is no structure.
    """
    source, target = checked_slice(source), checked_slice(target)
    checked_same_shape(target, source, name="the slice to copy")
    if label is not None:
        return _replaced(target, source, {label}, protected)
    allowed = np.where(are_of(source, protected), np.uint8(0), source)
    return np.where(are_of(target, protected), target, allowed)


def nearest_sources(z: int, corrected: Iterable[int]) -> tuple[int, int]:
    """The nearest corrected slices below and above the slice ``z``, from 0.

    ValueError where one side has none.
    """
    corrected = set(corrected)
    below = max((other for other in corrected if other < z), default=None)
    above = min((other for other in corrected if other > z), default=None)
    if below is None or above is None:
        raise ValueError(
            f"Slice {z + 1} can be interpolated once a slice on either side of it is corrected."
        )
    return below, above


def interpolated(
    volume: Labels,
    z: int,
    *,
    sources: tuple[int, int],
    structures: Collection[int],
    protected: Collection[int] = (),
) -> Labels:
    """(Y, X) labels of slice ``z`` with ``structures`` as their shapes are between two slices.

    ``volume`` (Z, Y, X) uint8; ``sources`` are the slices below and above, see `nearest_sources`.
    The nearer one counts more; see `blended` for structures that lie in each other or that one
    of the slices lacks. Other structures stay where these are not, ``protected`` ones everywhere,
    and what the slice had more of is given up (see `give_up`).

    ValueError for a volume of another form, sources that are not below and above, labels that are
    no structures.
    """
    volume = np.asarray(volume)
    if volume.ndim != 3:
        raise ValueError(f"Slices are interpolated in (Z, Y, X) labels, not {volume.shape}.")
    below, above = sources
    if not 0 <= below < z < above < len(volume):
        raise ValueError(
            f"Slice {z + 1} lies not between slices {below + 1} and {above + 1} "
            f"of a volume of {len(volume)}."
        )
    between = blended(volume[below], volume[above], (z - below) / (above - below))
    return _replaced(checked_slice(volume[z]), between, structures, protected)


def _replaced(
    target: Labels, source: Labels, structures: Collection[int], protected: Collection[int]
) -> Labels:
    """The target with some structures as in the source, less where something is protected."""
    moving = {*checked_structures(structures)} - {*protected}
    fixed = are_of(target, protected)
    result = np.where(are_of(source, moving) & ~fixed, source, target)
    lost = are_of(target, moving) & ~are_of(source, moving)
    return give_up(result, lost, protected=protected)
