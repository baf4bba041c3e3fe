"""Ensemble that segments on another computer, for the command line."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ...core.choices import LargestComponent, Mirroring, Precision
from ...core.types import Spacing
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.study.arrays import read_posterior
from ...nnunet import Stopped
from ..messages import (
    FINISHED,
    EnsembleLoaded,
    FirstLookReady,
    JobEnded,
    LoadEnsemble,
    Message,
    Notice,
    PhaseDone,
    SegmentImage,
    SnapshotReady,
)
from ..segmentation.ensemble import Ensemble
from ..segmentation.image_check import Image
from ..segmentation.result import FirstLook, MemberStatistics, Segmentation, Snapshot
from ..segmentation.settings import SegmentationSettings
from .connection import RemoteConnection, error_of
from .device import RemoteDevice, is_remote

MOST_AT_ONCE: Final = 16
"""Phases that are sent and whose results are kept together."""


def ensemble_on(device: str) -> type[Ensemble]:
    """Return the class of an ensemble that computes on a device, here or on another computer."""
    return RemoteEnsemble if is_remote(device) else Ensemble


class RemoteEnsemble(Ensemble):
    """The part of `Ensemble` that `predict` needs, computed on another computer.

    ``device`` is the text of a `RemoteDevice`, the other parameters are those of `Ensemble`.
    Snapshots count the members, but have no arrays. Whoever stops drops the connection, and the
    next call opens another one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str,
        precision: Precision = "auto",
        notify: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._path, self._notify, self._jobs = str(folder), notify, count(1)
        self._remote_device = RemoteDevice.parse(device)
        self._scratch = Path(mkdtemp(prefix="bayes-nnunet-"))
        self._opened = ExitStack()
        self._opened.callback(shutil.rmtree, self._scratch, ignore_errors=True)
        weakref.finalize(self, self._opened.close)
        self._connection: RemoteConnection | None = None
        self.folder = find_ensemble(folder)
        for reply in self._ask(LoadEnsemble(folder=self._path, device=device)):
            if isinstance(reply, EnsembleLoaded):
                refused = {Path(path): reason for path, reason in reply.refused.items()}
                self.folder = self.folder.with_refused(refused)

    @property
    def structures(self) -> dict[str, int]:
        """Structure → label, without the background and ignored voxels."""
        return {name: label for name, label in self.folder.labels.items() if label != 0}

    @property
    def is_on_card(self) -> bool:
        """False, so nothing is prepared ahead: what this computer prepares would not be used."""
        return False

    def phases_at_once(self, image: Image, mirroring: Mirroring = "full") -> int:
        """Return how many phases are sent together."""
        return MOST_AT_ONCE

    def first_looks(
        self,
        cine: Image,
        spacing: Spacing,
        *,
        largest_component: LargestComponent = "auto",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[FirstLook]:
        """Yield the looks of `Ensemble.first_looks`, with maps in steps of 1/4096."""
        settings = SegmentationSettings(largest_component=largest_component)
        for reply in self._segment("looks", cine, spacing, settings, should_stop=should_stop):
            if isinstance(reply, FirstLookReady):
                look = FirstLook(
                    labels=np.load(reply.labels),
                    maps=_load_maps(reply),
                    volumes=reply.volumes,
                )
                reply.delete_files()
                yield look

    def phase_steps(
        self,
        images: Sequence[Image],
        spacing: Spacing,
        settings: SegmentationSettings,
        *,
        keep_members: bool = False,
        doubt: str | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[dict[int, Snapshot], None, list[Segmentation]]:
        """Segment images of one shape as `Ensemble.phase_steps` does; all members are kept."""
        latest: dict[int, SnapshotReady] = {}
        results: list[Segmentation] = []
        nothing = MemberStatistics(structures={}, spacing=spacing)
        stack = np.stack(images, axis=1)
        replies = self._segment(
            "phases", stack, spacing, settings, doubt=doubt, should_stop=should_stop
        )
        for reply in replies:
            if isinstance(reply, SnapshotReady) and reply.phase is not None:
                if reply.phase in latest:
                    latest[reply.phase].delete_files()
                latest[reply.phase] = reply
                counts = reply.done, reply.total, reply.eta_seconds
                yield {reply.phase - 1: Snapshot(*counts, nothing)}
            elif isinstance(reply, PhaseDone) and reply.phase is not None:
                last = latest.pop(reply.phase)
                order = self.folder.class_order
                results.append(RemoteSegmentation.read(last, reply, settings, order))
                last.delete_files()
                reply.delete_files()
        return results

    def _keep_prepared(self, images: Sequence[Image], spacing: Spacing) -> None:
        """Do nothing: the other computer forgets images by itself."""

    def _segment(
        self,
        part: Literal["looks", "phases"],
        image: Image,
        spacing: Spacing,
        settings: SegmentationSettings,
        *,
        should_stop: Callable[[], bool],
        doubt: str | None = None,
    ) -> Iterator[Message]:
        """Send an image (channels, T, Z, Y, X) and yield the answers until the end of the job."""
        job = next(self._jobs)
        file = self._scratch / f"image-{job}.npy"
        np.save(file, image)
        request = SegmentImage(
            job=job,
            image=str(file),
            spacing=spacing,
            folder=self._path,
            settings=settings,
            doubt=doubt,
            part=part,
        )
        for reply in self._ask(request):
            if should_stop():
                raise Stopped
            if isinstance(reply, JobEnded) and reply.outcome != FINISHED:
                raise error_of(reply)
            yield reply
        file.unlink()

    def _ask(self, request: LoadEnsemble | SegmentImage) -> Iterator[Message]:
        """Yield the answers to a request, and pass on notices."""
        if self._connection is None or not self._connection.is_alive:
            self._connection = RemoteConnection(self._remote_device, self._scratch)
            self._opened.callback(self._connection.close)
        for reply in self._connection.ask(request):
            if isinstance(reply, Notice):
                self._notify(str(reply.sentence))
            yield reply


@dataclass(frozen=True, kw_only=True)
class RemoteSegmentation(Segmentation):
    """Segmentation of another computer: its arrays, its report, and what else `predict` needs."""

    content: dict[str, Any] = field(repr=False)
    question: str = ""

    @classmethod
    def read(
        cls,
        last: SnapshotReady,
        done: PhaseDone,
        settings: SegmentationSettings,
        class_order: tuple[int, ...] = (),
    ) -> RemoteSegmentation:
        """Return the result in the last snapshot of a phase and the message of its end.

        Raises DataError if its files do not fit each other.
        """
        labels, maps = np.load(last.labels), _load_maps(last)
        stored = read_posterior(Path(done.posterior), prediction=labels, maps=maps)
        members = np.zeros((len(stored.members), *labels.shape), np.uint8)
        members[(slice(None), *stored.box)] = stored.members
        unused: dict[str, Any] = {}  # by `predict`, which takes the numbers from the report
        return cls(
            labels=labels,
            probabilities=np.load(done.probabilities),
            maps=maps,
            volumes=unused,
            member_volumes=unused,
            volume_spread=unused,
            pairwise_dice=unused,
            ensemble="",
            ensemble_kind="",
            settings=settings,
            members=(),
            precision="",
            seconds=0.0,
            warnings=tuple(done.report["warnings"]),
            run_notes=done.run_notes,
            member_labels=members,
            class_order=class_order,
            content=done.report,
            question=done.no_cine,
        )

    @property
    def no_cine(self) -> str:
        """Question whether the image is a short-axis cine, or ""."""
        return self.question

    def report(self) -> dict[str, Any]:
        """Return the content of ``<case>.json``."""
        return self.content


def _load_maps(message: SnapshotReady | FirstLookReady) -> dict[str, NDArray[np.float32]]:
    return {name: np.load(file) for name, file in message.maps.items()}
