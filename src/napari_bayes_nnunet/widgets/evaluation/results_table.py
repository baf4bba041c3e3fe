"""The main numbers of an evaluation in a dock: a method a row, the best of a column in bold."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics, QResizeEvent
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from ...app.evaluation.request import CALIBRATION, DICE
from ...app.evaluation.tables import Cell, Table
from ...core.heart.structure_colors import structure_title
from ..common.rows_table import ROW_HEIGHT

ROWS_SHOWN = 8
ROOM = 12
"""Beside the text of a cell, pixels."""
NARROWEST_NAME = 56
ECE_HELP = (
    "Expected calibration error over the voxels of all volumes: how far the confidence is from the "
    "share of voxels that are right. 0 is perfect."
)
DICE_HELP = "Dice of the {structure}: its overlap with the reference. 1 is perfect."


class EvaluationTable(QTableWidget):
    """Nothing in it can be changed; pointing at a number tells its deviation and interval."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Dice and calibration error of the methods")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(30)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)

    def set_table(self, table: Table) -> None:
        """Show ``table`` instead of the one before."""
        heads = [(block, column) for block, columns in table.heads for column in columns]
        self.clear()
        self.setColumnCount(1 + len(heads))
        self.setRowCount(len(table.rows))
        self._set_head(0, "Method", "What the predictions are called.")
        for column, (block, title) in enumerate(heads, start=1):
            self._set_head(column, title, _help(block, title))
        for row, (name, cells) in enumerate(table.rows):
            self._set_cell(row, 0, name, name)
            for column, cell in enumerate(cells, start=1):
                tip = f"{name}, {heads[column - 1][1]}: {cell_text(cell)}"
                self._set_cell(row, column, cell.value, tip, bold=cell.stands_out)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The names take the room that the numbers leave."""
        super().resizeEvent(event)
        self._share_room()

    def _set_head(self, column: int, text: str, tip: str) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(tip)
        self.setHorizontalHeaderItem(column, item)

    def _set_cell(self, row: int, column: int, text: str, tip: str, *, bold: bool = False) -> None:
        item = QTableWidgetItem(text)
        item.setToolTip(tip)
        if bold:
            font = self.font()
            font.setBold(True)
            item.setFont(font)
        self.setItem(row, column, item)

    def _fit(self) -> None:
        """As high as its rows, up to a few; the columns of numbers as wide as they need."""
        font = self.font()
        font.setBold(True)
        metrics, header = QFontMetrics(font), self.horizontalHeader()
        for column in range(1, self.columnCount()):
            texts = [self.item(row, column).text() for row in range(self.rowCount())]
            widest = max((metrics.horizontalAdvance(text) for text in texts), default=0)
            text = self.horizontalHeaderItem(column).text()
            title = header.fontMetrics().horizontalAdvance(text)
            header.resizeSection(column, max(widest, title) + ROOM)
        self._share_room()

    def _share_room(self) -> None:
        header, columns = self.horizontalHeader(), range(self.columnCount())
        numbers = sum(header.sectionSize(column) for column in columns[1:])
        name = max(NARROWEST_NAME, self.viewport().width() - numbers)
        if self.columnCount() and header.sectionSize(0) != name:
            header.resizeSection(0, name)
        rows = min(max(self.rowCount(), 1), ROWS_SHOWN) * ROW_HEIGHT
        scrolls = NARROWEST_NAME + numbers > self.viewport().width()
        bar = self.horizontalScrollBar().sizeHint().height() if scrolls else 0
        height = header.sizeHint().height() + rows + bar + 2 * self.frameWidth() + 2
        if height != self.height():
            self.setFixedHeight(height)


def cell_text(cell: Cell) -> str:
    """All that is known of a number, in one line."""
    interval = f"95 % interval {cell.interval}" if cell.interval else ""
    first = " ".join(filter(None, (cell.value, cell.deviation)))
    return ", ".join(filter(None, (first, interval, cell.remark)))


def _help(block: str, title: str) -> str:
    texts = {DICE: DICE_HELP.format(structure=structure_title(title)), CALIBRATION: ECE_HELP}
    return texts[block]
