"""The state and progress of a run, read from its folder at regular intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ...app import AppError
from ...app.training.process import StartedTraining, start_training
from ...app.training.progress import NOTHING_YET, TrainingProgress, progress_of
from ...app.training.progress_file import Follower, LogTail, LogUpdate
from ...app.training.request import TrainingRequest
from ...app.training.run_state import (
    RunState,
    RunStatus,
    kill_training,
    read_run_state,
    request_stop,
)
from ...core.command import BAYES_NNUNET
from ...io import DataError
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from ..common.background import Background
from ..common.wording import in_the_window

_POLL_MS = 500


@dataclass(frozen=True)
class RunSnapshot:
    """State and progress of a run at one time. ``log`` is None unless the log is read."""

    state: RunState
    progress: TrainingProgress
    restarted: bool
    record: TrainingRecord | None
    log: LogUpdate | None


class RecordReader:
    """Reader of a run's ``ensemble.json``, which is read again only after a change."""

    def __init__(self, run: RunFolder) -> None:
        self._file = run.record
        self._version: tuple[int, int] | None = None
        self._record: TrainingRecord | None = None

    def read(self) -> TrainingRecord | None:
        """Return the record, None if there is none yet."""
        try:
            stat = self._file.stat()
            if self._version != (stat.st_mtime_ns, stat.st_size):
                self._record = read_record(self._file)
                self._version = stat.st_mtime_ns, stat.st_size
        except (OSError, DataError):  # missing, or of a newer version: only the plan is not shown
            return None
        return self._record


@dataclass(frozen=True)
class Readers:
    """Readers of a run's files, each with its position."""

    messages: Follower
    record: RecordReader
    log: LogTail


