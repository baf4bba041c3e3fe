"""The time the arithmetic alone would take: operations over the machine's measured matrix rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase

from ..held_back import image_of

SIDE = 4096
TRIES = 7


@dataclass(frozen=True)
class Floor:
    """Operations of one pass over a volume, and operations a second of a matrix product."""

    operations: float
    rates: dict[str, float]


def floor(run: Path, case: TrainingCase, device: str) -> Floor:
    """Counted on the network itself; a multiplication and its addition are two operations."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    ensemble = Ensemble(run, device=device, precision="full")
    image, spacing = image_of(case)
    with FlopCounterMode(display=False) as counted:
        ensemble.segment(image, spacing, method="vanilla", mirroring="none")
    kinds = [torch.float32, torch.float16 if "cuda" in ensemble.device else torch.bfloat16]
    rates = {str(kind).removeprefix("torch."): _rate(kind, ensemble.device) for kind in kinds}
    return Floor(counted.get_total_flops(), rates)


def _rate(kind: object, device: str) -> float:
    import torch

    matrix = torch.ones(SIDE, SIDE, device=device).to(kind)
    fastest = float("inf")
    for _ in range(TRIES):
        started = perf_counter()
        product = matrix @ matrix
        product[0, 0].item()  # waits for a card
        fastest = min(fastest, perf_counter() - started)
    return 2 * SIDE**3 / fastest
