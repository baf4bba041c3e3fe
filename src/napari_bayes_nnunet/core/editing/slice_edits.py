"""Corrections of a whole slice: a structure removed, copied or interpolated."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import numpy as np

from .. import InputError
from .interpolation import blend_slices
from .slice_checks import (
    Labels,
    give_up_voxels,
    structure_mask,
)

MOST_LOST: Final = 0.1
"""Largest share by which a result may be smaller than the smaller of its two shapes."""
TOO_SMALL: Final = (
    "The structure was not interpolated, because it would shrink to {found} voxels in slice "
    "{slice} ({size_below} in slice {below}, {size_above} in slice {above}). Copy it from one of "
    "these slices, or draw it."
)
IN_NEITHER_SOURCE: Final = (
    "Neither slice {below} nor slice {above} has the structure, so there is nothing to "
    "interpolate. To remove it from slice {slice}, mark it as absent."
)


def remove_structure(labels: Labels, label: int, *, protected: Collection[int] = ()) -> Labels:
    """Return (Y, X) labels without the structure ``label``.

    Its voxels become background, or the structure that encloses them (see `give_up_voxels`): the
    myocardium around the end of an LV is the cap of the apex. ``protected`` structures stay.
    """
    gone = structure_mask(labels, {label}) & ~structure_mask(labels, protected)
    return give_up_voxels(labels, gone, protected=protected)


def copy_structures(
    source: Labels,
    target: Labels,
    *,
    label: int | None = None,
    protected: Collection[int] = (),
) -> Labels:
    """Return (Y, X) labels of ``target`` with a structure, or all of them, as in ``source``.

    ``source`` is an adjacent slice, or the same slice in another phase. The structure ``label``
    overwrites other labels. Voxels that only the target assigns to it are given up (see
    `give_up_voxels`). ``protected`` structures neither change nor are gained: voxels that only the
    source assigns to one become background.
    """
    if label is not None:
        return _replaced(target, source, {label}, protected)
    allowed = np.where(structure_mask(source, protected), np.uint8(0), source)
    return np.where(structure_mask(target, protected), target, allowed)


def nearest_sources(z: int, corrected: Iterable[int]) -> tuple[int, int]:
    """Return the nearest corrected slices below and above the slice ``z``, counted from 0.

    Raises InputError if either side has none.
    """
    corrected = set(corrected)
    below = max((source for source in corrected if source < z), default=None)
    above = min((source for source in corrected if source > z), default=None)
    if below is None or above is None:
        raise InputError(
            "Slice {slice} can only be interpolated between corrected or accepted slices. Correct "
            "or accept a slice on either side first.",
            slice=z + 1,
        )
    return below, above


def interpolate_slice(
    volume: Labels,
    z: int,
    *,
    sources: tuple[int, int],
    structures: Collection[int],
    protected: Collection[int] = (),
) -> Labels:
    """Return (Y, X) labels of slice ``z`` with ``structures`` interpolated between two slices.

    ``volume`` is (Z, Y, X) uint8, ``sources`` are the slices below and above, see
    `nearest_sources`. The nearer source has more weight. `blend_slices` describes structures inside
    each other and structures that one source lacks. Other structures stay outside the interpolated
    ones, ``protected`` structures stay everywhere. Voxels that the structures lose are given up
    (see `give_up_voxels`).

    Raises InputError for a structure that would be empty or smaller than the smaller of its two
    shapes by more than `MOST_LOST`.
    """
    below, above = sources
    between = blend_slices(volume[below], volume[above], (z - below) / (above - below))
    result = _replaced(volume[z], between, structures, protected)
    for label in {*structures} - {*protected}:
        # Protected structures may cover a part of the shape, but not the whole.
        found = np.count_nonzero(between == label) if (result == label).any() else 0
        sizes = [np.count_nonzero(volume[source] == label) for source in sources]
        if not found or found < (1 - MOST_LOST) * min(sizes):
            raise InputError(
                TOO_SMALL if any(sizes) else IN_NEITHER_SOURCE,
                slice=z + 1,
                below=below + 1,
                above=above + 1,
                label=label,
                found=found,
                size_below=sizes[0],
                size_above=sizes[1],
            )
    return result


def _replaced(
    target: Labels, source: Labels, structures: Collection[int], protected: Collection[int]
) -> Labels:
    """Return the target with ``structures`` as in the source, outside protected structures."""
    moving = {*structures} - {*protected}
    fixed = structure_mask(target, protected)
    result = np.where(structure_mask(source, moving) & ~fixed, source, target)
    lost = structure_mask(target, moving) & ~structure_mask(source, moving)
    return give_up_voxels(result, lost, protected=protected)
