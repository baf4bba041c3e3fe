"""Read-only table for thousands of rows, coloured by level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QEvent, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QCursor, QFocusEvent, QFont, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QTableView,
    QToolTip,
    QWidget,
)
from superqt.utils import signals_blocked

from .dock import ThemeFont
from .levels import Level, level_color

ROW_HEIGHT = 22
"""Smallest height in pixels; large fonts need more."""
ROWS_SHOWN = 6
WIDEST = 220
MEASURED_ROWS = 60
"""Rows that set the widths of the columns; measuring thousands takes seconds."""
SHARE_ROLE = Qt.ItemDataRole.UserRole
"""Role of the model for the share of a row."""
OPENING = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
PATH_COPIED = "{file.name} is in\n{file.parent}\nPath copied."


@dataclass(frozen=True)
class Column:
    """Title, tooltip and largest width (pixels) of a column."""

    title: str
    help: str
    widest: int = WIDEST


@dataclass(frozen=True)
class Row:
    """Texts of a row, its tooltip ``help``, and the ``file`` that it describes.

    If there are fewer texts than columns, the last text spans the remaining columns. ``share``, 0
    to 1, can be drawn as a bar. ``helps`` are tooltips of the cells in place of ``help``, and
    ``bold`` the numbers of cells in bold.
    """

    cells: tuple[str, ...]
    help: str = ""
    level: Level = "fine"
    file: Path | None = None
    share: float | None = None
    helps: tuple[str, ...] = ()
    bold: tuple[int, ...] = ()


class RowsModel(QAbstractTableModel):
    """Qt model of the rows of ``table``, which gives the background for their colours."""

    def __init__(self, columns: Sequence[Column], table: QWidget) -> None:
        super().__init__(table)
        self._table = table
        self._columns = tuple(columns)
        self.rows: Sequence[Row] = ()

    def set_rows(self, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        """Replace the rows and the columns."""
        self.beginResetModel()
        self.rows, self._columns = rows, tuple(columns)
        self.endResetModel()

    def replace_row(self, number: int, row: Row) -> None:
        """Replace one row, and keep the current one."""
        self.rows = [*self.rows[:number], row, *self.rows[number + 1 :]]
        last = self.columnCount() - 1
        self.dataChanged.emit(self.index(number, 0), self.index(number, last))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text, tooltip or colour of a cell, or the share of its row."""
        row, column = self.rows[index.row()], index.column()
        text = row.cells[column] if column < len(row.cells) else ""
        if role == Qt.ItemDataRole.DisplayRole:
            return text
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.helps[column] if row.helps else row.help or text
        if role == Qt.ItemDataRole.FontRole and column in row.bold:
            font = QFont(self._table.font())
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.ForegroundRole:
            color = level_color(row.level, self._table)
            return QColor(color) if color else None
        return row.share if role == SHARE_ROLE else None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return the title or tooltip of a column."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section].title
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return self._columns[section].help
        return None


