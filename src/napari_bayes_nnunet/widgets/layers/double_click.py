"""Double clicks on the canvas with another meaning than napari's zoom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class DoubleClick:
    """Handler that calls ``take`` with napari's mouse event; if that is True, the camera stays."""

    def __init__(self, viewer: Any, take: Callable[[Any], bool]) -> None:
        self._viewer = viewer
        self._take = take
        self._camera = (viewer.scene.camera.zoom, viewer.scene.camera.center)
        # napari's callback zooms between these two and cannot be skipped, so the zoom is undone.
        viewer.mouse_double_click_callbacks.insert(0, self._before)
        viewer.mouse_double_click_callbacks.append(self._after)

    def close(self) -> None:
        """Remove both callbacks."""
        self._viewer.mouse_double_click_callbacks.remove(self._before)
        self._viewer.mouse_double_click_callbacks.remove(self._after)

    def _before(self, viewer: Any, event: Any) -> None:
        self._camera = (viewer.scene.camera.zoom, viewer.scene.camera.center)

    def _after(self, viewer: Any, event: Any) -> None:
        if self._take(event):
            viewer.scene.camera.zoom, viewer.scene.camera.center = self._camera
