"""The choice between a new training and the recent runs, in the Train dock."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from ...app.training.run_state import RunState, read_run_state
from ...io.ensemble.run_folder import RunFolder
from ..common.background import Background
from ..common.form import NarrowComboBox
from ..common.settings import Settings

NEW = "New training"


class RunChooser(QWidget):
    """A list of recent runs. ``run_chosen`` carries the Path of a run folder."""

    new_requested = Signal()
    run_chosen = Signal(object)

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self._background = Background(self)
        self.runs = NarrowComboBox(letters=12)
        self.choose_button = QPushButton("Follow…")
        self._lay_out()
        self.runs.addItem(NEW, None)
        self.runs.activated.connect(self._on_activated)
        self.choose_button.clicked.connect(self._on_choose_clicked)

    def refresh(self) -> None:
        """List the recent runs that still exist, with their states."""
        for path in map(Path, self._settings.kept.recent_runs):
            work = partial(read_run_state, RunFolder(path))
            self._background.run(work, partial(self._on_state, path))

    def show_run(self, path: Path) -> None:
        """Select the run in ``path``."""
        self.runs.setCurrentIndex(self._row(path, at=1))

    def set_state(self, state: RunState) -> None:
        """Show the state of the selected run after its name."""
        if path := self.runs.currentData():
            self._on_state(path, state)

    def _lay_out(self) -> None:
        self.runs.setToolTip("A new training or a recent run.")
        self.choose_button.setToolTip(
            "Choose the folder of a training to follow, even if it was started in a terminal or on "
            "a server."
        )
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.runs, 1)
        row.addWidget(self.choose_button)

    def _row(self, path: Path, *, at: int) -> int:
        """Return the row of a run, which is inserted ``at`` a row unless it is there."""
        for row in range(self.runs.count()):
            if self.runs.itemData(row) == path:
                return row
        self.runs.insertItem(at, path.name, path)
        self.runs.setItemData(at, str(path), Qt.ItemDataRole.ToolTipRole)
        return at

    def _on_state(self, path: Path, state: RunState) -> None:
        title = f"{path.name} ({state.kind})"
        if state.kind == "none" and path != self.runs.currentData():
            return  # a run that was deleted
        row = self._row(path, at=self.runs.count())
        if self.runs.itemText(row) != title:
            self.runs.setItemText(row, title)

    def _on_activated(self, index: int) -> None:
        path = self.runs.itemData(index)
        if path is None:
            self.new_requested.emit()
        else:
            self.run_chosen.emit(path)

    def _on_choose_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of a training")
        if chosen:
            self.run_chosen.emit(Path(chosen))
