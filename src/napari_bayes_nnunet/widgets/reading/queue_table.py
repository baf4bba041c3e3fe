"""Table of the queue of slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QModelIndex, QPersistentModelIndex, QRect, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QPainter
from qtpy.QtWidgets import (
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)
from superqt.utils import signals_blocked

from ..common.dock import MessageLabel, column_layout
from ..common.levels import Level
from ..common.rows_table import SHARE_ROLE, Column, Row, RowsTable
from .marks import ACCEPTED, FLAGGED, MARKS
from .slice_table import format_score

QUEUE_COLUMNS = (
    Column("Slice", "Slice number, counted from 1."),
    Column("Phase", "End-diastole (ED), end-systole (ES), or the number of another phase."),
    Column("Structure", "Structure with the largest score in this slice, or that of a finding."),
    Column("Score", "Longer where the members disagree more. Not a probability of error."),
    Column("State", "State of the slice: accepted, flagged, edited, or with a finding."),
)
FINDING = "finding"
"""State of a slice with findings."""
PHASE, SCORE = 1, 3
SCORE_WIDTH = 60
FEWEST_ROWS, MOST_SHOWN = 3, 7
"""Rows in sight on small and on large screens."""
BAR_COLOR, BAR_HEIGHT = "#ED6925", 6
NOTHING_QUEUED = "The queue is empty. No slice has a score above 0 with these choices."
_KEYS = (
    Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown, Qt.Key.Key_Home,
    Qt.Key.Key_End, Qt.Key.Key_Return, Qt.Key.Key_Enter,
)  # fmt: skip
"""Keys of the table. All others go to the window, because letters are keys of the review."""


@dataclass(frozen=True)
class QueueRow:
    """One slice: ``phase`` from 1 or None, ``z`` from 0, ``state`` as text, "" for none.

    ``phase_name`` is "ED", "ES" or such as "phase 7".
    ``findings`` are sentences on what contradicts anatomy or the cardiac cycle. The row is coloured
    if it has any, or if the state contains "flagged" or "accepted".
    """

    phase: int | None
    z: int
    structure: str
    score: float
    state: str = ""
    findings: str = ""
    phase_name: str = ""


class QueueTable(QWidget):
    """Table of the queue, the most urgent slice first.

    ``row_chosen`` carries phase and slice (from 0) of the chosen row.
    """

    row_chosen = Signal(object, int)

    def __init__(self) -> None:
        super().__init__()
        self.items: tuple[QueueRow, ...] = ()
        """The rows, in the order of the queue."""
        self._row_numbers: dict[tuple[int | None, int], int] = {}
        self._current: tuple[int | None, int] | None = None
        self.table = _QueueRows(QUEUE_COLUMNS, rows_shown=MOST_SHOWN)
        self.table.setItemDelegateForColumn(SCORE, ScoreBar(self.table))
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setAccessibleName("Queue of slices")
        self.nothing = MessageLabel(NOTHING_QUEUED)
        column_layout(self, self.table, self.nothing)
        self.table.row_chosen.connect(self._on_row_chosen)
        self.set_items(())

    def set_items(self, items: Sequence[QueueRow], unit: str = "") -> None:
        """Show ``items`` with scores in ``unit``, and keep the current row."""
        self.items = tuple(items)
        self._row_numbers = {(item.phase, item.z): row for row, item in enumerate(items)}
        top = max((item.score for item in items), default=0.0)
        scrolled = self.table.verticalScrollBar().value()
        has_phases = any(item.phase is not None for item in items)
        # Before the rows are set, since hidden headings have no width.
        self.table.setColumnHidden(PHASE, not has_phases)
        with signals_blocked(self.table):
            rows = [_make_row(item, unit, top) for item in items]
            self.table.set_rows(rows)
        # A bar has no text by which Qt could fit the width of its column.
        self.table.horizontalHeader().resizeSection(SCORE, SCORE_WIDTH)
        self.table.verticalScrollBar().setValue(scrolled)
        self.table.setVisible(bool(items))
        self.nothing.show_message("" if items else NOTHING_QUEUED)
        self._show_current()

    def set_room(self, height: int) -> None:
        """Show as many rows as fit into this height, px, but at least `FEWEST_ROWS`."""
        rest = height - self.table.horizontalHeader().sizeHint().height()
        fitting = rest // self.table.verticalHeader().defaultSectionSize()
        self.table.set_rows_shown(min(max(fitting, FEWEST_ROWS), MOST_SHOWN))

    def set_current(self, phase: int | None, z: int | None) -> None:
        """Choose the row of slice ``z`` in ``phase`` and scroll to it.

        No row is chosen if the slice is not in the queue or ``z`` is None.
        """
        self._current = None if z is None else (phase, z)
        self._show_current()

    def _show_current(self) -> None:
        row = None if self._current is None else self._row_numbers.get(self._current)
        self.table.choose_row(row)

    def _on_row_chosen(self, row: Row | None) -> None:
        if row is not None:
            item = self.items[self.table.currentIndex().row()]
            self._current = (item.phase, item.z)
            self.row_chosen.emit(item.phase, item.z)


class _QueueRows(RowsTable):
    """Rows that ignore letters."""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move in the table, and leave the keys of the review to the window."""
        if event.key() in _KEYS:
            super().keyPressEvent(event)
        else:
            event.ignore()


class ScoreBar(QStyledItemDelegate):
    """Delegate that draws a score as a bar of proportional length; its number is in the tooltip."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Draw the cell, then the bar."""
        super().paint(painter, option, index)
        share = index.data(SHARE_ROLE)
        if share is not None:
            room = option.rect.adjusted(4, 0, -8, 0)
            top = room.center().y() - BAR_HEIGHT // 2
            bar = QRect(room.left(), top, round(share * room.width()), BAR_HEIGHT)
            painter.fillRect(bar, QColor(BAR_COLOR))


def _make_row(item: QueueRow, unit: str, top: float) -> Row:
    place = ", ".join(filter(None, (f"Slice {item.z + 1}", item.phase_name)))
    first = f"{place}, {item.structure}: {format_score(item.score)} {unit}".rstrip()
    help_text = "\n".join(filter(None, (first, item.state, item.findings)))
    phase = item.phase_name.removeprefix("phase ")
    cells = (str(item.z + 1), phase, item.structure, "", _short_state(item))
    share = item.score / top if top > 0 else 0.0
    return Row(cells, help_text, _level(item), share=share)


def _short_state(item: QueueRow) -> str:
    """Return the most important mark of a row, because two do not fit into the column."""
    if item.findings and FLAGGED not in item.state:
        return FINDING
    return next((mark for mark in MARKS if mark in item.state), item.state)


def _level(item: QueueRow) -> Level:
    if FLAGGED in item.state or item.findings:
        return "warning"
    return "done" if ACCEPTED in item.state else "fine"
