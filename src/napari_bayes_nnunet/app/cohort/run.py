"""Segmentation of a cohort: one task per study, with a table and a page that grow meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeAlias

from ...core.durations import TimeLeft
from ...core.problems import Action, statement
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from ...io.files.atomic import remove_leftovers, removing_if_empty
from ...io.files.disk import is_disk_full
from ...io.files.given_path import resolve_links
from ...io.search.folder_walk import COHORT, is_cohort_table
from ...io.search.studies import FoundStudies, find_studies
from .. import AppError
from ..messages import StudyDone, text_fields
from ..prediction.output_files import disk_full, is_about_full_disk
from ..prediction.output_lock import locked_output
from ..prediction.request import PredictionRequest, check_request
from ..report.output_folder import refuse_folder_of_inputs, unwritable
from .mixture import refuse_mixture
from .page import PAGE, CohortPage
from .row import StudyRow, failed_row
from .table import CohortSummary, CohortTable
from .task import StudyTask, run_study

Work: TypeAlias = Callable[[StudyTask], StudyRow]
RunTasks: TypeAlias = Callable[
    [Iterable[StudyTask], Work], Iterator[tuple[StudyTask, StudyRow | str]]
]
"""Function that yields each task with its row, or with a sentence if it failed, in any order."""


@dataclass(frozen=True, kw_only=True)
class CohortRequest:
    """Request to segment the studies in the folders ``prediction.images`` with ``ensemble``."""

    ensemble: Path
    prediction: PredictionRequest


@contextmanager
def open_cohort(request: CohortRequest) -> Iterator[FoundStudies]:
    """Lock the output folder for the block, and yield the studies of `find_cohort`.

    The lock is taken before the checks, so that no other run can write after them. Raises AppError
    even if another run is writing there.
    """
    _refuse_output_of_images(request.prediction)
    output = request.prediction.output
    with removing_if_empty(output), locked_output(output):
        yield find_cohort(request)


def _refuse_output_of_images(prediction: PredictionRequest) -> None:
    folders: list[Path | None] = [path for path in prediction.images if path.is_dir()]
    for folder in folders or [None]:
        refuse_folder_of_inputs(prediction.output, {"images": folder})


def find_cohort(request: CohortRequest) -> FoundStudies:
    """Return the studies. Raises AppError or DataError if the request cannot be met."""
    prediction = request.prediction
    _refuse_output_of_images(prediction)
    output = resolve_links(prediction.output)
    check_request(find_ensemble(request.ensemble), prediction)
    may_replace = prediction.overwrite or prediction.skip_finished
    if is_cohort_table(output / COHORT) and not may_replace:
        raise AppError(
            "{folder} has the results of an earlier run.",
            *(Action.CONTINUE, Action.OVERWRITE),
            folder=output,
        )
    studies = find_studies(
        prediction.images,
        output=output,
        folder_names=prediction.folder_names,
        series=prediction.series,
    )
    refuse_mixture(request.ensemble, prediction, {study.name for study in studies.inputs})
    return studies


def run_cohort(
    request: CohortRequest, cohort: FoundStudies, run_tasks: RunTasks, *, work: Work = run_study
) -> Generator[StudyDone, None, None]:
    """Segment the studies, yield the outcome of each, and write cohort.csv and cohort.html.

    Call it within `open_cohort`. Both files are complete however the generator ends. Studies that
    seem finished come first, so that their rows are soon in the table again. Raises AppError, also
    when the disk is full.
    """
    tasks = sorted(_tasks(request, cohort), key=lambda task: not task.picture.exists())
    refused = _refused(request, tasks)
    pictures = {task.study.name: task.picture for task in tasks}
    time_left = TimeLeft()
    output = request.prediction.output
    page = CohortPage(
        output,
        settings=_shown_settings(request),
        total=len(tasks),
        left_out=cohort.left_out,
        picture_of=lambda row: pictures[row.case],
    )
    try:
        remove_leftovers(output, COHORT, PAGE)
        redone = pictures if request.prediction.overwrite else ()
        table = CohortTable(output, redone=redone)
        with closing(CohortSummary(table, page, studies=pictures)) as summary:
            begun = run_tasks([task for task in tasks if task not in refused], work)
            for done, (task, ended) in enumerate(chain(refused.items(), begun), start=1):
                row = ended if isinstance(ended, StudyRow) else failed_row(task.study.name, ended)
                if row.outcome == "finished before" and not request.prediction.skip_finished:
                    row = replace(row, outcome="done")  # by a worker that died before it answered
                if is_about_full_disk(row.failure):
                    raise disk_full(output)
                summary.add(row)
                yield _study_done(row, done, len(tasks), time_left)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(output) from error
        raise unwritable(output, error) from error


def _tasks(request: CohortRequest, cohort: FoundStudies) -> Iterator[StudyTask]:
    """Yield one task per study.

    A task skips finished phases, because it is repeated if its worker dies.
    """
    prediction = request.prediction
    prediction = replace(prediction, images=(), skip_finished=not prediction.overwrite)
    folder = request.ensemble
    known = fingerprint(find_ensemble(folder))
    for study in cohort.inputs:
        yield StudyTask(ensemble=folder, request=prediction, study=study, fingerprint=known)


def _refused(request: CohortRequest, tasks: Iterable[StudyTask]) -> dict[StudyTask, StudyRow]:
    """Return the rows of studies with earlier results that may not be replaced or continued."""
    if request.prediction.overwrite or request.prediction.skip_finished:
        return {}
    failure = statement(
        "Results of this study exist in {folder}.",
        *(Action.OVERWRITE, Action.CONTINUE),
        folder=request.prediction.output,
    )
    return {task: failed_row(task.study.name, failure) for task in tasks if task.has_results}


def _study_done(row: StudyRow, done: int, total: int, time_left: TimeLeft) -> StudyDone:
    """Return the message of a study that ended; only segmented ones count for the time left."""
    if row.outcome == "done":
        time_left.step()
    elif time_left.seconds(1) is None:
        time_left.restart()
    seconds = time_left.seconds(total - done)
    return StudyDone(
        case=row.case,
        outcome=row.outcome,
        **text_fields(row.failure or " ".join(dict.fromkeys((*row.warnings, *row.notes)))),
        done=done,
        total=total,
        eta_seconds=None if seconds is None else round(seconds, 1),
    )


def _shown_settings(request: CohortRequest) -> Mapping[str, str]:
    """Return the settings of the run, for its page."""
    prediction, settings = request.prediction, request.prediction.settings
    until_stable = ", until stable" if settings.until_stable else ""
    folder = find_ensemble(request.ensemble)
    shown = {
        "Ensemble": folder.name,
        "Kind": folder.kind,
        "Method": settings.method,
        "Members": f"at most {settings.members}{until_stable}",
        "Mirroring": settings.mirroring,
        "Window": settings.window,
        "Phases of cines": prediction.phases,
        "Saved": ", ".join(("labels", *sorted(prediction.save))),
    }
    if settings.temperature is not None:
        shown["Temperature"] = f"{settings.temperature}"
    return shown
