"""The slices of a study in the order in which they need a human."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QRect, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QPainter
from qtpy.QtWidgets import (
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from ..common.dock import MessageLabel
from ..common.rows_table import SHARE_ROLE, Column, Level, Row, RowsTable
from .heat_grid import number_text
from .marks import FLAGGED, REVIEWED

QUEUE_COLUMNS = (
    Column("#", "Place in the queue: 1 needs a look most."),
    Column("Slice", "Counted from 1 along the stack."),
    Column("Phase", "Of the heart cycle, counted from 1."),
    Column("Structure", "Where most of the disagreement of this slice is."),
    Column("Score", "How much the models disagree in this slice; not a probability of error."),
    Column("State", "What was done with this slice: reviewed, flagged, edited."),
)
PHASE, SCORE = 2, 4
SCORE_WIDTH = 50
_ROWS_SHOWN = 7
BAR_COLOR, BAR_HEIGHT = "#ED6925", 3
NOTHING_QUEUED = "The queue is empty: no slice with these choices has a score above 0."
_KEYS = (
    Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_Home,
    Qt.Key.Key_End, Qt.Key.Key_Return, Qt.Key.Key_Enter,
)  # fmt: skip
"""All others are left to the window: typing N must not look for a row that begins with n."""


@dataclass(frozen=True)
class QueueRow:
    """One slice: ``phase`` from 1 or None, ``z`` from 0; ``state`` in words, "" for untouched.

    A state that names "flagged" or "reviewed" is coloured.
    """

    phase: int | None
    z: int
    structure: str
    score: float
    state: str = ""


class QueueTable(QWidget):
    """``row_chosen`` carries the phase and the slice (from 0) of the row the user went to."""

    row_chosen = Signal(object, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._items: tuple[QueueRow, ...] = ()
        self._places: dict[tuple[int | None, int], int] = {}
        self._current: tuple[int | None, int] | None = None
        self.table = _QueueRows(QUEUE_COLUMNS, rows_shown=_ROWS_SHOWN)
        self.table.setItemDelegateForColumn(SCORE, ScoreBar(self.table))
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setAccessibleName("Queue of slices")
        self.nothing = MessageLabel(NOTHING_QUEUED)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        column.addWidget(self.nothing)
        self.table.row_chosen.connect(self._on_row_chosen)
        self.set_items(())

    @property
    def items(self) -> tuple[QueueRow, ...]:
        """What is shown, the first of the queue above."""
        return self._items

    def set_items(self, items: Sequence[QueueRow], unit: str = "") -> None:
        """Show ``items``, whose scores are in ``unit``; the current row stays current."""
        self._items = tuple(items)
        self._places = {(item.phase, item.z): place for place, item in enumerate(items)}
        top = max((item.score for item in items), default=0.0)
        scrolled = self.table.verticalScrollBar().value()
        has_phases = any(item.phase is not None for item in items)
        self.table.setColumnHidden(PHASE, not has_phases)  # first: hidden headings have no width
        before = self.table.blockSignals(True)
        self.table.set_rows([_row(rank, i, unit, top) for rank, i in enumerate(items, start=1)])
        self.table.blockSignals(before)
        self.table.horizontalHeader().resizeSection(SCORE, SCORE_WIDTH)
        self.table.verticalScrollBar().setValue(scrolled)
        self.table.setVisible(bool(items))
        self.nothing.say("" if items else NOTHING_QUEUED)
        self._show_current()

    def set_current(self, phase: int | None, z: int | None) -> None:
        """Choose the row of slice ``z`` in ``phase`` and keep it in sight.

        No row where it is not in the queue, or ``z`` is None.
        """
        self._current = None if z is None else (phase, z)
        self._show_current()

    def _show_current(self) -> None:
        place = None if self._current is None else self._places.get(self._current)
        self.table.choose_row(place)

    def _on_row_chosen(self, row: Row | None) -> None:
        if row is not None:
            item = self._items[self.table.currentIndex().row()]
            self._current = (item.phase, item.z)
            self.row_chosen.emit(item.phase, item.z)


class _QueueRows(RowsTable):
    """Rows that take no letters."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move in the table; leave the keys of the review to the window."""
        if event.key() in _KEYS:
            super().keyPressEvent(event)
        else:
            event.ignore()


class ScoreBar(QStyledItemDelegate):
    """A score with a bar below that is as long as the score is high."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Draw the text, then the bar."""
        super().paint(painter, option, index)
        share = index.data(SHARE_ROLE)
        if share is not None:
            room = option.rect.adjusted(4, 0, -8, -1)
            width = round(share * room.width())
            bar = QRect(room.left(), room.bottom() - BAR_HEIGHT + 1, width, BAR_HEIGHT)
            painter.fillRect(bar, QColor(BAR_COLOR))


def _row(rank: int, item: QueueRow, unit: str, top: float) -> Row:
    phase = "" if item.phase is None else f"{item.phase}"
    score = number_text(item.score)
    place = f"Slice {item.z + 1}" + (f", phase {phase}" if phase else "")
    help_text = f"{place}, {item.structure}: {score} {unit}".rstrip() + f"\n{item.state}".rstrip()
    cells = (str(rank), str(item.z + 1), phase, item.structure, score, item.state)
    share = item.score / top if top > 0 else 0.0
    return Row(cells, help_text, _level(item.state), share=share)


def _level(state: str) -> Level:
    if FLAGGED in state:
        return "warning"
    return "done" if REVIEWED in state else "fine"
