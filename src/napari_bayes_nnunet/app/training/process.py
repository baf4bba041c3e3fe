"""Training process of the window, which it outlives, and all that its run folder says of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from ...core.command import BAYES_NNUNET
from ...core.fields import to_arguments
from ...core.problems import Action, Statement, statement
from ...io import DataError
from ...io.dataset.raw_dataset import format_label_names
from ...io.ensemble.run_folder import RunFolder, TrainingRecord, read_record
from .. import AppError
from .progress import (
    FIRST_LOG_BYTES,
    NOTHING_YET,
    FileTail,
    TrainingProgress,
    end_in,
    last_messages,
    log_text,
    messages_in,
    progress_of,
)
from .request import TrainingRequest
from .run_state import RunState, RunStatus, read_process_record, read_run_state

DIED_AT_START = "The training could not start ({reason}). See {file} for details."
ENDED_AT_START = "The training could not start ({reason})."
STOPPED_AT_START = "Stopped before training began."


def command_arguments(request: TrainingRequest) -> list[str]:
    """Return the arguments of ``bayes-nnunet train`` for the request."""
    names = ["--labels", format_label_names(request.labels)] if request.labels else []
    return [*to_arguments(request, every=False), *names, "--", str(request.dataset)]


def start_training(
    request: TrainingRequest, *, command: Sequence[str] = BAYES_NNUNET
) -> StartedTraining:
    """Start the training in a process that outlives this one.

    ``command`` is followed by ``train --jsonl`` and its arguments. Raises AppError if the program
    is missing. Any other error is reported by the process, see ``refusal``.
    """
    output = Path(os.path.abspath(request.output))
    dataset = Path(os.path.abspath(request.dataset))
    arguments = command_arguments(replace(request, output=output, dataset=dataset))
    try:
        with ExitStack() as opened:
            printed = opened.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(
                [*command, "train", "--jsonl", *arguments],
                # It may outlive the window, and nobody could answer it.
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                # Unbuffered, so that what it printed stands before the traceback that ends it.
                env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"},
                **_detachment(),
            )
            opened.pop_all()  # it is closed when the process has ended
    except OSError as error:
        raise AppError(
            "The training could not start, because {command} cannot be run ({reason}). Check the "
            "installation.",
            command=command[0],
            reason=error.strerror,
        ) from error
    return StartedTraining(process, printed=printed, run=RunFolder(output))


def _detachment() -> dict[str, Any]:
    """Return options of Popen that protect the child from Ctrl-C and from a closed terminal."""
    if sys.platform == "win32":
        # With DETACHED_PROCESS there is no console, so every child would open a window.
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


class StartedTraining:
    """A training that this process started.

    In the first second, before the process is recorded in the run folder, ``read_run_state`` still
    describes the previous training. A thread waits for the end of the process, so that the process
    does not become a zombie.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], *, printed: IO[bytes], run: RunFolder
    ) -> None:
        self.run = run
        self.is_ended_early = False
        self._process, self._printed = process, b""
        self._waiter = threading.Thread(target=self._wait_for_end, args=(printed,), daemon=True)
        self._waiter.start()

    @property
    def pid(self) -> int:
        """Process number of the training."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return not self._waiter.is_alive()

    @property
    def has_begun(self) -> bool:
        """Whether the run folder records the process, so that ``read_run_state`` describes it."""
        with suppress(OSError):
            info = read_process_record(self.run)
            return info is not None and info.is_here and info.pid == self.pid
        return False

    def end_early(self) -> bool:
        """End the process if the run folder does not record it yet; return whether that was done.

        Until then it deletes RUN/stop as that of an earlier training, and has nothing to lose.
        """
        if self.has_ended or self.has_begun:
            return False
        self.is_ended_early = True
        self._process.terminate()
        return True

    def refusal(self) -> Statement | str | None:
        """Return why the training ended at once; None while it runs, or if a message says why.

        For example, another training runs in the folder, or the dataset is missing.
        """
        return self._refusal if self.has_ended else None

    @cached_property
    def _refusal(self) -> Statement | str | None:
        code, begun = self._process.returncode, self.has_begun
        if code == 0 or (begun and self._has_reported_its_end()):
            return None
        if end := end_in(messages_in(self._printed)):
            return end.sentence
        if begun:  # its output is in its log, and the state of the folder describes its end
            return None
        if self.is_ended_early:
            continued = self.run.record.exists()  # as the state of the folder still says
            return None if continued else statement(STOPPED_AT_START, Action.START_AGAIN)
        if text := self._printed.decode("utf-8", errors="replace").strip():
            # Not in the folder of the run, which may not have been made.
            with tempfile.NamedTemporaryFile(
                prefix="bayes-nnunet-", suffix=".log", delete=False
            ) as file:
                file.write(self._printed)
            last = text.splitlines()[-1].strip().rstrip(".")
            return DIED_AT_START.format(reason=last, file=file.name)
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return ENDED_AT_START.format(reason=how)

    def _wait_for_end(self, printed: IO[bytes]) -> None:
        self._process.wait()
        with printed:
            # The child has written through this file, so it stands at the end.
            printed.seek(0)
            self._printed = printed.read()

    def _has_reported_its_end(self) -> bool:
        with suppress(OSError):
            return end_in(last_messages(self.run.progress)) is not None
        return False


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
