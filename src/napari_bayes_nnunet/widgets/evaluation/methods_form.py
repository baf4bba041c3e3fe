"""The folders of predictions to evaluate and to compare with each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from ..common.dock import ThemeFont, column_layout
from ..common.folder_row import FolderRow
from ..common.patient_pattern import labelled_row

NO_PREDICTIONS = "Choose the folder of the predictions."
NO_OTHERS = "Choose the folder of the predictions to compare with, or remove the row (×)."
SAME_NAME = "Two methods are called {name}. Rename one of them."


class MethodsForm(QWidget):
    """A row for each method. ``changed`` is emitted after every edit."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[MethodRow] = []
        self.add_button = QPushButton("Compare with another method")
        self.add_button.setToolTip(
            "Add predictions of the same cases by another method, such as a single model."
        )
        self._column = column_layout(self, self.add_button)
        self._column.setSpacing(10)
        self.add_button.clicked.connect(self._on_add_clicked)
        self.add_row()

    @property
    def methods(self) -> dict[str, Path]:
        """Name → folder of each row that has a folder; the others are compared with the first."""
        return {row.name: row.path for row in self.rows if row.path is not None}

    @property
    def problem(self) -> str:
        """A sentence on what is missing or wrong, "" if nothing is."""
        if self.rows[0].path is None:
            return NO_PREDICTIONS
        if any(row.path is None for row in self.rows):
            return NO_OTHERS
        names = [row.name for row in self.rows]
        duplicate = next((name for name in names if names.count(name) > 1), "")
        return SAME_NAME.format(name=duplicate) if duplicate else ""

    def set_methods(self, methods: Sequence[tuple[str, Path]]) -> None:
        """Show (name, folder) pairs; the name "" stands for that of the folder."""
        while len(self.rows) > max(1, len(methods)):
            self._on_remove_requested(self.rows[-1])
        while len(self.rows) < len(methods):
            self.add_row()
        for row, (name, path) in zip(self.rows, methods, strict=False):
            row.choose(path, name)

    def add_row(self) -> MethodRow:
        """Add an empty row after the others, in the Tab order too."""
        row = MethodRow(removable=bool(self.rows))
        self._column.insertWidget(len(self.rows), row)
        previous = self.rows[-1].remove_button if self.rows else None
        self.rows.append(row)
        order = (row.folder.edit, row.folder.button, row.name_edit, row.remove_button)
        for part in (*order, self.add_button):
            if previous is not None:
                self.setTabOrder(previous, part)
            previous = part
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
    "Folder written by “bayes-nnunet predict” or “nnUNetv2_predict”. Without saved probabilities, "
    "Dice is measured but calibration is not."
)
NAME_HELP = "Name of the method in tables and figures, by default that of its folder."
_NAME_HINT = "Name of the folder"


class MethodRow(QWidget):
    """Folder and name of one method. ``remove_requested`` carries this row."""

    changed = Signal()
    remove_requested = Signal(object)

    def __init__(self, *, removable: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.folder = FolderRow("Folder of predictions")
        self.name_edit = QLineEdit()
        ThemeFont(self.name_edit)
        self.remove_button = QPushButton("×")
        self.folder.setToolTip(_FOLDER_HELP)
        self.name_edit.setToolTip(NAME_HELP)
        self.name_edit.setPlaceholderText(_NAME_HINT)
        self.name_edit.setAccessibleName("Name of the method")
        self.remove_button.setToolTip("Remove this method.")
        self.remove_button.setAccessibleName("Remove this method")
        self.remove_button.setFixedWidth(28)
        self.remove_button.setVisible(removable)
        folder = labelled_row("Compare" if removable else "Folder", self.folder)
        column_layout(self, folder, labelled_row("Name", self.name_edit, self.remove_button))
        self.folder.chosen.connect(self._on_chosen)
        self.name_edit.textChanged.connect(self._on_name_changed)
        self.remove_button.clicked.connect(self._on_remove_clicked)

    @property
    def path(self) -> Path | None:
        """The folder, None if the field is empty."""
        return self.folder.path

    @property
    def own_name(self) -> str:
        """The name typed by the user, "" if the folder's name is used."""
        return str(self.name_edit.text()).strip()

    @property
    def name(self) -> str:
        """Name of the method, "" if it has neither a name nor a folder."""
        return self.own_name or _folder_name(self.path)

    def choose(self, path: Path | None, name: str = "") -> None:
        """Set folder and name as if the user had entered them."""
        self.name_edit.setText(name)
        self.folder.choose(path)

    def _on_chosen(self, path: Path | None) -> None:
        self.name_edit.setPlaceholderText(_folder_name(path) or _NAME_HINT)
        self.changed.emit()

    def _on_name_changed(self, _: str) -> None:
        self.changed.emit()

    def _on_remove_clicked(self) -> None:
        self.remove_requested.emit(self)


def _folder_name(path: Path | None) -> str:
    return "" if path is None else path.absolute().name or str(path)
