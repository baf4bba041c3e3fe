"""Orientation of a stack on the screen, independent of its order in the file.

Layers stay in their voxel grid, because napari cannot show an oblique affine; the order of the
axes and the directions of the camera are chosen instead. The slider moves through the slices, which
are first in every geometry. Patient left is on the right of the screen and inferior is down, as in
coronal views; posterior is down in axial views and on the right in sagittal views. A short-axis
stack lies between these views, so each in-plane axis is scored against both directions. The best of
the eight ways to rotate and mirror the slice is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Final

import numpy as np
from napari.layers import Image, Layer
from numpy.typing import NDArray

from ...core.slice_axis import find_slice_axis
from ...core.types import Place
from ...io.images.geometry import Geometry
from .metadata import layer_geometry, layer_spacing, layer_voxels

PlaneIndex = tuple[int | slice, ...]
"""Index of a plane: a slice for each displayed axis, a number for each slider."""
Box = list[tuple[float, float]]
"""Limits along the vertical and the horizontal axis, in mm."""
Rectangle = tuple[float, float, float, float]
"""Left, top, width and height."""

# In (R, A, S). Posterior has a smaller weight, so that it only decides otherwise equal scores.
TO_THE_RIGHT = np.array([-1.0, -0.5, 0.0])
DOWN = np.array([0.0, -0.5, -1.0])
TURNED: Final = "bayes_nnunet_turned"
"""Key in the metadata of an image, with its id, once it was shown in the usual orientation."""

HEART_HEIGHT, HEART_WIDTH = 0.5, 0.9
"""Share of the canvas height that labels fill after zooming in, and most of its width."""
WHOLE = 0.95
"""Largest share of either side that they fill if the image must be enlarged to fill the canvas."""


@dataclass(frozen=True)
class PlaneOrientation:
    """Display of (Y, X) slices: transposed first, then turned over along each side."""

    transposed: bool = False
    is_upside_down: bool = False
    is_mirrored: bool = False


def find_orientation(geometry: Geometry) -> PlaneOrientation:
    """Return the usual view of the slices; as they are held if their orientation is unknown."""
    if geometry.letters is None:
        return PlaneOrientation()
    # Columns of the affine are (x, y, z). Only its directions are used: its scale may be wrong.
    steps = geometry.affine[:3, :3].T[::-1]
    directions = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    ways = (PlaneOrientation(*way) for way in product((False, True), repeat=3))
    return max(ways, key=partial(_score, directions))


def fit_sliders(viewer: Any, image: Image) -> None:
    """Let the sliders go through ``image`` only.

    napari's own ranges are those of all layers, also of hidden ones of other patients.
    """
    dims, (low, high) = viewer.dims, image.extent.world
    own = zip(low, high, image.extent.step, strict=True)
    ranges = [(0.0, 0.0, 1.0)] * (dims.ndim - image.ndim) + [tuple(map(float, r)) for r in own]
    if [tuple(known) for known in dims.range] != ranges:
        dims.range = tuple(ranges)


def shown_orientation(viewer: Any) -> PlaneOrientation:
    """Return how the last two axes lie on the screen; in another view they are not transposed."""
    order = tuple(viewer.dims.order[-2:])
    vertical, horizontal = map(str, viewer.scene.camera.orientation2d)
    return PlaneOrientation(
        transposed=order == (viewer.dims.ndim - 1, viewer.dims.ndim - 2),
        is_upside_down=vertical == "up",
        is_mirrored=horizontal == "left",
    )


def show_in_reading_orientation(viewer: Any, layer: Image) -> None:
    """Show ``layer`` in the usual orientation, in 2D and fitted to the canvas.

    For a layer without a file, only the axis of the slices is chosen, if it is found.
    """
    layer.metadata[TURNED] = layer.unique_id  # which a copy of the layer does not have
    geometry = layer_geometry(layer)
    if geometry is None:
        _show_slices(viewer, layer)
        return
    view = find_orientation(geometry)
    first = viewer.dims.ndim - 3
    plane = (first + 2, first + 1) if view.transposed else (first + 1, first + 2)
    viewer.dims.order = (*range(first + 1), *plane)
    vertical = "up" if view.is_upside_down else "down"
    viewer.scene.camera.orientation2d = (vertical, "left" if view.is_mirrored else "right")
    fit_view(viewer, layer)


def turn_once(viewer: Any, layer: Image) -> None:
    """Show ``layer`` in the usual orientation unless it was, to keep the zoom and later turns."""
    if layer.metadata.get(TURNED) != layer.unique_id:
        show_in_reading_orientation(viewer, layer)


def _show_slices(viewer: Any, layer: Image) -> None:
    """Show the slices of a layer without a file, unless they are shown or their axis is unclear."""
    steps = layer_spacing(layer) or tuple(abs(float(step)) for step in layer.scale[-3:])
    slices = find_slice_axis(layer_voxels(layer).shape, steps)
    first = viewer.dims.ndim - 3
    if slices is None or viewer.dims.order[first] == first + slices:
        return
    rest = [axis for axis in range(3) if axis != slices]
    viewer.dims.order = (*range(first), *(first + axis for axis in (slices, *rest)))
    fit_view(viewer, layer)


def current_phase(viewer: Any, layer: Image) -> int:
    """Return the displayed phase of a cine, from 1."""
    return shown_place(viewer, layer)[0] or 1


def go_to_phase(viewer: Any, layer: Image, phase: int) -> None:
    """Show the middle slice of a phase."""
    lengths = layer_voxels(layer).shape
    slider = viewer.dims.order[-3] - (viewer.dims.ndim - layer.ndim)
    index = [float(length // 2) for length in lengths]
    # The first axis of a cine is the time.
    index[0] = phase - 1.0
    world = layer.data_to_world(index)
    first = viewer.dims.ndim - layer.ndim
    for axis in {0, slider} if viewer.dims.ndisplay == 2 else {0}:
        viewer.dims.set_point(first + axis, float(world[axis]))


def fit_view(viewer: Any, layer: Layer) -> None:
    """Fit the slices of a layer to the canvas.

    napari would fit all layers, and hidden ones of other patients may be larger.
    """
    zoom_to_area(viewer, layer, np.ones(layer_voxels(layer).shape[-2:], np.bool_))


class KeptFit:
    """Layer that stays fitted to the canvas, by ``fit``, until the camera is moved.

    The canvas changes its size with the window, and while docks take their places.
    """

    def __init__(self, viewer: Any, layer: Layer, fit: Callable[[], None]) -> None:
        self._viewer = viewer
        self._layer = layer
        self._fit = fit
        self._fitted: tuple[float, ...] = ()
        viewer.canvas.events.size.connect(self._on_resized)

    def fit(self) -> None:
        """Fit the layer now."""
        self._fit()
        self._fitted = self._camera_at

    def release(self) -> None:
        """Leave the camera alone."""
        self._viewer.canvas.events.size.disconnect(self._on_resized)

    @property
    def _camera_at(self) -> tuple[float, ...]:
        camera = self._viewer.scene.camera
        return float(camera.zoom), *camera.center

    def _on_resized(self) -> None:
        if self._fitted == self._camera_at and self._layer in self._viewer.layers:
            self.fit()


def shows_slices(viewer: Any) -> bool:
    """Return whether slices are displayed, not another plane or the volume in 3D."""
    dims = viewer.dims
    return {*dims.displayed} == {dims.ndim - 2, dims.ndim - 1}


def voxel_under(layer: Layer, event: Any) -> NDArray[np.float64]:
    """Return the (y, x) voxel of a layer under the mouse."""
    return np.asarray(layer.world_to_data(event.position)[-2:], np.float64)


def lengths_on_canvas(
    viewer: Any, layer: Layer, offsets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (n,) lengths, px, of (n, 2) offsets (y, x) in voxels of a layer."""
    steps = np.abs(layer.scale[-2:]) * viewer.scene.camera.zoom
    return np.asarray(np.linalg.norm(offsets * steps, axis=1))


