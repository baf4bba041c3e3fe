"""A run over many studies in a terminal: what was found, a bar with the time left, the failures."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import click

from ...io import DataError
from ...io.ensemble.ensemble_folder import find_ensemble
from ...nnunet import ModelError
from .. import AppError
from ..cluster.task_queue import open_cluster, run_tasks
from ..messages import (
    FAILED,
    FINISHED,
    STOPPED,
    JobEnded,
    Notice,
    StageStarted,
    StudiesFound,
    speech,
)
from ..signals import on_first_signal
from ..terminal import JsonLines, MessageView
from .run import CohortRequest, RunTasks, find_cohort, run_cohort
from .terminal_output import CohortText, StudyCounts, found_text

INTERRUPTED: Final = 130
"""Exit code of a program that Ctrl-C has ended."""


def run_in_terminal(
    request: CohortRequest,
    *,
    scheduler: str | None = None,
    certificates: Path | None = None,
    resources: Mapping[str, float] | None = None,
    jsonl: bool = False,
) -> int:
    """Segment all studies, here or on the cluster of ``scheduler``; returns the exit code.

    It is 1 where a study failed. Raises AppError, DataError or ModelError where it cannot begin
    or go on.
    """
    request = _absolute(request)  # workers may have another working folder
    view: MessageView = JsonLines(sys.stdout) if jsonl else CohortText(request.prediction.output)
    counts = StudyCounts()

    def notify(sentence: str) -> None:
        view.show(Notice(text=sentence))

    try:
        with on_first_signal(_interrupt):
            view.show(StageStarted(text="Looking for studies"))
            found = find_cohort(request)
            for sentence in _problems(request):
                notify(sentence)
            counts.total = len(found.inputs)
            view.show(StudiesFound(studies=counts.total, left_out=found.left_out))
            if not jsonl:
                click.echo(found_text(found))
            place = f"Connecting to {scheduler}" if scheduler else "Starting the workers"
            view.show(StageStarted(text=place))
            with open_cluster(
                scheduler, certificates=certificates, device=request.prediction.settings.device
            ) as client:
                run: RunTasks = partial(
                    run_tasks,
                    client,
                    resources=resources,
                    folders=_folders(request),
                    notify=notify,
                )
                with closing(run_cohort(request, found, run)) as steps:
                    for study in steps:
                        counts.add(study)
                        view.show(study)
    except KeyboardInterrupt:
        view.show(JobEnded(outcome=STOPPED, text=counts.stopped))
        return INTERRUPTED
    except (AppError, DataError, ModelError) as error:
        view.show(JobEnded(outcome=FAILED, **speech(error)))
        raise
    view.show(JobEnded(outcome=FINISHED, text=counts.finished))
    return 1 if counts.failed else 0


def _absolute(request: CohortRequest) -> CohortRequest:
    asked = request.prediction
    images = tuple(image.absolute() for image in asked.images)
    asked = replace(asked, images=images, output=asked.output.absolute())
    return replace(request, ensemble=request.ensemble.absolute(), prediction=asked)


def _problems(request: CohortRequest) -> list[str]:
    """What is wrong with the ensemble, as far as its files tell."""
    folder = find_ensemble(request.ensemble)
    refused = [m for m in folder.members if not m.usable]
    return [*folder.problems, *(f"{m.path.name} is not used: {m.refused}" for m in refused)]


def _folders(request: CohortRequest) -> list[Path]:
    """What every worker has to see."""
    images = [one if one.is_dir() else one.parent for one in request.prediction.images]
    return list(dict.fromkeys((request.ensemble, request.prediction.output, *images)))


def _interrupt() -> None:
    """SIGTERM ends the run as Ctrl-C does."""
    raise KeyboardInterrupt
