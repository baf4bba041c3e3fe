"""From the click to the first overlay, with the real child process of the dock."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from napari_bayes_nnunet.app.messages import (
    EnsembleLoaded,
    JobEnded,
    LoadEnsemble,
    Message,
    SegmentImage,
    SnapshotReady,
    StopJob,
    from_line,
)
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase

from ..held_back import image_of


@dataclass(frozen=True)
class Overlays:
    """Seconds to the first overlay: with no child yet, with one that waits, and the second time."""

    cold: float
    warm: float
    again: float


def first_overlays(run: Path, case: TrainingCase, device: str) -> Overlays:
    """Spread mirrors, 30 members; stopped after the first snapshot. The middle of three."""
    found = [_once(run, case, device) for _ in range(3)]
    return Overlays(*(median(column) for column in zip(*map(astuple, found), strict=True)))


def opening(run: Path) -> tuple[float, float]:
    """Seconds to open the ensemble once more, and to read the files of its members."""
    folder = Ensemble(run).folder
    started = perf_counter()
    Ensemble(run)
    opened = perf_counter() - started
    started = perf_counter()
    for member in folder.members:
        member.path.read_bytes()
    return opened, perf_counter() - started


def _once(run: Path, case: TrainingCase, device: str) -> Overlays:
    started = perf_counter()
    with _Child(run, case, device) as child:
        child.segment(1)
        cold = perf_counter() - started
    with _Child(run, case, device) as child:
        child.send(LoadEnsemble(folder=str(run), device=device))
        child.until(EnsembleLoaded)
        warm, again = child.segment(1), child.segment(2)
    return Overlays(cold, warm, again)


class _Child:
    """A child process with a scratch folder of its own, in which no answer is known yet."""

    def __init__(self, run: Path, case: TrainingCase, device: str) -> None:
        image, spacing = image_of(case)
        self._asked = {
            "spacing": spacing,
            "folder": str(run),
            "settings": SegmentationSettings(mirroring="spread", device=device),
        }
        self._image = image
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._scratch = Path(self._folder.name)
        module = "napari_bayes_nnunet.app.worker"
        command = [sys.executable, "-m", module, "--scratch", self._folder.name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def send(self, message: Message) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(message.to_line() + "\n")
        self._process.stdin.flush()

    def until(self, kind: type[Message]) -> None:
        assert self._process.stdout is not None
        while not isinstance(message := from_line(self._process.stdout.readline()), kind):
            if isinstance(message, JobEnded):
                raise RuntimeError(message.text)

    def segment(self, job: int) -> float:
        """Seconds from the request, the writing of the image included, to the first snapshot."""
        started = perf_counter()
        file = self._scratch / f"image-{job}.npy"
        np.save(file, self._image + job)  # no answer is known of it
        self.send(SegmentImage(job=job, image=str(file), **self._asked))
        self.until(SnapshotReady)
        seconds = perf_counter() - started
        self.send(StopJob(job=job))
        self.until(JobEnded)
        return seconds
