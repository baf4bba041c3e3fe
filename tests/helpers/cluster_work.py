"""Work that the workers of a cluster do in tests; it needs no network."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
from distributed import Scheduler, get_worker
from numpy.typing import NDArray

from napari_bayes_nnunet.app.cluster.ensemble_cache import EnsembleCache, worker_cache
from napari_bayes_nnunet.app.cohort import task as study_task
from napari_bayes_nnunet.app.cohort.row import StudyRow
from napari_bayes_nnunet.app.cohort.task import StudyTask, run_study
from napari_bayes_nnunet.nnunet import ModelError


def square(number: int) -> int:
    """Done at once."""
    return number * number


def slow_square(number: int) -> int:
    """Done in a fifth of a second."""
    time.sleep(0.2)
    return number * number


def place(task: object) -> str:
    """The address of the worker."""
    return str(get_worker().address)


def tasks_known(dask_scheduler: Scheduler) -> int:
    """How many tasks the scheduler has."""
    return len(dask_scheduler.tasks)


def note(task: tuple[Path, int]) -> int:
    """As `slow_square`; every beginning leaves a file, which says which process it was."""
    folder, number = task
    (folder / f"{number} {os.getpid()} {time.monotonic_ns()}").touch()
    return slow_square(number)


def wait_for_ever(task: object) -> None:
    """Work that is never done."""
    time.sleep(3600)


def kill_own_worker(number: int) -> int:
    """The study 0 takes more memory than there is: the kernel kills the process."""
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


NO_CUDA = "This machine has no usable cuda device."


def refuse(number: int) -> int:
    """Refuse the ensemble, as a worker without a GPU does."""
    raise ModelError(NO_CUDA)


def refuse_on_one(task: tuple[Path, int]) -> int:
    """As `slow_square`, but the worker that is named in the file refuses."""
    sick, number = task
    return refuse(number) if sick.read_text() == get_worker().address else slow_square(number)


def break_cuda_once(task: StudyTask) -> StudyRow:
    """As `run_study`, but CUDA breaks in the middle of the first study."""
    broke = task.request.output / "broke"
    if broke.exists():
        return run_study(task)
    task.request.output.mkdir(exist_ok=True)
    broke.touch()
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with patch.object(study_task, "predict_case", side_effect=error):
        return run_study(task)


def load_in_vain(task: StudyTask) -> StudyRow:
    """As `run_study`, but the drive with the ensemble is away."""
    with patch.object(EnsembleCache, "_load", side_effect=OSError(116, "Stale file handle")):
        return run_study(task)


def fail(patient: str) -> int:
    """Work that fails for a reason which names the patient."""
    print("printed while it worked")
    raise ValueError(f"no slices of {patient}")


class Unreadable:
    """A task that a worker cannot read, as of another version; pickling it is possible."""

    def __init__(self, patient: str) -> None:
        self.patient = patient

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return _read, (self.patient,)

    def __repr__(self) -> str:
        return f"Unreadable({self.patient})"


def _read(patient: str) -> Unreadable:
    raise AttributeError("there is no such thing in this version")


def variables(task: object) -> dict[str, str]:
    """The environment of the worker."""
    return dict(os.environ)


def noise(seed: int) -> NDArray[np.float32]:
    """An image of three slices, (Z, Y, X)."""
    return np.random.default_rng(seed).normal(size=(3, 64, 64)).astype(np.float32)


def segment_noise(task: tuple[Path, int]) -> tuple[int, int, NDArray[np.uint8]]:
    """The process, its ensemble and the labels of three members, by the worker's ensemble."""
    folder, seed = task
    with worker_cache().ensemble(folder, device="cpu", precision="full") as ensemble:
        labels = ensemble.segment(noise(seed), (8.0, 1.5, 1.5), members=3).labels
        return os.getpid(), id(ensemble), labels
