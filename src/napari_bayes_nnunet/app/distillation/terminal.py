"""Distillation in a terminal, with a progress bar or JSON lines; other output goes to train.log."""

from __future__ import annotations

import shlex
from functools import partial

from ...core.problems import Action, Remedy, Statement, statement
from ..signals import StopRequest
from ..training.run import Send
from ..training.run_state import write_process_record
from ..training.terminal import STOPPED_TRAINING, show_in_terminal
from .job import DistillationJob, DistillationRequest, prepare_distillation
from .run import distill

FINISHED_STUDENT = "The student is finished. It is in {folder}."


def distill_in_terminal(request: DistillationRequest, *, jsonl: bool) -> str:
    """Train a student with progress on the standard output; return how it ended, in words.

    The output of nnU-Net and the traceback of a failure go to STUDENT/train.log, every message
    goes to STUDENT/progress.jsonl, and STUDENT/job.json describes the process. Raises AppError,
    DataError or ModelError for any failure.
    """
    with prepare_distillation(request) as job:

        def perform(send: Send, stop: StopRequest) -> bool:
            write_process_record(
                job.run,
                dataset=str(job.folder.path),
                fold=job.fold,
                arguments=tuple(shlex.split(job.request.command)[2:]),
                device=job.request.device,
                resumed_by=job.continuation(),
            )
            return distill(job, send, stop)

        return show_in_terminal(job.run, perform, partial(_ending, job), jsonl=jsonl)


def _ending(job: DistillationJob, *, finished: bool) -> Statement:
    if finished:
        return statement(FINISHED_STUDENT, folder=job.run.path)
    resumed = Remedy(Action.RUN, {"command": job.continuation()})
    return statement(STOPPED_TRAINING, resumed)
