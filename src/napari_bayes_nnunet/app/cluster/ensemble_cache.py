"""Cache of the ensemble on a Dask worker, from its first task to the next ones."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from distributed import WorkerPlugin, get_worker

from ...core.choices import Precision
from ...core.problems import Action
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from .. import AppError

if TYPE_CHECKING:
    from ..segmentation.ensemble import Ensemble


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
            self._ensemble = ensemble_on(device)(folder, device=device, precision=precision)
            self._loaded = key
        return self._ensemble


def worker_cache() -> EnsembleCache:
    """Return the cache of the worker that runs this task; the first call makes it."""
    cache = get_worker().plugins.setdefault(EnsembleCache.name, EnsembleCache())
    assert isinstance(cache, EnsembleCache)
    return cache
