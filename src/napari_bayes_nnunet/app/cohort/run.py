"""Segmentation of a cohort: one task per study, with a table and a page that grow meanwhile."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.durations import TimeLeft
from ...core.heart.structures import structure_colors
from ...core.problems import Action, Problem
from ...core.steps import drain
from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder, find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from ...io.files.atomic import remove_leftovers, removing_if_empty, replacing
from ...io.files.disk import is_disk_full
from ...io.files.given_path import resolve_links
from ...io.files.json_files import parse_json
from ...io.files.limits import read_small
from ...io.images.nifti import read_labels
from ...io.search.case_image import CaseImage, study_image
from ...io.search.folder_walk import COHORT, is_cohort_table
from ...io.search.studies import FoundStudies, StudyInput, find_studies
from ...io.study.info import STUDY_FILE
from ...nnunet import ModelError
from .. import AppError
from ..cluster.worker_call import FAILED_TASK, error_line, worker_cache
from ..messages import StudyDone, text_fields
from ..prediction.output_files import (
    SAVED_MAPS,
    case_files,
    disk_full,
    frame_name,
    is_about_full_disk,
    locked_output,
)
from ..prediction.predict import predict_case
from ..prediction.request import PredictionRequest, check_request
from ..remote.connection import is_about_connection
from ..report.output_folder import refuse_folder_of_inputs, unwritable
from ..report.pictures import crop_around, thumbnail
from ..review.learnt_profile import learn_from_studies
from ..segmentation.ensemble import Ensemble
from ..segmentation.member_predictions import MemberChecks
from ..segmentation.recipe import Recipe
from .table import (
    PAGE,
    CohortPage,
    CohortSummary,
    CohortTable,
    Outcome,
    StudyRow,
    failed_row,
    listed_studies,
    read_reports,
    study_row,
)

_LOGGER = logging.getLogger(__name__)
_PICTURE: Final = "_picture.png"
"""End of the name of a study's small picture."""


@dataclass(frozen=True, kw_only=True)
class StudyTask:
    """Study to segment with the ensemble in a folder, which must have the ``fingerprint``, if any.

    ``request`` is the same for all studies of the run; its ``output`` is that of the run.
    """

    ensemble: Path
    request: PredictionRequest
    study: StudyInput
    fingerprint: str = ""

    @property
    def output(self) -> Path:
        """Folder of the study's results."""
        return self.request.output / self.study.folder

    @property
    def picture(self) -> Path:
        """File of the study's small picture."""
        return self.output / f"{self.study.case}{_PICTURE}"


def run_study(task: StudyTask) -> StudyRow:
    """Segment a study on a Dask worker, with its cached ensemble.

    Raises DataError, ModelError or AppError if the worker cannot use the ensemble. If CUDA is
    broken it ends the process, so that Dask starts another and gives the study to any worker.
    """
    settings, cache = task.request.settings, worker_cache()
    options: dict[str, Any] = {"device": settings.device, "precision": settings.precision}
    try:
        with cache.ensemble(task.ensemble, expected=task.fingerprint, **options) as ensemble:
            return segment_study(ensemble, task)
    except (DataError, ModelError, AppError):
        raise
    except Exception as error:  # from loading, because segment_study turns errors into a row
        from ...nnunet.device import is_broken

        if is_broken(error):
            os._exit(1)
        raise AppError(
            "Its files could not be loaded ({reason}). Check that their drive is connected.",
            reason=error_line(error),
        ) from error


