"""State of the training in a run folder, and functions that stop or kill it.

Files and processes alone give the state, so this works for all jobs, even on a shared drive. It
does not try the lock of the folder, because a training that starts just then would fail.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import psutil

from ...core.durations import duration_text
from ...core.problems import Action, Statement, statement
from ...io.ensemble.run_folder import RunFolder
from ...io.files.atomic import write_json
from ...io.files.given_path import is_same_path, resolve_links
from ...io.files.json_files import Ordinal, parse_json
from ...io.files.limits import read_small
from .. import AppError
from ..messages import STOPPED, EpochDone, JobEnded, Message, TrainingStarted, text_fields
from .progress import append_message, end_in, last_messages, unreachable

RunStatus = Literal[
    "none", "starting", "refused", "running", "silent", "finished", "stopped", "failed", "died"
]
"""Only the process that started a training knows "starting" and "refused", without any file."""

OUTCOMES: dict[str, RunStatus] = {"finished": "finished", "stopped": "stopped"}
SAME_PROCESS = 10.0
"""Seconds by which the start time of a process may change when the clock is corrected."""
SILENT_AFTER = 600.0
"""Seconds without a message after which a training on another host is called silent."""
SILENT_EPOCHS = 10
"""… or this number times the duration of its last epochs, if that is longer."""
GONE_WITHIN = 5.0
"""Seconds to wait for killed processes."""

NEVER_STARTED = "No training was started in {run}."
NO_RUN_FOLDER = "The folder {run} does not exist."
ENDED_UNEXPECTEDLY = (
    "The training ended unexpectedly (killed, power loss, full disk or out of memory)."
)
RUNS_HERE = "Training on this computer."
RUNS_ELSEWHERE = "Training on {host}, last heard {silence} ago."
RUN_IS_SILENT = (
    "The training on {host} has not written anything for {silence}. Before you resume it, check on "
    "{host} that it is not running."
)
STOPS_AFTER_EPOCH = "It stops after this epoch."
STOPS_SOON = "It stops as soon as it can."


@dataclass(frozen=True, kw_only=True)
class JobInfo:
    """The latest process of a training and its arguments, RUN/job.json.

    The training itself writes it, so that jobs in a terminal or on a server have it too.
    ``process_started``, in seconds since 1970 by the clock of ``host``, distinguishes a process
    from a later one with the same number. ``started_at`` is the same for people (ISO 8601).
    ``dataset`` is a path, ``arguments`` are those of ``bayes-nnunet train``. ``device`` is that of
    the request.
    """

    pid: Ordinal
    host: str
    process_started: float
    started_at: str
    dataset: str
    fold: str
    arguments: tuple[str, ...]
    device: str = "auto"

    @property
    def is_here(self) -> bool:
        """Whether the process runs, or ran, on this computer."""
        return self.host == socket.gethostname()

    def process(self, run: RunFolder) -> psutil.Process | None:
        """Return the process, None if it has ended, is on another host or does not train ``run``.

        A copy of a run has the record of the original, and any process may stand in a file.
        """
        with suppress(psutil.Error):
            if self.is_here:
                process = psutil.Process(self.pid)
                moved = abs(process.create_time() - self.process_started)
                if moved <= SAME_PROCESS and not is_gone(process) and _trains(process, run):
                    return process
        return None


def is_gone(process: psutil.Process) -> bool:
    """Return whether a process has ended; a zombie counts as ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _trains(process: psutil.Process, run: RunFolder) -> bool:
    """Return whether a process trains ``run``, by its command line or by the lock that it holds.

    A drive without locks has none, and only the command line of another user's process is known.
    """
    words, folder = process.cmdline(), Path(os.sep)
    with suppress(psutil.AccessDenied):
        folder = Path(process.cwd())
    paths = (folder / word.removeprefix("--output=") for word in words)
    if "train" in words and any(is_same_path(path, run.path) for path in paths):
        return True
    # Not the same file: in a copy made of hard links, the locks of both runs are one.
    return resolve_links(run.lock) in (Path(file.path) for file in process.open_files())


def write_process_record(run: RunFolder, **values: Any) -> None:
    """Record this process as the one that trains in ``run``; from now on RUN/stop stops it.

    ``values`` are those fields of `JobInfo` that do not follow from the process.
    """
    info = JobInfo(
        pid=os.getpid(),
        host=socket.gethostname(),
        process_started=psutil.Process().create_time(),
        started_at=datetime.now().astimezone().isoformat(timespec="seconds"),
        **values,
    )
    write_json(run.job, asdict(info))


def read_process_record(run: RunFolder) -> JobInfo | None:
    """Return the recorded process of ``run``, None if there is none.

    Raises OSError if the drive cannot be reached.
    """
    try:
        return parse_json(read_small(run.job), JobInfo)
    except (FileNotFoundError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True)
class RunState:
    """State of a run folder.

    ``kind`` is "none" (no training here), "running", "silent" (on another host, perhaps dead),
    "finished", "stopped", "failed" or "died" (ended without a last message). ``text`` is for the
    user, ``info`` the record of the process.
    """

    kind: RunStatus
    text: Statement | str
    info: JobInfo | None = None

    @property
    def may_be_running(self) -> bool:
        """Whether a training runs, or may run."""
        return self.kind in ("starting", "running", "silent")


