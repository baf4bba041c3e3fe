"""Lower bound of the time: arithmetic operations over the measured matrix rate of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase

from ..held_back import read_image

SIDE = 4096
TRIES = 7


@dataclass(frozen=True)
class Floor:
    """Operations of one pass over a volume, and operations per second of matrix products."""

    operations: float
    rates: dict[str, float]


def measure_floor(run: Path, case: TrainingCase, device: str) -> Floor:
    """Count the operations of the network; a multiply-add counts as two operations."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    ensemble = Ensemble(run, device=device, precision="full")
    image, spacing = read_image(case)
    with FlopCounterMode(display=False) as counter:
        ensemble.segment(image, spacing, method="vanilla", mirroring="none")
    dtypes = [torch.float32, torch.float16 if "cuda" in ensemble.device else torch.bfloat16]
    rates = {
        str(dtype).removeprefix("torch."): measure_rate(dtype, ensemble.device) for dtype in dtypes
    }
    return Floor(counter.get_total_flops(), rates)


def measure_rate(dtype: object, device: str, *, side: int = SIDE) -> float:
    """Return the operations per second of the product of two square matrices."""
    import torch

    matrix = torch.ones(side, side, device=device).to(dtype)
    fastest = float("inf")
    for _ in range(TRIES):
        started = perf_counter()
        product = matrix @ matrix
        product[0, 0].item()  # waits for the GPU
        fastest = min(fastest, perf_counter() - started)
    return 2 * side**3 / fastest
