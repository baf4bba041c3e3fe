"""Segmentation of a cohort in a terminal: studies, a progress bar, failures."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import click

from ...core.problems import Statement
from ...io.ensemble.ensemble_folder import find_ensemble
from ..cluster.task_queue import open_cluster, run_tasks
from ..messages import (
    FINISHED,
    STOPPED,
    JobEnded,
    Notice,
    StageStarted,
    StudiesFound,
    text_fields,
)
from ..signals import on_first_signal
from ..terminal import JsonLines, MessageView
from .run import CohortRequest, RunTasks, open_cohort, run_cohort
from .terminal_output import CohortText, StudyCounts, describe_cohort

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C."""
LOOKING_FOR_STUDIES: Final = "Looking for studies"
STARTING_WORKERS: Final = "Starting the workers"


def run_in_terminal(
    request: CohortRequest,
    *,
    scheduler: str | None = None,
    certificates: Path | None = None,
    resources: Mapping[str, float] | None = None,
    jsonl: bool = False,
) -> int:
    """Segment all studies, here or on the cluster of ``scheduler``, and return the exit code.

    The code is 1 if a study failed. Raises a `Problem` if the run cannot start or continue.
    """
    request = _absolute(request)  # workers may have another working folder
    view: MessageView = JsonLines(sys.stdout) if jsonl else CohortText(request.prediction.output)
    counts = StudyCounts()

    def notify(sentence: Statement | str) -> None:
        view.show(Notice(**text_fields(sentence)))

    try:
        view.show(StageStarted(text=LOOKING_FOR_STUDIES))
        with on_first_signal(_interrupt), open_cohort(request) as cohort:
            for sentence in _problems(request):
                notify(sentence)
            counts.total = len(cohort.inputs)
            view.show(StudiesFound(studies=counts.total, left_out=cohort.left_out))
            if not jsonl:
                click.echo(describe_cohort(cohort))
            stage = f"Connecting to {scheduler}" if scheduler else STARTING_WORKERS
            view.show(StageStarted(text=stage))
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
                with closing(run_cohort(request, cohort, run)) as steps:
                    for study in steps:
                        counts.add(study)
                        view.show(study)
    except KeyboardInterrupt:
        view.show(JobEnded(outcome=STOPPED, **text_fields(counts.stopped)))
        return INTERRUPTED
    view.show(JobEnded(outcome=FINISHED, text=counts.finished))
    return 1 if counts.failed else 0


def _absolute(request: CohortRequest) -> CohortRequest:
    prediction = request.prediction
    images = tuple(image.absolute() for image in prediction.images)
    prediction = replace(prediction, images=images, output=prediction.output.absolute())
    return replace(request, ensemble=request.ensemble.absolute(), prediction=prediction)


def _problems(request: CohortRequest) -> list[str]:
    """Return the problems of the ensemble that its files show."""
    folder = find_ensemble(request.ensemble)
    return [*folder.problems, *folder.refusals]


def _folders(request: CohortRequest) -> list[Path]:
    """Return the folders that every worker must see."""
    images = [path if path.is_dir() else path.parent for path in request.prediction.images]
    return list(dict.fromkeys((request.ensemble, request.prediction.output, *images)))


def _interrupt() -> None:
    """End the run, on SIGTERM as on Ctrl-C."""
    raise KeyboardInterrupt
