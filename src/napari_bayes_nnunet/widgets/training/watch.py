"""A run folder that is looked at again and again: what its training has said, and how it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ...app import AppError
from ...app.training.process import StartedTraining, start
from ...app.training.progress import NOTHING_YET, TrainingProgress, progress_of
from ...app.training.progress_file import Follower, LogTail, LogUpdate
from ...app.training.request import TrainingRequest
from ...app.training.run_state import RunState, kill, read_run_state, request_stop
from ...core.command import BAYES_NNUNET
from ...io import DataError
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from ..common.background import Background
from ..common.wording import in_the_window

_POLL_MS = 500


@dataclass(frozen=True)
class RunSnapshot:
    """What one look at a run folder has found. ``log`` is None where nobody reads it."""

    state: RunState
    progress: TrainingProgress
    restarted: bool
    record: TrainingRecord | None
    log: LogUpdate | None


class RecordReader:
    """``ensemble.json`` of a run, read again only when it has changed."""

    def __init__(self, run: RunFolder) -> None:
        self._file = run.record
        self._seen: tuple[int, int] | None = None
        self._record: TrainingRecord | None = None

    def read(self) -> TrainingRecord | None:
        """The record, None where there is none yet."""
        try:
            stat = self._file.stat()
            if self._seen != (stat.st_mtime_ns, stat.st_size):
                self._record = read_record(self._file)
                self._seen = stat.st_mtime_ns, stat.st_size
        except (OSError, DataError):  # not yet written, or of a newer version: only the plan lacks
            return None
        return self._record


@dataclass(frozen=True)
class Readers:
    """What is read of a run, from where it was left."""

    messages: Follower
    record: RecordReader
    log: LogTail


class TrainingWatch(QObject):
    """Follows one run at a time, whoever started it; all that touches files is done in a thread.

    ``looked`` carries RunState, TrainingProgress, and TrainingRecord or None after every look,
    ``log_grown`` the LogUpdate, ``failed`` a sentence.
    """

    looked = Signal(object, object, object)
    restarted = Signal()
    log_grown = Signal(object)
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
        self._is_looking = False
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._look)

    @property
    def run(self) -> RunFolder | None:
        """The run that is followed."""
        return self._run

    def started_here(self) -> list[Path]:
        """Folders of the trainings that this window has started and that still run."""
        running = (path for path, process in self._started if not process.has_ended)
        return list(dict.fromkeys(running))

    def follow(self, path: Path | None) -> None:
        """Look at the run in ``path`` from now on; None looks at nothing.

        What was refused or has ended before is told by its folder from then on.
        """
        self._run = None if path is None else RunFolder(path)
        self._forget_ended()
        self._progress = NOTHING_YET
        # What hangs on the drive of the run before must not hold this one up.
        self._background.deleteLater()
        self._background = Background(self)
        self._is_looking = False
        self.restarted.emit()
        if self._run is None:
            self._timer.stop()
            return
        self._readers = Readers(Follower(self._run), RecordReader(self._run), LogTail(self._run))
        self._timer.start()
        self._look()

    def set_reads_log(self, reads: bool) -> None:
        """Whether ``log_grown`` is wanted."""
        self._reads_log = reads

    def start(self, request: TrainingRequest) -> None:
        """Start a training, and follow it."""
        path = request.output
        self._starting.add(path)
        self.follow(path)
        work = partial(start, request, command=self._command)
        answers = partial(self._on_started, path), partial(self._on_not_started, path)
        self._starter.run(work, *answers)

    def stop_after_epoch(self) -> None:
        """Ask the training to stop when its epoch is done."""
        self._act(request_stop)

    def kill(self) -> None:
        """End the training and all its processes at once."""
        self._act(kill)

    def stop_soon(self, path: Path) -> None:
        """The same for a training that may not be the one that is followed."""
        try:
            request_stop(RunFolder(path))  # here and now: the window may be closing
        except AppError as error:
            self.failed.emit(in_the_window(error))

    def _act(self, action: Callable[[RunFolder], Any]) -> None:
        if self._run is not None:
            self._background.run(partial(action, self._run), _ignore, self.failed.emit)

    def _forget_ended(self) -> None:
        self._started = [pair for pair in self._started if not pair[1].has_ended]

    def _on_started(self, path: Path, process: StartedTraining) -> None:
        self._starting.discard(path)
        self._started.append((path, process))

    def _on_not_started(self, path: Path, sentence: str) -> None:
        self._starting.discard(path)
        self.failed.emit(sentence)

    def _look(self) -> None:
        """A drive that is slow to answer is not asked again before it has."""
        if self._run is None or self._readers is None or self._is_looking:
            return
        self._is_looking = True
        path = self._run.path
        process = next((p for place, p in reversed(self._started) if place == path), None)
        work = partial(
            _look,
            self._run,
            self._readers,
            process,
            is_starting=path in self._starting,
            before=self._progress,
            reads_log=self._reads_log,
        )
        self._background.run(work, self._on_look, self._on_failed)

    def _on_look(self, look: RunSnapshot) -> None:
        self._is_looking = False
        self._progress = look.progress
        if look.state.kind == "running":  # what was refused before must not be told after it
            self._forget_ended()
        if look.restarted:
            self.restarted.emit()
        self.looked.emit(look.state, look.progress, look.record)
        if look.log is not None and (look.log.text or look.log.restarted):
            self.log_grown.emit(look.log)

    def _on_failed(self, sentence: str) -> None:
        self._is_looking = False
        self.failed.emit(sentence)


def _look(
    run: RunFolder,
    readers: Readers,
    process: StartedTraining | None,
    *,
    is_starting: bool,
    before: TrainingProgress,
    reads_log: bool,
) -> RunSnapshot:
    state = _state(
        run, process, is_starting
    )  # first: what ended has then written all it has to say
    update = readers.messages.read()
    record = readers.record.read()
    progress = progress_of(update.messages, NOTHING_YET if update.restarted else before)
    return RunSnapshot(
        state=state,
        progress=_with_length(progress, record),
        restarted=update.restarted,
        record=record,
        log=readers.log.read() if reads_log else None,
    )


def _state(run: RunFolder, process: StartedTraining | None, is_starting: bool) -> RunState:
    """As the files have it; of a process that has not yet written there, as it is itself.

    Where a training runs, started by whomever, it is this one that can be stopped.
    """
    state = read_run_state(run)
    if state.kind == "running":
        return state
    if is_starting or (process and not process.has_ended and not process.has_begun):
        return replace(state, kind="starting", text="The training is starting.")
    complaint = process.complaint() if process else None
    return replace(state, kind="refused", text=complaint) if complaint else state


def _with_length(progress: TrainingProgress, record: TrainingRecord | None) -> TrainingProgress:
    """Of a run whose messages do not say how long it is, from its record."""
    if progress.epochs or record is None or not progress.reports:
        return progress
    schedule = record.schedule_of(progress.reports[-1].fold)
    return replace(progress, epochs=schedule.all_epochs, cycles=schedule.all_cycles)


def _ignore(_: object) -> None:
    """The next look shows what came of it."""
