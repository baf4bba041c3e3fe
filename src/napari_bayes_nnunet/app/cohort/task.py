"""Task of a worker: the segmentation of one study of a cohort."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.heart.structures import structure_colors
from ...core.problems import Problem
from ...io import DataError
from ...io.files.atomic import remove_leftovers, removing_if_empty, replacing
from ...io.files.disk import is_disk_full
from ...io.images.nifti import read_labels
from ...io.search.case_image import CaseImage, study_image
from ...io.search.studies import StudyInput
from ...io.study.info import STUDY_FILE
from ...nnunet import ModelError
from .. import AppError
from ..cluster.ensemble_cache import worker_cache
from ..cluster.worker_call import FAILED_TASK, error_line
from ..prediction.output_files import SAVED_MAPS, case_files, disk_full, frame_name
from ..prediction.predict import predict_case
from ..prediction.request import PredictionRequest
from ..report.pictures import crop_around, thumbnail
from ..segmentation.ensemble import Ensemble
from .row import Outcome, StudyRow, failed_row, read_reports, study_row

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

    @property
    def has_results(self) -> bool:
        """Whether labels, a report or a study exist, whatever made them."""
        case = self.study.case
        names = (*case_files(case, SAVED_MAPS).values(), f"{case}/{STUDY_FILE}")
        # Phases last, because the search lists the whole folder.
        return any((self.output / name).exists() for name in names) or any(
            self.output.glob(f"{glob.escape(case)}_frame*")
        )


def run_study(task: StudyTask) -> StudyRow:
    """Segment a study on a Dask worker, with its cached ensemble.

    Raises DataError, ModelError or AppError if the worker cannot use the ensemble. If CUDA is
    broken it ends the process, so that Dask starts another and gives the study to any worker.
    """
    from ...nnunet.device import is_broken

    settings, cache = task.request.settings, worker_cache()
    options: dict[str, Any] = {"device": settings.device, "precision": settings.precision}
    try:
        with cache.ensemble(task.ensemble, expected=task.fingerprint, **options) as ensemble:
            return segment_study(ensemble, task)
    except (DataError, ModelError, AppError):
        raise
    except Exception as error:  # from loading, because segment_study turns errors into a row
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
        remove_leftovers(task.output, task.picture.name)
        with replacing(task.picture) as temporary:
            temporary.write_bytes(png)
