"""A contour to be corrected by its handles: a few points to drag and the smooth curve through them.

The handles and the curve are two layers that are there while the contour is edited. Layers come
and go slowly, so they are hidden at the end and taken away a little later, if no other contour is
edited before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from napari.layers import Image, Layer, Points
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import ArrayLike, NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from ...core.editing.closed_curve import FEWEST_POINTS, add_handle, draw_curve, remove_handle
from ...core.types import Place
from ..layers.double_click import DoubleClick
from ..layers.line_layer import Line, LineLayer
from ..layers.review_layers import HANDLE_COLORS, handles_layer, put_on_top, take_away
from ..layers.viewing import index_of, shown_place
from ..review.keys import is_typing

Handles = NDArray[np.float64]
"""(k, 2) places (y, x) in voxels."""

CONTOUR_HELP: Final = (
    "Drag a handle to move it. Double click on the curve to add one; right click a handle to "
    "remove it, or press Delete for the one moved last. Ctrl+Z takes the last change back. Enter "
    "applies the contour, Escape leaves the labels as they were."
)
LEFT, RIGHT = 1, 2
REACH = 10
"""Pixels around a handle in which it is grabbed, and beside the curve in which it is hit."""
_DEAD_ZONE = 3
"""Pixels a right click may move."""
CURVE_PIXELS = 2.0
LINGER_MS = 5000
"""After which hidden layers are taken away."""
CHOSEN: Final = "orange"


class ContourHandles(QObject):
    """One contour at a time, in one slice of an image.

    ``changed`` gives the handles at every move, ``applied`` those at the end. A contour whose
    layers or image are removed is cancelled. The layer that was active before is again at the end.
    """

    changed = Signal(object)
    applied = Signal(object)
    cancelled = Signal()

    def __init__(
        self, viewer: Any, parent: QObject | None = None, *, linger_ms: int = LINGER_MS
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(linger_ms)
        self._later.timeout.connect(self._take_away)
        self._layers_of: Image | None = None
        self._image: Image | None = None
        self._place: Place = (None, 0)
        self._handles: Handles = np.zeros((0, 2))
        self._before: list[Handles] = []
        self._chosen: int | None = None
        self._points: Points | None = None
        self._curve: LineLayer | None = None
        self._active: Layer | None = None
        self._double_click: DoubleClick | None = None
        self._color = (1.0, 1.0, 1.0, 1.0)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def is_active(self) -> bool:
        """Whether a contour is being edited."""
        return self._image is not None

    @property
    def is_moved(self) -> bool:
        """Whether a contour is being edited and is another than it was."""
        return self.is_active and bool(self._before)

    @property
    def handles(self) -> Handles:
        """(k, 2) (y, x) in voxels; none where no contour is edited."""
        return self._handles.copy()

    @property
    def curve(self) -> Handles:
        """(m, 2) closed curve, its first point not repeated."""
        return draw_curve(self._handles)

    @property
    def place(self) -> Place:
        """(phase, z) of the slice that is edited, or was last."""
        return self._place

    def start(self, image: Image, handles: ArrayLike, *, place: Place, color: str) -> None:
        """Edit a contour of at least 3 handles; one that is edited already is cancelled."""
        self.cancel()
        self._handles = np.array(handles, np.float64)
        self._image, self._place, self._before, self._chosen = image, place, [], None
        red, green, blue, alpha = map(float, transform_color(color)[0])
        self._color = (red, green, blue, alpha)
        self._active = self._viewer.layers.selection.active
        self._later.stop()
        if self._layers_of is not image:
            self._take_away()
        self._show_layers(image)
        self._double_click = DoubleClick(self._viewer, self._on_double_click)

    def apply(self) -> None:
        """End with the handles as they are."""
        if self.is_active:
            handles = self.handles
            self._end()
            self.applied.emit(handles)

    def cancel(self) -> None:
        """End without a change."""
        if self.is_active:
            self._end()
            self.cancelled.emit()

    def undo(self) -> None:
        """One change of the handles back."""
        if self.is_active and self._before:
            self._show(self._before.pop(), None)

    def move_handle(self, index: int, place: ArrayLike) -> None:
        """Put a handle to (y, x) in voxels."""
        moved = self.handles
        if self.is_active:
            moved[index] = place
            self._change(moved, chosen=index)

    def add_handle(self, place: ArrayLike) -> None:
        """One more handle where the curve is nearest to (y, x)."""
        if self.is_active:
            self._change(add_handle(self._handles, place), chosen=None)

    def remove_handle(self, index: int) -> None:
        """One handle less; three stay."""
        if len(self._handles) > FEWEST_POINTS:
            self._change(remove_handle(self._handles, index), chosen=None)

    def close(self) -> None:
        """Cancel, and let go of the viewer."""
        self.cancel()
        self._take_away()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _change(self, handles: Handles, *, chosen: int | None) -> None:
        """Show other handles, as one step to undo."""
        self._before.append(self._handles)
        self._show(handles, chosen)

    def _show(self, handles: Handles, chosen: int | None) -> None:
        as_before = (len(handles), chosen) == (len(self._handles), self._chosen)
        self._handles, self._chosen = handles, chosen
        self._draw()
        if not as_before:
            self._color_handles()
        self.changed.emit(self.handles)

    def _draw(self) -> None:
        """Curve and handles as they are now."""
        if self._curve is not None:
            self._curve.draw([Line(self.curve, self._color)], self._place)
        if self._points is not None:
            with self._points.events.data.blocker():
                self._points.data = self._in_image()

    def _color_handles(self) -> None:
        if self._points is None:
            return
        colors = [HANDLE_COLORS[0]] * len(self._handles)
        if self._chosen is not None:
            colors[self._chosen] = CHOSEN
        self._points.face_color = colors

    def _in_image(self) -> NDArray[np.float64]:
        """(k, D) handles in voxels of the image."""
        index = np.tile(index_of(self._place), (len(self._handles), 1))
        return np.hstack([index, self._handles])

    def _show_layers(self, image: Image) -> None:
        """The layers with the handles and the curve; hidden ones are used again."""
        if self._points is None or self._curve is None:
            self._curve = LineLayer(self._viewer, image, "contour", pixels=CURVE_PIXELS)
            self._draw()
            self._points = handles_layer(image, self._in_image())
            self._points.mouse_drag_callbacks.append(self._on_drag)
            self._points.mouse_move_callbacks.append(self._on_hover)
            self._points.events.data.connect(self._on_napari_changed)
            put_on_top(self._viewer, self._points, active=True)
            self._bind_keys(self._points)
            self._bind_keys(self._curve.layer)
            self._layers_of = image
            return
        self._draw()
        self._color_handles()
        self._curve.show(True)
        self._points.visible = True
        self._viewer.layers.selection.active = self._points

    def _end(self) -> None:
        active, points, curve = self._active, self._points, self._curve
        self._image = self._active = None
        if self._double_click is not None:
            self._double_click.close()
            self._double_click = None
        self._handles = np.zeros((0, 2))
        if points is not None and curve is not None:
            points.visible = False
            curve.show(False)
        if active in self._viewer.layers or active is None:
            self._viewer.layers.selection.active = active
        self._later.start()

    def _take_away(self) -> None:
        self._later.stop()
        points, curve = self._points, self._curve
        self._points = self._curve = self._layers_of = None
        take_away(self._viewer, points, curve.release() if curve is not None else None)

    def _bind_keys(self, layer: Layer | None) -> None:
        keys: dict[str, Callable[[], None]] = {
            "Enter": self.apply,
            "Escape": self.cancel,
            "Delete": self._remove_chosen,
            "Backspace": self._remove_chosen,
            "Control-Z": self.undo,
        }
        if layer is not None:
            for key, action in keys.items():
                layer.bind_key(key, _unless_typing(action), overwrite=True)

    def _remove_chosen(self) -> None:
        if self._chosen is not None:
            self.remove_handle(self._chosen)

    def _on_drag(self, layer: Points, event: Any) -> Iterator[None]:
        at = self._handle_at(event)
        if at is None or layer.mode != "pan_zoom" or event.modifiers:
            return
        if event.button == RIGHT:
            yield from self._right_click(event, at)
        elif event.button == LEFT:
            yield from self._drag(layer, event, at)

    def _drag(self, layer: Points, event: Any, at: int) -> Iterator[None]:
        """Move a handle with the mouse; all moves are one step to undo."""
        before, self._chosen = self._handles, at
        self._color_handles()
        grip = self._voxel(event) - before[at]
        layer.mouse_pan = False
        moves = True
        try:
            yield
            while moves:
                moves = event.type == "mouse_move"
                # Escape or Ctrl+Z may have come meanwhile.
                if self.is_active and len(self._handles) == len(before):
                    self._drag_to(at, self._voxel(event) - grip)
                if moves:
                    event.handled = True
                    yield
        finally:  # a drag may end without a release, as when the window is switched
            layer.mouse_pan = True
        if self.is_active and not np.array_equal(self._handles, before):
            self._before.append(before)

    def _drag_to(self, at: int, place: NDArray[np.float64]) -> None:
        if (self._handles[at] != place).any():
            moved = self.handles
            moved[at] = place
            self._show(moved, at)

    def _right_click(self, event: Any, at: int) -> Iterator[None]:
        start = event.pos
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.subtract(event.pos, start)).max() <= _DEAD_ZONE:
            self.remove_handle(at)

    def _on_hover(self, layer: Points, event: Any) -> None:
        cursor = "standard" if self._handle_at(event) is None else "pointing"
        if layer.mode == "pan_zoom" and layer.cursor != cursor:
            layer.cursor = cursor

    def _on_double_click(self, event: Any) -> bool:
        """Add a handle on the curve, if that is what was hit."""
        if event.button != LEFT or event.modifiers or not self._is_shown():
            return False
        if self._viewer.layers.selection.active is not self._points:
            return False
        voxel = self._voxel(event)
        if self._handle_at(event) is None and self._pixels(self.curve - voxel).min() <= REACH:
            self.add_handle(voxel)
            return True
        return self._handle_at(event) is not None

    def _handle_at(self, event: Any) -> int | None:
        """The handle under the mouse."""
        if not self._is_shown():
            return None
        distances = self._pixels(self._handles - self._voxel(event))
        return int(distances.argmin()) if distances.min() <= REACH else None

    def _is_shown(self) -> bool:
        """Whether the slice that is edited is on the screen."""
        image, dims = self._image, self._viewer.dims
        return (
            image is not None
            and dims.ndisplay == 2
            and {*dims.displayed} == {dims.ndim - 2, dims.ndim - 1}
            and shown_place(self._viewer, image) == self._place
        )

    def _voxel(self, event: Any) -> NDArray[np.float64]:
        """(y, x) of the mouse."""
        assert self._image is not None
        return np.asarray(self._image.world_to_data(event.position)[-2:], np.float64)

    def _pixels(self, ways: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lengths of (n, 2) ways in voxels, on the screen."""
        assert self._image is not None
        steps = np.abs(self._image.scale[-2:]) * self._viewer.scene.camera.zoom
        return np.asarray(np.linalg.norm(ways * steps, axis=1))

    def _on_napari_changed(self, event: Any) -> None:
        """Follow napari's own tools for points, whatever they did."""
        if self._points is None or not self.is_active:
            return
        if str(event.action) not in ("added", "changed", "removed"):
            return
        places = np.asarray(self._points.data)[:, -2:].astype(np.float64)
        self._change(_followed(self._handles, places), chosen=None)

    def _on_removed(self, event: Any) -> None:
        curve = self._curve.layer if self._curve is not None else None
        if event.value is not None and event.value in (self._layers_of, self._points, curve):
            self.cancel()
            self._take_away()


def _followed(handles: Handles, places: Handles) -> Handles:
    """The handles when napari has moved them to ``places``, appended some, or taken some out."""
    if len(places) == len(handles):
        return places
    for place in places[len(handles) :]:
        longer = add_handle(handles, place)
        (new,) = np.flatnonzero((longer[:, None] != handles).any(axis=2).all(axis=1))[:1]
        longer[new] = place
        handles = longer
    if len(places) >= len(handles):
        return handles
    stays = (handles[:, None] == places).all(axis=2).any(axis=1)
    return handles[stays] if stays.sum() >= FEWEST_POINTS else handles


def _unless_typing(action: Callable[[], None]) -> Callable[[Any], None]:
    def pressed(_: Any) -> None:
        if not is_typing():
            action()

    return pressed
