"""Dask actor that segments for the window of another computer.

Dask drops the actor when its owner drops it, is killed or loses the connection. The actor then
stops, even in the middle of a member. It writes nothing of an image to disk or to logs.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from distributed import Worker, get_worker

from ...core.choices import LargestComponent, Mirroring
from ...io import DataError
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from ...nnunet import ModelError, Stopped
from .. import AppError
from ..cluster.ensemble_cache import worker_cache
from ..segmentation.result import FirstLook, Snapshot, SnapshotThrottle
from ..segmentation.settings import SegmentationSettings
from .wire_format import PackedArray, PackedMaps, RemoteSegmentation, RemoteSnapshot, Step

if TYPE_CHECKING:
    from ..segmentation.ensemble import Ensemble

BUILT_IN = "the built-in demo ensemble"
"""Name of the ensemble that is part of this package, wherever it is installed."""
BUILT_IN_FOLDER = Path(__file__).parents[2] / "demo_ensemble"
SECONDS_TO_ANSWER: Final = 1.0
"""Time between an error that breaks CUDA and the end of the worker, so that the window hears it."""


@dataclass(frozen=True)
class EnsembleReference:
    """Folder on the worker's computer, or `BUILT_IN`, and the fingerprint it must have."""

    folder: str
    fingerprint: str


@dataclass(frozen=True)
class Failure:
    """Error of a call, returned instead of its result."""

    error: Exception


@dataclass(frozen=True)
class RunDropped:
    """Answer of a worker that no longer has the run, because its owner's connection was lost."""


class RemoteRun:
    """Segmentation for one window; ``key`` is the name of the actor in the cluster."""

    def __init__(self, key: str) -> None:
        # Not a method: a suspended generator would keep `self`, and its memory, alive.
        self._is_dropped = partial(_is_dropped, get_worker(), key)
        self._cache = worker_cache()
        self._thread = ThreadPoolExecutor(1)
        self._steps: Iterator[dict[int, Snapshot]] = iter(())
        self._ahead: Future[Step] = Future()

    def load(self, reference: EnsembleReference) -> dict[int, str]:
        """Load the ensemble and return index of a member → reason it cannot be used."""
        with self._ensemble(reference) as ensemble:
            members = enumerate(ensemble.folder.members)
            return {index: member.refused for index, member in members if not member.usable}

    def phases_at_once(
        self, reference: EnsembleReference, shape: tuple[int, ...], mirroring: Mirroring
    ) -> int:
        """Return how many phases of this shape fill the device together."""
        with self._ensemble(reference) as ensemble:
            return ensemble.phases_at_once(np.broadcast_to(np.uint8(0), shape), mirroring)

    def find_phases(
        self,
        reference: EnsembleReference,
        cine: PackedArray,
        spacing: tuple[float, float, float],
        largest_component: LargestComponent,
    ) -> tuple[tuple[int, int], dict[int, PackedMaps[FirstLook]]]:
        """Return the phases of ED and ES, and the look at each phase."""
        voxels = cine.unpack()
        looks: dict[int, FirstLook] = {}
        with self._ensemble(reference) as ensemble:
            ends = ensemble.find_phases(
                voxels,
                spacing,
                largest_component=largest_component,
                should_stop=self._is_dropped,
                on_look=looks.__setitem__,
            )
        return ends, {phase: PackedMaps.pack(FirstLook, look) for phase, look in looks.items()}

    def first_looks(
        self,
        reference: EnsembleReference,
        cine: PackedArray,
        spacing: tuple[float, float, float],
        largest_component: LargestComponent,
    ) -> list[PackedMaps[FirstLook]]:
        """Return a look at each phase."""
        voxels = cine.unpack()
        with self._ensemble(reference) as ensemble:
            looks = ensemble.first_looks(
                voxels,
                spacing,
                largest_component=largest_component,
                should_stop=self._is_dropped,
            )
            return [PackedMaps.pack(FirstLook, look) for look in looks]

    def begin(
        self,
        reference: EnsembleReference,
        images: Sequence[PackedArray],
        spacing: tuple[float, float, float],
        settings: SegmentationSettings,
        options: Mapping[str, Any],
    ) -> None:
        """Start to segment, as `Ensemble.phase_steps` does with further ``options``."""
        voxels = [image.unpack() for image in images]
        with self._ensemble(reference) as ensemble:
            self._steps = ensemble.phase_steps(
                voxels, spacing, settings, **options, should_stop=self._is_dropped
            )
        self._ahead = self._thread.submit(self._compute)

    def advance(self) -> Step:
        """Return the next step, and start to compute the one after it."""
        step = self._ahead.result()
        if isinstance(step, dict):
            self._ahead = self._thread.submit(self._compute)
        return step

    def _compute(self) -> Step:
        """Run members until there is a snapshot to show; other runs may compute in between."""
        throttle = SnapshotThrottle()
        while True:
            with self._cache.exclusive():
                try:
                    snapshots = next(self._steps)
                except StopIteration as end:
                    self._steps = iter(())
                    return [RemoteSegmentation.from_result(result) for result in end.value]
                except Stopped:  # the owner is gone, and the generator's frames hold memory
                    self._steps = iter(())
                    return []
                done, total = min((s.done, s.total) for s in snapshots.values())
                if throttle.shows(done, total):
                    pack = partial(PackedMaps.pack, RemoteSnapshot)
                    return {index: pack(snapshot) for index, snapshot in snapshots.items()}

    @contextmanager
    def _ensemble(self, reference: EnsembleReference) -> Generator[Ensemble]:
        """Give the ensemble to the block. Raises AppError if this computer does not have it."""
        folder = BUILT_IN_FOLDER if reference.folder == BUILT_IN else Path(reference.folder)
        try:
            actual = fingerprint(find_ensemble(folder))
        except DataError as error:
            raise AppError(
                "The other computer does not have the ensemble ({reason}). Copy it there and "
                "enter its folder under Path there.",
                reason=str(error).rstrip("."),
            ) from error
        if actual != reference.fingerprint:
            raise AppError(
                "{folder} on the other computer is a different ensemble from the one chosen here. "
                "Copy the ensemble there again, or enter another folder under Path there.",
                folder=reference.folder,
            )
        with self._cache.ensemble(folder) as ensemble:
            yield ensemble


def _is_dropped(worker: Worker, key: str) -> bool:
    """Return whether the worker no longer has the run."""
    return key not in worker.state.actors


async def call_run(key: str, method: str, *arguments: Any, dask_worker: Worker) -> Any:
    """Return the result of a method of the run ``key``, a `Failure` or `RunDropped`."""
    run = dask_worker.state.actors.get(key)
    if run is None:
        return RunDropped()
    return await asyncio.to_thread(_outcome, getattr(run, method), *arguments)


async def has_run(key: str, dask_worker: Worker) -> bool:
    """Return whether this worker has the run ``key``."""
    return key in dask_worker.state.actors


async def describe_worker() -> str:
    """Return the fastest device of this worker, with its free memory."""
    return await asyncio.to_thread(_first_device)


def _first_device() -> str:
    from ...nnunet.device import choose_device, describe_device

    return describe_device(choose_device())


def _outcome(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except (AppError, DataError, ModelError, Stopped) as error:
        return Failure(error)
    except Exception as error:  # otherwise Dask would write the arguments into its log
        from ...nnunet.device import is_broken

        if is_broken(error):  # all later calls would fail here; Dask starts another worker
            threading.Timer(SECONDS_TO_ANSWER, os._exit, (1,)).start()
        sentence = f"Segmentation failed unexpectedly ({type(error).__name__}: {error})."
        return Failure(AppError(sentence))
