"""Window and level by dragging with the right mouse button, as in the viewers of radiology.

To the right the window gets wider (less contrast), up the level gets lower (brighter). A double
click with the right button goes back to the automatic limits. The brush and the polygon of napari
use that button themselves; with one of them in hand, Shift is held as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Labels

from .double_click import DoubleClick
from .metadata import layer_voxels

Limits = tuple[float, float]

_HELP = "Window and level: drag with the right mouse button; double click with it to reset."
RIGHT = 2
PIXELS = 300
"""Of the mouse for the width of the automatic window."""
_DEAD_ZONE = 3
"""Pixels a click may move without being a drag."""
NARROWEST, WIDEST = 1 / 256, 8.0
"""Window, in automatic windows."""
TAKEN = ("paint", "polygon")
"""Modes of labels that use the right button."""
SAMPLE = 500_000
"""Voxels that are looked at for the automatic limits."""
BRIGHTEST = 99.5
"""Percentile; fat near the coil would darken the heart."""


class WindowLevel:
    """The contrast limits of one image in a viewer."""

    def __init__(self, viewer: Any, layer: Image | None = None) -> None:
        self._viewer = viewer
        self.set_layer(layer)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        self._double_click = DoubleClick(viewer, self._on_double_click)

    def set_layer(self, layer: Image | None) -> None:
        """The image whose window is changed from now on."""
        self._layer = layer
        self._automatic: Limits | None = None
        self._slider: Limits | None = None

    def reset(self) -> None:
        """Back to the automatic limits."""
        if self._layer is None:
            return
        (low, high), (first, last) = self._limits(self._layer)
        self._layer.contrast_limits_range = (min(low, first), max(high, last))
        self._layer.contrast_limits = (low, high)

    def close(self) -> None:
        """Give the mouse back."""
        self._viewer.mouse_drag_callbacks.remove(self._on_drag)
        self._double_click.close()
        self._layer = None

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        layer = self._layer
        if layer is None or not self._is_meant(event):
            return
        camera, start, before = viewer.scene.camera, event.pos, tuple(layer.contrast_limits)
        automatic, _ = self._limits(layer)
        pan, drags, moves = camera.mouse_pan, False, True
        camera.mouse_pan = False  # the camera would zoom: its right drag counts as panning
        tool = viewer.layers.selection.active
        callbacks = _taken_away(tool)
        try:
            try:
                yield
            finally:
                _give_back(tool, callbacks)
            while moves:
                moves = event.type == "mouse_move"
                right, down = np.subtract(event.pos, start)
                drags = drags or max(abs(right), abs(down)) > _DEAD_ZONE
                if drags:
                    layer.contrast_limits = dragged(before, automatic, right, down)
                if moves:
                    event.handled = True
                    yield
        finally:  # a drag may end without a release, as when the window is switched
            camera.mouse_pan = pan

    def _on_double_click(self, event: Any) -> bool:
        meant = self._is_meant(event)
        if meant:
            self.reset()
        return meant

    def _is_meant(self, event: Any) -> bool:
        layer = self._layer
        if event.button != RIGHT or layer is None or self._viewer.dims.ndisplay != 2:
            return False
        if layer not in self._viewer.layers or not layer.visible:
            return False
        modifiers = {getattr(key, "name", key) for key in event.modifiers}
        return bool(modifiers == ({"Shift"} if self._is_taken() else set()))

    def _is_taken(self) -> bool:
        active = self._viewer.layers.selection.active
        return isinstance(active, Labels) and str(active.mode) in TAKEN

    def _limits(self, layer: Image) -> tuple[Limits, Limits]:
        """The automatic limits, found when they are first needed, and napari's slider by then."""
        if self._automatic is None or self._slider is None:
            first, last = layer.contrast_limits_range
            self._automatic, self._slider = automatic_limits(layer), (first, last)
        return self._automatic, self._slider


def automatic_limits(layer: Image) -> Limits:
    """From the darkest voxel to a bright one; of a lazily loaded cine only one phase is read."""
    voxels = layer_voxels(layer)
    if not isinstance(voxels, np.ndarray) and layer.ndim == 4:
        voxels = voxels[voxels.shape[0] // 2]
    some = np.asarray(voxels).ravel()
    some = some[:: max(1, len(some) // SAMPLE)]
    low, high = float(some.min()), float(np.percentile(some, BRIGHTEST))
    return (low, high) if high > low else (low, low + 1.0)


def dragged(before: Limits, automatic: Limits, right: float, down: float) -> Limits:
    """The limits after the mouse has gone so many pixels ``right`` and ``down``."""
    whole = automatic[1] - automatic[0]
    step = whole / PIXELS
    width = np.clip(before[1] - before[0] + right * step, NARROWEST * whole, WIDEST * whole)
    level = np.clip(
        sum(before) / 2 + down * step, automatic[0] - whole / 2, automatic[1] + whole / 2
    )
    return float(level - width / 2), float(level + width / 2)


def _taken_away(tool: Any) -> list[Any] | None:
    """Keep the active layer's tool from seeing this press; what was taken from it."""
    if tool is None or str(getattr(tool, "mode", "pan_zoom")) == "pan_zoom":
        return None
    callbacks = list(tool.mouse_drag_callbacks)
    tool.mouse_drag_callbacks.clear()
    return callbacks


def _give_back(tool: Any, callbacks: list[Any] | None) -> None:
    if callbacks is not None:
        tool.mouse_drag_callbacks[:0] = callbacks
