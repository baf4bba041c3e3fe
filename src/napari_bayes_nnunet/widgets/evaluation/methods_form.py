"""Predictions to evaluate, and any number of others to compare them with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from .method_row import MethodRow

NO_PREDICTIONS = "Choose the folder of the predictions."
NO_OTHERS = "Choose the folder of the predictions to compare with, or take the row away (×)."
SAME_NAME = "Two methods are called {name}: give one of them another name."


class MethodsForm(QWidget):
    """``changed`` tells that there are other ``methods``, or that some are missing."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[MethodRow] = []
        self.add_button = QPushButton("Compare with another method")
        self.add_button.setToolTip(
            "Add another folder of predictions of the same cases, such as those of a single model."
        )
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(10)
        self._column.addWidget(self.add_button)
        self.add_button.clicked.connect(self._on_add_clicked)
        self.add_row()

    @property
    def methods(self) -> dict[str, Path]:
        """Name → folder, the one to evaluate first; as far as there are folders."""
        return {row.name: row.path for row in self.rows if row.path is not None}

    @property
    def problem(self) -> str:
        """What is missing or wrong, "" where nothing is."""
        if self.rows[0].path is None:
            return NO_PREDICTIONS
        if any(row.path is None for row in self.rows):
            return NO_OTHERS
        names = [row.name for row in self.rows]
        twice = next((name for name in names if names.count(name) > 1), "")
        return SAME_NAME.format(name=twice) if twice else ""

    def set_methods(self, methods: Sequence[tuple[str, Path]]) -> None:
        """Show folders with their names, "" for the folder's own."""
        while len(self.rows) > max(1, len(methods)):
            self._on_remove_requested(self.rows[-1])
        while len(self.rows) < len(methods):
            self.add_row()
        for row, (name, path) in zip(self.rows, methods, strict=False):
            row.choose(path, name)

    def add_row(self) -> MethodRow:
        """Add an empty row, after the others also for the Tab key."""
        row = MethodRow(removable=bool(self.rows))
        self._column.insertWidget(len(self.rows), row)
        before = self.rows[-1].remove_button if self.rows else None
        self.rows.append(row)
        order = (row.folder.edit, row.folder.button, row.name_edit, row.remove_button)
        for part in (*order, self.add_button):
            if before is not None:
                self.setTabOrder(before, part)
            before = part
        row.changed.connect(self.changed)
        row.remove_requested.connect(self._on_remove_requested)
        return row

    def _on_add_clicked(self) -> None:
        self.add_row().folder.edit.setFocus()
        self.changed.emit()

    def _on_remove_requested(self, row: MethodRow) -> None:
        self.rows.remove(row)
        self._column.removeWidget(row)
        row.hide()
        row.deleteLater()
        self.add_button.setFocus()
        self.changed.emit()
