"""Segmentation of a cohort in a terminal: studies, a progress bar, failures."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import click

from ...core.counts import format_count
from ...core.problems import Action, Statement, statement
from ...io.search.studies import FoundStudies
from ..cluster.task_queue import open_cluster, run_tasks
from ..messages import (
    FINISHED,
    STOPPED,
    JobEnded,
    Notice,
    StageStarted,
    StudiesFound,
    StudyDone,
    text_fields,
)
from ..signals import on_first_signal
from ..terminal import JobText, JsonLines
from .run import CohortRequest, RunTasks, open_cohort, run_cohort
from .table import PAGE

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C."""
LOOKING_FOR_STUDIES: Final = "Looking for studies"
STARTING_WORKERS: Final = "Starting the workers"
LISTED: Final = 20
"""Maximum number of studies listed before the run."""


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
    prediction = request.prediction
    outcome, found, studies = STOPPED, FoundStudies(()), list[StudyDone]()
    with closing(JsonLines(sys.stdout) if jsonl else JobText(sys.stderr, stage_end="…")) as view:

        def notify(sentence: Statement | str) -> None:
            view.show(Notice(**text_fields(sentence)))

        view.show(StageStarted(text=LOOKING_FOR_STUDIES))
        with (
            suppress(KeyboardInterrupt),
            on_first_signal(interrupt),
            open_cohort(request) as found,
        ):
            for problem in (*request.folder.problems, *request.folder.refusals):
                notify(problem)
            view.show(StudiesFound(studies=len(found.inputs), left_out=found.left_out))
            if not jsonl:
                click.echo(describe_cohort(found))
            stage = f"Connecting to {scheduler}" if scheduler else STARTING_WORKERS
            view.show(StageStarted(text=stage))
            with open_cluster(
                scheduler, certificates=certificates, device=prediction.settings.device
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
                        studies.append(study)
                        view.show(study)
            outcome = FINISHED
    words = ending(studies, len(found.inputs), stopped=outcome == STOPPED)
    if jsonl:
        view.show(JobEnded(outcome=outcome, **text_fields(words)))
    elif outcome == FINISHED:
        click.echo(f"{words} Summary: {prediction.output / PAGE}")
    else:
        click.echo(words, err=True)
    failed = any(study.outcome == "failed" for study in studies)
    return INTERRUPTED if outcome == STOPPED else int(failed)


def ending(studies: Sequence[StudyDone], total: int, *, stopped: bool) -> Statement | str:
    """Return the number of studies that were segmented, and what continues a ``stopped`` run."""
    failed = sum(study.outcome == "failed" for study in studies)
    failures = f", {failed} failed" if failed else ""
    of_studies = format_count(total, "study", "studies")
    summary = f"Segmented {len(studies) - failed} of {of_studies}{failures}."
    if not stopped:
        return summary
    return statement("Stopped. {summary}", Action.CONTINUE, summary=summary)


def describe_cohort(cohort: FoundStudies) -> str:
    """Return the list of studies to segment and of files left out."""
    kinds = [study.kind for study in cohort.inputs]
    counts = (f"{kinds.count(kind)} {kind}" for kind in ("NIfTI", "DICOM") if kind in kinds)
    lines = [f"Found {format_count(len(kinds), 'study', 'studies')}: {', '.join(counts)}"]
    width = len(str(len(kinds)))
    for number, study in enumerate(cohort.inputs[:LISTED], start=1):
        lines.append(f"  {number:{width}}  {study.kind}  {study.name}")
    if len(kinds) > LISTED:
        lines.append(f"  … and {len(kinds) - LISTED} more")
    lines += [f"Left out: {sentence}" for sentence in cohort.left_out]
    return "\n".join(lines)


def _absolute(request: CohortRequest) -> CohortRequest:
    prediction = request.prediction
    images = tuple(image.absolute() for image in prediction.images)
    prediction = replace(prediction, images=images, output=prediction.output.absolute())
    return replace(request, ensemble=request.ensemble.absolute(), prediction=prediction)


def _folders(request: CohortRequest) -> list[Path]:
    """Return the folders that every worker must see."""
    images = [path if path.is_dir() else path.parent for path in request.prediction.images]
    return list(dict.fromkeys((request.ensemble, request.prediction.output, *images)))


def interrupt() -> None:
    """End the run, on SIGTERM as on Ctrl-C."""
    raise KeyboardInterrupt
