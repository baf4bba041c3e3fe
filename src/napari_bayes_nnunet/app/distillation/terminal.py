"""Distillation in a terminal, with a progress bar or JSON lines; other output goes to train.log."""

from __future__ import annotations

from functools import partial

from ...core.problems import Action, Remedy, Statement, statement
from ..training.terminal import STOPPED_TRAINING, TerminalWork, show_in_terminal
from .job import DistillationJob, DistillationRequest, prepare_distillation
from .run import distill

FINISHED_STUDENT = "The student is finished. It is in {folder}."


def distill_in_terminal(request: DistillationRequest, *, jsonl: bool) -> str:
    """Train a student with progress on the standard output; return how it ended, in words.

    The output of nnU-Net and the traceback of a failure go to STUDENT/train.log, every message
    goes to STUDENT/progress.jsonl. Raises AppError, DataError or ModelError for any failure.
    """
    with prepare_distillation(request) as job:
        work = TerminalWork(
            run=job.run,
            perform=partial(distill, job),
            ending=partial(_ending, job),
        )
        return show_in_terminal(work, jsonl=jsonl)


def _ending(job: DistillationJob, *, finished: bool) -> Statement:
    if finished:
        return statement(FINISHED_STUDENT, folder=job.run.path)
    return statement(STOPPED_TRAINING, Remedy(Action.RESUME_RUN, {"command": job.continuation()}))
