"""Window and level by dragging with the right mouse button, as in radiology viewers.

Dragging right widens the window (less contrast), dragging up lowers the level (brighter). A double
click with the right button restores the automatic limits. napari's brush and polygon use this
button themselves, so with them Shift must be held, and with any tool that sets ``needs_shift``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Labels

from ...core.heart.intensity_window import image_window
from .double_click import DoubleClick
from .metadata import bayes_metadata, layer_voxels

Limits = tuple[float, float]

RIGHT = 2
PIXELS = 300
"""Mouse movement that changes the window by the width of the automatic window."""
_DEAD_ZONE = 3
"""Largest movement of a click, in pixels; more is a drag."""
NARROWEST, WIDEST = 1 / 256, 8.0
"""Limits of the window width, as multiples of the automatic window."""
RIGHT_BUTTON_MODES = ("paint", "polygon")
"""Modes of labels layers that use the right button."""


class WindowLevel:
    """Mouse control of the contrast limits of one image."""

    def __init__(self, viewer: Any, layer: Image, automatic: Limits | None = None) -> None:
        self._viewer, self._layer = viewer, layer
        self.needs_shift = False
        self._automatic, self._slider = automatic, layer.contrast_limits_range
        viewer.mouse_drag_callbacks.append(self._on_drag)
        self._double_click = DoubleClick(viewer, self._on_double_click)

    def show_automatic(self) -> None:
        """Use the automatic limits, unless the user has chosen others since the image was read."""
        limits, read = self._layer.contrast_limits, bayes_metadata(self._layer).get("window")
        if read is not None and np.allclose(limits, read):
            self.reset()
            self._layer.metadata["bayes"]["window"] = tuple(self._layer.contrast_limits)

    def reset(self) -> None:
        """Restore the automatic limits."""
        (low, high), (first, last) = self.automatic, self._slider
        self._layer.contrast_limits_range = (min(low, first), max(high, last))
        self._layer.contrast_limits = (low, high)

    def close(self) -> None:
        """Remove all mouse callbacks."""
        self._viewer.mouse_drag_callbacks.remove(self._on_drag)
        self._double_click.close()

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        layer = self._layer
        if not self._applies(event):
            return
        camera, start, before = viewer.scene.camera, event.pos, tuple(layer.contrast_limits)
        pan, drags, moves = camera.mouse_pan, False, True
        camera.mouse_pan = False  # the camera would zoom: its right drag counts as panning
        tool = viewer.layers.selection.active
        is_tool = str(getattr(tool, "mode", "pan_zoom")) != "pan_zoom"
        callbacks = tool.mouse_drag_callbacks if is_tool else []
        hidden = [*callbacks]
        callbacks.clear()  # the press is hidden from the tool of the active layer
        try:
            try:
                yield
            finally:
                callbacks[:0] = hidden
            while moves:
                moves = event.type == "mouse_move"
                right, down = np.subtract(event.pos, start)
                drags = drags or max(abs(right), abs(down)) > _DEAD_ZONE
                if drags:
                    layer.contrast_limits = drag_limits(before, self.automatic, right, down)
                if moves:
                    event.handled = True
                    yield
        finally:  # a drag can end without a release, for example when the window loses focus
            camera.mouse_pan = pan

    def _on_double_click(self, event: Any) -> bool:
        applies = self._applies(event)
        if applies:
            self.reset()
        return applies

    def _applies(self, event: Any) -> bool:
        layer = self._layer
        if event.button != RIGHT or self._viewer.dims.ndisplay != 2:
            return False
        if layer not in self._viewer.layers or not layer.visible:
            return False
        modifiers = {getattr(key, "name", key) for key in event.modifiers}
        return bool(modifiers == ({"Shift"} if self._uses_right_button() else set()))

    def _uses_right_button(self) -> bool:
        active = self._viewer.layers.selection.active
        paints = isinstance(active, Labels) and str(active.mode) in RIGHT_BUTTON_MODES
        return self.needs_shift or paints

    @property
    def automatic(self) -> Limits:
        """The automatic limits, computed on first use."""
        if self._automatic is None:
            self._automatic = automatic_limits(self._layer)
        return self._automatic


def automatic_limits(layer: Image) -> Limits:
    """Return the minimum and a high percentile; only one phase of a lazy cine is read."""
    voxels = layer_voxels(layer)
    if not isinstance(voxels, np.ndarray) and layer.ndim == 4:
        # Reading all phases from a slow drive would stop the window.
        voxels = voxels[voxels.shape[0] // 2]
    low, high = image_window(np.asarray(voxels))
    return (low, high) if high > low else (low, low + 1.0)


def drag_limits(before: Limits, automatic: Limits, right: float, down: float) -> Limits:
    """Return the limits after a mouse movement of ``right`` and ``down`` pixels."""
    whole = automatic[1] - automatic[0]
    step = whole / PIXELS
    width = np.clip(before[1] - before[0] + right * step, NARROWEST * whole, WIDEST * whole)
    level = np.clip(
        sum(before) / 2 + down * step, automatic[0] - whole / 2, automatic[1] + whole / 2
    )
    return float(level - width / 2), float(level + width / 2)
