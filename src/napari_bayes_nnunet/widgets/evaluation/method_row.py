"""Predictions of one method in a form: their folder, and what the method is called."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QVBoxLayout, QWidget

from ..common.folder_row import FolderRow
from ..common.patient_pattern import labelled_row

FOLDER_HELP = (
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
        self.folder.setToolTip(FOLDER_HELP)
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
