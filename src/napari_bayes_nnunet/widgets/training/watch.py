"""One run in the Train dock: followed in its folder, and shown with its buttons."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal, SignalInstance
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QWidget,
)

from ...app import AppError
from ...app.messages import StageStarted
from ...app.training.process import RunReader, RunSnapshot, StartedTraining, start_training
from ...app.training.progress import NOTHING_YET, TrainingProgress
from ...app.training.request import TrainingRequest
from ...app.training.run_state import RunState, kill_training, read_run_state, request_stop
from ...core.command import BAYES_NNUNET
from ...core.counts import format_count
from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ...io.ensemble.run_folder import RunFolder, TrainingRecord
from ..common.background import Background
from ..common.dock import CollapsibleSection, MessageLabel, column_layout
from ..common.progress_row import ProgressRow
from ..common.wording import in_the_window
from .plots import TrainingPlots

_POLL_MS = 500


class TrainingWatch(QObject):
    """A follower of one run at a time, which reads the files in a thread.

    ``polled`` carries RunState, TrainingProgress, and TrainingRecord or None; ``log_grown`` new
    lines of the log, and whether they replace the earlier ones; ``unread`` why the run cannot be
    read now; ``failed`` why a training could not be started or ended, even if another run is
    followed by then. ``restarted`` means that the run is read from its beginning.
    """

    polled = Signal(object, object, object)
    restarted = Signal()
    log_grown = Signal(str, bool)
    unread = Signal(str)
    failed = Signal(str)

    def __init__(
        self, command: Sequence[str] = BAYES_NNUNET, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._command = tuple(command)
        self._reader: RunReader | None = None
        self._started: list[StartedTraining] = []
        self._reads_log = False
        # Ending has a thread of its own, as the reading one is replaced with the run and loses
        # errors.
        self._background, self._ender = Background(self), Background(self)
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def run(self) -> RunFolder | None:
        """The followed run."""
        return self._reader.run if self._reader is not None else None

    def started_here(self) -> list[Path]:
        """Return the folders of running trainings that this window started."""
        return list(dict.fromkeys(s.run.path for s in self._started if not s.has_ended))

    def follow(self, path: Path | None) -> None:
        """Follow the run in ``path``, or none.

        Trainings of this window that have ended are forgotten; their folders have their state.
        """
        self._forget_ended()
        self._read(path)

    def set_reads_log(self, reads: bool) -> None:
        """Choose whether the log is read too."""
        self._reads_log = reads

    def start(self, request: TrainingRequest) -> None:
        """Start a training and follow it."""
        self._forget_ended()
        try:
            self._started.append(start_training(request, command=self._command))
        except AppError as error:
            self.failed.emit(in_the_window(error))
        self._read(request.output)

    def stop_after_epoch(self) -> None:
        """Ask the training to stop after this epoch."""
        self._act(request_stop)

    def kill(self) -> None:
        """End the training and all its processes at once."""
        self._act(kill_training)

    def stop_soon(self, path: Path) -> None:
        """Ask the training in ``path``, followed or not, to stop after this epoch."""
        try:  # not in the thread, because the window may be closing
            _end(request_stop, RunFolder(path), self._started_in(path))
        except AppError as error:
            self.failed.emit(in_the_window(error))

    def _read(self, path: Path | None) -> None:
        self._reader = None if path is None else RunReader(RunFolder(Path(os.path.abspath(path))))
        # A hanging drive of the last run must not delay this one.
        self._background = self._background.replaced()
        self.restarted.emit()
        if path is None:
            self._timer.stop()
        else:
            self._timer.start()
            self._poll()

    def _act(self, action: Callable[[RunFolder], Any]) -> None:
        if self.run is not None:
            work = partial(_end, action, self.run, self._started_in(self.run.path))
            self._ender.run(work, on_error=self.failed.emit)

    def _started_in(self, path: Path) -> StartedTraining | None:
        """Return the last training that this window started in ``path``."""
        # A run that was resumed was started here more than once, and its last start counts.
        return next((s for s in reversed(self._started) if s.run.path == path), None)

    def _forget_ended(self) -> None:
        self._started = [started for started in self._started if not started.has_ended]

    def _poll(self) -> None:
        """Read the run, unless a slow drive still delays the last time."""
        if self._reader is not None and not self._background.is_busy:
            started = self._started_in(self._reader.run.path)
            work = partial(self._reader.read, started, with_log=self._reads_log)
            self._background.run(work, self._on_polled, self.unread.emit)

    def _on_polled(self, snapshot: RunSnapshot) -> None:
        if snapshot.state.kind == "running":  # an earlier refusal must not be shown after it
            self._forget_ended()
        if snapshot.restarted:
            self.restarted.emit()
        self.polled.emit(snapshot.state, snapshot.progress, snapshot.record)
        if snapshot.log or snapshot.new_log:
            self.log_grown.emit(snapshot.log, snapshot.new_log)


def _end(
    action: Callable[[RunFolder], Any], run: RunFolder, started: StartedTraining | None
) -> None:
    """End a training by ``action``, or its process if it has not written to the files yet.

    A running training comes first, because it is the one that is shown.
    """
    if started is None or read_run_state(run).kind == "running" or not started.end_early():
        action(run)


RESUMABLE = ("stopped", "failed", "died", "refused", "silent")
STOP_AFTER_EPOCH, STOP_VALIDATION = "Stop after this epoch", "Stop"
STOP_HELP = {
    STOP_AFTER_EPOCH: "Finish the current epoch and save. Nothing is lost, and Resume continues.",
    STOP_VALIDATION: "Stop the validation. All members are kept. Resume validates again.",
}
KILL_HELP = (
    "End the training and all its processes now. The members so far are kept. Resume repeats the "
    "epochs since the last saved state."
)
ADD_CYCLE_HELP = (
    "Train one more cycle, with the learning rates of the last one. Its members join the ensemble."
)
USE_HELP = "Open the members so far in the Segment dock, even during the training."
BAR_HELP = (
    "Share of the cases preprocessed, of the epochs done, then of the validation cases measured."
)
RESUME_HELP = "Continue with the same learning rates, as if never stopped."
VALIDATION_FOLLOWS = "validation follows"
LOG_LINES = 2000


class WatchForm(QWidget):
    """A view of one run, with buttons that request changes by signals."""

    stop_requested = Signal()
    kill_requested = Signal()
    resume_requested = Signal()
    add_cycle_requested = Signal()
    use_requested = Signal()
    log_toggled = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._drawn = 0
        self._is_stopping = False
        self._has_record = False
        self._plan: tuple[RestartSchedule, MemberSelection] | None = None
        self.name = QLabel()
        self.progress = ProgressRow(can_stop=False)
        self.status = MessageLabel()
        self.stop_button = _button("", self.stop_requested)
        self.kill_button = _button("Kill…", self.kill_requested, KILL_HELP)
        self.resume_button = _button("Resume", self.resume_requested, RESUME_HELP)
        self.add_cycle_button = _button("Add cycle", self.add_cycle_requested, ADD_CYCLE_HELP)
        self.use_button = _button("Use this ensemble", self.use_requested, USE_HELP)
        self.plots = TrainingPlots()
        self.log = QPlainTextEdit()
        self.log_section = CollapsibleSection("Log", self.log)
        self.log_section.toggled.connect(self.log_toggled)
        self._lay_out()

    def set_run(self, path: Path | None) -> None:
        """Show the name of another run, and clear the rest."""
        self.name.setText("" if path is None else f"<b>{escape(path.name)}</b>")
        self.name.setToolTip(str(path or ""))
        self.status.show_message("")
        self.clear()

    def clear(self) -> None:
        """Clear the curves and the log, before a run is read from its beginning."""
        self._drawn = 0
        self._is_stopping = False
        self._has_record = False
        self.plots.set_reports(())
        self.log.clear()
        self.progress.hide()
        self._enable(RunState(kind="none", text=""), NOTHING_YET)

    def show_error(self, sentence: str) -> None:
        """Show an error, until the next state of the run arrives."""
        self.status.show_message(in_the_window(sentence))

    def show_stopping(self) -> None:
        """Disable the stop button while the epoch ends, which may take minutes."""
        self._is_stopping = True
        self.stop_button.setEnabled(False)

    def show_not_stopping(self) -> None:
        """Enable the stop button again with the next state, because the request failed."""
        self._is_stopping = False

    def set_record(self, record: TrainingRecord | None, fold: str) -> None:
        """Draw the planned learning rates of ``fold``, including added cycles."""
        if record is None:
            return
        self._has_record = True
        plan = record.schedule_of(fold), record.selection
        if plan != self._plan:
            self._plan = plan
            self.plots.set_schedule(*plan)

    def show_run(self, state: RunState, progress: TrainingProgress) -> None:
        """Show the state of the run, and extend its curves."""
        self._is_stopping = self._is_stopping and state.may_be_running
        if counted := counted_stage(progress):
            self.progress.show_stage(counted)
        self.progress.setVisible(counted is not None)
        self._enable(state, progress)
        # A stage with a total is told above the bar.
        stage = progress.stage.text if state.may_be_running and not progress.stage.total else ""
        details = ", ".join(_details(progress))
        sentences = [text for text in (state.text, stage, details, *progress.notices) if text]
        self.status.show_message("\n".join(map(in_the_window, sentences)))
        if len(progress.reports) != self._drawn:
            self.plots.set_reports(progress.reports)
            self._drawn = len(progress.reports)

    def add_log(self, text: str, is_new: bool) -> None:
        """Add lines to the log, or show a new log."""
        if is_new:
            self.log.clear()
        if text:
            self.log.appendPlainText(text.rstrip("\n"))

    def _enable(self, state: RunState, progress: TrainingProgress) -> None:
        active = state.may_be_running
        complete = bool(progress.reports) and len(progress.reports) >= progress.epochs
        # After the last epoch only the validation is left to stop.
        stop = STOP_VALIDATION if progress.stage.total and complete else STOP_AFTER_EPOCH
        self.stop_button.setText(stop)
        self.stop_button.setToolTip(STOP_HELP[stop])
        self.stop_button.setEnabled(active and not self._is_stopping)
        self.kill_button.setEnabled(active)
        # A training that was stopped in its first seconds has nothing to resume.
        has_begun = self._has_record or bool(progress.reports)
        self.resume_button.setEnabled(state.kind in RESUMABLE and has_begun)
        self.add_cycle_button.setEnabled(not active and complete)
        self.use_button.setEnabled(progress.members > 0)

    def _lay_out(self) -> None:
        self.progress.setToolTip(BAR_HELP)
        self.log.setReadOnly(True)
        # The log of a training of days would fill the memory of the window.
        self.log.setMaximumBlockCount(LOG_LINES)
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.log.setMinimumHeight(160)
        self.name.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        buttons = QGridLayout()
        for number, button in enumerate(
            (self.stop_button, self.kill_button, self.resume_button, self.add_cycle_button)
        ):
            buttons.addWidget(button, number // 2, number % 2)
        buttons.addWidget(self.use_button, 2, 0, 1, 2)
        head = (self.name, self.progress, self.status)
        column_layout(self, *head, buttons, self.plots, self.log_section)


def _button(text: str, clicked: SignalInstance, help: str = "") -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(help)
    button.clicked.connect(clicked)
    return button


def counted_stage(progress: TrainingProgress) -> StageStarted | None:
    """Return the stage of the cases, or of the epochs, that are done; None before it is known."""
    if progress.stage.total:
        return progress.stage
    if not progress.reports or not progress.epochs:
        return None
    last = progress.reports[-1]
    return StageStarted(
        text=f"Epoch {last.epoch + 1} of {progress.epochs} done",
        done=last.epoch + 1,
        total=progress.epochs,
        eta_seconds=progress.eta_seconds,
    )


def _details(progress: TrainingProgress) -> Iterator[str]:
    if progress.reports:
        yield f"Cycle {progress.reports[-1].cycle + 1} of {progress.cycles}"
    if progress.members:
        yield format_count(progress.members, "member")
    if progress.memory_bytes is not None:
        yield f"{progress.memory_bytes / 2**30:.1f} GiB of memory"
    if progress.eta_seconds is not None and progress.validation_cases and not progress.stage.total:
        yield VALIDATION_FOLLOWS