def read_run_state(run: RunFolder) -> RunState:
    """Return whether a training runs in ``run``, or how the last one ended.

    On this computer `JobInfo.process` shows this. A training on another host counts as running
    until it reports its end. Its silence is the age of its files by the clock of this computer, so
    it is wrong by the difference of the clocks. Raises AppError if the folder cannot be reached.
    """
    try:
        info, silence = read_process_record(run), _seconds_of_silence(run)
        kind, text = _kind_and_text(run, info, last_messages(run.progress), silence)
    except OSError as error:
        raise unreachable(run.path, error) from error
    return RunState(kind=kind, text=text, info=info)


def request_stop(run: RunFolder) -> None:
    """Ask the training to save and end after the current epoch. Raises AppError if that fails."""
    try:
        run.stop.touch()
    except OSError as error:
        raise AppError(
            "The training cannot be stopped, because {run} cannot be written ({reason}). Check "
            "that its drive is connected.",
            run=run.path,
            reason=error.strerror,
        ) from error


def kill_training(run: RunFolder, *, within: float = GONE_WITHIN) -> None:
    """End the training in ``run`` and all its child processes at once.

    Returns when they have ended, and writes a last message. Raises AppError if no training runs on
    this computer, or if it does not end within ``within`` seconds.
    """
    process = _process_to_kill(run)
    try:
        processes = _end_tree(process)
    except psutil.AccessDenied as error:
        raise AppError(
            "The training in {run} belongs to another user, so you cannot kill it. Stop it after "
            "this epoch instead.",
            run=run.path,
        ) from error
    end = time.monotonic() + within
    while not all(map(is_gone, processes)):
        if time.monotonic() > end:
            raise AppError(
                "The training in {run} (process {pid}) did not end within {within:.0f} s, perhaps "
                "because it waits for a drive. Try again.",
                run=run.path,
                within=within,
                pid=process.pid,
            )
        time.sleep(0.02)
    with suppress(OSError):  # it has ended; without this message it would count as died
        if end_in(last_messages(run.progress)) is None:
            killed = statement("Killed.", _remedy(run))
            append_message(run.progress, JobEnded(outcome=STOPPED, **text_fields(killed)))


def _process_to_kill(run: RunFolder) -> psutil.Process:
    state = read_run_state(run)
    if state.info is None or not state.may_be_running:
        raise AppError("No training is running in {run}. {text}", run=run.path, text=state.text)
    process = state.info.process(run)
    if process is None:
        raise AppError(
            "The training in {run} runs on {host} and can be killed only there. Stop it after "
            "this epoch instead.",
            run=run.path,
            host=state.info.host,
        )
    return process


def _end_tree(process: psutil.Process) -> list[psutil.Process]:
    """Kill the process and all its descendants; return them."""
    processes = [process]
    with suppress(psutil.NoSuchProcess):
        process.suspend()  # so that it cannot start new children or log their deaths
        processes = [*process.children(recursive=True), process]
    for member in processes:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    return processes


def _seconds_of_silence(run: RunFolder) -> float:
    """Return the age of the training's latest file, since 1970 if there is none."""
    times = [0.0]
    for file in (run.job, run.progress, run.log):
        with suppress(FileNotFoundError):
            times.append(file.stat().st_mtime)
    return max(0.0, time.time() - max(times))


def _kind_and_text(
    run: RunFolder, info: JobInfo | None, messages: list[Message], silence: float
) -> tuple[RunStatus, Statement | str]:
    if end := end_in(messages):
        return OUTCOMES.get(end.outcome, "failed"), end.sentence
    if info is None and not messages:
        absent = NEVER_STARTED if run.path.exists() else NO_RUN_FOLDER
        return "none", statement(absent, run=run.path)
    if info is None or (info.is_here and info.process(run) is None):
        return "died", statement(ENDED_UNEXPECTEDLY, _remedy(run))
    stopping = f" {_stopping_text(messages)}" if run.stop.exists() else ""
    if info.is_here:
        return "running", f"{RUNS_HERE}{stopping}"
    values = {"host": info.host, "silence": duration_text(silence)}
    if silence > max(SILENT_AFTER, SILENT_EPOCHS * _epoch_seconds(messages)):
        return "silent", statement(RUN_IS_SILENT, **values)
    return "running", RUNS_ELSEWHERE.format(**values) + stopping


def _stopping_text(messages: list[Message]) -> str:
    in_epochs = bool(messages) and isinstance(messages[-1], EpochDone | TrainingStarted)
    return STOPS_AFTER_EPOCH if in_epochs else STOPS_SOON


def _epoch_seconds(messages: list[Message]) -> float:
    """Return the duration of the slowest of the last epochs, 0 before the first."""
    seconds = [message.seconds for message in messages if isinstance(message, EpochDone)]
    return max(seconds[-5:], default=0.0)


def _remedy(run: RunFolder) -> Action:
    return Action.RESUME if run.record.exists() else Action.START_AGAIN
