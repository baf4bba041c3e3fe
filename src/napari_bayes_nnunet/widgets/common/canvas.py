"""The canvas of napari: overlays of this plugin, and shaders that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

SHADE = (0.0, 0.0, 0.0, 0.65)
"""Background of texts, to make them legible on bright images and in a light theme."""


def put_overlay(viewer: Any, key: str, overlay: Any) -> None:
    """Put an overlay on the canvas, in place of another one with this key."""
    viewer.canvas.overlays.pop(key, None)  # napari keeps an equal one
    viewer.canvas.overlays[key] = overlay
    # After napari, which begins to draw an overlay when it is shown for the first time.
    overlay.events.visible.connect(partial(_keep_box_shaders, overlay))
    _keep_box_shaders(overlay)


def make_overlay(overlay: Any) -> None:
    """Let napari make an overlay that is not to be seen yet, so that showing it takes less time."""
    overlay.visible = True
    overlay.visible = False


def remove_overlay(viewer: Any, key: str, overlay: Any) -> None:
    """Remove an overlay from the canvas, unless another dock has replaced it."""
    if unwrap(viewer.canvas.overlays.get(key)) is overlay:
        viewer.canvas.overlays.pop(key)


def unwrap(item: Any) -> Any:
    """Return the object of napari behind its proxy.

    A dock that was opened from the Plugins menu is given the viewer, and all that it reads from the
    viewer, in proxies, which are never identical to what they stand for.
    """
    return getattr(item, "__wrapped__", item)


def keep_shaders(layer: Any) -> None:
    """Keep the shaders of a layer of vectors when its lines change.

    For each new array vispy makes an equal colour function, takes it for another one, and compiles
    and links the shaders again, which takes 5 ms.
    """
    for owner in _listeners(layer.events.set_data):
        _keep_shaders(getattr(owner, "node", None))


def _keep_box_shaders(overlay: Any) -> None:
    """Keep the shaders of the box of an overlay when its size changes."""
    for owner in _listeners(overlay.events.visible):
        _keep_shaders(getattr(getattr(owner, "box", None), "mesh", None))


def _listeners(signal: Any) -> Iterator[Any]:
    """Yield the objects whose methods a signal of napari or psygnal calls.

    What draws a layer or an overlay is among them. A plugin is not given the window.
    """
    for callback in getattr(signal, "callbacks", ()):
        if isinstance(callback, tuple):
            yield callback[0]()
    for slot in getattr(signal, "_slots", ()):
        yield getattr(slot.dereference(), "__self__", None)


def _keep_shaders(mesh: Any) -> None:
    if hasattr(mesh, "_build_color_transform"):  # or vispy has renamed it, and is only slower
        function = mesh._build_color_transform(np.zeros((1, 4), np.float32))
        mesh._build_color_transform = lambda _: function
