"""Mouse on the canvas of a shown viewer, with Qt events as a window system sends them."""

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

NO_BUTTON = Qt.MouseButton.NoButton
LEFT = Qt.MouseButton.LeftButton
RIGHT = Qt.MouseButton.RightButton
NO_KEY = Qt.KeyboardModifier.NoModifier


class CanvasMouse:
    """Mouse whose positions are (x, y) in pixels of the canvas."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self._viewer = viewer
        self._qtbot = qtbot
        self.canvas = viewer.window._qt_viewer.canvas.native

    def place_of(self, layer: Any, index: Any) -> tuple[float, float]:
        """Return the (x, y) position on the canvas of a voxel index of ``layer``."""
        self.settle()
        shown = self._viewer.window._qt_viewer.canvas.view
        world = layer.data_to_world(index)
        rows, columns = (world[axis] for axis in self._viewer.dims.displayed)
        to_canvas = shown.transform * shown.scene.transform
        x, y, *_ = to_canvas.map([columns, rows, 0, 1])
        return float(x), float(y)

    def press(self, at: Any, button: Any = LEFT, keys: Any = NO_KEY) -> None:
        self._send(QEvent.Type.MouseButtonPress, at, button, button, keys)

    def move(self, at: Any, button: Any = LEFT, keys: Any = NO_KEY) -> None:
        self._send(QEvent.Type.MouseMove, at, NO_BUTTON, button, keys)
        self._qtbot.wait(12)  # napari polls the mouse every 5 ms

    def release(self, at: Any, button: Any = LEFT, keys: Any = NO_KEY) -> None:
        self._send(QEvent.Type.MouseButtonRelease, at, button, NO_BUTTON, keys)
        self._qtbot.wait(12)

    def click(self, at: Any, button: Any = LEFT, keys: Any = NO_KEY) -> None:
        self.press(at, button, keys)
        self.release(at, button, keys)

    def double_click(self, at: Any, button: Any = LEFT, keys: Any = NO_KEY) -> None:
        self.click(at, button, keys)
        self._send(QEvent.Type.MouseButtonDblClick, at, button, button, keys)
        self.release(at, button, keys)

    def drag(
        self, start: Any, end: Any, button: Any = LEFT, keys: Any = NO_KEY, steps: int = 2
    ) -> None:
        self.press(start, button, keys)
        for share in np.linspace(0, 1, steps + 1)[1:]:
            self.move(np.add(start, np.subtract(end, start) * share), button, keys)
        self.release(end, button, keys)

    def settle(self) -> None:
        """Wait until the window has drawn."""
        self._qtbot.wait(50)

    def _send(self, kind: Any, at: Any, button: Any, buttons: Any, keys: Any) -> None:
        local = QPointF(*map(float, at))
        on_screen = QPointF(self.canvas.mapToGlobal(local.toPoint()))
        event = QMouseEvent(kind, local, on_screen, button, buttons, keys)
        QApplication.sendEvent(self.canvas, event)
