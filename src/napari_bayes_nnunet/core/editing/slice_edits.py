"""Corrections of a whole slice: a structure removed, copied or interpolated."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

from .. import InputError
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
    """Return (Y, X) labels without the structure ``label``, or without any structure.

    Its voxels become background, or the structure that encloses them (see `give_up`): the
    myocardium around the end of an LV is the cap of the apex. ``protected`` structures stay. Raises
    InputError for labels that are not a slice or a label that is not a structure.
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
    """Return (Y, X) labels of ``target`` with a structure, or all of them, as in ``source``.

    ``source`` is an adjacent slice, or the same slice in another phase. The structure ``label``
    overwrites other labels. Voxels that only the target assigns to it are given up (see `give_up`).
    ``protected`` structures neither change nor are gained: voxels that only the source assigns to
    one become background. Raises InputError for labels that are not slices or differ in shape, or a
    label that is not a structure.
    """
    source, target = checked_slice(source), checked_slice(target)
    checked_same_shape(target, source, name="the slice to copy")
    if label is not None:
        return _replaced(target, source, {label}, protected)
    allowed = np.where(are_of(source, protected), np.uint8(0), source)
    return np.where(are_of(target, protected), target, allowed)


def nearest_sources(z: int, corrected: Iterable[int]) -> tuple[int, int]:
    """Return the nearest corrected slices below and above the slice ``z``, counted from 0.

    Raises InputError if either side has none.
    """
    corrected = set(corrected)
    below = max((source for source in corrected if source < z), default=None)
    above = min((source for source in corrected if source > z), default=None)
    if below is None or above is None:
        raise InputError(
            "Slice {slice} needs a corrected slice on either side. Correct them first.", slice=z + 1
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
    """Return (Y, X) labels of slice ``z`` with ``structures`` interpolated between two slices.

    ``volume`` is (Z, Y, X) uint8, ``sources`` are the slices below and above, see
    `nearest_sources`. The nearer source has more weight. `blended` describes structures inside each
    other and structures that one source lacks. Other structures stay outside the interpolated ones,
    ``protected`` structures stay everywhere. Voxels that the structures lose are given up (see
    `give_up`).

    Raises InputError for a volume of another shape, sources that are not below and above, or labels
    that are not structures.
    """
    volume = np.asarray(volume)
    if volume.ndim != 3:
        raise InputError("Expected (Z, Y, X) labels, found shape {found}.", found=volume.shape)
    below, above = sources
    if not 0 <= below < z < above < len(volume):
        raise InputError(
            "Slice {slice} is not between slices {below} and {above} of {count} slices.",
            slice=z + 1,
            below=below + 1,
            above=above + 1,
            count=len(volume),
        )
    between = blended(volume[below], volume[above], (z - below) / (above - below))
    return _replaced(checked_slice(volume[z]), between, structures, protected)


def _replaced(
    target: Labels, source: Labels, structures: Collection[int], protected: Collection[int]
) -> Labels:
    """Return the target with ``structures`` as in the source, outside protected structures."""
    moving = {*checked_structures(structures)} - {*protected}
    fixed = are_of(target, protected)
    result = np.where(are_of(source, moving) & ~fixed, source, target)
    lost = are_of(target, moving) & ~are_of(source, moving)
    return give_up(result, lost, protected=protected)
