"""The names of the label values."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QAbstractItemModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...core.heart.structures import HEART_STRUCTURES
from ..common.dock import MessageLabel
from ..common.levels import level_color
from ..common.rows_table import ROW_HEIGHT, ROWS_SHOWN

_BACKGROUND = "background"
EMPTY = "Name the structure with the value {value}."
TWICE = "Two values are called “{name}”. Give each structure its own name."
FIXED = "Background voxels have the value 0."


class NameDelegate(QStyledItemDelegate):
    """Editor of a name that offers the structures of the heart; any other name can be typed."""

    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex
    ) -> QWidget:
        """Return an editable list."""
        editor = QComboBox(parent)
        editor.setEditable(True)
        editor.addItems(HEART_STRUCTURES)
        editor.activated.connect(lambda _: self.commitData.emit(editor))
        return editor

    def setEditorData(self, editor: QWidget, index: QModelIndex) -> None:
        """Show the current name."""
        editor.setEditText(str(index.data()))

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: QModelIndex) -> None:
        """Store the name."""
        model.setData(index, editor.currentText())


class LabelNames(QWidget):
    """A small table value → name. ``changed`` is emitted when a name is edited.

    The form that contains this widget lays out ``problem_text``.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(["Value", "Name"])
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT + 2)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.AllEditTriggers)
        self.table.setToolTip("Click a name to change it.")
        self.table.setItemDelegateForColumn(1, NameDelegate(self))
        self.problem_text = MessageLabel(level="blocking")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table)
        self.table.itemChanged.connect(self._on_item_changed)
        self.set_names({})

    @property
    def names(self) -> dict[int, str]:
        """Name of every value, including the background, as typed."""
        return {self._value(row): self._name(row) for row in range(self.table.rowCount())}

    @property
    def problem(self) -> str:
        """A sentence on the first wrong name, "" if all are valid."""
        return str(self.problem_text.text())

    def set_names(self, names: Mapping[int, str]) -> None:
        """Show these values and names for editing."""
        self.table.blockSignals(True)
        self.table.setRowCount(len(names))
        for row, (value, name) in enumerate(sorted(names.items())):
            number = QTableWidgetItem(str(value))
            number.setFlags(Qt.ItemFlag.ItemIsEnabled)
            title = QTableWidgetItem(name if value else _BACKGROUND)
            if value == 0:
                title.setFlags(Qt.ItemFlag.NoItemFlags)
                title.setToolTip(FIXED)
            self.table.setItem(row, 0, number)
            self.table.setItem(row, 1, title)
        self.table.blockSignals(False)
        header = self.table.horizontalHeader().sizeHint().height()
        rows = min(max(len(names), 1), ROWS_SHOWN)
        self.table.setFixedHeight(header + rows * (ROW_HEIGHT + 2) + 4)
        self._check()

    def _value(self, row: int) -> int:
        return int(self.table.item(row, 0).text())

    def _name(self, row: int) -> str:
        return str(self.table.item(row, 1).text()).strip()

    def _on_item_changed(self, _: QTableWidgetItem) -> None:
        self._check()
        self.changed.emit()

    def _check(self) -> None:
        """Mark missing and duplicate names, and show the first problem."""
        names = self.names
        folded = [name.casefold() for name in names.values()]
        sentences = []
        self.table.blockSignals(True)
        for row, (value, name) in enumerate(names.items()):
            sentence = EMPTY.format(value=value) if not name else ""
            if name and folded.count(name.casefold()) > 1:
                sentence = TWICE.format(name=name)
            self._mark(self.table.item(row, 1), sentence, FIXED if value == 0 else "")
            sentences += [sentence] if sentence else []
        self.table.blockSignals(False)
        self.problem_text.show_message(sentences[0] if sentences else "")

    def _mark(self, item: QTableWidgetItem, sentence: str, help_text: str) -> None:
        item.setToolTip(sentence or help_text)
        color = QColor(level_color("blocking", self.table)) if sentence else None
        item.setData(Qt.ItemDataRole.BackgroundRole, None)
        item.setData(Qt.ItemDataRole.ForegroundRole, color)