def segment_study(ensemble: Ensemble, task: StudyTask) -> StudyRow:
    """Segment a study; an error becomes a sentence in its row.

    Only an error that breaks CUDA is raised, because the study need not be its cause.
    """
    study = task.study
    image = study_image(study, series=task.request.series, anyway=task.request.anyway)
    request = replace(task.request, images=(), output=task.output)
    try:
        with removing_if_empty(request.output):
            request.output.mkdir(parents=True, exist_ok=True)
            outcome = predict_case(ensemble, request, image, seen=set())
        names = {phase: frame_name(study.case, phase) for phase in outcome.phases}
        reports = read_reports(
            {phase: task.output / case_files(name, ())["report"] for phase, name in names.items()}
        )
        ended: Outcome = "finished before" if outcome.skipped else "done"
        row = study_row(study.name, ended, reports)
        # Those of phases that an earlier run finished are in their reports only.
        of_reports = (note for report in reports.values() for note in report.get("notes", ()))
        notes = [*dict.fromkeys((*outcome.notes, *of_reports))]
        row = replace(row, notes=_without(notes, row.warnings))
        if not (outcome.skipped and task.picture.exists()):
            phase = row.ed if row.ed in names else outcome.phases[0]
            _write_picture(task, image, phase, ensemble.structures)
        return row
    except Exception as error:  # nnU-Net may fail on an image in any way; others continue
        from ...nnunet.device import is_broken

        if is_disk_full(error):
            return failed_row(study.name, disk_full(task.request.output).statement)
        if isinstance(error, Problem):
            return failed_row(study.name, error.statement)
        if is_broken(error):  # all other studies would fail here, too
            raise
        _LOGGER.debug("%s", study.name, exc_info=True)
        # The text may contain a path, and folders of DICOM files are often named after patients.
        text = f": {error}".splitlines()[0] if study.kind == "NIfTI" else ""
        failure = FAILED_TASK.format(reason=f"{type(error).__name__}{text}")
        return failed_row(study.name, failure)


def _without(notes: Sequence[str], warnings: Sequence[str]) -> tuple[str, ...]:
    """Return the notes that are not warnings of a phase."""
    return tuple(note for note in notes if not note.endswith(tuple(warnings) or ("\n",)))