class TrainingWatch(QObject):
    """A follower of one run at a time, which reads the files in a thread.

    ``polled`` carries RunState, TrainingProgress, and TrainingRecord or None; ``log_grown`` the
    LogUpdate; ``unread`` why the run cannot be read now; ``failed`` why a training could not be
    started or ended, even if another run is followed by then. ``restarted`` means that the run is
    read from its beginning.
    """

    polled = Signal(object, object, object)
    restarted = Signal()
    log_grown = Signal(object)
    unread = Signal(str)
    failed = Signal(str)

    def __init__(
        self, command: Sequence[str] = BAYES_NNUNET, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._command = tuple(command)
        self._run: RunFolder | None = None
        self._starting: set[Path] = set()
        self._started: list[tuple[Path, StartedTraining]] = []
        self._progress = NOTHING_YET
        self._readers: Readers | None = None
        self._reads_log = False
        self._background, self._starter = Background(self), Background(self)
        self._ender = Background(self)
        self._is_polling = False
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def run(self) -> RunFolder | None:
        """The followed run."""
        return self._run

    def started_here(self) -> list[Path]:
        """Return the folders of running trainings that this window started."""
        running = (path for path, process in self._started if not process.has_ended)
        return list(dict.fromkeys(running))

    def follow(self, path: Path | None) -> None:
        """Follow the run in ``path``, or none.

        Trainings of this window that have ended are forgotten; their folders have their state.
        """
        self._run = None if path is None else RunFolder(path)
        self._forget_ended()
        self._progress = NOTHING_YET
        # A hanging drive of the last run must not delay this one.
        self._background.deleteLater()
        self._background = Background(self)
        self._is_polling = False
        self.restarted.emit()
        if self._run is None:
            self._timer.stop()
            return
        self._readers = Readers(Follower(self._run), RecordReader(self._run), LogTail(self._run))
        self._timer.start()
        self._poll()

    def set_reads_log(self, reads: bool) -> None:
        """Choose whether the log is read too."""
        self._reads_log = reads

    def start(self, request: TrainingRequest) -> None:
        """Start a training and follow it."""
        path = request.output
        self._starting.add(path)
        self.follow(path)
        work = partial(start_training, request, command=self._command)
        callbacks = partial(self._on_started, path), partial(self._on_not_started, path)
        self._starter.run(work, *callbacks)

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

    def _act(self, action: Callable[[RunFolder], Any]) -> None:
        if self._run is not None:
            work = partial(_end, action, self._run, self._started_in(self._run.path))
            self._ender.run(work, on_error=self.failed.emit)

    def _started_in(self, path: Path) -> StartedTraining | None:
        """Return the last training that this window started in ``path``."""
        return next((p for folder, p in reversed(self._started) if folder == path), None)

    def _forget_ended(self) -> None:
        self._started = [pair for pair in self._started if not pair[1].has_ended]

    def _on_started(self, path: Path, process: StartedTraining) -> None:
        self._starting.discard(path)
        self._started.append((path, process))

    def _on_not_started(self, path: Path, sentence: str) -> None:
        self._starting.discard(path)
        self.failed.emit(sentence)

    def _poll(self) -> None:
        """Read the run, unless a slow drive still delays the last time."""
        if self._run is None or self._readers is None or self._is_polling:
            return
        self._is_polling = True
        path = self._run.path
        work = partial(
            _read_snapshot,
            self._run,
            self._readers,
            self._started_in(path),
            is_starting=path in self._starting,
            last_progress=self._progress,
            reads_log=self._reads_log,
        )
        self._background.run(work, self._on_polled, self._on_failed)

    def _on_polled(self, snapshot: RunSnapshot) -> None:
        self._is_polling = False
        self._progress = snapshot.progress
        if snapshot.state.kind == "running":  # an earlier refusal must not be shown after it
            self._forget_ended()
        if snapshot.restarted:
            self.restarted.emit()
        self.polled.emit(snapshot.state, snapshot.progress, snapshot.record)
        log = snapshot.log
        if log is not None and (log.text or log.restarted):
            self.log_grown.emit(log)

    def _on_failed(self, sentence: str) -> None:
        self._is_polling = False
        self.unread.emit(sentence)


def _end(
    action: Callable[[RunFolder], Any], run: RunFolder, process: StartedTraining | None
) -> None:
    """End a training by ``action``, or its process if it has not written to the files yet.

    A running training comes first, because it is the one that is shown.
    """
    if process is None or read_run_state(run).kind == "running" or not process.end_early():
        action(run)


def _read_snapshot(
    run: RunFolder,
    readers: Readers,
    process: StartedTraining | None,
    *,
    is_starting: bool,
    last_progress: TrainingProgress,
    reads_log: bool,
) -> RunSnapshot:
    # The state is read first, because a training that has ended has written all its messages.
    state = _read_state(run, process, is_starting)
    update = readers.messages.read()
    record = readers.record.read()
    progress = progress_of(update.messages, NOTHING_YET if update.restarted else last_progress)
    return RunSnapshot(
        state=state,
        progress=_with_length(progress, record),
        restarted=update.restarted,
        record=record,
        log=readers.log.read() if reads_log else None,
    )


def _read_state(run: RunFolder, process: StartedTraining | None, is_starting: bool) -> RunState:
    """Return the state from the files, or from a process that has not written to them yet.

    A running training comes first, whoever started it, because only that one can be stopped.
    """
    # The process is asked before the files are read: if it begins in between, they say so.
    is_starting = is_starting or bool(process and not process.has_ended and not process.has_begun)
    state = read_run_state(run)
    if state.kind == "running":
        return state
    if is_starting:
        return replace(state, kind="starting", text="Training is starting.")
    if process is None or (refusal := process.refusal()) is None:
        return state
    kind: RunStatus = "stopped" if process.is_ended_early else "refused"
    return replace(state, kind=kind, text=refusal)


def _with_length(progress: TrainingProgress, record: TrainingRecord | None) -> TrainingProgress:
    """Add the number of epochs and cycles from the record if the messages lack it."""
    if progress.epochs or record is None or not progress.reports:
        return progress
    schedule = record.schedule_of(progress.reports[-1].fold)
    return replace(progress, epochs=schedule.all_epochs, cycles=schedule.all_cycles)
