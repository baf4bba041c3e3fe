"""Training in a terminal, with a progress bar or JSON lines; other output goes to train.log."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn, TextIO

from ...core.problems import Action, Problem, Remedy, Statement, statement
from ...io.ensemble.run_folder import RunFolder
from ...io.files.disk import is_disk_full
from .. import AppError
from ..messages import (
    FAILED,
    FINISHED,
    STOPPED,
    EpochDone,
    JobEnded,
    Message,
    StageStarted,
    text_fields,
)
from ..signals import StopRequest
from ..terminal import JobText, JsonLines
from .job import TrainingJob, prepare_job
from .process import STOPPED_AT_START, command_arguments
from .progress import append_message
from .request import TrainingRequest
from .run import run_job
from .run_state import write_process_record

TRAINING_FILLED_DISK = (
    "The disk is full, so nothing more can be written to {run}. Free some disk space."
)
STOPPED_TRAINING = "Stopped."
FINISHED_FOLD = "The training of fold {fold} is finished. The ensemble is in {run}."


def train_in_terminal(request: TrainingRequest, *, jsonl: bool) -> str:
    """Train with progress on the standard output; return how it ended, in words.

    The output of nnU-Net and the traceback of a failure go to RUN/train.log, every message goes to
    RUN/progress.jsonl, and RUN/job.json describes the process. Raises AppError or DataError for any
    failure. A request that is refused at once does not change these files.
    """
    with (
        prepare_job(request) as job,
        _output_into(job.run.log) as (terminal, errors),
        contextlib.closing(
            JsonLines(terminal, kinds=EpochDone) if jsonl else JobText(terminal)
        ) as view,
    ):
        record, stop = partial(append_message, job.run.progress), StopRequest(job.run.stop)

        def send(message: Message) -> None:
            record(message)
            with contextlib.suppress(OSError):  # training continues if the terminal is closed
                view.show(message)

        def leave() -> NoReturn:
            stopped = _ending(job, finished=False)
            with contextlib.suppress(OSError):
                record(JobEnded(outcome=STOPPED, **text_fields(stopped)))
                os.write(errors, f"{stopped}\n".encode())
            os._exit(0)

        try:
            with stop.listening(leave):
                # Before RUN/job.json is written, whose reader would otherwise take the end of an
                # earlier training for that of this one.
                record(StageStarted(text="Starting"))
                _record_process(job)
                finished = run_job(job, send, stop)
        # The process ends here, so every failure needs a sentence and a last message.
        except Exception as error:
            traceback.print_exc()
            problem = _problem(job.run, error)
            with contextlib.suppress(OSError):  # the disk may be what failed
                send(JobEnded(outcome=FAILED, **text_fields(problem)))
            raise problem from error
        words = _ending(job, finished=finished)
        send(JobEnded(outcome=FINISHED if finished else STOPPED, **text_fields(words)))
        return str(words)


def _record_process(job: TrainingJob) -> None:
    known = replace(job.request, dataset=job.dataset.path, output=job.run.path)
    write_process_record(
        job.run,
        dataset=str(known.dataset),
        fold=job.fold,
        arguments=tuple(command_arguments(known)),
        device=known.device,
    )


def _problem(run: RunFolder, error: Exception) -> Problem:
    """Return the error as one for the user."""
    if isinstance(error, Problem):
        return error
    if is_disk_full(error):
        again = Action.RESUME if run.record.exists() else Action.START_AGAIN
        return AppError(TRAINING_FILLED_DISK, again, run=run.path)
    if isinstance(error, OSError) and error.strerror:
        file = error.filename or run.path
        return AppError(
            "{file} could not be used ({reason}). See {log} for details.",
            file=file,
            reason=error.strerror,
            log=run.log,
        )
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return AppError(
        "The training failed unexpectedly ({reason}). See {log} for details.",
        reason=reason,
        log=run.log,
    )


def _ending(job: TrainingJob, *, finished: bool) -> Statement:
    if finished:
        return statement(FINISHED_FOLD, fold=job.fold, run=job.run.path)
    if not job.run.record.exists():
        return statement(STOPPED_AT_START, Action.START_AGAIN)
    return statement(STOPPED_TRAINING, Remedy(Action.RESUME_RUN, {"command": job.continuation()}))


@contextlib.contextmanager
def _output_into(log: Path) -> Iterator[tuple[TextIO, int]]:
    """Redirect the output of this process and its children to ``log``.

    Yields the real terminal, and the file descriptor of the real standard error.
    """
    # What was printed before belongs to the terminal.
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    terminal = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
    file = log.open("a", encoding="utf-8", buffering=1)
    for number in (1, 2):  # for child processes and libraries that bypass Python
        os.dup2(file.fileno(), number)
    try:
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            yield terminal, saved[1]
    finally:
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        for stream in (file, terminal):
            with contextlib.suppress(OSError):  # a full disk, a closed terminal
                stream.close()
