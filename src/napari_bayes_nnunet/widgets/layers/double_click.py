"""A meaning of its own for some double clicks on the canvas, at which napari zooms in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class DoubleClick:
    """Calls ``take`` with napari's mouse event; where that returns True, the camera stays."""

    def __init__(self, viewer: Any, take: Callable[[Any], bool]) -> None:
        self._viewer = viewer
        self._take = take
        self._camera = (viewer.scene.camera.zoom, viewer.scene.camera.center)
        # napari's own callback comes between the two, and cannot be told to leave one out.
        viewer.mouse_double_click_callbacks.insert(0, self._before)
        viewer.mouse_double_click_callbacks.append(self._after)

    def close(self) -> None:
        """Give the double click back."""
        self._viewer.mouse_double_click_callbacks.remove(self._before)
        self._viewer.mouse_double_click_callbacks.remove(self._after)

    def _before(self, viewer: Any, event: Any) -> None:
        self._camera = (viewer.scene.camera.zoom, viewer.scene.camera.center)

    def _after(self, viewer: Any, event: Any) -> None:
        if self._take(event):
            viewer.scene.camera.zoom, viewer.scene.camera.center = self._camera
