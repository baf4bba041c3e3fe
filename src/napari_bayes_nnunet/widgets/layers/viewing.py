"""How a stack is laid on the screen: as a reader expects it, whatever order it is stored in.

Layers stay in their voxel frame (napari cannot show an oblique affine); the order of the axes and
the directions of the camera are chosen instead. The slider is the through-plane axis. On the
screen patient left is to the right and inferior is down, as in coronal views; posterior is down
in axial views and to the right in sagittal ones. A short-axis stack lies between the three, so
each in-plane axis is scored against both directions, and the best of the eight ways to turn and
mirror the slice is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from napari.layers import Image, Labels, Layer

from ...core.types import Place
from ...io.images.geometry import Geometry
from .metadata import layer_geometry, layer_voxels

Vertical = Literal["down", "up"]
Horizontal = Literal["right", "left"]

# In (R, A, S); posterior weighs less, so that it decides only where it is needed.
TO_THE_RIGHT = np.array([-1.0, -0.5, 0.0])
DOWN = np.array([0.0, -0.5, -1.0])
STACK = 1.2
"""Voxels longer than this times the others make a stack of slices along their longest axis."""

CLOSE = 0.55
"""Share of the canvas that what is looked at closely fills."""


@dataclass(frozen=True)
class StackOrientation:
    """``order`` of the spatial axes (z, y, x) = (0, 1, 2), the slider's first, and directions."""

    order: tuple[int, int, int] = (0, 1, 2)
    vertical: Vertical = "down"
    horizontal: Horizontal = "right"


def view_of(geometry: Geometry) -> StackOrientation:
    """The view a reader expects; without a known orientation only the slider is chosen."""
    slider = _through_plane(geometry.spacing)
    first, second = (axis for axis in range(3) if axis != slider)
    if geometry.letters is None:
        return StackOrientation((slider, first, second))
    # Columns of the affine are (x, y, z); its scale may lie, its directions do not.
    steps = geometry.affine[:3, :3].T[::-1]
    directions = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    best = max(
        product(((first, second), (second, first)), (1, -1), (1, -1)),
        key=lambda way: _score(directions, *way),
    )
    (rows, columns), down, right = best
    return StackOrientation(
        (slider, rows, columns), "down" if down > 0 else "up", "right" if right > 0 else "left"
    )


def show_in_reading_orientation(viewer: Any, layer: Image) -> None:
    """Show ``layer`` as a reader expects it, in 2D and fitted to the canvas."""
    geometry = layer_geometry(layer)
    if geometry is None:
        return
    view = view_of(geometry)
    others = viewer.dims.ndim - 3
    viewer.dims.order = (*range(others), *(others + axis for axis in view.order))
    viewer.scene.camera.orientation2d = (view.vertical, view.horizontal)
    viewer.reset_view()


def current_phase(viewer: Any, layer: Image) -> int:
    """The phase of a cine that is shown, from 1."""
    place = layer.world_to_data(viewer.dims.point[-layer.ndim :])[0]
    return int(np.clip(round(float(place)), 0, layer_voxels(layer).shape[0] - 1)) + 1


def go_to_phase(viewer: Any, layer: Image, phase: int) -> None:
    """Show a phase of a cine, in the middle slice."""
    lengths = layer_voxels(layer).shape
    slider = viewer.dims.order[-3] - (viewer.dims.ndim - layer.ndim)
    index = [float(length // 2) for length in lengths]
    index[0] = phase - 1.0
    world = layer.data_to_world(index)
    first = viewer.dims.ndim - layer.ndim
    for axis in {0, slider} if viewer.dims.ndisplay == 2 else {0}:
        viewer.dims.set_point(first + axis, float(world[axis]))


def look_closely(viewer: Any, labels: Labels, *, whole: bool = False) -> None:
    """Centre the camera on what is labelled in the slice shown, or in any, and zoom in on it."""
    shown = _shown_slice(viewer, labels)
    if whole:
        hidden = tuple(axis for axis, index in enumerate(shown) if isinstance(index, int))
        view = np.asarray(labels.data).any(axis=hidden)
    else:
        view = np.asarray(labels.data)[shown]
    rows, columns = np.nonzero(view)
    if not len(rows):
        return
    axes = viewer.dims.displayed
    steps = labels.scale[[axis - (viewer.dims.ndim - labels.ndim) for axis in axes]]
    if axes[0] > axes[1]:
        rows, columns = columns, rows
    boxes = [
        (values.min() * step, values.max() * step)
        for values, step in zip((rows, columns), steps, strict=True)
    ]
    viewer.scene.camera.center = tuple((low + high) / 2 for low, high in boxes)
    lengths = [high - low + 1 for low, high in boxes]
    pixels = zip(viewer.canvas.size, lengths, strict=True)
    viewer.scene.camera.zoom = CLOSE * min(size / length for size, length in pixels)


def _shown_slice(viewer: Any, layer: Labels) -> tuple[int | slice, ...]:
    index = np.round(layer.world_to_data(viewer.dims.point[-layer.ndim :])).astype(int)
    shown = [axis - (viewer.dims.ndim - layer.ndim) for axis in viewer.dims.displayed]
    return tuple(slice(None) if a in shown else int(i) for a, i in enumerate(index))


def _through_plane(spacing: tuple[float, float, float]) -> int:
    longest = int(np.argmax(spacing))
    others = [step for axis, step in enumerate(spacing) if axis != longest]
    return longest if spacing[longest] > STACK * max(others) else 0


def _score(
    directions: np.ndarray[Any, np.dtype[np.float64]], axes: tuple[int, int], down: int, right: int
) -> float:
    rows, columns = (directions[axis] for axis in axes)
    return float(down * (rows @ DOWN) + right * (columns @ TO_THE_RIGHT))


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
