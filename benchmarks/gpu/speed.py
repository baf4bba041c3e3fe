"""Speed of a full-size ensemble on a card, in all number types, batches and memory orders.

python -m benchmarks.gpu.speed OUT [--device cuda] [--seconds 500] [--tiny]

A row measures all members on one image, or on the phases of a cine, from the preprocessed image in
the main memory to labels and entropy there: the copies to the card and back are included. Resident
members are on the card already; others are copied for every group of images that fills a batch.
Rows that are in OUT/results.jsonl are not measured again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import product
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.result import to_numpy
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.nnunet.network import place_windows
from napari_bayes_nnunet.nnunet.weights import without_duplicates

from .model import SPACING, random_ensemble, random_image
from .piece import PieceOptions, Size, measure_missing, parse_options

if TYPE_CHECKING:
    from napari_bayes_nnunet.nnunet.inference import PreparedImage

PRECISIONS = ("float16", "bfloat16", "float32")
REPEATS = 5


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Number type, patches of a batch, memory order, place of the members, and images."""

    precision: str
    batch: int
    channels_last: bool
    resident: bool
    phases: int


def variants(size: Size, patches: int) -> list[Variant]:
    """Return all combinations for one image of so many ``patches`` and for a cine.

    Batches larger than the first that holds all patches are left out.
    """
    rows = []
    for phases in (1, size.phases):
        largest = next((b for b in size.batches if b >= patches * phases), size.batches[-1])
        batches = [batch for batch in size.batches if batch <= largest]
        for resident, channels_last, batch, precision in product(
            (True, False), (False, True), batches, PRECISIONS
        ):
            row = Variant(
                precision=precision,
                batch=batch,
                channels_last=channels_last,
                resident=resident,
                phases=phases,
            )
            rows.append(row)
    return rows


class Card:
    """Ensemble on a card, with the image it is measured on."""

    def __init__(self, options: PieceOptions) -> None:
        self.size = options.size
        self.device = torch.device(options.device)
        model = random_ensemble(options.work / "full_size", self.size)
        ensemble = Ensemble(model, device=options.device, precision="full")
        self._predictor, members = ensemble._ready
        self._weights = [members.open((member,)).weights for member in ensemble.folder.members]
        self._image = self._predictor.prepare(random_image(self.size), SPACING)
        self._image = replace(self._image, data=self._image.data.cpu())
        self._notes: list[str] = []
        self._predictor._notify = self._notes.append
        self._rates: dict[str, float] = {}

    @property
    def patches(self) -> int:
        """Patches of one image."""
        shape = tuple(self._image.data.shape[1:])
        return len(place_windows(shape, self._predictor.patch_size, 1))

    def measure(self, variant: Variant) -> dict[str, Any]:
        """Return seconds, those of the network alone, of the arithmetic, and the peak memory."""
        self._prepare(variant)
        images = [self._image] * variant.phases
        together = self._predictor.images_at_once(slices=self.size.shape[0], mirrors=1)
        groups = [images[first : first + together] for first in range(0, len(images), together)]
        self._warm_up(groups[0])
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        started = perf_counter()
        for group in groups:
            self._compute(group, self._weights)
        seconds = perf_counter() - started
        patches = self.patches * variant.phases * len(self._weights)
        network = patches * self._seconds_per_patch(variant)
        peak = torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else 0
        return {
            "members": len(self._weights),
            "slices": variant.phases * self.size.shape[0],
            "seconds": round(seconds, 4),
            "network_seconds": round(network, 4),
            "floor_seconds": round(patches * self.operations / self._rate(variant.precision), 4),
            "peak_mb": round(peak / 1e6),
            "computed_in": str(self._predictor.network.dtype).removeprefix("torch."),
            "notes": list(self._notes),
        }

    def _prepare(self, variant: Variant) -> None:
        """Set the number type, the batch and the memory order as if they were the default."""
        self._notes.clear()
        predictor, network = self._predictor, self._predictor.network
        predictor.start_over()
        predictor.batch_size = variant.batch
        predictor._residents.clear()
        if variant.resident:
            predictor.__dict__.pop("_resident", None)
        else:
            predictor.__dict__["_resident"] = lambda weights: weights
        order = torch.channels_last if variant.channels_last else torch.contiguous_format
        network._openvino, network._dtype = None, getattr(torch, variant.precision)
        network.module.to(device=network.device, dtype=network.dtype, memory_format=order)
        network._tensors = without_duplicates(network.module.state_dict())

    def _warm_up(self, images: list[PreparedImage]) -> None:
        """Compute one member, and bring all to the card if they are to be resident."""
        self._compute(images, self._weights[:1])
        for weights in self._weights:
            self._predictor._resident(weights)

    def _compute(self, images: list[PreparedImage], members: list[Any]) -> None:
        """Compute the posterior of images in main memory, and copy the results back to it."""
        on_card = [replace(i, data=self._predictor.on_device(i.data)) for i in images]
        posteriors = [RunningPosterior() for _ in images]
        for weights in members:
            answers = self._predictor.probabilities(on_card, weights, mirrors=[()])
            for posterior, probabilities in zip(posteriors, answers, strict=True):
                posterior.add(probabilities)
        for posterior in posteriors:
            to_numpy(posterior.labels())
            to_numpy(posterior.total_entropy())

    @torch.inference_mode()
    def _seconds_per_patch(self, variant: Variant) -> float:
        """Return the time of the network alone, without copies, tiles and sums."""
        network = self._predictor.network
        count = min(variant.batch, self.patches * variant.phases)
        order = torch.channels_last if variant.channels_last else torch.contiguous_format
        batch = torch.randn(count, 1, *self.size.patch).to(
            device=network.device, dtype=network.dtype, memory_format=order
        )
        network.module(batch)
        self._wait()
        started = perf_counter()
        for _ in range(REPEATS):
            network.module(batch)
        self._wait()
        return (perf_counter() - started) / REPEATS / count

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def operations(self) -> float:
        """Operations of one patch; a multiply-add counts as two."""
        network = self._predictor.network
        patch = torch.zeros(1, 1, *self.size.patch, device=network.device, dtype=network.dtype)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network.module(patch)
        return float(counter.get_total_flops())

    def _rate(self, precision: str) -> float:
        """Return the operations per second of matrix products.

        Convolutions in float32 use TF32 on a card by default, so products do, too.
        """
        if precision not in self._rates:
            before = torch.backends.cuda.matmul.allow_tf32
            torch.backends.cuda.matmul.allow_tf32 = True
            dtype, device = getattr(torch, precision), str(self.device)
            self._rates[precision] = measure_rate(dtype, device, side=self.size.side)
            torch.backends.cuda.matmul.allow_tf32 = before
        return self._rates[precision]


def measure_rate(dtype: torch.dtype, device: str, *, side: int) -> float:
    """Return the operations per second of the product of two square matrices."""
    matrix = torch.ones(side, side, device=device).to(dtype)
    fastest = float("inf")
    for _ in range(REPEATS):
        started = perf_counter()
        product = matrix @ matrix
        product[0, 0].item()  # waits for the GPU
        fastest = min(fastest, perf_counter() - started)
    return 2 * side**3 / fastest


def main(words: list[str] | None = None) -> int:
    """Measure the variants that have no row, until the time is over."""
    options = parse_options(__doc__, words)
    card = Card(options)
    return measure_missing("speed", variants(options.size, card.patches), card.measure, options)


if __name__ == "__main__":
    sys.exit(main())
