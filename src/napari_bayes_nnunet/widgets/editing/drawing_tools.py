"""Tools that draw on the canvas with the mouse: strokes, and a round one that pushes a contour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...core.editing.closed_curve import Points
from ...core.editing.push import MOST_MM, draw_circle, push_curve, push_radius
from ...core.editing.scribble import draw_stroke
from ...core.types import Place
from ..layers.double_click import DoubleClick
from ..layers.keys import is_typing
from ..layers.line_layer import Color, Line, LineLayer, line_color
from ..layers.viewing import shown_place, shows_slices, voxel_under

SCRIBBLE_BUTTONS: Final = (
    "Draw inside the structure with the left button, outside with the right button."
)
"""Meaning of the buttons, as in ITK-SNAP, where the right button erases."""
PUSH_HELP: Final = (
    "Press inside the structure and drag to push its contour outwards; press outside to push it "
    "inwards. The tool is as large as the distance to the contour."
)
LEFT, RIGHT = 1, 2
STROKE_PIXELS: Final = 4.0
CIRCLE_PIXELS: Final = 1.5
OUTSIDE: Final = "#FF5A4D"
"""Colour of a stroke that leaves voxels out of the structure."""
CURSOR: Final = "cross"
Press = tuple[int, frozenset[str]]
"""Button and modifiers."""


class DrawingTool(QObject):
    """Tool that has the mouse over ``image`` while it is on, for one of its ``PRESSES`` at a time.

    ``pressed`` is emitted when a drag begins. Choosing a tool of napari for ``edited``, or Escape,
    ends the tool; a drag is then discarded.
    """

    active_changed = Signal(bool)
    pressed = Signal()
    PRESSES: frozenset[Press] = frozenset({(LEFT, frozenset())})
    PIXELS: float

    def __init__(
        self, viewer: Any, image: Image, edited: Labels, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image = image
        self._edited = edited
        self._color = "white"
        self._lines = LineLayer(viewer, image, "stroke", pixels=self.PIXELS)
        self._double_click: DoubleClick | None = None
        viewer.mouse_drag_callbacks.append(self._on_drag)
        edited.events.mode.connect(self._on_mode)

    @property
    def is_active(self) -> bool:
        """Whether the tool has the mouse."""
        return self._double_click is not None

    def set_color(self, color: str) -> None:
        """Set the colour of the structure."""
        self._color = color

    def start(self) -> None:
        """Draw with the mouse from now on; the edited labels become the active layer."""
        if self.is_active:
            return
        self._viewer.layers.selection.active = self._edited
        # In another mode napari's brush would paint along with the tool.
        self._edited.mode = "pan_zoom"
        self._edited.cursor = CURSOR
        self._edited.bind_key("Escape", self._on_escape, overwrite=True)
        # Quick strokes are double clicks, which would zoom.
        self._double_click = DoubleClick(self._viewer, lambda event: self._applies(event))
        self.active_changed.emit(True)

    def stop(self) -> None:
        """Give the mouse back to napari."""
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
        self._lines.remove()

    def _begin(self, point: Points, press: Press) -> bool:
        """Begin a drag at (y, x) in voxels; return whether there is one."""
        raise NotImplementedError

    def _move(self, point: Points) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """Follow the mouse until the button is released."""
        if not self._applies(event):
            return
        self.pressed.emit()
        place, camera = self._place, viewer.scene.camera
        is_drawing = self._begin(voxel_under(self._image, event), _press(event))
        # The drag draws instead of moving the image.
        pan, camera.mouse_pan = camera.mouse_pan, False
        try:
            yield
            while event.type == "mouse_move":
                if is_drawing and self.is_active and self._place == place:
                    self._move(voxel_under(self._image, event))
                event.handled = True
                yield
        finally:  # a drag can end without a release, if the window loses focus
            camera.mouse_pan = pan
            self._show([])
        if is_drawing and self.is_active and self._place == place:
            self._finish()

    def _show(self, lines: list[Line]) -> None:
        """Show these lines, or none."""
        if lines or self._lines.layer in self._viewer.layers:
            self._lines.draw(lines, self._place)
            self._lines.show(bool(lines))

    def _applies(self, event: Any) -> bool:
        """Return whether a press draws: not with a tool of napari, and not on another plane."""
        mode = str(getattr(self._viewer.layers.selection.active, "mode", "pan_zoom"))
        is_ours = self.is_active and _press(event) in self.PRESSES and mode == "pan_zoom"
        return is_ours and shows_slices(self._viewer)

    @property
    def _place(self) -> Place:
        return shown_place(self._viewer, self._image)

    def _on_mode(self) -> None:
        if self._edited.mode != "pan_zoom":
            self.stop()

    def _on_escape(self, layer: Any) -> None:
        if not is_typing():
            self.stop()


class ScribbleTool(DrawingTool):
    """Tool that draws one stroke at a time.

    ``drawn`` carries its (Y, X) mask, and whether it was drawn inside the structure: with the left
    button. Control with the left button counts as the right button, for touch pads.
    """

    drawn = Signal(object, bool)
    PRESSES = frozenset({(LEFT, frozenset()), (LEFT, frozenset({"Control"})), (RIGHT, frozenset())})
    PIXELS = STROKE_PIXELS
    _points: list[Points]
    _inside: bool

    def _begin(self, point: Points, press: Press) -> bool:
        self._points, self._inside = [point], press == (LEFT, frozenset())
        return True

    def _move(self, point: Points) -> None:
        self._points.append(point)
        color = line_color(self._color if self._inside else OUTSIDE)
        self._show([Line(np.asarray(self._points), color, closed=False)])

    def _finish(self) -> None:
        shape = self._image.data.shape[-2:]
        self.drawn.emit(draw_stroke(np.asarray(self._points), shape), self._inside)


class PushTool(DrawingTool):
    """Round tool that pushes the contour of the structure, from ``outline`` at the press.

    ``pushed`` carries the closed (m, 2) contour after each move, and the one at the press;
    ``released`` is emitted at the end of a drag.
    """

    pushed = Signal(object, object)
    released = Signal()
    PIXELS = CIRCLE_PIXELS
    _start: Points
    _curve: Points
    _at: Points
    _radius: float

    def __init__(
        self,
        viewer: Any,
        image: Image,
        edited: Labels,
        outline: Callable[[], NDArray[np.float64] | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(viewer, image, edited, parent)
        self._outline = outline

    def _begin(self, point: Points, press: Press) -> bool:
        start = self._outline()
        if start is None:
            return False
        self._start = self._curve = start
        self._at = point
        self._radius = push_radius(start, point, most=MOST_MM / float(self._image.scale[-1]))
        self._show([self._circle])
        return True

    def _move(self, point: Points) -> None:
        self._curve = push_curve(self._curve, self._at, point, self._radius)
        self._at = point
        self._show([self._circle])
        self.pushed.emit(self._curve, self._start)

    def _finish(self) -> None:
        self.released.emit()

    @property
    def _circle(self) -> Line:
        color: Color = line_color(self._color)
        return Line(draw_circle(self._at, self._radius), color)


def _press(event: Any) -> Press:
    return event.button, frozenset(getattr(key, "name", key) for key in event.modifiers)
