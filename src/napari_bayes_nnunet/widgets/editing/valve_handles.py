"""Points of the valves over a picture of a long axis, which can be dragged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QPointF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QTransform
from qtpy.QtWidgets import QWidget

from ...app.review.valve_points import ValvePoints
from ...core.heart.structures import CARDIAC
from .contour_handles import REACH

RADIUS: Final = 5
COLORS: Final = {"mitral": CARDIAC["LV"], "tricuspid": CARDIAC["RV"]}


class ValveHandles(QWidget):
    """Two points for each valve, on top of the ``picture`` and as large as it.

    Full points are marked in this phase; hollow ones, joined by a dashed line, are not. ``lie``
    returns the transformation from the centres of pixels (x, y) of the long axis to the picture.
    ``moved`` carries the key of a valve and its (2, 2) pixels (y, x) after a drag. All other events
    of the mouse are left to the picture.
    """

    moved = Signal(object, object)

    def __init__(self, picture: QWidget, lie: Callable[[], QTransform]) -> None:
        super().__init__(picture)
        self._lie = lie
        self._points: list[ValvePoints] = []
        self._grip: tuple[int, int] | None = None  # valve and point that is dragged
        self._pixels = np.zeros((0, 2, 2))
        self.is_locked = False
        self.setMouseTracking(True)
        picture.installEventFilter(self)
        self.resize(picture.size())

    def set_points(self, points: Sequence[ValvePoints]) -> None:
        """Show these points, after a drag has ended."""
        if self._grip is None:
            self._points = [*points]
            self._pixels = np.array([valve.pixels for valve in points]).reshape(-1, 2, 2)
            self.update()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay as large as the picture."""
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.resize(watched.size())
        return False

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a line and two points for each valve."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for number, valve in enumerate(self._points):
            color = QColor(COLORS[valve.key[1]])
            is_marked = valve.is_marked or (self._grip is not None and self._grip[0] == number)
            style = Qt.PenStyle.SolidLine if is_marked else Qt.PenStyle.DashLine
            first, second = (QPointF(*place) for place in self._places()[number])
            painter.setPen(QPen(color, 1.5, style))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawLine(first, second)
            painter.setPen(QPen(color, 1.5))
            painter.setBrush(color if is_marked else Qt.BrushStyle.NoBrush)
            for point in (first, second):
                painter.drawEllipse(point, RADIUS, RADIUS)
        # A traceback or a debugger that holds this frame would keep the painter active.
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of the point under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._grip = self._point_at(event)
        event.setAccepted(self._grip is not None)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the point that is held."""
        if self._grip is not None:
            back, _ = self._lie().inverted()
            place = back.map(event.position())
            self._pixels[self._grip] = place.y(), place.x()
            self.update()
        elif self._point_at(event) is not None:
            self.setCursor(Qt.CursorShape.SizeAllCursor)
        else:
            self.unsetCursor()
        event.setAccepted(self._grip is not None)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let the point go, and tell where the valve is if it has moved."""
        grip, self._grip = self._grip, None
        event.setAccepted(grip is not None)
        if grip is not None:
            valve, pixels = self._points[grip[0]], self._pixels[grip[0]].copy()
            if (pixels != valve.pixels).any():
                self.moved.emit(valve.key, pixels)

    def _places(self) -> NDArray[np.float64]:
        """Return the (n, 2, 2) places (x, y) of the points on the picture, px."""
        lie = self._lie()
        mapped = [lie.map(QPointF(x, y)) for y, x in self._pixels.reshape(-1, 2).tolist()]
        return np.array([(point.x(), point.y()) for point in mapped]).reshape(-1, 2, 2)

    def _point_at(self, event: QMouseEvent) -> tuple[int, int] | None:
        """Return the valve and the point under the mouse, None if there is none."""
        if self.is_locked or not self._points:
            return None
        mouse = event.position().x(), event.position().y()
        distances = np.linalg.norm(self._places() - mouse, axis=-1)
        valve, point = np.unravel_index(int(distances.argmin()), distances.shape)
        return (int(valve), int(point)) if distances.min() <= REACH else None
