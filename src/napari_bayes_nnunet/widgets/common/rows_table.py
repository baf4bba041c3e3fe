"""A table of thousands of rows: only what is in sight is asked for. What is wrong is coloured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QCursor, QFocusEvent, QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QTableView,
    QToolTip,
    QWidget,
)

Level = Literal["fine", "warning", "blocking", "done"]
LEVEL_COLORS: dict[Level, str] = {"warning": "#FFB347", "blocking": "#FF7B72", "done": "#8E939C"}
"""Amber, red, and grey for what needs nobody any more: all readable on napari's dark ground."""
ROW_HEIGHT = 22
ROWS_SHOWN = 6
WIDEST = 220
MEASURED_ROWS = 60
"""Columns are as wide as the texts of the first rows: measuring thousands takes seconds."""
SHARE_ROLE = Qt.ItemDataRole.UserRole
"""Asks the model for the share of a row."""
OPENING = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


@dataclass(frozen=True)
class Column:
    """One column: its heading and what the heading means."""

    title: str
    help: str


@dataclass(frozen=True)
class Row:
    """The texts of one row, what pointing at it tells, and the file that it is about.

    Where there are fewer texts than columns the last one takes the room of the rest. ``share``, 0
    to 1, can be drawn as a bar.
    """

    cells: tuple[str, ...]
    help: str = ""
    level: Level = "fine"
    file: Path | None = None
    share: float | None = None


class RowsModel(QAbstractTableModel):
    """Rows as Qt wants to ask for them."""

    def __init__(self, columns: Sequence[Column], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._columns = tuple(columns)
        self._colors = {level: QColor(color) for level, color in LEVEL_COLORS.items()}
        self.rows: Sequence[Row] = ()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show ``rows`` instead of those before."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, tooltip or colour of a cell."""
        row, column = self.rows[index.row()], index.column()
        text = row.cells[column] if column < len(row.cells) else ""
        if role == Qt.ItemDataRole.DisplayRole:
            return text
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.help or text
        if role == Qt.ItemDataRole.ForegroundRole:
            return self._colors.get(row.level)
        return row.share if role == SHARE_ROLE else None

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Title of a column and what it means."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section].title
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return self._columns[section].help
        return None


class RowsTable(QTableView):
    """Shows rows; nothing in it can be changed. ``row_chosen`` carries the Row, or None.

    A double click copies the path of the row's file and tells its folder; it also opens the row, as
    the return key does: ``row_opened`` carries the Row. As many as ``rows_shown`` are in sight.
    """

    row_chosen = Signal(object)
    row_opened = Signal(object)

    def __init__(
        self,
        columns: Sequence[Column],
        parent: QWidget | None = None,
        *,
        rows_shown: int = ROWS_SHOWN,
    ) -> None:
        super().__init__(parent)
        self._rows_shown = rows_shown
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
        side.setDefaultSectionSize(ROW_HEIGHT)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setStretchLastSection(True)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.doubleClicked.connect(self._on_double_clicked)
        self.selectionModel().currentRowChanged.connect(self._on_row_changed)
        self.set_rows(())

    @property
    def rows(self) -> Sequence[Row]:
        """What is shown, from above."""
        return self._model.rows

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show ``rows``, as high as they are up to a few, and no row chosen."""
        self.clearSpans()
        self._model.set_rows(rows)
        self._span(rows)
        self._fit_columns(rows[:MEASURED_ROWS])
        shown = min(max(len(rows), 1), self._rows_shown)
        header = self.horizontalHeader().sizeHint().height()
        bar = self.horizontalScrollBar().sizeHint().height() if self._scrolls_sideways else 0
        self.setFixedHeight(header + shown * ROW_HEIGHT + bar + 2 * self.frameWidth() + 2)
        self.row_chosen.emit(None)

    def choose_row(self, place: int | None) -> None:
        """Choose the row at ``place`` and keep it in sight, or choose none, without a signal."""
        before = self.blockSignals(True)
        if place is None:
            self.setCurrentIndex(QModelIndex())
            self.clearSelection()
        else:
            self.selectRow(place)
            self.scrollTo(self._model.index(place, 0))
        self.blockSignals(before)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Take the keyboard; Qt would also go to the first row, which nobody has asked for."""
        had_row = self.currentIndex().isValid()
        before = self.blockSignals(True)
        super().focusInEvent(event)
        if not had_row:
            self.setCurrentIndex(QModelIndex())
        self.blockSignals(before)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Open the chosen row with the return key."""
        index = self.currentIndex()
        if event.key() in OPENING and index.isValid():
            self.row_opened.emit(self.rows[index.row()])
        else:
            super().keyPressEvent(event)

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
            # A text that spans several columns must not widen the first of them.
            own = [row for row in rows if column < len(row.cells) - (len(row.cells) < columns)]
            texts = [row.cells[column] for row in own]
            widest = max((metrics.horizontalAdvance(text) for text in texts), default=0)
            title = header.sectionSizeHint(column)
            header.resizeSection(column, min(max(widest + 16, title), WIDEST))

    def _on_row_changed(self, current: QModelIndex, _: QModelIndex) -> None:
        self.row_chosen.emit(self.rows[current.row()] if current.isValid() else None)

    def _on_double_clicked(self, index: QModelIndex) -> None:
        row = self.rows[index.row()]
        if row.file is not None:
            copy_path(row.file, self)
        self.row_opened.emit(row)


def copy_path(file: Path, widget: QWidget) -> None:
    """Put the path of ``file`` in the clipboard, and tell where it lies at the mouse."""
    QApplication.clipboard().setText(str(file))
    text = f"{file.name} lies in\n{file.parent}\nIts path is copied."
    QToolTip.showText(QCursor.pos(), text, widget)
