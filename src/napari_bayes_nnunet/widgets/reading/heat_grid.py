"""Grid of slices and phases for navigation, coloured by the disagreement of the models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QBrush,
    QColor,
    QFont,
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QLinearGradient,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QResizeEvent,
)
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from ...core.types import Phase, Place
from ..common.dock import ThemeFont
from ..common.plotting import faint, pg
from .marks import MARKS, draw_mark, draw_marks

OUTLINE = 3
ARROW_STEPS: Mapping[Qt.Key, tuple[int, int]] = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}
"""Movement of each key: rows down, columns to the right."""
HEAT_HELP = (
    "All slices and phases; bright where the models disagree. Base is at the top if known. Click "
    "or use the arrow keys to go to a slice."
)


class HeatGrid(QWidget):
    """Grid with a cell for each slice and phase.

    ``cell_chosen`` carries phase and slice (from 0). It is emitted for clicks and arrow keys only,
    never by a setter.
    """

    cell_chosen = Signal(object, int)
    _is_made = False

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scores: NDArray[np.float64] = np.zeros((0, 0))
        self._marks: Mapping[Place, Set[str]] = {}
        self._current: Place | None = None
        self._frame = HeatAxes()
        self._scale = HeatScale(1.0, "")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Slices and phases by score")
        self.setAccessibleDescription(HEAT_HELP)
        ThemeFont(self)
        self._is_made = True
        self._arrange()

    @property
    def current(self) -> Place | None:
        """The outlined phase and slice, None if no cell is outlined."""
        return self._current

    def set_scores(
        self,
        scores: NDArray[Any],
        phases: Sequence[Phase],
        unit: str,
        *,
        top: float | None = None,
    ) -> None:
        """Show (Z, P) ``scores`` in ``unit``, a column for each of ``phases``.

        Unknown scores are NaN. The colours end at ``top``, by default the largest score. Raises
        ValueError if the number of columns is not that of the phases.
        """
        scores = check_scores(scores, phases)
        largest = float(np.nanmax(scores, initial=0.0)) if scores.size else 0.0
        self._scores = scores
        gaps = not np.isfinite(scores).all()
        self._frame = replace(self._frame, phases=tuple(phases), has_gaps=bool(gaps))
        self._scale = HeatScale(largest if top is None else top, unit)
        self._arrange()

    def set_ends(self, base_first: bool | None) -> None:
        """Set whether the first slice is basal (True), the last is (False), or unknown (None)."""
        self._frame = replace(self._frame, base_first=base_first)
        self._arrange()

    def set_marks(self, marks: Mapping[Place, Set[str]]) -> None:
        """Mark cells as accepted, flagged or edited (``marks.MARKS``) and clear all other cells.

        Raises ValueError for any other mark.
        """
        new = {cell: frozenset(names) for cell, names in marks.items() if names}
        unknown = set[str]().union(*new.values()) - set(MARKS)
        if unknown:
            raise ValueError(f"Marks are {', '.join(MARKS)}; not {', '.join(sorted(unknown))}.")
        before = self._marks
        changed = {c for c in new.keys() | before.keys() if new.get(c) != before.get(c)}
        self._marks = new
        for cell in changed:
            self._update_cell(cell)

    def set_current(self, phase: Phase, z: int | None) -> None:
        """Outline the cell of slice ``z`` in ``phase``; no cell if ``z`` is None."""
        before, self._current = self._current, None if z is None else (phase, z)
        for cell in (before, self._current):
            if cell is not None:
                self._update_cell(cell)

    def set_landmarks(self, ed: Phase, es: Phase) -> None:
        """Label the columns of end-diastole and end-systole; None if unknown."""
        known = {name: phase for name, phase in (("ED", ed), ("ES", es)) if phase is not None}
        self._frame = replace(self._frame, landmarks=known)
        self.update()

    def cell_rect(self, phase: Phase, z: int) -> QRect:
        """Return the rectangle of a cell, px; an empty one if the cell does not exist."""
        if phase not in self._frame.phases or not 0 <= z < len(self._scores):
            return QRect()
        return self._plan.cell(z, self._frame.phases.index(phase))

    def reading(self, phase: Phase, z: int) -> str:
        """Return slice, phase, score and marks of a cell as text."""
        score = float(self._scores[z, self._frame.phases.index(phase)])
        marks = self._marks.get((phase, z), frozenset())
        return describe_slice((phase, z), score, marks, self._frame.landmarks, self._scale)

    def sizeHint(self) -> QSize:
        """Return the size with the height that the slices need."""
        return QSize(320, grid_height(self._plan, self._metrics()))

    def minimumSizeHint(self) -> QSize:
        """Return a narrow size: narrow docks get narrow cells."""
        return QSize(120, grid_height(self._plan, self._metrics()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Adapt the width of the cells."""
        super().resizeEvent(event)
        self._arrange()

    def changeEvent(self, event: QEvent) -> None:
        """Adapt to another font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and self._is_made:
            self._arrange()

    def event(self, event: QEvent) -> bool:
        """Show the cell under the mouse as a tooltip."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            cell = self._cell_at(event.pos())
            text = self.reading(*cell) if cell is not None else HEAT_HELP
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the clicked cell."""
        cell = self._cell_at(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and cell is not None:
            self._choose(cell)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to a neighbour with the arrow keys; leave all other keys to the window."""
        step = ARROW_STEPS.get(Qt.Key(event.key()))
        if step is None or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            super().keyPressEvent(event)
            return
        cell = self._neighbour(self._current, *step)
        if cell is not None:
            self._choose(cell)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the changed part."""
        painter = QPainter(self)
        painter.setFont(small_font(self.font()))
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        drawing = HeatPainter(painter, self._plan, self._frame, self._scale, ink)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)  # cells stay crisp: whole px
        if not self._plan.area.contains(event.rect()):
            drawing.draw_frame()
            drawing.draw_legend()
        self._draw_cells(drawing, event.rect())
        painter.end()

    def _draw_cells(self, drawing: HeatPainter, changed: QRect) -> None:
        for column, phase in enumerate(self._frame.phases):
            for z in range(len(self._scores)):
                room = self._plan.cell(z, column)
                if room.intersects(changed):
                    marks = self._marks.get((phase, z), frozenset())
                    drawing.draw_cell(room, float(self._scores[z, column]), marks)
        if self._current is not None and not (room := self.cell_rect(*self._current)).isEmpty():
            drawing.draw_outline(room)

    def _arrange(self) -> None:
        """Update the layout of the cells and request the height they need."""
        slices, metrics = len(self._scores), self._metrics()
        self._plan = arrange_cells(self._frame, slices, width=self.width(), metrics=metrics)
        self.updateGeometry()
        self.update()

    def _metrics(self) -> QFontMetrics:
        return QFontMetrics(small_font(self.font()))

    def _update_cell(self, cell: Place) -> None:
        room = self.cell_rect(*cell)
        self.update(room.adjusted(-OUTLINE, -OUTLINE, OUTLINE, OUTLINE))

    def _cell_at(self, point: QPoint) -> Place | None:
        cell = self._plan.cell_at(point)
        return None if cell is None else (self._frame.phases[cell[1]], cell[0])

    def _choose(self, cell: Place) -> None:
        phase, z = cell
        if np.isfinite(self._scores[z, self._frame.phases.index(phase)]):
            self.set_current(phase, z)
            self.cell_chosen.emit(phase, z)

    def _neighbour(self, cell: Place | None, down: int, right: int) -> Place | None:
        """Return the next segmented cell in a direction, or ``cell`` if there is none."""
        if cell is None or self.cell_rect(*cell).isEmpty():
            return self._first_cell()
        row, column = self._plan.row(cell[1]) + down, self._frame.phases.index(cell[0]) + right
        while 0 <= row < len(self._scores) and 0 <= column < len(self._frame.phases):
            z = self._plan.row(row)
            if np.isfinite(self._scores[z, column]):
                return self._frame.phases[column], z
            row, column = row + down, column + right
        return cell

    def _first_cell(self) -> Place | None:
        """Return the first segmented cell, starting at the base of the first phase."""
        for column, phase in enumerate(self._frame.phases):
            for z in map(self._plan.row, range(len(self._scores))):
                if np.isfinite(self._scores[z, column]):
                    return phase, z
        return None


SMALLER = 0.85
"""Font size around the grid, relative to the dock."""
NUMBER_STEPS = (1, 5, 10, 20, 50, 100)
"""Steps in which rows and columns are numbered."""
GAP, SPACE = 4, 12
SCALE_WIDTH = 90
BASE, APEX = "base", "apex"
NO_SCORE = "no score"
LEFT, RIGHT, CENTRE = (
    Qt.AlignmentFlag.AlignVCenter | side
    for side in (
        Qt.AlignmentFlag.AlignLeft,
        Qt.AlignmentFlag.AlignRight,
        Qt.AlignmentFlag.AlignHCenter,
    )
)


@dataclass(frozen=True)
class HeatAxes:
    """Labels around the cells: phases (None in a 3D image), ED and ES, base and apex."""

    phases: Sequence[int | None] = ()
    landmarks: Mapping[str, int] = field(default_factory=dict)
    base_first: bool | None = None
    has_gaps: bool = False
    """Whether some cells were not segmented."""

    @property
    def has_phases(self) -> bool:
        """Whether the columns have numbers."""
        return any(phase is not None for phase in self.phases)


def check_scores(scores: NDArray[Any], phases: Sequence[Phase]) -> NDArray[np.float64]:
    """Return (Z, P) scores. Raises ValueError unless there is a column for each of ``phases``."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] != len(phases):
        expected = f"(Z, {len(phases)})"
        raise ValueError(f"The scores of {len(phases)} phases are {expected}: {scores.shape}.")
    return scores


