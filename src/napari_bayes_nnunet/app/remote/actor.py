"""What a Dask worker does for a laptop: it segments, member by member, as long as it is held.

A `RemoteRun` is a Dask actor. Dask lets go of it when its owner does, is killed or cut off, and
then it stops, even in the middle of a member. Nothing of an image is written, on disk or in logs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from distributed import Worker, get_worker

from ...core.types import Mirroring
from ...io import DataError
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.fingerprint import fingerprint
from ...nnunet import ModelError, Stopped
from .. import AppError
from ..cluster.ensemble_cache import worker_cache
from ..segmentation.result import Snapshot, SnapshotThrottle
from ..segmentation.settings import SegmentationSettings
from .wire_format import PackedArray, PackedSnapshot, RemoteSegmentation, Step

if TYPE_CHECKING:
    from ..segmentation.ensemble import Ensemble

BUILT_IN = "the built-in demo ensemble"
"""Stands for the ensemble that is part of this package, wherever it is installed."""
BUILT_IN_FOLDER = Path(__file__).parents[2] / "demo_ensemble"


@dataclass(frozen=True)
class EnsembleReference:
    """A folder of the worker's computer, or `BUILT_IN`, and the fingerprint it must have."""

    folder: str
    fingerprint: str


@dataclass(frozen=True)
class Failure:
    """Why a call could not be answered."""

    error: Exception


class RemoteRun:
    """The work for one window; ``key`` is its own name in the cluster."""

    def __init__(self, key: str) -> None:
        # Without `self`: a suspended generator has it, and memory is to be freed at once.
        self._is_left = partial(_is_left, get_worker(), key)
        self._keeper = worker_cache()
        self._thread = ThreadPoolExecutor(1)
        self._steps: Iterator[dict[int, Snapshot]] = iter(())
        self._ahead: Future[Step] = Future()

    def load(self, asked: EnsembleReference) -> dict[int, str]:
        """Open all members: place of a member → why it cannot be used."""
        with self._ensemble(asked) as ensemble:
            members = enumerate(ensemble.folder.members)
            return {place: member.refused for place, member in members if not member.usable}

    def phases_at_once(
        self, asked: EnsembleReference, shape: tuple[int, ...], mirroring: Mirroring
    ) -> int:
        """How many phases of this shape fill the device when asked together."""
        with self._ensemble(asked) as ensemble:
            return ensemble.phases_at_once(np.broadcast_to(np.uint8(0), shape), mirroring)

    def find_phases(
        self, asked: EnsembleReference, cine: PackedArray, spacing: tuple[float, float, float]
    ) -> tuple[int, int]:
        """End-diastole and end-systole."""
        voxels = cine.unpacked()
        with self._ensemble(asked) as ensemble:
            return ensemble.find_phases(voxels, spacing, should_stop=self._is_left)

    def begin(
        self,
        asked: EnsembleReference,
        images: Sequence[PackedArray],
        spacing: tuple[float, float, float],
        settings: SegmentationSettings,
        keep_members: bool,
    ) -> None:
        """Start to segment, as `Ensemble.phase_steps` does."""
        voxels = [image.unpacked() for image in images]
        with self._ensemble(asked) as ensemble:
            self._steps = ensemble.phase_steps(
                *(voxels, spacing, settings),
                keep_members=keep_members,
                should_stop=self._is_left,
            )
        self._ahead = self._thread.submit(self._compute)

    def advance(self) -> Step:
        """What comes next. The one after it is begun before the network has to carry this one."""
        step = self._ahead.result()
        if isinstance(step, dict):
            self._ahead = self._thread.submit(self._compute)
        return step

    def _compute(self) -> Step:
        """Ask members until there is something to show; other runs may ask theirs in between."""
        throttle = SnapshotThrottle()
        while True:
            with self._keeper.alone():
                try:
                    snapshots = next(self._steps)
                except StopIteration as end:
                    self._steps = iter(())
                    return [RemoteSegmentation.of(result) for result in end.value]
                except Stopped:  # nobody is there to ask; its frames would hold memory
                    self._steps = iter(())
                    return []
                done, total = next((s.done, s.total) for s in snapshots.values())
                if throttle.shows(done, total):
                    return {place: PackedSnapshot.of(each) for place, each in snapshots.items()}

    @contextmanager
    def _ensemble(self, asked: EnsembleReference) -> Generator[Ensemble]:
        """The ensemble asked for, if it is here. Raises AppError where it is not."""
        folder = BUILT_IN_FOLDER if asked.folder == BUILT_IN else Path(asked.folder)
        try:
            found = fingerprint(find_ensemble(folder))
        except DataError as error:
            raise AppError(
                f"The other computer does not have the ensemble ({str(error).rstrip('.')}): copy "
                "it there, and name its folder under Path there."
            ) from error
        if found != asked.fingerprint:
            raise AppError(
                f"{asked.folder} on the other computer is not the same ensemble as the one chosen "
                "here: copy it there again, or name another folder under Path there."
            )
        with self._keeper.ensemble(folder) as ensemble:
            yield ensemble


def _is_left(worker: Worker, key: str) -> bool:
    """Whether nobody holds the run any more."""
    return key not in worker.state.actors


async def call(key: str, method: str, *arguments: Any, dask_worker: Worker) -> Any:
    """What a method of the run ``key`` answers, or a `Failure`."""
    run = dask_worker.state.actors.get(key)
    if run is None:
        return Failure(AppError("The other computer has dropped the work: press Segment again."))
    return await asyncio.to_thread(_outcome, getattr(run, method), *arguments)


async def holds(key: str, dask_worker: Worker) -> bool:
    """Whether this worker has the run ``key``."""
    return key in dask_worker.state.actors


async def describe() -> str:
    """The device of this worker, with its free memory."""
    return await asyncio.to_thread(_first_device)


def _first_device() -> str:
    from ...nnunet.device import describe_devices

    return next(iter(describe_devices().values()))


def _outcome(work: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except (AppError, DataError, ModelError, Stopped) as error:
        return Failure(error)
    except Exception as error:  # Dask would write the arguments into its log
        sentence = f"Segmentation failed unexpectedly ({type(error).__name__}: {error})."
        return Failure(AppError(sentence))
