"""Table of the slices of some phases for navigation, as heat grid and as thumbnails."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from functools import cache
from itertools import chain
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import (
    QAbstractTableModel,
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QRectF,
    Qt,
    Signal,
)
from qtpy.QtGui import (
    QColor,
    QFocusEvent,
    QFont,
    QFontMetrics,
    QKeyEvent,
    QLinearGradient,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QPen,
    QResizeEvent,
)
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QLabel,
    QTableView,
    QWidget,
)

from ...core.types import Phase, Place
from ..common.dock import ThemeFont
from ..common.plotting import pg
from .marks import MARKS, draw_mark

Index: TypeAlias = QModelIndex | QPersistentModelIndex
BASE, APEX = "base", "apex"
NO_SCORE: Final = "no score"
AGREE, DISAGREE = "agree", "disagree"
"""Ends of the scale of scores, whose numbers are in the tooltips."""
SMALLER: Final = 0.85
"""Font size around the cells, relative to the dock."""
NUMBER_STEPS: Final = (1, 5, 10, 20, 50, 100)
"""Steps in which rows and columns are numbered."""
GAP, SPACE = 4, 12
OUTLINE: Final = 3
"""Room that the outline of a cell takes outside the cell, px."""
COLORMAP: Final = "inferno"
"""Colormap of the entropy layer."""
COLOR_STEPS: Final = 256
_MOVES: Final = {
    Qt.Key.Key_Up: QAbstractItemView.CursorAction.MoveUp,
    Qt.Key.Key_Down: QAbstractItemView.CursorAction.MoveDown,
    Qt.Key.Key_Left: QAbstractItemView.CursorAction.MoveLeft,
    Qt.Key.Key_Right: QAbstractItemView.CursorAction.MoveRight,
}
_RIGHT: Final = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
_BARE: Final = """
QTableView, QHeaderView, QTableCornerButton::section { background: transparent; border: 0; }
QLabel { padding: 0; font-size: %.2fpt; }
"""


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
        # As 15 divides 255, both ends of the scale are among the stops.
        for step in range(0, COLOR_STEPS, 15):
            gradient.setColorAt(step / (COLOR_STEPS - 1), self._colors[step])
        painter.fillRect(bar, gradient)


class SliceModel(QAbstractTableModel):
    """Scores and marks of slices, from base to apex.

    A slice is a row and a phase a column if ``slices`` is vertical, else the reverse. ``scores``
    are (Z, P), NaN if unknown. ``landmarks`` are the phases of ED and ES. ``base_first`` is None if
    the ends are unknown. Slices without a score cannot be chosen if ``skips_unknown``.
    """

    def __init__(self, slices: Qt.Orientation, *, skips_unknown: bool, parent: QWidget) -> None:
        super().__init__(parent)
        self._is_down = slices == Qt.Orientation.Vertical
        self._slices, self._skips_unknown = slices, skips_unknown
        self.rows: list[list[Place]] = []
        """The slices of each row."""
        self._score_of: dict[Place, float] = {}
        self.scores: NDArray[np.float64] = np.zeros((0, 0))
        self.phases: Sequence[Phase] = ()
        self.scale = HeatScale(1.0, "")
        self.landmarks: Mapping[str, Phase] = {}
        self.base_first: bool | None = None
        self.marks: Mapping[Place, Set[str]] = {}

    def renew(self, **values: Any) -> None:
        """Set some of the attributes."""
        self.beginResetModel()
        for name, value in values.items():
            setattr(self, name, value)
        numbers = range(len(self.scores))
        slices = numbers[::-1] if self.base_first is False else numbers
        by_slice = [[(phase, z) for phase in self.phases] for z in slices]
        self.rows = by_slice if self._is_down else [[*row] for row in zip(*by_slice, strict=True)]
        scores = self.scores[[*slices]].ravel().tolist()
        self._score_of = dict(zip(chain(*by_slice), scores, strict=True))
        self.endResetModel()

    def rowCount(self, parent: Index | None = None) -> int:
        """Return the number of slices or phases."""
        return len(self.rows)

    def columnCount(self, parent: Index | None = None) -> int:
        """Return the number of phases or slices."""
        return len(self.rows[0]) if self.rows else 0

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Return whether a slice can be chosen."""
        is_open = not self._skips_unknown or math.isfinite(self._score_of[self.place(index)])
        return Qt.ItemFlag.ItemIsEnabled if is_open else Qt.ItemFlag.NoItemFlags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the tooltip of a slice."""
        return self.reading(*self.place(index)) if role == Qt.ItemDataRole.ToolTipRole else None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return the number of a slice; or ED or ES, and the number of a phase above slices."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        is_row = orientation == Qt.Orientation.Vertical
        phase, z = self.rows[section][0] if is_row else self.rows[0][section]
        if orientation == self._slices:
            return str(z + 1)
        name = ", ".join(name for name, marked in self.landmarks.items() if marked == phase)
        if phase is None:
            return ""
        return f"{name}\n{phase}" if self._is_down else name or f"phase {phase}"

    def place(self, index: Index) -> Place:
        """Return phase and slice of a cell."""
        place: Place = self.rows[index.row()][index.column()]
        return place

    def cell(self, place: Place | None) -> QModelIndex:
        """Return the cell of a slice; an invalid one if there is none."""
        if place not in self._score_of:
            return QModelIndex()
        row = next(number for number, row in enumerate(self.rows) if place in row)
        return self.index(row, self.rows[row].index(place))

    def score(self, place: Place) -> float:
        """Return the score of a slice, NaN if it is unknown."""
        return self._score_of[place]

    def marks_of(self, place: Place) -> Set[str]:
        """Return the marks of a slice."""
        return self.marks.get(place, frozenset())

    def reading(self, phase: Phase, z: int) -> str:
        """Return slice, phase, score and state as text."""
        score, marks = self.score((phase, z)), self.marks_of((phase, z))
        text = f"Slice {z + 1}"
        if phase is not None:
            names = [name for name, marked in self.landmarks.items() if marked == phase]
            text += f", phase {phase}" + "".join(f" ({name})" for name in names)
        state = ", ".join(mark for mark in MARKS if mark in marks) or "not accepted"
        if not math.isfinite(score):
            return f"{text}: {NO_SCORE}" + (f"\n{state}" if marks else "")
        return f"{text}: {self.scale.text(score)}\n{state}"


class SliceTable(QTableView):
    """Table with a cell for each slice and phase, the base first, drawn by `draw_cell`.

    ``cell_chosen`` carries phase and slice (from 0). It is emitted for clicks and arrow keys only,
    never by a setter. ``slices`` is the direction of the slices.
    """

    cell_chosen = Signal(object, int)
    slices = Qt.Orientation.Vertical
    skips_unknown = True
    """Whether slices without a score cannot be chosen."""
    outline = -1, -1, 0, 0
    """Distances of the outline of the current cell from its sides, px."""
    # Qt sends changes of the font while the table is still being made.
    _is_made = False

    def __init__(self, name: str, help_text: str) -> None:
        super().__init__()
        self._current: Place | None = None
        self.slice_model = SliceModel(self.slices, skips_unknown=self.skips_unknown, parent=self)
        self.setModel(self.slice_model)
        self._rows, self._columns = _Headings(Qt.Orientation.Vertical), _Headings()
        self.setVerticalHeader(self._rows)
        self.setHorizontalHeader(self._columns)
        self._base, self._apex = QLabel(BASE, self), QLabel(APEX, self)
        self._base.setAlignment(_RIGHT)
        self.setShowGrid(False)
        self.setCornerButtonEnabled(False)
        self.setAutoScroll(False)
        # Tab would otherwise walk through hundreds of cells instead of leaving the table.
        self.setTabKeyNavigation(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(name)
        self.setAccessibleDescription(help_text)
        for part in (self, self.viewport(), self._rows, self._columns):
            part.setToolTip(help_text)
        ThemeFont(self)
        self._is_made = True
        self._arrange()

    @property
    def current(self) -> Place | None:
        """The outlined phase and slice, None if no cell is outlined."""
        return self._current if self.slice_model.cell(self._current).isValid() else None

    def set_scores(
        self, scores: NDArray[Any], phases: Sequence[Phase], unit: str, *, top: float
    ) -> None:
        """Show (Z, P) ``scores`` in ``unit`` for each of ``phases``, NaN if unknown.

        The colours end at ``top``.
        """
        self._renew(scores=scores, phases=tuple(phases), scale=HeatScale(top, unit))

    def set_ends(self, base_first: bool | None) -> None:
        """Set whether the first slice is basal (True), the last is (False), or unknown (None)."""
        self._renew(base_first=base_first)

    def set_landmarks(self, ed: Phase, es: Phase) -> None:
        """Name the phases of end-diastole and end-systole; None if unknown."""
        known = (("ED", ed), ("ES", es))
        self._renew(landmarks={name: phase for name, phase in known if phase is not None})

    def set_marks(self, marks: Mapping[Place, Set[str]]) -> None:
        """Mark slices as accepted, flagged or edited (``marks.MARKS``) and clear all others."""
        before = self.slice_model.marks
        after = self.slice_model.marks = {p: frozenset(m) for p, m in marks.items() if m}
        for place in before.keys() | after.keys():
            if before.get(place) != after.get(place):
                self.update(self.slice_model.cell(place))

    def set_current(self, phase: Phase, z: int | None) -> None:
        """Outline slice ``z`` of ``phase``; none if ``z`` is None."""
        self._current = None if z is None else (phase, z)
        keep = QItemSelectionModel.SelectionFlag.NoUpdate
        self.selectionModel().setCurrentIndex(self.slice_model.cell(self._current), keep)

    def cell_rect(self, phase: Phase, z: int) -> QRect:
        """Return the rectangle of a cell, px; an empty one if there is none."""
        cell = self.visualRect(self.slice_model.cell((phase, z)))
        return cell.translated(self.viewport().pos())

    def draw_cell(self, painter: QPainter, room: QRect, place: Place) -> None:
        """Draw a slice."""
        raise NotImplementedError

    def draw_around(self, painter: QPainter, changed: QRect) -> None:
        """Draw below and beside the cells, and the outline of the current cell."""
        room = self.visualRect(self.currentIndex()).adjusted(*self.outline)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        # At the border of the cells the white line must still be seen.
        room &= self.viewport().rect().adjusted(1, 1, -1, -1)
        # White within black is seen on every colour.
        for color, width in (("black", 4), ("white", 2)) if self.currentIndex().isValid() else ():
            pen = QPen(QColor(color), width)
            pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            painter.setPen(pen)
            painter.drawRect(room)

    def cell_size(self) -> tuple[int, int]:
        """Return width and height of each cell, px."""
        raise NotImplementedError

    @property
    def ink(self) -> QColor:
        """The colour of texts."""
        return self.palette().color(QPalette.ColorRole.WindowText)

    @property
    def metrics(self) -> QFontMetrics:
        """The metrics of the font around the cells."""
        return QFontMetrics(small_font(self.font()))

    def _measure_texts(self) -> tuple[int, int]:
        """Return the room for text to the left of the cells and above, px."""
        model, metrics = self.slice_model, self.metrics
        texts = [model.headerData(row, self._rows.orientation()) for row in range(model.rowCount())]
        names = [] if model.base_first is None else [BASE, APEX]
        left = max((metrics.horizontalAdvance(text) for text in (*texts, *names)), default=0)
        columns = range(model.columnCount())
        texts = [model.headerData(column, self._columns.orientation()) for column in columns]
        lines = max((text.count("\n") for text in texts), default=0) + 1
        return left + GAP, lines * metrics.height() + 2

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the cells to the room."""
        self._arrange()
        super().resizeEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Adapt to another font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and self._is_made:
            self._arrange()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Take the focus without choosing the first cell, as Qt would."""
        self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the clicked cell."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._choose(self.indexAt(event.position().toPoint()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to a neighbour with the arrow keys; leave all other keys to the window."""
        move = _MOVES.get(Qt.Key(event.key()))
        # On macOS, Qt sets this modifier for arrow keys.
        if move is None or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            event.ignore()
        else:
            self._choose(self.moveCursor(move, event.modifiers()))

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        """Draw the outline at its new place."""
        for index in (current, previous):
            # The outline reaches beyond its cell.
            room = self.visualRect(index).adjusted(-OUTLINE, -OUTLINE, OUTLINE, OUTLINE)
            self.viewport().update(room)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the changed part. Qt would first draw the panel of each cell, which is slower."""
        painter = QPainter(self.viewport())
        painter.setFont(small_font(self.font()))
        width, height = self._columns.defaultSectionSize(), self._rows.defaultSectionSize()
        for row, places in enumerate(self.slice_model.rows):
            for column, place in enumerate(places):
                room = QRect(column * width, row * height, width, height)
                if room.intersects(event.rect()):
                    self.draw_cell(painter, room, place)
        self.draw_around(painter, event.rect())
        painter.end()

    def _choose(self, index: QModelIndex) -> None:
        if index.isValid() and self.slice_model.flags(index):
            place = self.slice_model.place(index)
            self.set_current(*place)
            self.cell_chosen.emit(*place)

    def _renew(self, **values: Any) -> None:
        self.slice_model.renew(**values)
        self._arrange()
        # Resetting the model has taken the current cell away.
        if self._current is not None:
            self.set_current(*self._current)

    def _arrange(self) -> None:
        """Give the cells their size, and the texts around them their places."""
        font = small_font(self.font())
        style = _BARE % font.pointSizeF()
        # A new style sheet is an event after which the cells are arranged again.
        if style != self.styleSheet():
            self.setStyleSheet(style)
        for header in (self._rows, self._columns):
            header.setFont(font)
        left, top = self._text_room = self._measure_texts()
        width, height = self.cell_size()
        self._rows.setFixedWidth(left)
        self._columns.setFixedHeight(top)
        self._rows.setDefaultSectionSize(height)
        self._columns.setDefaultSectionSize(width)
        line, knows_ends = self.metrics.height(), self.slice_model.base_first is not None
        self._base.setGeometry(0, top - line - 1, left - GAP, line)
        if self.slices == Qt.Orientation.Vertical:
            self._apex.setGeometry(0, top + self._rows.length() + 1, left - GAP, line)
            self._apex.setAlignment(_RIGHT)
        else:
            end = left + self._columns.length() + GAP
            self._apex.setGeometry(end, top - line - 1, self.width() - end, line)
        for part in (self._base, self._apex):
            part.setVisible(knows_ends)
        self.updateGeometries()
        self.updateGeometry()
        self.viewport().update()


class _Headings(QHeaderView):
    """Texts above columns or beside rows, which may be larger than these."""

    def __init__(self, orientation: Qt.Orientation = Qt.Orientation.Horizontal) -> None:
        super().__init__(orientation)
        # The cells of many phases are smaller than Qt's smallest section.
        self.setMinimumSectionSize(1)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setHighlightSections(False)

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        """Draw name and number of a column, or the text of a row.

        As many numbers are left out as there is no room for.
        """
        lines = str(self.model().headerData(section, self.orientation())).split("\n")
        painter.setPen(self.palette().color(QPalette.ColorRole.WindowText))
        metrics = self.fontMetrics()
        if self.orientation() == Qt.Orientation.Vertical:
            if self._is_numbered(lines[0], metrics.height() - 3):
                top = max(rect.center().y() - metrics.height() // 2, 0)
                room = QRect(0, top, self.width() - GAP, metrics.height())
                painter.drawText(room, _RIGHT, lines[0])
            return
        bottom = rect.bottom() - metrics.descent()
        if not self._is_numbered(lines[-1], metrics.horizontalAdvance("00") + GAP):
            lines[-1] = ""
        for text in reversed(lines):
            width = metrics.horizontalAdvance(text)
            left = min(rect.center().x() + 1 - width // 2, self.width() - width)
            painter.drawText(max(left, 0), bottom, text)
            bottom -= metrics.height()

    def _is_numbered(self, text: str, needed: int) -> bool:
        size = self.defaultSectionSize()
        every = next((step for step in NUMBER_STEPS if step * size >= needed), NUMBER_STEPS[-1])
        return not text.isdigit() or text == "1" or int(text) % every == 0


def draw_legend(
    painter: QPainter, scale: HeatScale, corner: QPoint, *, width: int, stacked: bool
) -> QPoint:
    """Draw scale and marks, ``stacked`` one below the other; return the end of the last text.

    The bar of the scale is ``width`` px long. The pen of the painter is that of the text.
    """
    ink, line = painter.pen(), painter.fontMetrics().height()
    advance, side = painter.fontMetrics().horizontalAdvance, line - 4
    x, base = corner.x(), corner.y() + painter.fontMetrics().ascent()
    painter.drawText(x, base, AGREE)
    bar = QRect(x + advance(AGREE) + GAP, corner.y() + 3, width, line - 6)
    scale.draw(painter, bar)
    painter.drawText(bar.right() + GAP, base, DISAGREE)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for mark in MARKS:
        if stacked or mark == next(iter(MARKS)):
            base += line + (0 if stacked else GAP)
        draw_mark(painter, mark, QRectF(x, base - line + 5, side, side))
        painter.setPen(ink)
        painter.drawText(x + side + GAP, base, mark)
        x += 0 if stacked else side + GAP + advance(mark) + SPACE
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    return QPoint(x, base)


def small_font(font: QFont) -> QFont:
    """Return a font a little smaller than that of the dock."""
    small = QFont(font)
    # A font that is set in pixels has no size in points.
    if font.pointSizeF() > 0:
        small.setPointSizeF(SMALLER * font.pointSizeF())
    else:
        small.setPixelSize(max(round(SMALLER * font.pixelSize()), 1))
    return small


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
