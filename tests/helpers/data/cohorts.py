"""Trees of made studies, and their segmentation without a cluster."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import generate_uid

from napari_bayes_nnunet.app.cohort.run import (
    CohortRequest,
    StudyTask,
    Work,
    open_cohort,
    run_cohort,
    segment_study,
)
from napari_bayes_nnunet.app.cohort.table import StudyRow
from napari_bayes_nnunet.app.messages import StudyDone
from napari_bayes_nnunet.app.prediction.request import PredictionRequest
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings

from . import dicoms
from .models import made_image


def write_volume(file: Path, *, seed: int = 0, phases: int = 1) -> Path:
    """Write a small NIfTI image, which is a cine if it has several phases."""
    import nibabel

    shape = (24, 20, 4, phases) if phases > 1 else (24, 20, 4)
    file.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(made_image(shape, seed=seed), np.diag([1.5, 1.5, 8, 1]))
    nibabel.save(image, file)
    return file


def write_dicom_study(folder: Path, *, name: str, seed: int = 0, **entries: Any) -> str:
    """Write a cine of 3 phases and 4 slices, one file each, to ``folder``, and return its UID."""
    voxels = made_image((24, 20, 4, 3), seed=seed).T
    voxels = (100 * (voxels - voxels.min())).astype(np.int16)
    study = entries.pop("StudyInstanceUID", None) or generate_uid(entropy_srcs=[name])
    for z in range(4):
        for t in range(3):
            file = folder / f"{name}_{z}{t}"
            position = {"z": z, "t": t, "number": 3 * z + t + 1}
            dicoms.slice_file(file, voxels[t, z], StudyInstanceUID=study, **position, **entries)
    return study


def run_here(
    ensemble: Ensemble, places: Iterable[Path], output: Path, **asked: Any
) -> list[StudyDone]:
    """Segment all studies in this process, one after another."""
    return segment_here(ensemble, made_request(ensemble, places, output, **asked))


def segment_here(ensemble: Ensemble, request: CohortRequest) -> list[StudyDone]:
    """Do what a request asks for in this process."""
    work = partial(segment_study, ensemble)
    with open_cohort(request) as studies:
        return list(run_cohort(request, studies, in_this_process, work=work))


def made_request(
    ensemble: Ensemble, places: Iterable[Path], output: Path, **asked: Any
) -> CohortRequest:
    """Return a request with two members and without mirroring."""
    defaults = {
        "settings": SegmentationSettings(members=2, mirroring="none"),
        "save": frozenset({"study"}),
    }
    prediction = PredictionRequest(images=tuple(places), output=output, **(defaults | asked))
    return CohortRequest(ensemble=ensemble.folder.path, prediction=prediction)


def in_this_process(
    tasks: Iterable[StudyTask], work: Work
) -> Iterator[tuple[StudyTask, StudyRow | str]]:
    """Yield each task with its row, as a cluster does."""
    for task in tasks:
        yield task, work(task)