class RowsTable(QTableView):
    """Read-only table with at most ``rows_shown`` visible rows; exactly so many if ``is_steady``.

    ``row_chosen`` carries the Row, or None. A double click or the return key opens a row:
    ``row_opened`` carries it. A double click also copies the path of the row's file.
    """

    row_chosen = Signal(object)
    row_opened = Signal(object)

    def __init__(
        self, columns: Sequence[Column], *, rows_shown: int = ROWS_SHOWN, is_steady: bool = False
    ) -> None:
        super().__init__()
        self._rows_shown = rows_shown
        self._fewest_rows = rows_shown if is_steady else 1
        self._columns = tuple(columns)
        self._model = RowsModel(columns, self)
        self.setModel(self._model)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        side = self.verticalHeader()
        side.hide()
        side.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setStretchLastSection(True)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        ThemeFont(self, header)
        self.doubleClicked.connect(self._on_double_clicked)
        self.selectionModel().currentRowChanged.connect(self._on_row_changed)
        self.set_rows(())

    @property
    def rows(self) -> Sequence[Row]:
        """The rows, from the top."""
        return self._model.rows

    def set_rows(self, rows: Sequence[Row], columns: Sequence[Column] = ()) -> None:
        """Show ``rows``, none of them chosen, and fit the height to them.

        They have the columns of the table, unless others are given.
        """
        self.clearSpans()
        self._columns = tuple(columns) or self._columns
        self._model.set_rows(rows, self._columns)
        self._span(rows)
        self._fit_columns(rows[:MEASURED_ROWS])
        self._fit_height()
        self.row_chosen.emit(None)

    def set_rows_shown(self, most: int) -> None:
        """Show at most so many rows without scrolling, and the chosen one among them."""
        self._rows_shown = most
        self._fit_height()
        self.scrollTo(self.currentIndex())

    def replace_row(self, number: int, row: Row) -> None:
        """Replace a row by one of as many texts; the chosen row and the scroll position stay."""
        self._model.replace_row(number, row)
        self._fit_columns(self.rows[:MEASURED_ROWS])

    def choose_row(self, number: int | None) -> None:
        """Choose row ``number`` and scroll to it, or choose none, without a signal."""
        with signals_blocked(self):
            if number is None:
                self.setCurrentIndex(QModelIndex())
                self.clearSelection()
            else:
                self.selectRow(number)
                self.scrollTo(self._model.index(number, 0))
                self._scroll_into_sight(number)

    def _scroll_into_sight(self, number: int) -> None:
        """Scroll further if an area around the table hides a row, as far as the table can."""
        seen, height = self.viewport().visibleRegion().boundingRect(), self.rowHeight(number)
        if seen.isEmpty() or not height:
            return
        first = math.ceil(number + 1 - (seen.bottom() + 1) / height)
        last = math.floor(number - seen.top() / height)
        bar = self.verticalScrollBar()
        if first <= last:
            bar.setValue(min(max(bar.value(), first), last))

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Take the focus without choosing the first row, as Qt would."""
        had_row = self.currentIndex().isValid()
        with signals_blocked(self):
            super().focusInEvent(event)
            if not had_row:
                self.setCurrentIndex(QModelIndex())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open the chosen row with the return key."""
        index = self.currentIndex()
        if event.key() in OPENING and index.isValid():
            self.row_opened.emit(self.rows[index.row()])
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Fit rows and columns to a new font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange):
            self._fit_columns(self.rows[:MEASURED_ROWS])
            self._fit_height()

    def _fit_height(self) -> None:
        height = max(ROW_HEIGHT, self.fontMetrics().height() + 6)
        self.verticalHeader().setDefaultSectionSize(height)
        shown = min(max(len(self.rows), self._fewest_rows), self._rows_shown)
        header = self.horizontalHeader().sizeHint().height()
        bar = self.horizontalScrollBar().sizeHint().height() if self._scrolls_sideways else 0
        self.setFixedHeight(header + shown * height + bar + 2 * self.frameWidth() + 2)

    @property
    def _scrolls_sideways(self) -> bool:
        return bool(self.horizontalScrollBarPolicy() != Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def _span(self, rows: Sequence[Row]) -> None:
        columns = self._model.columnCount()
        for index, row in enumerate(rows):
            if len(row.cells) < columns:
                last = len(row.cells) - 1
                self.setSpan(index, last, 1, columns - last)

    def _fit_columns(self, rows: Sequence[Row]) -> None:
        metrics, header = self.fontMetrics(), self.horizontalHeader()
        columns = self._model.columnCount()
        for column in range(columns if self._scrolls_sideways else columns - 1):
            # A text that spans several columns must not widen its first column.
            own = [row for row in rows if column < len(row.cells) - (len(row.cells) < columns)]
            texts = [row.cells[column] for row in own]
            widest = max((metrics.horizontalAdvance(text) for text in texts), default=0)
            title = header.sectionSizeHint(column)
            header.resizeSection(column, min(max(widest + 16, title), self._columns[column].widest))

    def _on_row_changed(self, current: QModelIndex, _: QModelIndex) -> None:
        self.row_chosen.emit(self.rows[current.row()] if current.isValid() else None)

    def _on_double_clicked(self, index: QModelIndex) -> None:
        row = self.rows[index.row()]
        if row.file is not None:
            copy_path(row.file, self)
        self.row_opened.emit(row)


def copy_path(file: Path, widget: QWidget) -> None:
    """Copy the path of ``file`` to the clipboard, and show its folder at the mouse."""
    QApplication.clipboard().setText(str(file))
    QToolTip.showText(QCursor.pos(), PATH_COPIED.format(file=file), widget)
