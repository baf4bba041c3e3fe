"""The state and progress of a run, read from its folder at regular intervals."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ...app import AppError
from ...app.training.process import StartedTraining, start_training
from ...app.training.request import TrainingRequest
from ...app.training.run_reader import RunReader, RunSnapshot
from ...app.training.run_state import kill_training, read_run_state, request_stop
from ...core.command import BAYES_NNUNET
from ...io.ensemble.run_folder import RunFolder
from ..common.background import Background
from ..common.wording import in_the_window

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