def _write_picture(
    task: StudyTask, image: CaseImage, phase: int | None, structures: Mapping[str, int]
) -> None:
    """Draw the middle slice of the heart."""
    with suppress(Exception):  # a missing picture does not matter
        volume = image.read()[0]
        voxels = (volume if phase is None else volume.frame(phase)).voxels
        name = case_files(frame_name(task.study.case, phase), ())["labels"]
        labels = read_labels(task.output / name, like=volume.geometry).voxels
        heart: NDArray[np.bool_] = labels > 0
        (slices,) = np.nonzero(heart.any(axis=(1, 2)))
        z = slices[len(slices) // 2] if len(slices) else len(labels) // 2
        spacing = volume.spacing[1:]
        png = thumbnail(
            voxels[z],
            labels[z],
            spacing=spacing,
            colors=structure_colors(structures),
            box=crop_around(np.any(heart, axis=0), spacing),
        )
        # A killed worker leaves its temporary file.
        remove_leftovers(task.output, task.picture.name)
        with replacing(task.picture) as temporary:
            temporary.write_bytes(png)


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

    @cached_property
    def folder(self) -> EnsembleFolder:
        """Content of the ensemble, found once. Raises DataError without an ensemble."""
        return find_ensemble(self.ensemble)


@contextmanager
def open_cohort(request: CohortRequest) -> Iterator[FoundStudies]:
    """Lock the output folder for the block, and yield the studies of `find_cohort`.

    The lock is taken before the checks, so that no other run can write after them. Raises AppError
    even if another run is writing there.
    """
    output, images = request.prediction.output, request.prediction.images
    folders: list[Path | None] = [path for path in images if path.is_dir()]
    for folder in folders or [None]:
        refuse_folder_of_inputs(output, {"images": folder})
    with removing_if_empty(output), locked_output(output):
        yield find_cohort(request)


def find_cohort(request: CohortRequest) -> FoundStudies:
    """Return the studies. Raises AppError or DataError if the request cannot be met."""
    prediction = request.prediction
    output = resolve_links(prediction.output)
    check_request(request.folder, prediction)
    may_replace = prediction.overwrite or prediction.skip_finished
    earlier = AppError(
        "{folder} has the results of an earlier run.",
        *(Action.CONTINUE, Action.OVERWRITE),
        folder=output,
    )
    if is_cohort_table(output / COHORT) and not may_replace:
        raise earlier
    studies = find_studies(
        prediction.images,
        output=output,
        folder_names=prediction.folder_names,
        series=prediction.series,
    )
    refuse_mixture(request.folder, prediction, {study.name for study in studies.inputs})
    if not may_replace and any(_has_results(output, study) for study in studies.inputs):
        raise earlier
    return studies


def _has_results(output: Path, study: StudyInput) -> bool:
    """Return whether labels, a report or a study exist, whatever made them."""
    folder, case = output / study.folder, study.case
    names = (*case_files(case, SAVED_MAPS).values(), f"{case}/{STUDY_FILE}")
    # Phases last, because the search lists the whole folder.
    return any((folder / name).exists() for name in names) or any(
        folder.glob(f"{glob.escape(case)}_frame*")
    )


def run_cohort(
    request: CohortRequest, cohort: FoundStudies, run_tasks: RunTasks, *, work: Work = run_study
) -> Generator[StudyDone, None, None]:
    """Segment the studies, yield the outcome of each, and write cohort.csv and cohort.html.

    Call it within `open_cohort`. Both files are complete however the generator ends. Studies that
    seem finished come first, so that their rows are soon in the table again. Raises AppError, also
    when the disk is full.
    """
    tasks = sorted(_tasks(request, cohort), key=lambda task: not task.picture.exists())
    pictures = {task.study.name: task.picture for task in tasks}
    time_left = TimeLeft()
    output = request.prediction.output
    page = CohortPage(
        folder=output,
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
            for done, (task, ended) in enumerate(run_tasks(tasks, work), start=1):
                row = ended if isinstance(ended, StudyRow) else failed_row(task.study.name, ended)
                if row.outcome == "finished before" and not request.prediction.skip_finished:
                    row = replace(row, outcome="done")  # by a worker that died before it answered
                if is_about_full_disk(row.failure):
                    raise disk_full(output)
                if is_about_connection(row.failure):  # all other studies would fail here, too
                    raise AppError.from_statement(row.failure)
                summary.add(row)
                yield _study_done(row, done, len(tasks), time_left)
            summary.void = void_intervals(output)
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(output) from error
        raise unwritable(output, error) from error


def void_intervals(output: Path) -> tuple[str, ...]:
    """Return which intervals do not hold for the reviewed studies of an earlier run."""
    with suppress(AppError, DataError):
        return drain(learn_from_studies([output], "")).void
    return ()


def _tasks(request: CohortRequest, cohort: FoundStudies) -> Iterator[StudyTask]:
    """Yield one task per study.

    A task skips finished phases, because it is repeated if its worker dies.
    """
    prediction = request.prediction
    prediction = replace(prediction, images=(), skip_finished=not prediction.overwrite)
    folder, known = request.ensemble, fingerprint(request.folder)
    for study in cohort.inputs:
        yield StudyTask(ensemble=folder, request=prediction, study=study, fingerprint=known)


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
    folder = request.folder
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
    if prediction.profile.name:
        shown["Profile"] = " ".join((f"{prediction.profile.name}:", *prediction.profile.sentences))
    if settings.temperature is not None:
        shown["Temperature"] = f"{settings.temperature}"
    return shown


MIXTURE: Final = (
    "This run would mix results of different ensembles or settings in the cohort {folder}. "
    "{difference}"
)


def refuse_mixture(
    ensemble: EnsembleFolder, request: PredictionRequest, studies: Collection[str]
) -> None:
    """Raise AppError if a row that stays in the table has another ensemble or other settings.

    Also raises AppError for a table that cannot be read, because its rows would be lost.
    ``studies`` are those of this run; with ``overwrite`` their results and rows are replaced.
    """
    try:
        listed = listed_studies(request.output / COHORT)
    except OSError as error:
        raise unwritable(request.output, error) from error
    staying = [study for study in listed if not (request.overwrite and study in studies)]
    if not staying:
        return
    # With the checksums of the members, as another training may have the same names and epochs.
    folder = MemberChecks(ensemble).folder
    requested = Recipe.of_request(folder, request.settings, profile=request.profile)
    for report in (file for study in staying for file in _reports_of(request.output, study)):
        try:
            made = Recipe.of_report(parse_json(read_small(report), dict[str, Any]))
        except (OSError, ValueError):
            continue  # a damaged report is made again
        if difference := replace(made, spacing=None).difference(requested, report):
            # Overwriting helps only if this run segments all studies in the table.
            helps = [Action.OVERWRITE] if set(staying) <= set(studies) else []
            raise AppError(
                MIXTURE,
                Action.OTHER_OUTPUT,
                *helps,
                folder=request.output,
                difference=difference,
            )


def _reports_of(output: Path, study: str) -> Iterator[Path]:
    """Yield the reports of a row; those of a DICOM study lie in a folder of its name."""
    place = output / study
    for folder in (place.parent, place):
        name = place.name
        if (report := folder / f"{name}.json").is_file():
            yield report
        yield from sorted(folder.glob(f"{glob.escape(name)}_frame*.json"))
