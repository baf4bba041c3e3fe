"""The ensemble of a Dask worker: loaded with its first task, and kept for those that follow."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import Worker, WorkerPlugin, get_worker
from distributed.utils import sync

from ...core.types import Precision
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.fingerprint import fingerprint

if TYPE_CHECKING:
    from ..segmentation.ensemble import Ensemble


class EnsembleCache(WorkerPlugin):
    """One loaded ensemble a worker process; tasks that need it wait for one another."""

    name = "napari-bayes-nnunet-ensemble"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ensemble: Ensemble | None = None
        self._loaded: tuple[object, ...] = ()

    @contextmanager
    def ensemble(
        self, folder: Path, *, device: str = "auto", precision: Precision = "auto"
    ) -> Iterator[Ensemble]:
        """The ensemble in ``folder``, for nobody else meanwhile; loaded anew where it has changed.

        Raises DataError, ModelError or AppError where it cannot be used.
        """
        with self.alone():
            yield self._load(folder, device, precision)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else computes meanwhile: for work with an ensemble that was given before."""
        with self._lock:
            yield

    def _load(self, folder: Path, device: str, precision: Precision) -> Ensemble:
        from ..segmentation.ensemble import Ensemble

        found = find_ensemble(folder)  # a training may have added or replaced members
        asked = (folder, device, precision, fingerprint(found))
        if self._ensemble is None or self._loaded != asked:
            self._ensemble = None
            gc.collect()  # its network is part of a cycle, and may hold most of a card
            self._ensemble = Ensemble(found, device=device, precision=precision)
            self._loaded = asked
        return self._ensemble


def worker_cache() -> EnsembleCache:
    """The keeper of the worker this task runs on, made with the first that asks."""
    worker = get_worker()
    kept: EnsembleCache = sync(worker.loop, _keeper_of, worker)
    return kept


async def _keeper_of(worker: Worker) -> EnsembleCache:
    """In the worker's own loop, where nothing else is done meanwhile."""
    if EnsembleCache.name not in worker.plugins:
        await worker.plugin_add(EnsembleCache())
    plugin = worker.plugins[EnsembleCache.name]
    assert isinstance(plugin, EnsembleCache)
    return plugin