def small_font(font: QFont) -> QFont:
    """Return a font a little smaller than that of the dock."""
    small = QFont(font)
    if font.pointSizeF() > 0:
        small.setPointSizeF(SMALLER * font.pointSizeF())
    else:
        small.setPixelSize(max(round(SMALLER * font.pixelSize()), 1))
    return small


def arrange_cells(frame: HeatAxes, slices: int, *, width: int, metrics: QFontMetrics) -> HeatPlan:
    """Return the cells of a widget ``width`` px wide, with room for the labels ``frame``."""
    texts = (str(slices), BASE, APEX)[: 1 if frame.base_first is None else 3]
    left = max(metrics.horizontalAdvance(text) for text in texts) + GAP
    lines = 2 if frame.has_phases else 1
    return plan_cells(
        slices,
        len(frame.phases),
        left=left,
        top=lines * metrics.height() + 2,
        room=width - left - 2,
        growth=_growth(metrics),
        base_first=frame.base_first is not False,
    )


def _growth(metrics: QFontMetrics) -> float:
    """Return the size of the font relative to the smallest one that the cells are made for."""
    return float(max(metrics.height() / LINE_HEIGHT, 1.0))


def grid_height(plan: HeatPlan, metrics: QFontMetrics) -> int:
    """Return the height of the whole widget, px, with three lines of text below the cells."""
    return int(plan.top + plan.slices * plan.height + 3 * (metrics.height() + GAP))


