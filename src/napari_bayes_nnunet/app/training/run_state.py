"""Whether a training runs in a folder, or how it ended; how to stop and to kill it.

Told from files and processes alone, for jobs started by anybody, on a shared drive as well. The
lock of the folder is left alone: to try it would make a training that starts just then fail.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import psutil

from ...core.durations import duration_text
from ...core.problems import Action, Statement, statement
from ...io.ensemble.run_folder import RunFolder
from .. import AppError
from ..messages import STOPPED, EpochDone, JobEnded, Message, TrainingStarted, speech
from .process_record import JobInfo, is_gone, read_process_record
from .progress_file import ProgressFile, end_in, last_messages, unreachable

RunStatus = Literal[
    "none", "starting", "refused", "running", "silent", "finished", "stopped", "failed", "died"
]
"""Starting and refused are what only who started a process knows: it has not yet written."""

OUTCOMES: dict[str, RunStatus] = {"finished": "finished", "stopped": "stopped"}
SILENT_AFTER = 600.0
"""Seconds without a word after which a training on another host is called silent."""
SILENT_EPOCHS = 10
"""… or as many times the duration of its last epochs, where that is longer."""
GONE_WITHIN = 5.0
"""Seconds that killed processes are waited for."""


@dataclass(frozen=True, kw_only=True)
class RunState:
    """How things stand in a run folder.

    ``kind`` is "none" (no training here), "running", "silent" (on another host, perhaps dead),
    "finished", "stopped", "failed" or "died" (gone without a last message). ``text`` is for the
    user. ``heard`` is when the training last wrote something, ``host`` where it runs or ran.
    """

    kind: RunStatus
    text: Statement | str
    host: str | None = None
    heard: datetime | None = None
    info: JobInfo | None = None

    @property
    def goes_on(self) -> bool:
        """Whether a training is, or may be, at work."""
        return self.kind in ("starting", "running", "silent")


def read_run_state(run: RunFolder) -> RunState:
    """Whether a training runs in ``run``, or how the last one ended.

    For the process on this computer its number and its start are looked up. A training on another
    host counts as running until it says that it ended; how long it has been silent is the age of
    its files by this computer's clock, so hosts whose clocks differ by minutes are told that many
    minutes too much or too little. Raises AppError when the folder cannot be reached.
    """
    try:
        info, heard = read_process_record(run), _last_heard(run)
        kind, text = _kind_and_text(run, info, last_messages(run.progress), heard)
    except OSError as error:
        raise unreachable(run.path, error) from error
    return RunState(
        kind=kind,
        text=text,
        host=info.host if info else None,
        heard=datetime.fromtimestamp(heard).astimezone() if heard is not None else None,
        info=info,
    )


def request_stop(run: RunFolder) -> None:
    """Ask the training to save and end after the current epoch. Raises AppError."""
    try:
        run.stop.touch()
    except OSError as error:
        raise AppError(
            "{run} cannot be written to, so the training cannot be asked to stop: {strerror}.",
            run=run.path,
            strerror=error.strerror,
        ) from error


def kill(run: RunFolder, *, within: float = GONE_WITHIN) -> None:
    """End the training in ``run`` with all its child processes, at once.

    Returns when they are gone; the last message then says that it was killed. Raises AppError when
    no training runs on this computer, or when it does not end within so many seconds.
    """
    process = _process_to_kill(run)
    try:
        processes = _end_tree(process)
    except psutil.AccessDenied as error:
        raise AppError(
            "The training in {run} belongs to another user of this computer and cannot be killed "
            "by you: ask it to stop after this epoch.",
            run=run.path,
        ) from error
    end = time.monotonic() + within
    while not all(map(is_gone, processes)):
        if time.monotonic() > end:
            raise AppError(
                "The training in {run} did not end within {within:.0f} s (process {pid}): it may "
                "wait for a drive. Try again.",
                run=run.path,
                within=within,
                pid=process.pid,
            )
        time.sleep(0.02)
    with suppress(OSError):  # gone it is; without this line it counts as died
        if end_in(last_messages(run.progress)) is None:
            ProgressFile(run.progress).append(
                JobEnded(outcome=STOPPED, **speech(statement("Killed.", _remedy(run))))
            )


def _process_to_kill(run: RunFolder) -> psutil.Process:
    state = read_run_state(run)
    process = state.info.process() if state.info and state.goes_on else None
    if process is None:
        if state.goes_on:
            raise AppError(
                "The training in {run} runs on {host} and can be killed only there: ask it to "
                "stop after this epoch.",
                run=run.path,
                host=state.host,
            )
        raise AppError(
            "No training runs in {run}, so there is nothing to kill: {text}",
            run=run.path,
            text=state.text,
        )
    return process


def _end_tree(process: psutil.Process) -> list[psutil.Process]:
    """Kill children, their children and the process itself; returns all of them."""
    processes = [process]
    with suppress(psutil.NoSuchProcess):
        process.suspend()  # so that it neither starts another child nor mourns one in its log
        processes = [*process.children(recursive=True), process]
    for each in processes:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    return processes


def _last_heard(run: RunFolder) -> float | None:
    """When the training last wrote something, seconds since 1970 by the clock of the drive."""
    times = []
    for file in (run.job, run.progress, run.log):
        with suppress(FileNotFoundError):
            times.append(file.stat().st_mtime)
    return max(times, default=None)


def _kind_and_text(
    run: RunFolder, info: JobInfo | None, messages: list[Message], heard: float | None
) -> tuple[RunStatus, Statement | str]:
    if end := end_in(messages):
        return OUTCOMES.get(end.outcome, "failed"), end.spoken
    if info is None and not messages:
        what = "was started in" if run.path.exists() else "can be found, for there is no folder"
        return "none", f"No training {what} {run.path}."
    if info is None or (info.is_here and info.process() is None):
        return "died", statement(
            "The training ended unexpectedly (killed, power loss or out of memory).", _remedy(run)
        )
    stopping = f" {_stopping(messages)}" if run.stop.exists() else ""
    if info.is_here:
        return "running", f"Training on this computer.{stopping}"
    silence = max(0.0, time.time() - (heard or 0))
    if silence > max(SILENT_AFTER, SILENT_EPOCHS * _epoch_seconds(messages)):
        return "silent", (
            f"A training was started on {info.host}, but nothing was heard of it for "
            f"{duration_text(silence)}: look there whether it still runs before you resume it."
        )
    return "running", f"Training on {info.host}, last heard {duration_text(silence)} ago.{stopping}"


def _stopping(messages: list[Message]) -> str:
    in_epochs = bool(messages) and isinstance(messages[-1], EpochDone | TrainingStarted)
    return "It stops after this epoch." if in_epochs else "It stops as soon as it can."


def _epoch_seconds(messages: list[Message]) -> float:
    """Duration of the slowest of the last epochs, 0 before the first."""
    seconds = [message.seconds for message in messages if isinstance(message, EpochDone)]
    return max(seconds[-5:], default=0.0)


def _remedy(run: RunFolder) -> Action:
    return Action.RESUME if run.record.exists() else Action.START_AGAIN
