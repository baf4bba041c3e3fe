"""Largest connected component of all structures together, because a heart is one piece.

In all reference volumes of ACDC and M&Ms that were looked at, RV, MYO and LV together are one
piece, and what an ensemble draws apart from it is another organ (docs/explanation/method.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from ..slice_axis import find_slice_axis
from ..types import LabelMap, Mask, Spacing
from .measurements import volumes_ml

_TOUCHING = np.ones((3, 3, 3))
"""Voxels that share a face, an edge or a corner are connected."""


@dataclass(frozen=True, kw_only=True)
class Removed:
    """Structure → mL apart from the largest component, and its ``slices``, counted from 1."""

    volumes_ml: dict[str, float]
    slices: tuple[int, ...]


def largest_component(labels: LabelMap, spacing: Spacing) -> Mask:
    """Return the (Z, Y, X) voxels of the largest component of all ``labels`` above 0.

    Components are 26-connected in 3D. One that covers the same pixels as the largest, with a single
    slice without it in between, belongs to it: otherwise a slice that the ensemble has missed would
    also cost all slices beyond. ``spacing`` (z, y, x) in mm shows the axis of the slices.
    """
    kept: Mask = np.greater(labels, 0)
    # `find_objects` does not take booleans.
    (box,) = scipy.ndimage.find_objects(kept.view(np.uint8)) or (None,)
    if box is None:
        return kept
    components, count = scipy.ndimage.label(kept[box], _TOUCHING)
    if count > 1:
        sizes = np.bincount(components.ravel())
        largest = components == sizes[1:].argmax() + 1
        axis = find_slice_axis(labels.shape, spacing) or 0
        planes = np.moveaxis(components, axis, 0)
        # A part that was added may reach across the next slice.
        while len(across := _across_one_slice(np.moveaxis(largest, axis, 0), planes)):
            largest |= np.isin(components, across)
        kept[box] = largest
    return kept


def find_removed(
    drawn: LabelMap, kept: LabelMap, spacing: Spacing, structures: Mapping[str, int]
) -> Removed | None:
    """Return what the (Z, Y, X) labels ``kept`` lack of those ``drawn``; None if they lack nothing.

    ``spacing`` (z, y, x) in mm.
    """
    removed = np.where(kept == 0, drawn, 0)
    planes = np.moveaxis(removed, find_slice_axis(drawn.shape, spacing) or 0, 0)
    slices = np.flatnonzero(planes.any(axis=(1, 2))) + 1
    volumes = volumes_ml(removed, spacing, structures)
    found = {name: ml for name, ml in volumes.items() if ml > 0}
    return Removed(volumes_ml=found, slices=tuple(slices.tolist())) if found else None


def _across_one_slice(largest: Mask, components: LabelMap) -> LabelMap:
    """Return the (n,) other components that overlap ``largest`` across a slice without it."""
    is_empty = ~np.asarray(largest.any(axis=(1, 2)))[1:-1, None, None]
    opposite = np.zeros_like(largest)
    opposite[2:] = largest[:-2] & is_empty
    opposite[:-2] |= largest[2:] & is_empty
    return np.unique(components[opposite & ~largest & (components > 0)])
