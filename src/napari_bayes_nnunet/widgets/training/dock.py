"""The Train dock, which starts, follows and stops trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QMessageBox, QPushButton, QWidget

from ...app.training.progress import NOTHING_YET, TrainingProgress
from ...app.training.request import TrainingRequest
from ...app.training.run_state import RunState, read_run_state
from ...core.command import BAYES_NNUNET
from ...io.ensemble.run_folder import RunFolder, TrainingRecord
from ..common.background import Background
from ..common.dock import DockContent, MessageLabel, raise_dock, row_layout
from ..common.form import NarrowComboBox
from ..common.settings import Settings, open_settings
from .new_training_form import NewTrainingForm
from .watch import TrainingWatch, WatchForm

NEW = "New training"


class RunChooser(QWidget):
    """A list of recent runs. ``run_chosen`` carries the Path of a run folder."""

    new_requested = Signal()
    run_chosen = Signal(object)

    def __init__(self, settings: Settings) -> None:
        super().__init__()
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
        # In a thread, because a run may lie on a drive that is slow or gone.
        for path in map(Path, self._settings.kept.recent_runs):
            work = partial(read_run_state, RunFolder(path))
            self._background.run(work, partial(self._on_state, path))

    def show_run(self, path: Path) -> None:
        """Select the run in ``path``."""
        # Below the entry for a new training.
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
        row_layout(self, self.runs, self.choose_button, wide=self.runs)

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


KEEP_TRAINING, STOP_TRAINING, STAY_OPEN = "continue", "stop", "stay"
"""Answers when the window closes."""


def ask_on_closing(parent: QWidget, running: Sequence[Path]) -> str:
    """Ask what happens to the trainings in these folders; return one of the three answers."""
    names = ", ".join(path.name for path in running)
    box = QMessageBox(parent)
    box.setWindowTitle("A training is running")
    box.setText(f"Continue the training of {names} after napari closes?")
    box.setInformativeText(
        "A training does not need the window. You can follow it again later from the list in the "
        "Train dock."
    )
    keep = box.addButton("Continue training", QMessageBox.ButtonRole.AcceptRole)
    stop = box.addButton("Stop after this epoch", QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton("Do not close", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(keep)
    # Escape must end nothing.
    box.setEscapeButton(stay)
    box.exec()
    answers = {keep: KEEP_TRAINING, stop: STOP_TRAINING}
    return answers.get(box.clickedButton(), STAY_OPEN)


def ask_to_kill(parent: QWidget) -> bool:
    """Ask whether the training may be ended in the middle of an epoch."""
    text = (
        "End the training now?\n\nThe members so far are kept. Resume repeats the epochs since the "
        "last saved state. “Stop after this epoch” loses nothing."
    )
    answer = QMessageBox.question(parent, "Kill the training", text)
    return bool(answer == QMessageBox.StandardButton.Yes)


class TrainingWidget(DockContent):
    """The Train dock: a form for a new training, and a view of a run."""

    TITLE = "Train"

    def __init__(
        self,
        napari_viewer: Any,
        *,
        command: Sequence[str] = BAYES_NNUNET,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._settings = open_settings(settings)
        self.progress = NOTHING_YET
        self.state: RunState | None = None
        self._window: QWidget | None = None
        self._to_stop: list[Path] = []
        self.chooser = RunChooser(self._settings)
        self.new = NewTrainingForm(settings=self._settings)
        self.form = WatchForm()
        self.error = MessageLabel(level="blocking")
        self.watch = TrainingWatch(command, parent=self)
        self._lay_out()
        self._connect()

    def follow(self, path: Path) -> None:
        """Show the run in ``path``, whether or not it is still running."""
        self._show_run(path)
        self.watch.follow(path)

    def start(self, request: TrainingRequest) -> None:
        """Start a training and show it."""
        self._show_run(request.output)
        self.watch.start(request)

    def show_new(self) -> None:
        """Show the form for a new training. A running training continues."""
        self._show_page(self.new)
        self.error.show_message("")
        self.watch.follow(None)

    def use_ensemble(self) -> None:
        """Open the members so far in the Segment dock, in front."""
        run = self.watch.run
        if run is None:
            return
        raise_dock(self._viewer, self, "Segment").ensemble.choose(run.path)

    def _show_run(self, path: Path) -> None:
        self._settings.put_first("recent_runs", path)
        self.chooser.show_run(path)
        self.progress, self.state = NOTHING_YET, None
        self.error.show_message("")
        self.form.set_run(path)
        self._show_page(self.form)

    def _show_page(self, page: QWidget) -> None:
        for form in (self.new, self.form):
            form.setVisible(form is page)

    def _lay_out(self) -> None:
        self._lay_out_page(self.chooser, self.error, self.new, self.form)
        self._show_page(self.new)

    def _connect(self) -> None:
        self.chooser.new_requested.connect(self.show_new)
        self.chooser.run_chosen.connect(self.follow)
        self.new.start_requested.connect(self.start)
        self.watch.polled.connect(self._on_polled)
        self.watch.restarted.connect(self.form.clear)
        self.watch.log_grown.connect(self.form.add_log)
        self.watch.unread.connect(self.form.show_error)
        self.watch.failed.connect(self._on_failed)
        self.form.stop_requested.connect(self._on_stop_requested)
        self.form.kill_requested.connect(self._on_kill_requested)
        self.form.resume_requested.connect(partial(self._continue_run, add_cycle=False))
        self.form.add_cycle_requested.connect(partial(self._continue_run, add_cycle=True))
        self.form.use_requested.connect(self.use_ensemble)
        self.form.log_toggled.connect(self.watch.set_reads_log)

    def _on_polled(
        self, state: RunState, progress: TrainingProgress, record: TrainingRecord | None
    ) -> None:
        self.state, self.progress = state, progress
        self.form.set_record(record, progress.fold or "")
        self.form.show_run(state, progress)
        self.chooser.set_state(state)

    def _on_failed(self, sentence: str) -> None:
        self.error.show_message(sentence)  # until the next action
        self.form.show_not_stopping()

    def _on_stop_requested(self) -> None:
        self.error.show_message("")
        self.form.show_stopping()
        self.watch.stop_after_epoch()

    def _on_kill_requested(self) -> None:
        if ask_to_kill(self):
            self.error.show_message("")
            self.watch.kill()

    def _continue_run(self, *, add_cycle: bool) -> None:
        run, info = self.watch.run, self.state.info if self.state is not None else None
        if run is None:
            return
        dataset = Path(info.dataset) if info is not None else self._ask_for_dataset()
        # The messages of a training name its fold only once its epochs begin.
        last = info.fold if info is not None and not add_cycle else self.progress.fold
        if dataset is not None:
            request = TrainingRequest(
                dataset=dataset,
                output=run.path,
                fold=last or None,
                resume=not add_cycle,
                add_cycle=add_cycle,
            )
            if info is not None and info.is_here:  # another computer has other devices
                request = replace(request, device=info.device)
            self.start(request)

    def _ask_for_dataset(self) -> Path | None:
        """Ask for the dataset of a run, which earlier versions did not record."""
        chosen = QFileDialog.getExistingDirectory(self, "nnU-Net dataset of this training")
        return Path(chosen) if chosen else None

    def showEvent(self, event: QShowEvent) -> None:
        """Watch for the closing of the window that contains this dock."""
        super().showEvent(event)
        self.chooser.refresh()
        window = self.window()
        # A dock may have been moved to another window.
        if window is not self._window and window is not self:
            self._window, self._to_stop = window, []
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask what happens to running trainings if the window closes.

        They are stopped once the window is gone, because the Review dock or napari may still refuse
        to close it. A minimized window is hidden as well, but spontaneously.
        """
        if event.type() == QEvent.Type.Close and watched is self._window:
            running = self.watch.started_here()
            answer = ask_on_closing(self, running) if running else KEEP_TRAINING
            if answer == STAY_OPEN:
                event.ignore()
                return True
            self._to_stop = running if answer == STOP_TRAINING else []
        elif (
            event.type() == QEvent.Type.Hide and watched is self._window and not event.spontaneous()
        ):
            for path in self._to_stop:
                self.watch.stop_soon(path)
            self._to_stop = []
        return bool(super().eventFilter(watched, event))
