"""Insertions of the RV in the slice on screen, which can be dragged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import Any, Final

import numpy as np
from napari.layers import Image, Points
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...core.heart.wall import Insertions
from ...core.types import Place
from ..layers.result_layers import remove_layers
from ..layers.review_layers import handles_layer, put_on_top
from ..layers.viewing import index_of, lengths_on_canvas, shown_place, voxel_under
from .contour_handles import LEFT, REACH, ContourHandles
from .drawing_tools import DrawingTool

INSERTION_COLORS: Final = ("#FF00FF", "#FFA500")
"""Fill of the anterior and of the inferior insertion."""
NAMES: Final = ("anterior insertion", "inferior insertion")
"""Their names on the canvas."""


class InsertionPoints(QObject):
    """Two points over ``image``, to drag while none of the ``others`` is active.

    ``moved`` carries the slice and its insertions after a drag.
    """

    moved = Signal(object, object)

    def __init__(
        self,
        viewer: Any,
        image: Image,
        others: Sequence[DrawingTool | ContourHandles],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._image, self._others = viewer, image, others
        self._place: Place = (None, 0)
        self.layer: Points | None = None
        viewer.mouse_drag_callbacks.append(self._on_drag)

    def show(self, place: Place, insertions: Insertions | None) -> None:
        """Show the insertions of a slice; None hides them."""
        if insertions is not None:
            self._place = place
            self._draw(np.array(astuple(insertions)))
        elif self.layer is not None:
            self.layer.visible = False

    def close(self) -> None:
        """Remove the points and disconnect from the viewer."""
        self._viewer.mouse_drag_callbacks.remove(self._on_drag)
        remove_layers(self._viewer, self.layer)

    def _draw(self, points: NDArray[np.float64]) -> None:
        """Draw (2, 2) points (y, x) in voxels."""
        index = np.tile(index_of(self._place), (len(points), 1))
        in_image = np.hstack([index, points])
        # The user may have deleted the layer.
        if self.layer is None or self.layer not in self._viewer.layers:
            self.layer = handles_layer(self._image, in_image, "insertions")
            self.layer.face_color = [*INSERTION_COLORS]
            self.layer.text = {"string": [*NAMES], "color": "white", "anchor": "upper_left"}
            put_on_top(self._viewer, self.layer)
        self.layer.data = in_image
        self.layer.visible = True

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """Move a point with the mouse, and emit both when the button is released."""
        number = self._point_at(event)
        if number is None or self.layer is None:
            return
        place, points = self._place, np.array(self.layer.data[:, -2:])
        # The point keeps its distance from the mouse, so that a press does not move it.
        grip, camera = voxel_under(self._image, event) - points[number], viewer.scene.camera
        pan, camera.mouse_pan = camera.mouse_pan, False
        before = points.copy()
        try:
            yield
            while event.type == "mouse_move":
                points[number] = voxel_under(self._image, event) - grip
                self._draw(points)
                event.handled = True
                yield
        finally:  # a drag can end without a release, if the window loses focus
            camera.mouse_pan = pan
        if place == self._place and (points != before).any():
            anterior, inferior = (tuple(point) for point in points.tolist())
            self.moved.emit(place, Insertions(anterior=anterior, inferior=inferior))

    def _point_at(self, event: Any) -> int | None:
        """Return 0 for the anterior and 1 for the inferior point under the mouse, or None."""
        layer, viewer = self.layer, self._viewer
        if layer is None or layer not in viewer.layers or not layer.visible:
            return None
        is_shown = viewer.dims.ndisplay == 2 and shown_place(viewer, self._image) == self._place
        mode = str(getattr(viewer.layers.selection.active, "mode", "pan_zoom"))
        if event.button != LEFT or event.modifiers or not is_shown or mode != "pan_zoom":
            return None
        offsets = layer.data[:, -2:] - voxel_under(self._image, event)
        pixels = lengths_on_canvas(viewer, self._image, offsets)
        is_hit = pixels.min() <= REACH and not any(tool.is_active for tool in self._others)
        return int(pixels.argmin()) if is_hit else None
