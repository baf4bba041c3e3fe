"""Which slice of which phase a viewer shows.

Phases count from 1, a volume has the one phase None. Slices count from 0, as the image stores them.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from napari.layers import Layer

from .viewing import current_phase

Place: TypeAlias = tuple[int | None, int]
"""(phase, z)"""


def shown_place(viewer: Any, layer: Layer) -> Place:
    """Phase and slice of a (Z, Y, X) or (T, Z, Y, X) layer that are shown, or were last."""
    depth = layer.data.shape[-3]
    place = layer.world_to_data(viewer.dims.point[-layer.ndim :])[-3]
    z = int(np.clip(round(float(place)), 0, depth - 1))
    return (current_phase(viewer, layer) if layer.ndim == 4 else None), z


def show_place(viewer: Any, layer: Layer, place: Place) -> None:
    """Show a slice of a phase; camera and zoom stay."""
    phase, z = place
    axes = {layer.ndim - 3: z} if phase is None else {0: phase - 1, layer.ndim - 3: z}
    world = layer.data_to_world([axes.get(axis, 0) for axis in range(layer.ndim)])
    first = viewer.dims.ndim - layer.ndim
    viewer.dims.set_point([first + axis for axis in axes], [float(world[axis]) for axis in axes])


def index_of(place: Place) -> tuple[int, ...]:
    """(z,) or (t, z), to index an array with."""
    phase, z = place
    return (z,) if phase is None else (phase - 1, z)