def zoom_to_area(viewer: Any, layer: Layer, area: NDArray[np.bool_]) -> None:
    """Centre on an ``area`` (Y, X) of a layer and enlarge it, if slices are shown.

    The band beside the image is as small as possible.
    """
    box = _area_box(viewer, layer, area)
    if box is None:
        return
    axes = [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
    steps = np.abs(layer.scale[axes])
    start, shape = layer.translate[axes], np.array(layer_voxels(layer).shape)[axes]
    first, last = start - steps / 2, start + (shape - 0.5) * steps
    size, (low, high) = np.array(viewer.canvas.size), np.transpose(box)
    scales = size / (high - low + steps)
    zoom = min(HEART_HEIGHT * scales[0], HEART_WIDTH * scales[1])
    zoom = max(zoom, min((size / (last - first)).max(), WHOLE * scales.min()))
    reach, centre = size / zoom / 2, (low + high) / 2
    limits = np.sort([first + reach, last - reach], axis=0)
    viewer.scene.camera.zoom = float(zoom)
    viewer.scene.camera.center = tuple(map(float, np.clip(centre, *limits)))


def slice_on_canvas(viewer: Any, layer: Layer) -> Rectangle:
    """Return where the slices of a layer lie on the canvas, px; parts may lie beyond it."""
    axes = [axis - viewer.dims.ndim for axis in viewer.dims.displayed[-2:]]
    camera, steps = viewer.scene.camera, np.abs(layer.scale[axes])
    height, width = np.array(layer.data.shape)[axes] * steps * camera.zoom
    reach = (np.array(camera.center[-2:]) - layer.translate[axes] + steps / 2) * camera.zoom
    down, right = map(str, camera.orientation2d)
    above = reach[0] if down == "down" else height - reach[0]
    before = reach[1] if right == "right" else width - reach[1]
    rows, columns = viewer.canvas.size
    return float(columns / 2 - before), float(rows / 2 - above), float(width), float(height)


def is_area_shown(viewer: Any, layer: Layer, area: NDArray[np.bool_]) -> bool:
    """Return whether the middle of an ``area`` (Y, X) is on screen, or the area is zoomed into."""
    box, camera = _area_box(viewer, layer, area), viewer.scene.camera
    if box is None:
        return True
    centre = camera.center[-2:]
    reach = [size / camera.zoom / 2 for size in viewer.canvas.size]
    near = all(
        abs((low + high) / 2 - middle) <= half
        for (low, high), middle, half in zip(box, centre, reach, strict=True)
    )
    inside = all(low <= middle <= high for (low, high), middle in zip(box, centre, strict=True))
    return near or inside


def _area_box(viewer: Any, layer: Layer, area: NDArray[np.bool_]) -> Box | None:
    """Return the limits of an area on the screen; None if it is empty or no slice is shown."""
    rows, columns = np.nonzero(area)
    if not len(rows) or not shows_slices(viewer):
        return None
    axes = [axis - viewer.dims.ndim for axis in viewer.dims.displayed]
    values = (columns, rows) if axes[0] > axes[1] else (rows, columns)
    return [
        (index.min() * step + start, index.max() * step + start)
        for index, step, start in zip(values, layer.scale[axes], layer.translate[axes], strict=True)
    ]


def shown_plane(viewer: Any, layer: Layer) -> PlaneIndex:
    """Return the index of the displayed plane in the data of a layer; in 3D, of the volume."""
    index = np.round(layer.world_to_data(viewer.dims.point[-layer.ndim :])).astype(int)
    displayed = [axis - (viewer.dims.ndim - layer.ndim) for axis in viewer.dims.displayed]
    return tuple(slice(None) if a in displayed else int(i) for a, i in enumerate(index))


def _score(directions: NDArray[np.float64], way: PlaneOrientation) -> float:
    rows, columns = directions[:0:-1] if way.transposed else directions[1:]
    down, right = float(rows @ DOWN), float(columns @ TO_THE_RIGHT)
    return (-down if way.is_upside_down else down) + (-right if way.is_mirrored else right)


def shown_place(viewer: Any, layer: Layer) -> Place:
    """Return phase and slice of the viewer's point in a (Z, Y, X) or (T, Z, Y, X) layer."""
    # From the point in the world, because napari's steps need not be those of this layer.
    voxel = layer.world_to_data(viewer.dims.point[-layer.ndim :])
    *phase, z = (
        min(max(round(float(at)), 0), size - 1)
        for at, size in zip(voxel[:-2], layer.data.shape[:-2], strict=True)
    )
    return (phase[0] + 1 if phase else None), z


def show_place(viewer: Any, layer: Layer, place: Place) -> None:
    """Show a slice of a phase, without moving the camera."""
    phase, z = place
    axes = {layer.ndim - 3: z} if phase is None else {0: phase - 1, layer.ndim - 3: z}
    world = layer.data_to_world([axes.get(axis, 0) for axis in range(layer.ndim)])
    first = viewer.dims.ndim - layer.ndim
    # All axes in one call, so that napari draws once.
    viewer.dims.set_point([first + axis for axis in axes], [float(world[axis]) for axis in axes])


def index_of(place: Place) -> tuple[int, ...]:
    """Return (z,) or (t, z) to index an array."""
    phase, z = place
    return (z,) if phase is None else (phase - 1, z)
