"""Time from the click to the first overlay, with the real child process of the dock."""

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

from ..held_back import read_image


@dataclass(frozen=True)
class Overlays:
    """Seconds to the first overlay: without a child, with a waiting child, for a second image."""

    cold: float
    warm: float
    again: float


def first_overlays(run: Path, case: TrainingCase, device: str) -> Overlays:
    """Return the medians of three tries with 30 members and spread mirroring."""
    tries = [_measure_once(run, case, device) for _ in range(3)]
    return Overlays(*(median(column) for column in zip(*map(astuple, tries), strict=True)))


def time_opening(run: Path) -> tuple[float, float]:
    """Return the seconds to reopen the ensemble and to read the files of its members."""
    folder = Ensemble(run).folder
    started = perf_counter()
    _ = Ensemble(run).folder  # waits for the checks
    opened = perf_counter() - started
    started = perf_counter()
    for member in folder.members:
        member.path.read_bytes()
    return opened, perf_counter() - started


def _measure_once(run: Path, case: TrainingCase, device: str) -> Overlays:
    started = perf_counter()
    with _Child(run, case, device) as child:
        child.segment(1)
        cold = perf_counter() - started
    with _Child(run, case, device) as child:
        child.send(LoadEnsemble(folder=str(run), device=device))
        child.wait_for(EnsembleLoaded)
        warm, again = child.segment(1), child.segment(2)
    return Overlays(cold, warm, again)


class _Child:
    """Child process with its own scratch folder and no cached results."""

    def __init__(self, run: Path, case: TrainingCase, device: str) -> None:
        image, spacing = read_image(case)
        self._request = {
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

    def wait_for(self, kind: type[Message]) -> None:
        assert self._process.stdout is not None
        while not isinstance(message := from_line(self._process.stdout.readline()), kind):
            if isinstance(message, JobEnded):
                raise RuntimeError(message.text)

    def segment(self, job: int) -> float:
        """Return the seconds from writing the image to the first snapshot."""
        started = perf_counter()
        file = self._scratch / f"image-{job}.npy"
        np.save(
            file, self._image + job
        )  # differs from earlier images, so that no cached result is used
        self.send(SegmentImage(job=job, image=str(file), **self._request))
        self.wait_for(SnapshotReady)
        seconds = perf_counter() - started
        self.send(StopJob(job=job))
        self.wait_for(JobEnded)
        return seconds
