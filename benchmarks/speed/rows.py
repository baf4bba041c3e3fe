"""Measured rows of the speed table: nnU-Net's own predictor, or ours in one of its modes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import choose_members
from napari_bayes_nnunet.app.segmentation.result import Segmentation
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.nnunet.device import choose_device

from ..held_back import read_image
from .memory import PeakMemory

SLICES = 10
"""Slices of a volume that is measured, as far as there is one."""
PHASES = 25
"""Phases of a cine."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Settings of a measurement; nnU-Net has no spread mirroring and no choice of precision.

    A row by the ``student`` is its first look at the phases of a cine, without any member.
    """

    mirroring: Any
    members: int
    stock: bool = False
    precision: Any = "auto"
    until_stable: bool = False
    phases: int = 1
    window: Any = "whole"
    student: bool = False


@dataclass(kw_only=True)
class Measured:
    """Seconds and number of members of every volume, and peak anonymous memory in bytes.

    ``folder`` holds the mean probabilities (C, Z, Y, X) of every volume.
    """

    row: Row
    precision: str
    device: str
    folder: Path
    volumes: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    peak: int = 0


def run_alone(work: Any, *arguments: Any) -> Any:
    """Call ``work`` in a new process, which inherits no memory and no warm caches."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def side_by_side(
    rows: Sequence[Row], run: Path, cases: Sequence[TrainingCase], device: str, scratch: Path
) -> list[Measured]:
    """Segment every volume by all rows in turn, so that other load affects all rows alike.

    The time to open an ensemble is not counted.
    """
    predictors = [(Stock if row.stock else Ours)(run, row, device) for row in rows]
    results = []
    for row, predictor in zip(rows, predictors, strict=True):
        folder = Path(scratch) / "-".join(map(str, row.__dict__.values()))
        folder.mkdir(exist_ok=True)
        results.append(
            Measured(row=row, precision=predictor.precision, device=predictor.device, folder=folder)
        )
    for case in cases:
        image, spacing = read_image(case)
        for predictor, result in zip(predictors, results, strict=True):
            started = perf_counter()
            probabilities, members = predictor.predict(image, spacing)
            result.seconds.append(perf_counter() - started)
            result.taken.append(members)
            result.volumes.append(case.name)
            np.save(result.folder / f"{case.name}.npy", probabilities)
    return results


def with_memory(
    row: Row, run: Path, cases: Sequence[TrainingCase], device: str, scratch: Path
) -> Measured:
    """Measure one row and the peak memory of this process."""
    with PeakMemory(str(choose_device(device))) as peak:
        (result,) = side_by_side([row], run, cases, device, scratch)
    result.peak = peak.bytes
    return result


class Ours:
    """Our ensemble, opened as in the child process when the user presses Segment."""

    def __init__(self, run: Path, row: Row, device: str) -> None:
        self._row = row
        self.ensemble = Ensemble(run, device=device, precision=row.precision)
        self.device = self.ensemble.device
        self.precision = self.ensemble.precision
        self.settings = SegmentationSettings(
            members=row.members,
            mirroring=row.mirroring,
            temperature=1,  # like nnU-Net's, but with all that a calibrated ensemble computes
            until_stable=row.until_stable,
            window=row.window,
        )

    def predict(self, image: NDArray[Any], spacing: Any) -> tuple[NDArray[np.float32], int]:
        """Return the mean probabilities of the (first) image and the number of members.

        Images are segmented as many together as the child process would.
        """
        images = [image] * self._row.phases
        together = self.ensemble.phases_at_once(image, self._row.mirroring)
        results: list[Segmentation] = []
        for first in range(0, len(images), together):
            group = images[first : first + together]
            results += drain(self.ensemble.phase_steps(group, spacing, self.settings))
        return results[0].probabilities, len(results[0].members)


class Stock:
    """nnU-Net's predictor with preloaded weights of each member, averaging softmax (Eq. 2)."""

    def __init__(self, run: Path, row: Row, device: str) -> None:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        chosen = choose_device(device)
        self.device, self.precision = str(chosen), "float16" if chosen.type == "cuda" else "float32"
        paths = _member_paths(run, row.members)
        self._predictor = nnUNetPredictor(
            use_mirroring=row.mirroring == "full", device=chosen, allow_tqdm=False
        )
        fold = next(folder for folder in paths[0].parents if folder.name.startswith("fold_"))
        with redirect_stdout(io.StringIO()):
            self._predictor.initialize_from_trained_model_folder(
                str(fold.parent),
                (fold.name.removeprefix("fold_"),),
                str(paths[0].relative_to(fold)),
            )
        self._member_weights = _member_weights(paths)

    def predict(self, image: NDArray[Any], spacing: Any) -> tuple[NDArray[np.float32], int]:
        """Return the mean probabilities of the image and the number of members."""
        total: Any = 0.0
        for weights in self._member_weights:
            self._predictor.list_of_parameters = [weights]
            with redirect_stdout(io.StringIO()):
                _, probabilities = self._predictor.predict_single_npy_array(
                    image.astype(np.float32), {"spacing": list(spacing)}, None, None, True
                )
            total = total + probabilities
        return total / len(self._member_weights), len(self._member_weights)


def _member_paths(run: Path, members: int) -> tuple[Path, ...]:
    return tuple(member.path for member in choose_members(find_ensemble(run), "multi", members))


@lru_cache
def _member_weights(paths: tuple[Path, ...]) -> list[dict[str, Any]]:
    """Return the weights of every member in float32, as in nnU-Net's own checkpoints."""
    from napari_bayes_nnunet.nnunet.weights import mean_weights, read_checkpoint

    checkpoints = [read_checkpoint(path)["network_weights"] for path in paths]
    return [mean_weights([weights, weights]) for weights in checkpoints]
