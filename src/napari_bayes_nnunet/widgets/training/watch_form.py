"""One run in the dock Train: how far it is, its curves, its log, its buttons."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...app.training.progress import NOTHING_YET, TrainingProgress
from ...app.training.progress_file import LogUpdate
from ...app.training.run_state import RunState
from ...core.durations import duration_text
from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ...io.ensemble.run_folder import TrainingRecord
from ..common.dock import CollapsibleSection, MessageLabel
from ..common.wording import in_the_window
from .plots import TrainingPlots

RESUMABLE = ("stopped", "failed", "died", "refused", "silent")
STOP_AFTER_EPOCH, STOP = "Stop after this epoch", "Stop"
STOP_HELP = {
    STOP_AFTER_EPOCH: "Ends the current epoch and saves: nothing is lost, and Resume goes on from "
    "there.",
    STOP: "Stops measuring the validation cases. All members are there; Resume measures anew.",
}
LOG_LINES = 2000
_STEPS = 1000


class WatchForm(QWidget):
    """Signals up: what the user wants. Setters down: what is shown."""

    stop_requested = Signal()
    kill_requested = Signal()
    resume_requested = Signal()
    add_cycle_requested = Signal()
    use_requested = Signal()
    log_toggled = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._drawn = 0
        self._stops = False
        self._plan: tuple[RestartSchedule, MemberSelection] | None = None
        self.name = QLabel()
        self.place = QLabel()
        self.bar = QProgressBar()
        self.status = MessageLabel()
        self.stop_button = QPushButton()
        self.kill_button = QPushButton("Kill…")
        self.resume_button = QPushButton("Resume")
        self.add_cycle_button = QPushButton("Add a cycle")
        self.use_button = QPushButton("Use this ensemble")
        self.plots = TrainingPlots()
        self.log = QPlainTextEdit()
        self.log_section = CollapsibleSection("Log", self.log)
        self._explain()
        self._lay_out()
        self._connect()

    def set_run(self, path: Path | None) -> None:
        """Show another run; nothing is known of it yet."""
        self.name.setText("" if path is None else f"<b>{path.name}</b>")
        self.name.setToolTip(str(path or ""))
        self.status.say("")
        self.clear()

    def clear(self) -> None:
        """Forget the curves and the log: the run is read again from its beginning."""
        self._drawn = 0
        self._stops = False
        self.plots.set_reports(())
        self.log.clear()
        self._show_place(NOTHING_YET)
        self._enable(RunState(kind="none", text=""), NOTHING_YET)

    def complain(self, sentence: str) -> None:
        """Show what went wrong; the next look at the run replaces it."""
        self.status.say(in_the_window(sentence))

    def show_stopping(self) -> None:
        """The training was asked to stop; its epoch may take minutes."""
        self._stops = True
        self.stop_button.setEnabled(False)

    def set_record(self, record: TrainingRecord | None, fold: str) -> None:
        """Draw the planned learning rates of ``fold``, those of added cycles included."""
        if record is None:
            return
        plan = record.schedule_of(fold), record.selection
        if plan != self._plan:
            self._plan = plan
            self.plots.set_schedule(*plan)

    def show_run(self, state: RunState, progress: TrainingProgress) -> None:
        """Show how the run is and what was added to its curves since."""
        self._stops = self._stops and state.goes_on
        self._show_place(progress)
        self._enable(state, progress)
        stage = progress.stage if state.goes_on and not progress.stage_total else ""
        spoken = [words for words in (state.text, stage, *progress.notices) if words]
        self.status.say("\n".join(map(in_the_window, spoken)))
        self._draw(progress)

    def add_log(self, log: LogUpdate) -> None:
        """Add lines to the log, or show it anew."""
        if log.restarted:
            self.log.clear()
        if log.text:
            self.log.appendPlainText(log.text.rstrip("\n"))

    def _draw(self, progress: TrainingProgress) -> None:
        new = progress.reports[self._drawn :]
        if len(new) == 1:
            self.plots.add_report(new[0])
        elif new:
            self.plots.set_reports(progress.reports)
        self._drawn = len(progress.reports)

    def _show_place(self, progress: TrainingProgress) -> None:
        text, fraction = place_of(progress)
        self.place.setText(text)
        self.bar.setValue(round(fraction * _STEPS))

    def _enable(self, state: RunState, progress: TrainingProgress) -> None:
        active = state.goes_on
        complete = bool(progress.reports) and len(progress.reports) >= progress.epochs
        stop = STOP if progress.stage_total else STOP_AFTER_EPOCH
        self.stop_button.setText(stop)
        self.stop_button.setToolTip(STOP_HELP[stop])
        self.stop_button.setEnabled(active and not self._stops)
        self.kill_button.setEnabled(active)
        self.resume_button.setEnabled(state.kind in RESUMABLE)
        self.add_cycle_button.setEnabled(not active and complete)
        self.use_button.setEnabled(progress.members > 0)

    def _explain(self) -> None:
        self.kill_button.setToolTip(
            "Ends the training and all its processes at once. The members so far stay; Resume "
            "repeats the epochs since the last saved state."
        )
        self.resume_button.setToolTip("Goes on with the same learning rates, as if uninterrupted.")
        self.add_cycle_button.setToolTip(
            "Trains for one more cycle: the learning rate restarts as in the last one, and the "
            "ensemble gets members of a new mode."
        )
        self.use_button.setToolTip(
            "Opens the members so far in the dock Segment, while the training goes on, too."
        )
        self.bar.setToolTip(
            "Epochs done, each a fixed number of training steps; then validation cases measured."
        )

    def _lay_out(self) -> None:
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(LOG_LINES)
        self.log.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.log.setMinimumHeight(160)
        self.place.setWordWrap(True)
        self.name.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        buttons = QGridLayout()
        for number, button in enumerate(
            (self.stop_button, self.kill_button, self.resume_button, self.add_cycle_button)
        ):
            buttons.addWidget(button, number // 2, number % 2)
        buttons.addWidget(self.use_button, 2, 0, 1, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.name, self.place, self.bar, self.status):
            column.addWidget(widget)
        column.addLayout(buttons)
        column.addWidget(self.plots)
        column.addWidget(self.log_section)

    def _connect(self) -> None:
        self.stop_button.clicked.connect(self.stop_requested)
        self.kill_button.clicked.connect(self.kill_requested)
        self.resume_button.clicked.connect(self.resume_requested)
        self.add_cycle_button.clicked.connect(self.add_cycle_requested)
        self.use_button.clicked.connect(self.use_requested)
        self.log_section.toggled.connect(self.log_toggled)


def place_of(progress: TrainingProgress) -> tuple[str, float]:
    """Where the training is, in words, and the share done of its epochs or validation cases."""
    if progress.stage_total:
        parts, fraction = [progress.stage], progress.stage_done / progress.stage_total
    elif progress.reports and progress.epochs:
        last = progress.reports[-1]
        parts = [
            f"Cycle {last.cycle + 1} of {progress.cycles}",
            f"epoch {last.epoch + 1} of {progress.epochs} done",
        ]
        fraction = (last.epoch + 1) / progress.epochs
    else:
        return "", 0.0
    return ", ".join([*parts, *_details(progress)]), fraction


def _details(progress: TrainingProgress) -> Iterator[str]:
    if progress.eta_seconds:
        yield f"{duration_text(progress.eta_seconds)} left"
    if progress.eta_seconds is not None and progress.validation_cases and not progress.stage_total:
        yield "then the validation cases are measured"
    if progress.memory_bytes is not None:
        yield f"{progress.memory_bytes / 2**30:.1f} GiB of memory"
    if progress.members:
        yield f"{progress.members} member{'s' if progress.members > 1 else ''}"
