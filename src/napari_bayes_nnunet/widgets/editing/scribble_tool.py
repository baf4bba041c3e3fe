"""Strokes on the canvas: the left button draws inside a structure, the right one outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...core.editing.scribble import draw_stroke
from ...core.types import Place
from ..layers.double_click import DoubleClick
from ..layers.keys import is_typing
from ..layers.line_layer import Line, LineLayer, line_color
from ..layers.viewing import shown_place

SCRIBBLE_BUTTONS: Final = (
    "Draw inside the structure with the left button, outside with the right button."
)
"""Meaning of the buttons, as in ITK-SNAP, where the right button erases."""
LEFT, RIGHT = 1, 2
STROKE_PIXELS: Final = 4.0
OUTSIDE: Final = "#FF5A4D"
"""Colour of a stroke that leaves voxels out of the structure."""
CURSOR: Final = "cross"


class ScribbleTool(QObject):
    """Tool that draws one stroke at a time over ``image``, while it is on.

    ``pressed`` is emitted when a stroke begins. ``drawn`` carries its (Y, X) mask, and whether it
    was drawn inside the structure. Control with the left button counts as the right button, for
    touch pads. Choosing a tool of napari for ``edited``, or Escape, ends the tool.
    """

    active_changed = Signal(bool)
    pressed = Signal()
    drawn = Signal(object, bool)

    def __init__(
        self, viewer: Any, image: Image, edited: Labels, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image = image
        self._edited = edited
        self._color = "white"
        self._lines: LineLayer | None = None
        self._double_click: DoubleClick | None = None
        viewer.mouse_drag_callbacks.append(self._on_drag)
        edited.events.mode.connect(self._on_mode)

    @property
    def is_active(self) -> bool:
        """Whether the mouse draws strokes."""
        return self._double_click is not None

    def set_color(self, color: str) -> None:
        """Set the colour of strokes inside the structure."""
        self._color = color

    def start(self) -> None:
        """Draw with the mouse from now on; the edited labels become the active layer."""
        if self.is_active:
            return
        self._viewer.layers.selection.active = self._edited
        self._edited.mode = "pan_zoom"
        self._edited.cursor = CURSOR
        self._edited.bind_key("Escape", self._on_escape, overwrite=True)
        # Quick strokes are double clicks, which would zoom.
        self._double_click = DoubleClick(self._viewer, lambda event: self._applies(event))
        self.active_changed.emit(True)

    def stop(self) -> None:
        """Give the mouse back to napari; a stroke being drawn is discarded."""
        if self._double_click is None:
            return
        self._double_click.close()
        self._double_click = None
        self._edited.bind_key("Escape", None)
        if self._edited.mode == "pan_zoom":
            self._edited.cursor = "standard"
        self._show([])
        self.active_changed.emit(False)

    def close(self) -> None:
        """End the tool and disconnect from the viewer."""
        self.stop()
        self._viewer.mouse_drag_callbacks.remove(self._on_drag)
        self._edited.events.mode.disconnect(self._on_mode)
        if self._lines is not None:
            self._lines.remove()
            self._lines = None

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """Draw a stroke, and emit it when the button is released."""
        if not self._applies(event):
            return
        self.pressed.emit()
        inside = event.button == LEFT and not event.modifiers
        place, points = self._place, [self._voxel(event)]
        camera = viewer.scene.camera
        pan, camera.mouse_pan = camera.mouse_pan, False
        try:
            yield
            while event.type == "mouse_move":
                points.append(self._voxel(event))
                self._show(points, inside=inside)
                event.handled = True
                yield
        finally:  # a stroke can end without a release, if the window loses focus
            camera.mouse_pan = pan
            self._show([])
        if self.is_active and self._place == place:
            shape = self._image.data.shape[-2:]
            self.drawn.emit(draw_stroke(np.asarray(points), shape), inside)

    def _show(self, points: list[NDArray[np.float64]], *, inside: bool = True) -> None:
        """Show a stroke through these points; none without points."""
        is_there = self._lines is not None and self._lines.layer in self._viewer.layers
        if not is_there and len(points) < 2:
            return
        if self._lines is None:
            self._lines = LineLayer(self._viewer, self._image, "stroke", pixels=STROKE_PIXELS)
        color = line_color(self._color if inside else OUTSIDE)
        stroke = [Line(np.asarray(points), color, closed=False)] if len(points) > 1 else []
        self._lines.draw(stroke, self._place)
        self._lines.show(bool(stroke))

    def _applies(self, event: Any) -> bool:
        """Return whether a press draws: not with a tool of napari, and not on another plane."""
        active, dims = self._viewer.layers.selection.active, self._viewer.dims
        modifiers = {getattr(key, "name", key) for key in event.modifiers}
        return (
            self.is_active
            and (event.button, modifiers) in ((LEFT, set()), (LEFT, {"Control"}), (RIGHT, set()))
            and str(getattr(active, "mode", "pan_zoom")) == "pan_zoom"
            and dims.ndisplay == 2
            and {*dims.displayed} == {dims.ndim - 2, dims.ndim - 1}
        )

    @property
    def _place(self) -> Place:
        return shown_place(self._viewer, self._image)

    def _voxel(self, event: Any) -> NDArray[np.float64]:
        """Return the (y, x) voxel under the mouse."""
        return np.asarray(self._image.world_to_data(event.position)[-2:], np.float64)

    def _on_mode(self) -> None:
        if self._edited.mode != "pan_zoom":
            self.stop()

    def _on_escape(self, layer: Any) -> None:
        if not is_typing():
            self.stop()
