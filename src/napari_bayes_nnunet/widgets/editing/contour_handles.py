"""Handles of a contour: a few points to drag and the smooth curve through them.

Handles and curve are two layers. Adding and removing layers is slow, so both are hidden after an
edit and removed a little later, unless another contour is edited before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
from napari.layers import Image, Layer, Points
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import ArrayLike, NDArray
from qtpy.QtCore import QObject, Signal

from ...core.editing.closed_curve import FEWEST_POINTS, BentCurve
from ...core.types import Place
from ..common.background import single_shot
from ..common.canvas import unwrap
from ..layers.double_click import DoubleClick
from ..layers.keys import unless_typing
from ..layers.line_layer import Line, LineLayer
from ..layers.result_layers import remove_layers
from ..layers.review_layers import HANDLE_COLORS, handles_layer, put_on_top
from ..layers.viewing import (
    index_of,
    lengths_on_canvas,
    shown_place,
    shows_slices,
    voxel_under,
)

Handles = NDArray[np.float64]
"""(k, 2) points (y, x) in voxels."""

CONTOUR_HELP: Final = (
    "Drag the handles. Double-click the curve to add one; right-click or Delete removes one. "
    "Enter applies, Escape cancels, Ctrl+Z undoes."
)
LEFT, RIGHT = 1, 2
REACH = 10
"""Screen pixels around a handle or the curve within which a click hits it."""
_DEAD_ZONE = 3
"""Screen pixels by which the mouse may move in a right click."""
CURVE_PIXELS = 2.0
LINGER_MS = 5000
"""Delay after which hidden layers are removed."""
CHOSEN: Final = "orange"
NO_CURVE: Final = BentCurve(np.zeros((0, 2)), np.zeros(0, np.intp), np.zeros((0, 2)))


class ContourHandles(QObject):
    """Handles of one contour at a time, in one slice of an image.

    ``is_active`` while a contour is edited; ``applied`` carries the final curve. Removing the image
    or a layer of the contour cancels the edit. The layer that was active before the edit is active
    again afterwards.
    """

    applied = Signal(object)
    cancelled = Signal()

    def __init__(self, viewer: Any, image: Image, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._image = viewer, image
        self.is_active = False
        self._later = single_shot(self, self._remove_layers, LINGER_MS)
        self.place: Place = (None, 0)
        """(phase, z) of the slice that is being edited or was edited last."""
        self._bent = NO_CURVE
        self._before: list[BentCurve] = []
        self._chosen: int | None = None
        self._points: Points | None = None
        self._curve: LineLayer | None = None
        self._active: Layer | None = None
        self._double_click: DoubleClick | None = None
        self._color = (1.0, 1.0, 1.0, 1.0)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def is_moved(self) -> bool:
        """Whether a contour is being edited and was changed."""
        return self.is_active and bool(self._before)

    @property
    def handles(self) -> Handles:
        """(k, 2) points (y, x) in voxels; empty if no contour is edited."""
        return self._bent.handles.copy()

    @property
    def curve(self) -> Handles:
        """(m, 2) closed curve, the first point not repeated."""
        return self._bent.curve

    def start(self, bent: BentCurve, *, place: Place, color: str) -> None:
        """Edit a contour with at least 3 handles, cancelling any other edit."""
        self.cancel()
        self._bent, self.is_active = bent, True
        self.place, self._before, self._chosen = place, [], None
        red, green, blue, alpha = map(float, transform_color(color)[0])
        self._color = (red, green, blue, alpha)
        self._active = self._viewer.layers.selection.active
        self._later.stop()
        self._show_layers()
        self._double_click = DoubleClick(self._viewer, self._on_double_click)

    def apply(self) -> None:
        """End the edit and emit ``applied``."""
        if self.is_active:
            curve = self.curve
            self._end()
            self.applied.emit(curve)

    def cancel(self) -> None:
        """End the edit and emit ``cancelled``."""
        if self.is_active:
            self._end()
            self.cancelled.emit()

    def leave(self) -> None:
        """Apply the contour if its handles were moved, so that no work is lost; else cancel."""
        if self.is_moved:
            self.apply()
        else:
            self.cancel()

    def undo(self) -> None:
        """Undo one change of the handles."""
        if self.is_active and self._before:
            self._show(self._before.pop(), None)

    def add_handle(self, point: ArrayLike) -> None:
        """Add a handle where the curve is nearest to (y, x) in voxels."""
        if self.is_active:
            self._change(self._bent.add(point)[0], chosen=None)

    def remove_handle(self, index: int) -> None:
        """Remove a handle, unless only three are left."""
        count = len(self._bent.handles)
        if count > FEWEST_POINTS:
            self._change(self._bent.keep(np.arange(count) != index), chosen=None)

    def close(self) -> None:
        """Cancel the edit and disconnect from the viewer."""
        self.cancel()
        self._remove_layers()
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _change(self, bent: BentCurve, *, chosen: int | None) -> None:
        """Show changed handles as one undo step."""
        self._before.append(self._bent)
        self._show(bent, chosen)

    def _show(self, bent: BentCurve, chosen: int | None) -> None:
        keeps_colors = (len(bent.at), chosen) == (len(self._bent.at), self._chosen)
        self._bent, self._chosen = bent, chosen
        self._draw()
        if not keeps_colors:
            self._color_handles()

    def _draw(self) -> None:
        """Draw curve and handles in their layers."""
        if self._curve is not None:
            self._curve.draw([Line(self.curve, self._color)], self.place)
        if self._points is not None:
            # Only changes by tools of napari are taken over, see `_on_napari_changed`.
            with self._points.events.data.blocker():
                self._points.data = self._in_image()

    def _color_handles(self) -> None:
        if self._points is None:
            return
        colors = [HANDLE_COLORS[0]] * len(self._bent.at)
        if self._chosen is not None:
            colors[self._chosen] = CHOSEN
        self._points.face_color = colors

    def _in_image(self) -> NDArray[np.float64]:
        """Return (k, D) handles in voxels of the image."""
        index = np.tile(index_of(self.place), (len(self._bent.at), 1))
        return np.hstack([index, self._bent.handles])

    def _show_layers(self) -> None:
        """Show the layers of handles and curve, reusing hidden ones."""
        if self._points is None or self._curve is None:
            self._curve = LineLayer(self._viewer, self._image, "contour", pixels=CURVE_PIXELS)
            self._draw()
            self._points = handles_layer(self._image, self._in_image())
            self._points.mouse_drag_callbacks.append(self._on_drag)
            self._points.mouse_move_callbacks.append(self._on_hover)
            self._points.events.data.connect(self._on_napari_changed)
            put_on_top(self._viewer, self._points, active=True)
            self._bind_keys(self._points)
            self._bind_keys(self._curve.layer)
            return
        self._draw()
        self._color_handles()
        self._curve.show(True)
        self._points.visible = True
        self._viewer.layers.selection.active = self._points

    def _end(self) -> None:
        active, points, curve = self._active, self._points, self._curve
        self._active, self.is_active = None, False
        if self._double_click is not None:
            self._double_click.close()
            self._double_click = None
        self._bent = NO_CURVE
        # Hidden and kept for a while, because new layers take napari longer.
        if points is not None and curve is not None:
            points.visible = False
            curve.show(False)
        # The layer may have been deleted during the edit.
        if active in self._viewer.layers or active is None:
            self._viewer.layers.selection.active = active
        self._later.start()

    def _remove_layers(self) -> None:
        self._later.stop()
        points, curve = self._points, self._curve
        self._points = self._curve = None
        remove_layers(self._viewer, points, curve.release() if curve is not None else None)

    def _bind_keys(self, layer: Layer | None) -> None:
        keys: dict[str, Callable[[], None]] = {
            "Enter": self.apply,
            "Escape": self.cancel,
            "Delete": self._remove_chosen,
            "Backspace": self._remove_chosen,
            "Control-Z": self.undo,
        }
        if layer is not None:
            # napari asks the active layer for a key before the viewer.
            for key, action in keys.items():
                layer.bind_key(key, unless_typing(action), overwrite=True)

    def _remove_chosen(self) -> None:
        if self._chosen is not None:
            self.remove_handle(self._chosen)

    def _on_drag(self, layer: Points, event: Any) -> Iterator[None]:
        index = self._handle_at(event)
        if index is None or layer.mode != "pan_zoom" or event.modifiers:
            return
        if event.button == RIGHT:
            yield from self._right_click(event, index)
        elif event.button == LEFT:
            yield from self._drag(layer, event, index)

    def _drag(self, layer: Points, event: Any, index: int) -> Iterator[None]:
        """Move a handle with the mouse, as one undo step."""
        before, self._chosen = self._bent, index
        self._color_handles()
        # The handle must not jump to the mouse that holds it beside its centre.
        grip = self._voxel(event) - before.handles[index]
        layer.mouse_pan = False
        moves = True
        try:
            yield
            while moves:
                moves = event.type == "mouse_move"
                # Escape or Ctrl+Z may have been pressed during the drag.
                if self.is_active and len(self._bent.at) == len(before.at):
                    self._drag_to(index, self._voxel(event) - grip, before)
                if moves:
                    event.handled = True
                    yield
        finally:  # switching to another window ends a drag without a release
            layer.mouse_pan = True
        # A handle that has come back leaves no undo step.
        is_back = np.array_equal(self._bent.handles, before.handles)
        if self._is_dragged(before) and is_back:
            self._before.pop()

    def _is_dragged(self, before: BentCurve) -> bool:
        """Return whether a drag that began at these handles is the last undo step."""
        return bool(self._before) and self._before[-1] is before

    def _drag_to(self, index: int, point: NDArray[np.float64], before: BentCurve) -> None:
        if (self._bent.handles[index] != point).any():
            if not self._is_dragged(before):  # now, because a drag may end without a release
                self._before.append(before)
            self._show(self._bent.move(index, point), index)

    def _right_click(self, event: Any, index: int) -> Iterator[None]:
        start = event.pos
        yield
        while event.type == "mouse_move":
            yield
        # A longer movement was meant to change the brightness.
        if np.abs(np.subtract(event.pos, start)).max() <= _DEAD_ZONE:
            self.remove_handle(index)

    def _on_hover(self, layer: Points, event: Any) -> None:
        cursor = "standard" if self._handle_at(event) is None else "pointing"
        if layer.mode == "pan_zoom" and layer.cursor != cursor:
            layer.cursor = cursor

    def _on_double_click(self, event: Any) -> bool:
        """Add a handle if the curve was hit; return whether the click was on the contour."""
        if event.button != LEFT or event.modifiers or not self._is_shown():
            return False
        # A plugin gets a proxy of the viewer, through which no layer is identical to ours.
        if unwrap(self._viewer.layers.selection.active) is not self._points:
            return False
        voxel = self._voxel(event)
        if self._handle_at(event) is None and self._pixels(self.curve - voxel).min() <= REACH:
            self.add_handle(voxel)
            return True
        return self._handle_at(event) is not None

    def _handle_at(self, event: Any) -> int | None:
        """Return the index of the handle under the mouse, or None."""
        if not self._is_shown():
            return None
        distances = self._pixels(self._bent.handles - self._voxel(event))
        return int(distances.argmin()) if distances.min() <= REACH else None

    def _is_shown(self) -> bool:
        """Return whether the edited slice is on screen."""
        is_on_screen = shown_place(self._viewer, self._image) == self.place
        return self.is_active and is_on_screen and shows_slices(self._viewer)

    def _voxel(self, event: Any) -> NDArray[np.float64]:
        """Return the (y, x) voxel under the mouse."""
        return voxel_under(self._image, event)

    def _pixels(self, offsets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n,) lengths in screen pixels of (n, 2) offsets in voxels."""
        return lengths_on_canvas(self._viewer, self._image, offsets)

    def _on_napari_changed(self, event: Any) -> None:
        """Take over changes that napari's own tools made to the points."""
        if self._points is None or not self.is_active:
            return
        if str(event.action) not in ("added", "changed", "removed"):
            return
        points = np.asarray(self._points.data)[:, -2:].astype(np.float64)
        self._change(_merge_points(self._bent, points), chosen=None)

    def _on_removed(self, event: Any) -> None:
        curve = self._curve.layer if self._curve is not None else None
        if event.value is not None and event.value in (self._image, self._points, curve):
            self.cancel()
            self._remove_layers()


def _merge_points(bent: BentCurve, points: Handles) -> BentCurve:
    """Return the curve after napari has moved, appended or removed ``points``."""
    count = len(bent.handles)
    if len(points) == count:
        return replace(bent, handles=points)
    for point in points[count:]:
        longer, index = bent.add(point)
        bent = longer.move(index, point)
    if len(points) > count:
        return bent
    # napari says that points were removed, but not which.
    stays = (bent.handles[:, None] == points).all(axis=2).any(axis=1)
    return bent.keep(stays) if stays.sum() >= FEWEST_POINTS else bent