class HeatPainter:
    """Painter of one grid; ``ink`` is the colour of the text."""

    def __init__(
        self, painter: QPainter, plan: HeatPlan, frame: HeatAxes, scale: HeatScale, ink: QColor
    ) -> None:
        self._painter, self._plan, self._frame, self._scale = painter, plan, frame, scale
        self._ink = ink
        self._hatching = QBrush(faint(ink), Qt.BrushStyle.BDiagPattern)
        self._line = painter.fontMetrics().height()

    def draw_cell(self, room: QRect, score: float, marks: Set[str]) -> None:
        """Draw a cell in the colour of its score, or hatched if that is unknown, and its marks."""
        gap = 1 if min(room.width(), room.height()) > 4 else 0
        inside = room.adjusted(0, 0, -gap, -gap)
        known = math.isfinite(score)
        self._painter.fillRect(inside, self._scale.color(score) if known else self._hatching)
        draw_marks(self._painter, marks, QRectF(inside))

    def draw_outline(self, room: QRect) -> None:
        """Draw the outline of the current cell, visible on every colour."""
        draw_slice_outline(self._painter, room.adjusted(-1, -1, 0, 0))

    def draw_frame(self) -> None:
        """Draw the numbers of slices and phases, ED and ES, base and apex."""
        plan, area = self._plan, self._plan.area
        for z in _numbered(plan.slices, plan.height, self._line - 3):
            top = plan.cell(z, 0).center().y() - self._line // 2
            self._write_beside(top, str(z + 1))
        if self._frame.base_first is not None:
            self._write_beside(area.top() - self._line - 1, BASE)
            self._write_beside(area.bottom() + 2, APEX)
        if self._frame.has_phases:
            self._draw_phases(area.top() - self._line - 1)

    def draw_legend(self) -> None:
        """Draw the colour scale with its unit, and the meaning of the marks."""
        scale, x = self._scale, self._plan.left
        top = self._plan.area.top() + self._plan.area.height() + GAP
        if self._frame.base_first is not None:
            top += self._line  # below "apex"
        x = self._write(x, top, "0") + GAP
        width = round(SCALE_WIDTH * _growth(self._painter.fontMetrics()))
        scale.draw(self._painter, QRect(x, top + 3, width, self._line - 6))
        self._write(x + width + GAP, top, scale.text(scale.top))
        x, top = self._plan.left, top + self._line + GAP
        side = self._line - 4
        for mark in MARKS:
            draw_mark(self._painter, mark, QRectF(x, top + 2, side, side))
            x = self._write(x + side + GAP, top, mark) + SPACE
        if self._frame.has_gaps:
            self._painter.fillRect(QRect(x, top + 2, side, side), self._hatching)
            self._write(x + side + GAP, top, NO_SCORE)

    def _draw_phases(self, top: int) -> None:
        widest = max(self._advance(str(phase)) for phase in self._frame.phases)
        for column in _numbered(len(self._frame.phases), self._plan.width, widest + GAP):
            self._write_above(column, top, str(self._frame.phases[column]))
        end = 0
        for name, phase in sorted(self._frame.landmarks.items(), key=lambda item: item[1]):
            if phase in self._frame.phases:
                column = self._frame.phases.index(phase)
                end = self._write_above(column, top - self._line, name, after=end) + GAP

    def _write_beside(self, top: int, text: str) -> None:
        room = QRect(0, top, self._plan.left - GAP, self._line)
        self._painter.setPen(self._ink)
        self._painter.drawText(room, RIGHT, text)

    def _write_above(self, column: int, top: int, text: str, *, after: int = 0) -> int:
        """Write in the middle of a column, right of ``after``; return where the text ends."""
        middle = self._plan.cell(0, column).center().x() + 1
        return self._write(max(middle - self._advance(text) // 2, after), top, text)

    def _write(self, x: int, top: int, text: str) -> int:
        """Write at ``x``; return where the text ends."""
        width = self._advance(text)
        self._painter.setPen(self._ink)
        self._painter.drawText(QRect(x, top, width + 2, self._line), LEFT, text)
        return x + width

    def _advance(self, text: str) -> int:
        return int(self._painter.fontMetrics().horizontalAdvance(text))


def draw_slice_outline(painter: QPainter, room: QRect) -> None:
    """Draw the outline of the slice on screen, visible on every colour."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for color, width in (("black", 4), ("white", 2)):
        pen = QPen(QColor(color), width)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        painter.setPen(pen)
        painter.drawRect(room)


def _numbered(count: int, room: float, needed: float) -> list[int]:
    """Return which of ``count`` rows or columns, each ``room`` px wide, are numbered."""
    every = next((step for step in NUMBER_STEPS if step * room >= needed), NUMBER_STEPS[-1])
    return [index for index in range(count) if index == 0 or (index + 1) % every == 0]


WIDEST, NARROWEST = 44, 2
"""Limits of the column width, px, for few phases and for a hundred in a narrow dock."""
HEIGHTS = ((12, 17), (16, 15), (24, 12), (40, 8))
"""Largest number of slices, and the height of each, px."""
LOWEST = 4
LINE_HEIGHT = 13
"""Height of a line of text for which these sizes are made, px."""


@dataclass(frozen=True, kw_only=True)
class HeatPlan:
    """Layout of (slices, phases) cells, px.

    The first row is the base, which is the last slice if ``base_first`` is False.
    """

    slices: int
    phases: int
    left: int
    top: int
    width: float
    height: int
    base_first: bool = True

    @property
    def area(self) -> QRect:
        """The rectangle of all cells."""
        right, below = round(self.phases * self.width), self.slices * self.height
        return QRect(self.left, self.top, right, below)

    def cell(self, z: int, column: int) -> QRect:
        """Return the rectangle of a cell, including the gap to its neighbours."""
        left, right = round(column * self.width), round((column + 1) * self.width)
        top = self.top + self.row(z) * self.height
        return QRect(self.left + left, top, right - left, self.height)

    def cell_at(self, point: QPoint) -> tuple[int, int] | None:
        """Return slice and column at ``point``, or None outside the cells."""
        if not self.area.contains(point):
            return None
        column = int((point.x() - self.left + 0.5) / self.width)
        row = (point.y() - self.top) // self.height
        return self.row(row), min(column, self.phases - 1)

    def row(self, z: int) -> int:
        """Return the row of a slice, or the slice of a row."""
        return z if self.base_first else self.slices - 1 - z


def plan_cells(
    slices: int,
    phases: int,
    *,
    left: int,
    top: int,
    room: int,
    growth: float = 1.0,
    base_first: bool = True,
) -> HeatPlan:
    """Return the largest suitable cells for ``room`` px to the right of ``left``.

    ``growth`` is the size of the font relative to the usual one.
    """
    share = room / max(phases, 1)
    # Whole px make all columns equal; very narrow columns use fractions to fill the room.
    width = min(float(int(share)) if share >= 4 else max(share, NARROWEST), round(growth * WIDEST))
    return HeatPlan(
        slices=slices,
        phases=phases,
        left=left,
        top=top,
        width=width,
        height=round(growth * next((height for most, height in HEIGHTS if slices <= most), LOWEST)),
        base_first=base_first,
    )


COLORMAP = "inferno"
"""Colormap of the entropy layer."""
COLOR_STEPS = 256


class HeatScale:
    """Colours and text of the scores from 0 to ``top``, in ``unit``."""

    def __init__(self, top: float, unit: str) -> None:
        self.top = top if math.isfinite(top) and top > 0 else 1.0
        self.unit = unit
        self._colors = _colors()

    def color(self, score: float) -> QColor:
        """Return the colour of a score, clipped to the scale."""
        step = round(score / self.top * (COLOR_STEPS - 1))
        return self._colors[min(max(step, 0), COLOR_STEPS - 1)]

    def text(self, score: float) -> str:
        """Return a score with its unit, such as "214 mm²·bit"."""
        return f"{format_score(score)} {self.unit}".strip()

    def draw(self, painter: QPainter, bar: QRect) -> None:
        """Draw a bar of the colours, from 0 on the left to ``top`` on the right."""
        gradient = QLinearGradient(bar.left(), 0, bar.right(), 0)
        for step in range(0, COLOR_STEPS, 15):
            gradient.setColorAt(step / (COLOR_STEPS - 1), self._colors[step])
        painter.fillRect(bar, gradient)


def describe_slice(
    place: Place,
    score: float,
    marks: Set[str],
    landmarks: Mapping[str, Phase],
    scale: HeatScale,
) -> str:
    """Return slice, phase, score and state as text; ``landmarks`` name ED and ES."""
    phase, z = place
    text = f"Slice {z + 1}"
    if phase is not None:
        names = [name for name, marked in landmarks.items() if marked == phase]
        text += f", phase {phase}" + "".join(f" ({name})" for name in names)
    state = ", ".join(mark for mark in MARKS if mark in marks) or "not accepted"
    if not math.isfinite(score):
        return f"{text}: {NO_SCORE}" + (f"\n{state}" if marks else "")
    return f"{text}: {scale.text(score)}\n{state}"


@cache
def _colors() -> tuple[QColor, ...]:
    table = pg.colormap.get(COLORMAP).getLookupTable(nPts=COLOR_STEPS, alpha=False)
    return tuple(QColor(*map(int, color)) for color in table)


def format_score(score: float) -> str:
    """Return a score with three digits and no exponent: "1240", "214", "3.21", "0.0471"."""
    if not score or not math.isfinite(score):
        return "0" if not score else "–"
    digits = max(2 - math.floor(math.log10(abs(score))), 0)
    return f"{score:.{min(digits, 4)}f}"
