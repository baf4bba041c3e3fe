"""Marks of a slice as small symbols: tick, flag and dot."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Final

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPen, QTransform

ACCEPTED, FLAGGED, EDITED = "accepted", "flagged", "edited"
MARKS: Final[Mapping[str, str]] = {
    ACCEPTED: "The contours of this slice were accepted.",
    FLAGGED: "This slice must be checked again, by you or another reader.",
    EDITED: "The contours of this slice were changed.",
}
"""Meaning of each mark, in the order of display."""
UPPER = 0.4
"""Share of a narrow cell for flag and dot, above the tick."""
_SMALLEST = 4.0
"""Smallest legible symbol, px; smaller ones are drawn as a speck."""
INK, RIM = QColor("white"), QColor("black")


def draw_marks(painter: QPainter, marks: Set[str], cell: QRectF) -> None:
    """Draw ``marks`` into a cell, each at its own position."""
    rooms = _mark_rooms(cell)
    for mark in MARKS:
        if mark in marks:
            draw_mark(painter, mark, rooms[mark])


def draw_mark(painter: QPainter, mark: str, room: QRectF) -> None:
    """Draw a symbol as large as ``room``, white with a dark rim, visible on every colour."""
    side = min(room.width(), room.height())
    if side < _SMALLEST:
        speck = QPointF(1, 1)
        painter.fillRect(QRectF(room.center() - speck, room.center() + speck), INK)
        return
    corner = room.center() - QPointF(side / 2, side / 2)
    path = QTransform(side, 0, 0, side, corner.x(), corner.y()).map(PATHS[mark])
    width = max(side / 8, 1.0)
    for color, more in ((RIM, 1.8), (INK, 0.0)):
        pen = QPen(color, width + more)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        painter.setBrush(color if mark in FILLED else Qt.BrushStyle.NoBrush)
        painter.drawPath(path)


def _mark_rooms(cell: QRectF) -> dict[str, QRectF]:
    """Return dot left, flag right, and the tick between them or, in narrow cells, below."""
    x, y, width, height = cell.getRect()
    if width >= 2.5 * height:
        side = 0.8 * height
        top, middle = y + 0.1 * height, x + (width - side) / 2
        lefts = {EDITED: middle - 1.1 * side, ACCEPTED: middle, FLAGGED: middle + 1.1 * side}
        return {mark: QRectF(left, top, side, side) for mark, left in lefts.items()}
    upper = UPPER * height
    return {
        EDITED: QRectF(x, y, width / 2, upper),
        FLAGGED: QRectF(x + width / 2, y, width / 2, upper),
        ACCEPTED: QRectF(x, y + upper, width, height - upper),
    }


def _path(*points: tuple[float, float]) -> QPainterPath:
    path = QPainterPath(QPointF(*points[0]))
    for x, y in points[1:]:
        path.lineTo(x, y)
    return path


def _dot() -> QPainterPath:
    path = QPainterPath()
    path.addEllipse(QPointF(0.5, 0.5), 0.26, 0.26)
    return path


PATHS: Final[Mapping[str, QPainterPath]] = {
    ACCEPTED: _path((0.16, 0.52), (0.4, 0.78), (0.84, 0.2)),
    FLAGGED: _path((0.25, 0.9), (0.25, 0.15), (0.85, 0.37), (0.25, 0.6)),
    EDITED: _dot(),
}
FILLED = (FLAGGED, EDITED)
