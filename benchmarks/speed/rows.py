"""One row of the table: stock nnU-Net, or ours in one of its modes, over the volumes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.methods import choose_members
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.ensemble.ensemble_folder import find_ensemble
from napari_bayes_nnunet.nnunet.device import choose_device

from ..held_back import image_of
from .memory import PeakMemory


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is measured. Stock nnU-Net knows no spread mirrors and no precision but its own."""

    mirroring: Any
    members: int
    stock: bool = False
    precision: Any = "auto"
    until_stable: bool = False
    phases: int = 1


@dataclass(kw_only=True)
class Measured:
    """Seconds and members asked of every volume, peak of the anonymous memory in bytes.

    ``answers`` is the folder with the mean probabilities (C, Z, Y, X) of every volume.
    """

    row: Row
    precision: str
    device: str
    answers: Path
    volumes: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    peak: int = 0


def side_by_side(
    rows: Sequence[Row], run: Path, cases: Sequence[TrainingCase], device: str, scratch: Path
) -> list[Measured]:
    """Every volume by all rows in turn, so that what else the machine does meets all of them.

    What is read before (an open ensemble) does not count.
    """
    asked = [(Stock if row.stock else Ours)(run, row, device) for row in rows]
    found = []
    for row, one in zip(rows, asked, strict=True):
        answers = Path(scratch) / "-".join(map(str, row.__dict__.values()))
        answers.mkdir(exist_ok=True)
        found.append(Measured(row=row, precision=one.precision, device=one.device, answers=answers))
    for case in cases:
        image, spacing = image_of(case)
        for one, into in zip(asked, found, strict=True):
            started = perf_counter()
            probabilities, members = one.answer(image, spacing)
            into.seconds.append(perf_counter() - started)
            into.taken.append(members)
            into.volumes.append(case.name)
            np.save(into.answers / f"{case.name}.npy", probabilities)
    return found


def with_memory(
    row: Row, run: Path, cases: Sequence[TrainingCase], device: str, scratch: Path
) -> Measured:
    """One row, and the peak of the memory of this process."""
    with PeakMemory(str(choose_device(device))) as peak:
        (found,) = side_by_side([row], run, cases, device, scratch)
    found.peak = peak.bytes
    return found


class Ours:
    """Our ensemble, open as the child process has it when the user presses Segment."""

    def __init__(self, run: Path, row: Row, device: str) -> None:
        self._row = row
        self._ensemble = Ensemble(run, device=device, precision=row.precision)
        self.device = self._ensemble.device
        self.precision = self._ensemble.precision

    def answer(self, image: NDArray[Any], spacing: Any) -> tuple[NDArray[np.float32], int]:
        """Mean probabilities of the (first) image, and by how many members."""
        row, together = self._row, self._ensemble.phases_at_once(image, self._row.mirroring)
        results = []
        for first in range(0, row.phases, together):
            count = min(together, row.phases - first)
            steps = self._ensemble.phase_steps(
                [image] * count,
                spacing,
                SegmentationSettings(
                    members=row.members,
                    mirroring=row.mirroring,
                    until_stable=row.until_stable,
                ),
            )
            results += drain(steps)
        return results[0].probabilities, len(results[0].members)


class Stock:
    """nnU-Net's predictor, with the weights of one member after the other, which are loaded before.

    Its softmax is averaged (Eq. 2).
    """

    def __init__(self, run: Path, row: Row, device: str) -> None:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        chosen = choose_device(device)
        self.device, self.precision = str(chosen), "float16" if chosen.type == "cuda" else "float32"
        paths = _paths(run, row.members)
        self._predictor = nnUNetPredictor(
            use_mirroring=row.mirroring == "full", device=chosen, allow_tqdm=False
        )
        fold = paths[0].parents[1]
        with redirect_stdout(io.StringIO()):
            self._predictor.initialize_from_trained_model_folder(
                str(fold.parent),
                (fold.name.removeprefix("fold_"),),
                str(paths[0].relative_to(fold)),
            )
        self._weights = _weights(paths)

    def answer(self, image: NDArray[Any], spacing: Any) -> tuple[NDArray[np.float32], int]:
        """Mean probabilities of the image, and by how many members."""
        total: Any = 0.0
        for weights in self._weights:
            self._predictor.list_of_parameters = [weights]
            with redirect_stdout(io.StringIO()):
                _, probabilities = self._predictor.predict_single_npy_array(
                    image.astype(np.float32), {"spacing": list(spacing)}, None, None, True
                )
            total = total + probabilities
        return total / len(self._weights), len(self._weights)


def _paths(run: Path, members: int) -> tuple[Path, ...]:
    return tuple(member.path for member in choose_members(find_ensemble(run), "multi", members))


@lru_cache
def _weights(paths: tuple[Path, ...]) -> list[dict[str, Any]]:
    """The weights of every member in float32, as nnU-Net's own checkpoints have them."""
    from napari_bayes_nnunet.nnunet.weights import mean_weights, read_checkpoint

    read = [read_checkpoint(path)["network_weights"] for path in paths]
    return [mean_weights([weights, weights]) for weights in read]
