"""A run over many studies: each is a task, and what is known of all is written meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from ...core.durations import TimeLeft
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.files.atomic import remove_leftovers
from ...io.search.folder_walk import COHORT, is_cohort_table
from ...io.search.studies import FoundStudies, find_studies
from .. import AppError
from ..messages import StudyDone
from ..prediction.request import PredictionRequest, check_request
from ..report.output_folder import unwritable
from .page import PAGE, CohortPage
from .row import StudyRow, failed_row
from .table import CohortSummary, CohortTable
from .task import StudyTask, run_study

Work: TypeAlias = Callable[[StudyTask], StudyRow]
RunTasks: TypeAlias = Callable[
    [Iterable[StudyTask], Work], Iterator[tuple[StudyTask, StudyRow | str]]
]
"""Gives every task with its row, or with the sentence why there is none, in any order."""


@dataclass(frozen=True, kw_only=True)
class CohortRequest:
    """Which ensemble segments the studies in the folders of ``prediction.images``, and how."""

    ensemble: Path
    prediction: PredictionRequest


def find_cohort(request: CohortRequest) -> FoundStudies:
    """The studies there are. Raises AppError or DataError where the request cannot be met."""
    asked = request.prediction
    output = asked.output.resolve()
    if any(place.is_dir() and place.resolve() == output for place in asked.images):
        raise AppError("The results would lie among the images; choose another output folder.")
    check_request(find_ensemble(request.ensemble), asked)
    if is_cohort_table(output / COHORT) and not (asked.overwrite or asked.skip_finished):
        raise AppError(
            f"{output} holds the results of an earlier run; use --continue to go on with it, or "
            "--overwrite to replace what it has of these studies."
        )
    return find_studies(
        asked.images, output=output, folder_names=asked.folder_names, series=asked.series
    )


def run_cohort(
    request: CohortRequest, found: FoundStudies, run_tasks: RunTasks, *, work: Work = run_study
) -> Generator[StudyDone, None, None]:
    """Segment the studies and yield how each ended; writes cohort.csv and cohort.html.

    Both are whole whenever it ends, also by closing this generator. Studies that seem finished
    come first, so that their rows are there again soon. Raises AppError.
    """
    tasks = sorted(_tasks(request, found), key=lambda task: not task.picture.exists())
    refused = _refused(request, tasks)
    pictures = {task.study.name: task.picture for task in tasks}
    time_left = TimeLeft()
    output = request.prediction.output
    page = CohortPage(
        output,
        asked=_asked(request),
        total=len(tasks),
        left_out=found.left_out,
        picture_of=lambda row: pictures[row.case],
    )
    try:
        remove_leftovers(output, COHORT, PAGE)
        redone = pictures if request.prediction.overwrite else ()
        with closing(CohortSummary(CohortTable(output, redone=redone), page)) as summary:
            begun = run_tasks([task for task in tasks if task not in refused], work)
            for done, (task, ended) in enumerate(chain(refused.items(), begun), start=1):
                row = ended if isinstance(ended, StudyRow) else failed_row(task.study.name, ended)
                if row.outcome == "finished before" and not request.prediction.skip_finished:
                    row = replace(row, outcome="done")  # by a worker that died before it said so
                summary.add(row)
                yield _study_done(row, done, len(tasks), time_left)
    except OSError as error:
        raise unwritable(output, error) from error


def _tasks(request: CohortRequest, found: FoundStudies) -> Iterator[StudyTask]:
    """One a study. Where its worker dies it is begun again, beside what was written until then."""
    asked = request.prediction
    asked = replace(asked, images=(), skip_finished=not asked.overwrite)
    for study in found.inputs:
        yield StudyTask(
            ensemble=request.ensemble,
            request=asked,
            study=study,
        )


def _refused(request: CohortRequest, tasks: Iterable[StudyTask]) -> dict[StudyTask, str]:
    """Studies with results of another run, unless the request says what becomes of them."""
    if request.prediction.overwrite or request.prediction.skip_finished:
        return {}
    sentence = (
        f"Results of it exist in {request.prediction.output}; use --overwrite to replace them or "
        "--continue to do only what is missing."
    )
    return {task: sentence for task in tasks if task.has_results}


def _study_done(row: StudyRow, done: int, total: int, time_left: TimeLeft) -> StudyDone:
    """Return the message of a study that ended; the segmented ones tell the time left."""
    if row.outcome == "done":
        time_left.step()
    elif time_left.seconds(1) is None:
        time_left.restart()
    seconds = time_left.seconds(total - done)
    return StudyDone(
        case=row.case,
        outcome=row.outcome,
        text=row.failure or " ".join(dict.fromkeys((*row.warnings, *row.notes))),
        done=done,
        total=total,
        eta_seconds=None if seconds is None else round(seconds, 1),
    )


def _asked(request: CohortRequest) -> Mapping[str, str]:
    """Return the settings of the run, for its page."""
    asked, settings = request.prediction, request.prediction.settings
    until_stable = ", until stable" if settings.until_stable else ""
    folder = find_ensemble(request.ensemble)
    told = {
        "Ensemble": folder.name,
        "Kind": folder.kind,
        "Method": settings.method,
        "Members": f"at most {settings.members}{until_stable}",
        "Mirroring": settings.mirroring,
        "Phases of cines": asked.phases,
        "Saved": ", ".join(("labels", *sorted(asked.save))),
    }
    if settings.temperature is not None:
        told["Temperature"] = f"{settings.temperature}"
    return told
