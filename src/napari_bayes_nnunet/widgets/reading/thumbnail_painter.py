"""Drawing of thumbnails: pictures, frames, marks, numbers and legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Final

import numpy as np
from qtpy.QtCore import QPointF, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPainterPath, QPalette, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QWidget

from ...core.editing.closed_curve import Points
from ..common.levels import level_color
from ..common.plotting import faint
from .heat_grid import (
    APEX,
    BASE,
    CENTRE,
    GAP,
    LEFT,
    RIGHT,
    SPACE,
    HeatScale,
    draw_slice_outline,
)
from .marks import MARKS, draw_mark
from .slice_pictures import SlicePicture
from .thumbnail_plan import OUTLINE_ROOM, ThumbnailFrame, ThumbnailPlan

CONTOUR_WIDTH_PX: Final = 1.3
LEGEND_WIDTH: Final = 60
"""Length of the colour scale, px."""
BETWEEN: Final = QColor(255, 255, 255, 150)
"""Colour of what changes between two contours."""
FEWEST_CONTOUR_POINTS: Final = 12
"""Number of points that a small contour keeps."""
MARK_SHARE: Final = 0.25
"""Size of a mark relative to the height of a picture."""
LIGHT_FRAME: Final = 150
"""Lightness, of 255, from which a frame gets a dark edge on a light window."""
SMALLEST_MARK, LARGEST_MARK = 9, 20
"""Limits of the size of a mark, px."""


def render_picture(
    picture: SlicePicture,
    size: QSize,
    colors: Mapping[int, str],
    *,
    ratio: float,
    before: SlicePicture | None = None,
) -> QPixmap:
    """Return a picture of ``size`` px with its contours, for a screen with a device pixel ratio.

    What lies between these and the contours of ``before`` is bright.
    """
    pixmap = QPixmap(size * ratio)
    height, width = picture.grey.shape
    grey = QImage(picture.grey.data, width, height, width, QImage.Format.Format_Grayscale8)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.drawImage(QRectF(pixmap.rect()), grey)
    contours = _outlines(picture, pixmap.size())
    if before is not None:
        earlier = _outlines(before, pixmap.size())
        for label in colors:
            # Odd-even filling leaves out what lies within both.
            both = QPainterPath(contours.get(label, QPainterPath()))
            both.addPath(earlier.get(label, QPainterPath()))
            painter.fillPath(both, BETWEEN)
    for label, outline in contours.items():
        pen = QPen(QColor(colors[label]), CONTOUR_WIDTH_PX * ratio)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.strokePath(outline, pen)
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def _outlines(picture: SlicePicture, size: QSize) -> dict[int, QPainterPath]:
    """Return label → its contours, px."""
    outlines: dict[int, QPainterPath] = {}
    for label, points in picture.contours:
        curve = thin_out(points[:, ::-1] * (size.width(), size.height()))
        outline = outlines.setdefault(label, QPainterPath())
        outline.addPolygon(QPolygonF([QPointF(x, y) for x, y in curve.tolist()]))
        outline.closeSubpath()
    return outlines


def thin_out(curve: Points) -> Points:
    """Return a closed curve with points about 1 px apart; Qt needs 1 ms for 600 points."""
    length = np.hypot(*np.diff(curve, axis=0, append=curve[:1]).T).sum()
    step = int(min(len(curve) / max(length, 1), len(curve) / FEWEST_CONTOUR_POINTS))
    return curve[:: max(step, 1)]


class ThumbnailPainter:
    """Painter of the thumbnails of a ``widget``, whose palette and levels give the colours."""

    def __init__(self, painter: QPainter, plan: ThumbnailPlan, widget: QWidget) -> None:
        self._painter, self._plan = painter, plan
        self._ink = widget.palette().color(QPalette.ColorRole.WindowText)
        self._grey = QColor(level_color("done", widget))
        self._amber = QColor(level_color("warning", widget))
        self._line = painter.fontMetrics().height()

    def draw_numbers(self, knows_ends: bool) -> None:
        """Write the numbers of the slices above, with base and apex if they are known."""
        plan = self._plan
        self._painter.setPen(self._ink)
        top = plan.top - self._line - 1
        for z in range(plan.slices):
            left, _, width, _ = plan.cell(0, z)
            self._write(QRect(left, top, width, self._line), CENTRE, f"{z + 1}")
        if knows_ends:
            self._write(QRect(0, top, plan.left - GAP, self._line), RIGHT, BASE)
            self._write(QRect(plan.right + GAP, top, 200, self._line), LEFT, APEX)

    def draw_names(self, names: Sequence[str]) -> None:
        """Write the names of the rows to the left."""
        self._painter.setPen(self._ink)
        for row, name in enumerate(names):
            top = self._plan.top + row * self._plan.height
            self._write(QRect(0, top, self._plan.left - GAP, self._plan.height), RIGHT, name)

    def draw_message(self, text: str, area: QRect) -> None:
        """Write a sentence in place of thumbnails."""
        self._painter.setPen(self._ink)
        self._painter.drawText(area, CENTRE | Qt.TextFlag.TextWordWrap, text)

    def draw_picture(self, index: tuple[int, int], pixmap: QPixmap | None) -> None:
        """Draw the picture of a slice, or an empty box while there is none."""
        room = QRect(*self._plan.picture(*index))
        if pixmap is None:
            self._painter.fillRect(room, faint(self._grey))
            return
        self._painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        self._painter.drawPixmap(room, pixmap)

    def draw_frame(self, index: tuple[int, int], frame: ThumbnailFrame, heat: QColor) -> None:
        """Draw the frame around a picture: ``heat`` if it is open, else by its state."""
        color, style = {
            "open": (heat, Qt.PenStyle.SolidLine),
            "flagged": (self._amber, Qt.PenStyle.SolidLine),
            "accepted": (self._grey, Qt.PenStyle.SolidLine),
            "unknown": (self._ink, Qt.PenStyle.DotLine),
        }[frame.kind]
        room = QRect(*self._plan.picture(*index))
        self._painter.setBrush(Qt.BrushStyle.NoBrush)
        if color.lightness() > LIGHT_FRAME > self._ink.lightness():  # hard to see on a light window
            self._painter.setPen(self._ink)
            edge = frame.width + 1
            self._painter.drawRect(room.adjusted(-edge, -edge, edge - 1, edge - 1))
        pen = QPen(color, frame.width, style)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        self._painter.setPen(pen)
        half = frame.width / 2
        self._painter.drawRect(QRectF(room).adjusted(-half, -half, half, half))

    def draw_state(self, index: tuple[int, int], marks: Set[str]) -> None:
        """Draw the marks of a slice into the upper right corner of its picture."""
        left, top, width, height = self._plan.picture(*index)
        side = min(max(MARK_SHARE * height, SMALLEST_MARK), LARGEST_MARK)
        x = left + width - side - 2
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for mark in reversed(list(MARKS)):
            if mark in marks:
                draw_mark(self._painter, mark, QRectF(x, top + 2, side, side))
                x -= side + 1
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def draw_outline(self, index: tuple[int, int]) -> None:
        """Draw the outline of the slice on screen."""
        room = QRect(*self._plan.cell(*index))
        edge = OUTLINE_ROOM
        draw_slice_outline(self._painter, room.adjusted(edge, edge, -edge, -edge))

    def draw_focus(self, area: QRect) -> None:
        """Draw a thin line around the thumbnails, which take the arrow keys."""
        self._painter.setPen(faint(self._ink))
        self._painter.drawRect(area.adjusted(0, 0, -1, -1))

    def draw_legend(self, scale: HeatScale, area: QRect) -> None:
        """Draw scale and marks to the right of the thumbnails, if there is room."""
        texts = [f"0{scale.text(scale.top)}", *MARKS]
        widest = max(self._advance(text) for text in texts) + LEGEND_WIDTH + 3 * GAP
        left = self._plan.right + 2 * SPACE + self._advance(APEX)
        lines = (area.height() - self._plan.top) // self._line
        if left + widest + SPACE > area.right() or lines < len(texts):
            return
        self._painter.setPen(self._ink)
        top = self._plan.top + OUTLINE_ROOM
        x = self._write_at(left, top, "0") + GAP
        scale.draw(self._painter, QRect(x, top + 3, LEGEND_WIDTH, self._line - 6))
        self._write_at(x + LEGEND_WIDTH + GAP, top, scale.text(scale.top))
        side = self._line - 4
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for mark in MARKS:
            top += self._line
            draw_mark(self._painter, mark, QRectF(left, top + 2, side, side))
            self._painter.setPen(self._ink)
            self._write_at(left + side + GAP, top, mark)

    def _write_at(self, x: int, top: int, text: str) -> int:
        """Write at ``x``; return where the text ends."""
        width = self._advance(text)
        self._write(QRect(x, top, width + 2, self._line), LEFT, text)
        return x + width

    def _write(self, room: QRect, side: Qt.AlignmentFlag, text: str) -> None:
        self._painter.drawText(room, side, text)

    def _advance(self, text: str) -> int:
        return int(self._painter.fontMetrics().horizontalAdvance(text))
