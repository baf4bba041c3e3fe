"""The ensemble of a Dask worker: loaded with its first task, and kept for those that follow."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import Client, WorkerPlugin, get_worker

if TYPE_CHECKING:
    from ..nnunet.network import Precision
    from .segment import Ensemble


class EnsembleKeeper(WorkerPlugin):
    """One loaded ensemble a worker process; tasks that need it wait for one another."""

    name = "napari-bayes-nnunet-ensemble"
    idempotent = True

    def __init__(self) -> None:
        self._lock: threading.Lock | None = None
        self._ensemble: Ensemble | None = None
        self._loaded: tuple[object, ...] = ()

    def setup(self, worker: object) -> None:
        """Called by Dask on each worker; a lock cannot travel there."""
        self._lock = threading.Lock()

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
        assert self._lock is not None
        with self._lock:
            yield

    def _load(self, folder: Path, device: str, precision: Precision) -> Ensemble:
        from .segment import Ensemble

        asked = (folder, device, precision, _changed(folder))
        if self._ensemble is None or self._loaded != asked:
            self._ensemble = None
            gc.collect()  # its network is part of a cycle, and may hold most of a card
            self._ensemble = Ensemble(folder, device=device, precision=precision)
            self._loaded = asked
        return self._ensemble


def keep_ensembles(client: Client) -> None:
    """Give every worker of the cluster a keeper, also those that join later."""
    client.register_plugin(EnsembleKeeper())


def keeper() -> EnsembleKeeper:
    """The keeper of the worker this task runs on."""
    plugin = get_worker().plugins[EnsembleKeeper.name]
    assert isinstance(plugin, EnsembleKeeper)
    return plugin


def _changed(folder: Path) -> float:
    """When a file in the folder was changed last; a training may have added or replaced members."""
    return max((file.stat().st_mtime for file in folder.rglob("*")), default=0.0)
