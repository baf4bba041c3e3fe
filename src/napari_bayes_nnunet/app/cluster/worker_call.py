"""A study on its way to a worker of a Dask cluster, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from time import sleep
from typing import Any, Generic, TypeVar

from distributed import get_worker

from ... import __version__
from ...io import DataError
from ...nnunet import ModelError
from .. import AppError

_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, repr=False)
class WorkerCall:
    """``work`` to do with ``task``, by a worker of this version that sees the ``folders``.

    A worker that cannot do it waits ``pause`` seconds before it says so.
    It says nothing of its content: Dask writes the arguments of tasks into logs, and a path may
    name a patient.
    """

    work: Callable[[Any], Any]
    task: Any
    folders: tuple[Path, ...]
    pause: float = 0.0
    version: str = __version__


@dataclass(frozen=True, kw_only=True)
class WorkerAnswer(Generic[_Result]):
    """What became of a parcel on ``worker``: a result, or the sentence why there is none.

    ``unfit`` is the sentence why this worker can do none at all; ``refuses`` if the ensemble, or
    its device, is what it cannot use.
    """

    result: _Result = field(default=None, repr=False)  # type: ignore[assignment]
    failure: str = field(default="", repr=False)
    unfit: str = field(default="", repr=False)
    refuses: bool = False
    worker: str = ""


def run_on_worker(parcel: WorkerCall) -> WorkerAnswer[Any]:
    """Do the work on a worker; errors come back as answers, for Dask would log their texts.

    An unfit worker is busy for the pause, so that Dask gives the others of its tasks to others.
    """
    worker = get_worker().address
    refuses = False
    try:
        unfit = worker_problem(parcel.version, parcel.folders)
        if not unfit:
            return WorkerAnswer(result=parcel.work(parcel.task), worker=worker)
    except (AppError, DataError, ModelError) as error:
        refuses, unfit = True, f"{gethostname()} cannot use the ensemble: {error}"
    except Exception as error:  # one study must not stop the others
        return WorkerAnswer(failure=f"It failed ({in_a_line(error)}).", worker=worker)
    sleep(parcel.pause)
    return WorkerAnswer(unfit=unfit, refuses=refuses, worker=worker)


def in_a_line(error: BaseException) -> str:
    """The kind of an error and its text, without breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def worker_problem(version: str, folders: Sequence[Path] = ()) -> str:
    """Why this process cannot work for a command of ``version``, a sentence; "" where it can."""
    if version != __version__:
        return (
            f"{gethostname()} has version {__version__} of napari-bayes-nnunet and this machine "
            f"{version}: install the same on both."
        )
    for folder in folders:
        if not _is_there(folder):
            return (
                f"{gethostname()} does not see the folder {folder}: all machines of the cluster "
                "need the ensemble, the studies and the output under the same paths."
            )
    return ""


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:  # such as ESTALE, of a network drive
        return False
