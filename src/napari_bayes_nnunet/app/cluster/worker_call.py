"""What a Dask worker does: the call of a function, and its cache of the ensemble."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from time import sleep
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from distributed import WorkerPlugin, get_worker

from ... import __version__
from ...core.choices import Precision
from ...core.problems import Action
from ...core.torch_import import explaining_torch
from ...io import DataError
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from ...nnunet import ModelError
from .. import AppError

if TYPE_CHECKING:
    from ..segmentation.ensemble import Ensemble

_Result = TypeVar("_Result")

OTHER_VERSION: Final = (
    "{computer} has version {version} of napari-bayes-nnunet, but this computer has {command}. "
    "Install the same version on both."
)
MISSING_FOLDER: Final = (
    "{computer} cannot see the folder {folder}. All computers of the cluster need the ensemble, "
    "the studies and the output under the same paths."
)
REFUSED: Final = "{computer} cannot use the ensemble. {reason}"
FAILED_TASK: Final = "Segmentation failed unexpectedly ({reason})."


@dataclass(frozen=True, kw_only=True, repr=False)
class WorkerCall:
    """Call of ``work`` with ``task``, for a worker of this version that sees the ``folders``.

    A worker that cannot do it waits ``pause`` seconds before it answers. The call has no readable
    text, because Dask logs the arguments of tasks and a path may name a patient.
    """

    work: Callable[[Any], Any]
    task: Any
    folders: tuple[Path, ...]
    pause: float = 0.0
    version: str = __version__


@dataclass(frozen=True, kw_only=True)
class WorkerAnswer(Generic[_Result]):
    """Answer of ``worker``: a result, or the sentence ``failure``.

    ``unfit`` is a sentence if the worker cannot do any task; ``refuses`` is set if the reason is
    the ensemble or its device.
    """

    result: _Result = field(default=None, repr=False)  # type: ignore[assignment]
    failure: str = field(default="", repr=False)
    unfit: str = field(default="", repr=False)
    refuses: bool = False
    worker: str = ""


def run_on_worker(call: WorkerCall) -> WorkerAnswer[Any]:
    """Do the work on a worker and return errors as answers, because Dask would log their texts.

    An unfit worker is busy for the pause, so that Dask gives its waiting tasks to others.
    """
    worker = get_worker().address
    refuses = False
    try:
        unfit = worker_problem(call.version, call.folders)
        if not unfit:
            return WorkerAnswer(result=call.work(call.task), worker=worker)
    except (AppError, DataError, ModelError) as error:
        refuses, unfit = True, REFUSED.format(computer=gethostname(), reason=error)
    except Exception as error:  # one study must not stop the others
        return WorkerAnswer(failure=FAILED_TASK.format(reason=error_line(error)), worker=worker)
    sleep(call.pause)
    return WorkerAnswer(unfit=unfit, refuses=refuses, worker=worker)


def error_line(error: BaseException) -> str:
    """Return the type and the text of an error, without line breaks."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def worker_problem(version: str, folders: Sequence[Path] = ()) -> str:
    """Return a sentence if this process cannot work for a command of ``version``, else ""."""
    computer = gethostname()
    if version != __version__:
        return OTHER_VERSION.format(computer=computer, version=__version__, command=version)
    for folder in folders:
        if not _is_visible(folder):
            return MISSING_FOLDER.format(computer=computer, folder=folder)
    return ""


def _is_visible(folder: Path) -> bool:
    try:
        return folder.exists()
    except OSError:  # such as ESTALE from a network drive
        return False


ENSEMBLE_CHANGED: Final = "The ensemble {folder} has changed since this run began."


class EnsembleCache(WorkerPlugin):
    """The loaded ensemble of a worker process, which one task at a time can use."""

    name = "napari-bayes-nnunet-ensemble"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ensemble: Ensemble | None = None
        self._loaded: tuple[object, ...] = ()

    @contextmanager
    def ensemble(
        self,
        folder: Path,
        *,
        device: str = "auto",
        precision: Precision = "auto",
        expected: str = "",
    ) -> Iterator[Ensemble]:
        """Give the block exclusive use of the ensemble, reloaded if its folder has changed.

        ``expected`` is the fingerprint that it must have, if any. Raises DataError, ModelError or
        AppError if it cannot be used.
        """
        with self._lock:
            yield self._load(folder, device, precision, expected)

    def _load(self, folder: Path, device: str, precision: Precision, expected: str) -> Ensemble:
        from ..remote.ensemble import ensemble_on

        current = find_ensemble(folder)  # a training may have added or replaced members
        fingerprint_now = fingerprint(current)
        if expected not in ("", fingerprint_now):
            raise AppError(ENSEMBLE_CHANGED, Action.OTHER_OUTPUT, Action.OVERWRITE, folder=folder)
        key = (folder, device, precision, fingerprint_now)
        if self._ensemble is None or self._loaded != key:
            self._ensemble = None
            gc.collect()  # its network is in a reference cycle and may fill most of the GPU memory
            with explaining_torch(AppError):
                self._ensemble = ensemble_on(device)(folder, device=device, precision=precision)
            self._loaded = key
        return self._ensemble


def worker_cache() -> EnsembleCache:
    """Return the cache of the worker that runs this task; the first call makes it."""
    cache = get_worker().plugins.setdefault(EnsembleCache.name, EnsembleCache())
    assert isinstance(cache, EnsembleCache)
    return cache
