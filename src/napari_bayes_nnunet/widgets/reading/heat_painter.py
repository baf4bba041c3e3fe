"""How a heat grid is drawn: its cells, the numbers around them and the legend below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from qtpy.QtCore import QRect, QRectF, Qt
from qtpy.QtGui import QBrush, QColor, QFont, QFontMetrics, QPainter, QPen

from ..common.plotting import faint
from .heat_plan import HeatPlan, plan_of
from .heat_scale import HeatScale
from .marks import MARKS, draw_mark, draw_marks

SMALLER = 0.85
"""Size of the letters around the grid, next to those of the dock."""
EVERY = (1, 5, 10, 20, 50, 100)
GAP, SPACE = 4, 12
SCALE_WIDTH = 90
BASE, APEX = "base", "apex"
NOT_SEGMENTED = "not segmented"
LEFT, RIGHT, CENTRE = (
    Qt.AlignmentFlag.AlignVCenter | side
    for side in (
        Qt.AlignmentFlag.AlignLeft,
        Qt.AlignmentFlag.AlignRight,
        Qt.AlignmentFlag.AlignHCenter,
    )
)


@dataclass(frozen=True)
class Frame:
    """What stands around the cells: phases (None in a 3D image), ED and ES, base and apex."""

    phases: Sequence[int | None] = ()
    landmarks: Mapping[str, int] = field(default_factory=dict)
    base_first: bool | None = None
    has_gaps: bool = False
    """Whether some cells were not segmented."""

    @property
    def has_phases(self) -> bool:
        """Whether the columns have numbers."""
        return any(phase is not None for phase in self.phases)


def small_font(font: QFont) -> QFont:
    """A little smaller than the text of the dock."""
    small = QFont(font)
    if font.pointSizeF() > 0:
        small.setPointSizeF(SMALLER * font.pointSizeF())
    else:
        small.setPixelSize(max(round(SMALLER * font.pixelSize()), 1))
    return small


def arranged(frame: Frame, slices: int, *, width: int, metrics: QFontMetrics) -> HeatPlan:
    """The cells in a widget ``width`` px wide, with room for ``frame`` around them."""
    texts = (str(slices), BASE, APEX)[: 1 if frame.base_first is None else 3]
    left = max(metrics.horizontalAdvance(text) for text in texts) + GAP
    lines = 2 if frame.has_phases else 1
    return plan_of(
        slices,
        len(frame.phases),
        left=left,
        top=lines * metrics.height() + 2,
        room=width - left - 2,
        base_first=frame.base_first is not False,
    )


def height_of(plan: HeatPlan, metrics: QFontMetrics) -> int:
    """Of the whole widget, px: below the grid there are three lines."""
    return int(plan.top + plan.slices * plan.height + 3 * (metrics.height() + GAP))


class HeatPainter:
    """Draws one grid; ``ink`` is the colour of the words."""

    def __init__(
        self, painter: QPainter, plan: HeatPlan, frame: Frame, scale: HeatScale, ink: QColor
    ) -> None:
        self._painter, self._plan, self._frame, self._scale = painter, plan, frame, scale
        self._ink = ink
        self._hatching = QBrush(faint(ink), Qt.BrushStyle.BDiagPattern)
        self._line = painter.fontMetrics().height()

    def draw_cell(self, room: QRect, score: float, marks: Set[str]) -> None:
        """A cell in the colour of its score, hatched where that is not known, with its marks."""
        gap = 1 if min(room.width(), room.height()) > 4 else 0
        inside = room.adjusted(0, 0, -gap, -gap)
        known = math.isfinite(score)
        self._painter.fillRect(inside, self._scale.color(score) if known else self._hatching)
        draw_marks(self._painter, marks, QRectF(inside))

    def draw_outline(self, room: QRect) -> None:
        """Around the cell that is looked at, to be seen on every colour."""
        self._painter.setBrush(Qt.BrushStyle.NoBrush)
        for color, width in (("black", 4), ("white", 2)):
            pen = QPen(QColor(color), width)
            pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            self._painter.setPen(pen)
            self._painter.drawRect(room.adjusted(-1, -1, 0, 0))

    def draw_frame(self) -> None:
        """Numbers of slices and phases, ED and ES, base and apex."""
        plan, area = self._plan, self._plan.area
        for z in _shown(plan.slices, plan.height, self._line - 3):
            top = plan.cell(z, 0).center().y() - self._line // 2
            self._write_beside(top, str(z + 1))
        if self._frame.base_first is not None:
            self._write_beside(area.top() - self._line - 1, BASE)
            self._write_beside(area.bottom() + 2, APEX)
        if self._frame.has_phases:
            self._draw_phases(area.top() - self._line - 1)

    def draw_legend(self) -> None:
        """The scale with its unit, and what the marks mean."""
        scale, x = self._scale, self._plan.left
        top = self._plan.area.top() + self._plan.area.height() + GAP
        if self._frame.base_first is not None:
            top += self._line  # below "apex"
        x = self._write(x, top, "0") + GAP
        scale.draw(self._painter, QRect(x, top + 3, SCALE_WIDTH, self._line - 6))
        self._write(x + SCALE_WIDTH + GAP, top, scale.text(scale.top))
        x, top = self._plan.left, top + self._line + GAP
        side = self._line - 4
        for mark in MARKS:
            draw_mark(self._painter, mark, QRectF(x, top + 2, side, side))
            x = self._write(x + side + GAP, top, mark) + SPACE
        if self._frame.has_gaps:
            self._painter.fillRect(QRect(x, top + 2, side, side), self._hatching)
            self._write(x + side + GAP, top, NOT_SEGMENTED)

    def _draw_phases(self, top: int) -> None:
        widest = max(self._advance(str(phase)) for phase in self._frame.phases)
        for column in _shown(len(self._frame.phases), self._plan.width, widest + GAP):
            self._write_above(column, top, str(self._frame.phases[column]))
        taken = 0
        for name, phase in sorted(self._frame.landmarks.items(), key=lambda item: item[1]):
            if phase in self._frame.phases:
                column = self._frame.phases.index(phase)
                taken = self._write_above(column, top - self._line, name, after=taken) + GAP

    def _write_beside(self, top: int, text: str) -> None:
        room = QRect(0, top, self._plan.left - GAP, self._line)
        self._painter.setPen(self._ink)
        self._painter.drawText(room, RIGHT, text)

    def _write_above(self, column: int, top: int, text: str, *, after: int = 0) -> int:
        """Write in the middle of a column, right of ``after``; where the text ends."""
        middle = self._plan.cell(0, column).center().x() + 1
        return self._write(max(middle - self._advance(text) // 2, after), top, text)

    def _write(self, x: int, top: int, text: str) -> int:
        """Write at ``x``; where the text ends."""
        width = self._advance(text)
        self._painter.setPen(self._ink)
        self._painter.drawText(QRect(x, top, width + 2, self._line), LEFT, text)
        return x + width

    def _advance(self, text: str) -> int:
        return int(self._painter.fontMetrics().horizontalAdvance(text))


def _shown(count: int, room: float, needed: float) -> list[int]:
    """Which of ``count`` rows or columns are numbered where each has ``room`` px: 1, 5, 10, …"""
    every = next((step for step in EVERY if step * room >= needed), EVERY[-1])
    return [place for place in range(count) if place == 0 or (place + 1) % every == 0]
