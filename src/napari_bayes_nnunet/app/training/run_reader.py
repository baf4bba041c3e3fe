"""Reader of all that a run folder says of its training: state, progress, record and log."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from ...io import DataError
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from .process import StartedTraining
from .progress import NOTHING_YET, TrainingProgress, progress_of
from .progress_file import FIRST_LOG_BYTES, FileTail, log_text, messages_in
from .run_state import RunState, RunStatus, read_run_state


@dataclass(frozen=True, kw_only=True)
class RunSnapshot:
    """State and progress of a run at one time.

    ``restarted``: the messages begin again, such as after a resume. ``record`` is None until there
    is one. ``log`` has the new lines of the log, if it is read, and ``new_log`` says that they
    replace the earlier ones.
    """

    state: RunState
    progress: TrainingProgress
    restarted: bool
    record: TrainingRecord | None
    log: str = ""
    new_log: bool = False


class RunReader:
    """Reader of one run, which reads every line once."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self._messages = FileTail(run.progress)
        self._log = FileTail(run.log, limit=FIRST_LOG_BYTES)
        self._progress = NOTHING_YET
        self._version: tuple[int, int] | None = None
        self._record: TrainingRecord | None = None

    def read(self, started: StartedTraining | None, *, with_log: bool) -> RunSnapshot:
        """Return what is new; ``started`` is the process that this window started in the run.

        Raises AppError if the folder cannot be reached.
        """
        # The state is read first, because a training that has ended has written all its messages.
        state = read_state(self.run, started)
        lines, restarted = self._messages.read()
        before = NOTHING_YET if restarted else self._progress
        self._progress = progress_of(messages_in(lines), before)
        log, new_log = self._log.read() if with_log else (b"", False)
        return RunSnapshot(
            state=state,
            progress=self._progress,
            restarted=restarted,
            record=self._read_record(),
            log=log_text(log),
            new_log=new_log,
        )

    def _read_record(self) -> TrainingRecord | None:
        """Return ``ensemble.json``, read again only after a change."""
        with suppress(OSError, DataError):  # missing, or of a newer version: no plan is shown
            stat = self.run.record.stat()
            if self._version != (stat.st_mtime_ns, stat.st_size):
                self._record = read_record(self.run.record)
                self._version = stat.st_mtime_ns, stat.st_size
            return self._record
        return None


def read_state(run: RunFolder, started: StartedTraining | None) -> RunState:
    """Return the state from the files, or from a process that has not written to them yet.

    A running training comes first, whoever started it, because only that one can be stopped.
    """
    # The process is asked before the files are read: if it begins in between, they say so.
    is_starting = started is not None and not started.has_ended and not started.has_begun
    state = read_run_state(run)
    if state.kind == "running":
        return state
    if is_starting:
        return replace(state, kind="starting", text="Training is starting.")
    if started is None or (refusal := started.refusal()) is None:
        return state
    kind: RunStatus = "stopped" if started.is_ended_early else "refused"
    return replace(state, kind=kind, text=refusal)
