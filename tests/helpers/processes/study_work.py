"""Functions that cluster workers run in tests to segment."""

import os
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.cluster.worker_call import EnsembleCache, worker_cache
from napari_bayes_nnunet.app.cohort import run as study_task
from napari_bayes_nnunet.app.cohort.run import StudyTask, run_study
from napari_bayes_nnunet.app.cohort.table import StudyRow


def break_cuda_once(task: StudyTask) -> StudyRow:
    """Call `run_study`, with a CUDA error during the first study."""
    has_failed = task.request.output / "broke"
    if has_failed.exists():
        return run_study(task)
    task.request.output.mkdir(exist_ok=True)
    has_failed.touch()
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with patch.object(study_task, "predict_case", side_effect=error):
        return run_study(task)


def load_in_vain(task: StudyTask) -> StudyRow:
    """Call `run_study` while the drive with the ensemble is unavailable."""
    with patch.object(EnsembleCache, "_load", side_effect=OSError(116, "Stale file handle")):
        return run_study(task)


def noise(seed: int) -> NDArray[np.float32]:
    """Return a (Z, Y, X) image of three slices."""
    return np.random.default_rng(seed).normal(size=(3, 64, 64)).astype(np.float32)


def segment_noise(task: tuple[Path, int]) -> tuple[int, int, NDArray[np.uint8]]:
    """Segment noise with three members; return process id, ensemble id and labels."""
    folder, seed = task
    with worker_cache().ensemble(folder, device="cpu", precision="full") as ensemble:
        labels = ensemble.segment(noise(seed), (8.0, 1.5, 1.5), members=3).labels
        return os.getpid(), id(ensemble), labels
