"""Mouse wheel during a review: slices, with Shift phases, with Control zoom, as readers know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

ZOOM_A_NOTCH: Final = 1.23
"""Factor of the zoom for one notch of the wheel, about napari's own."""
TAKEN: Final[tuple[set[str], ...]] = (set(), {"Shift"}, {"Control"})
"""Modifiers with which the wheel is ours."""


class ReviewWheel:
    """Wheel over the canvas of a viewer that shows slices.

    ``step_slice`` and ``step_phase`` get +1 when the wheel is turned towards the user, else −1.
    In 3D, with other keys, and if ``is_napari``, the wheel is napari's own.
    """

    def __init__(
        self,
        viewer: Any,
        step_slice: Callable[[int], object],
        step_phase: Callable[[int], object],
    ) -> None:
        self._viewer = viewer
        self._step_slice, self._step_phase = step_slice, step_phase
        self._turned = 0.0  # less than a notch, by touch pads
        self.is_napari = False
        self._before = list(viewer.mouse_wheel_callbacks)
        viewer.mouse_wheel_callbacks[:] = [self._on_wheel]

    def close(self) -> None:
        """Give the wheel back to napari, and to what listens to it since."""
        callbacks = self._viewer.mouse_wheel_callbacks
        at = callbacks.index(self._on_wheel)
        callbacks[at : at + 1] = self._before

    def _on_wheel(self, viewer: Any, event: Any) -> None:
        modifiers = {getattr(key, "name", key) for key in event.modifiers}
        if self.is_napari or viewer.dims.ndisplay != 2 or modifiers not in TAKEN:
            for callback in self._before:
                callback(viewer, event)
            return
        event.handled = True  # or the camera would zoom
        delta = float(np.sum(event.delta))  # Shift turns the wheel sideways on macOS
        if modifiers == {"Control"}:
            self._zoom(event, delta)
            return
        towards_user = delta if event.native.inverted() else -delta
        # At most one step at a time, so that no slice is skipped unseen.
        self._turned += float(np.clip(towards_user, -1, 1))
        step = int(self._turned)
        self._turned -= step
        if step:
            (self._step_phase if modifiers else self._step_slice)(step)

    def _zoom(self, event: Any, notches: float) -> None:
        """Zoom in or out; what is under the mouse stays there."""
        camera, factor = self._viewer.scene.camera, ZOOM_A_NOTCH**notches
        mouse = np.asarray(event.position)[list(self._viewer.dims.displayed)]
        centre = np.asarray(camera.center)[-2:]
        camera.zoom *= factor
        camera.center = tuple(centre + (mouse - centre) * (1 - 1 / factor))
