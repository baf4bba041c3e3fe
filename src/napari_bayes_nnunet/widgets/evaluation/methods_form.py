"""Predictions to evaluate, and any number of others to compare them with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QVBoxLayout, QWidget

from ..common.folder_row import FolderRow
from ..common.patient_pattern import labelled_row

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


_FOLDER_HELP = (
    "A folder that “bayes-nnunet predict --save probabilities,entropy,mutual-information” or "
    "“nnUNetv2_predict --save_probabilities” has made. Labels alone give Dice, but no calibration."
)
NAME_HELP = "What the method is called in tables and figures; without a name, as its folder."


class MethodRow(QWidget):
    """``changed`` tells of another folder or name; ``remove_requested`` carries this row."""

    changed = Signal()
    remove_requested = Signal(object)

    def __init__(self, *, removable: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.folder = FolderRow("Folder of predictions")
        self.name_edit = QLineEdit()
        self.remove_button = QPushButton("×")
        self.folder.setToolTip(_FOLDER_HELP)
        self.name_edit.setToolTip(NAME_HELP)
        self.name_edit.setPlaceholderText("As its folder")
        self.name_edit.setAccessibleName("Name of the method")
        self.remove_button.setToolTip("Do not compare with these predictions.")
        self.remove_button.setAccessibleName("Do not compare with these")
        self.remove_button.setFixedWidth(28)
        self.remove_button.setVisible(removable)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(labelled_row("Compare" if removable else "Folder", self.folder))
        column.addLayout(labelled_row("Name", self.name_edit, self.remove_button))
        self.folder.chosen.connect(self._on_chosen)
        self.name_edit.textChanged.connect(self._on_name_changed)
        self.remove_button.clicked.connect(self._on_remove_clicked)

    @property
    def path(self) -> Path | None:
        """The folder, None where none is named."""
        return self.folder.path

    @property
    def own_name(self) -> str:
        """What the user has called the method, "" for the folder's name."""
        return str(self.name_edit.text()).strip()

    @property
    def name(self) -> str:
        """What the method is called, "" while there is no folder."""
        return self.own_name or _called(self.path)

    def choose(self, path: Path | None, name: str = "") -> None:
        """Take folder and name as if the user had given them."""
        self.name_edit.setText(name)
        self.folder.choose(path)

    def _on_chosen(self, path: Path | None) -> None:
        self.name_edit.setPlaceholderText(_called(path) or "As its folder")
        self.changed.emit()

    def _on_name_changed(self, _: str) -> None:
        self.changed.emit()

    def _on_remove_clicked(self) -> None:
        self.remove_requested.emit(self)


def _called(path: Path | None) -> str:
    return "" if path is None else path.absolute().name or str(path)
