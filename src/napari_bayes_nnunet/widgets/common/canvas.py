"""The canvas of napari: overlays of this plugin, and shaders that are kept."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np


def put_overlay(viewer: Any, key: str, overlay: Any) -> None:
    """Put an overlay on the canvas, in place of another one with this key."""
    viewer.canvas.overlays.pop(key, None)  # napari keeps an equal one
    viewer.canvas.overlays[key] = overlay
    # After napari, which begins to draw an overlay when it is shown for the first time.
    overlay.events.visible.connect(partial(_keep_box_shaders, viewer, overlay))
    _keep_box_shaders(viewer, overlay)


def remove_overlay(viewer: Any, key: str, overlay: Any) -> None:
    """Remove an overlay from the canvas, unless another dock has replaced it."""
    if viewer.canvas.overlays.get(key) is overlay:
        viewer.canvas.overlays.pop(key)


def keep_shaders(viewer: Any, layer: Any) -> None:
    """Keep the shaders of a layer of vectors when its lines change.

    For each new array vispy makes an equal colour function, takes it for another one, and compiles
    and links the shaders again, which takes 5 ms.
    """
    visual = getattr(_drawing_canvas(viewer), "layer_to_visual", {}).get(layer)
    if visual is not None:
        _keep_shaders(visual.node)


def _keep_box_shaders(viewer: Any, overlay: Any, visible: bool = True) -> None:
    """Keep the shaders of the box of an overlay when its size changes."""
    visuals = getattr(_drawing_canvas(viewer), "_viewer_overlay_to_visual", {})
    for visual in visuals.get(overlay, ()):
        _keep_shaders(visual.box.mesh)


def _drawing_canvas(viewer: Any) -> Any:
    """Return the canvas that draws; None without a window, or if napari has renamed it."""
    return getattr(getattr(getattr(viewer, "window", None), "_qt_viewer", None), "canvas", None)


def _keep_shaders(mesh: Any) -> None:
    if hasattr(mesh, "_build_color_transform"):  # or vispy has renamed it, and is only slower
        function = mesh._build_color_transform(np.zeros((1, 4), np.float32))
        mesh._build_color_transform = lambda _: function
