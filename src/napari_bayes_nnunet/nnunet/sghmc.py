"""Noise on the steps of SGD, with which it samples the posterior of the weights (SGHMC)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..core.ensemble.sampler import noise_deviation
from .preprocessed import CheckedDataset


class PosteriorNoise:
    """Hook before each step of SGD with momentum, which adds the noise of SGHMC.

    The noise enters the momentum, as part of the gradient. It has a generator of its own, which
    ``seed`` starts, so that all other random numbers of a training stay the same. Equal seeds give
    equal noise in all processes of a training on several GPUs.
    """

    def __init__(
        self,
        *,
        temperature: float,
        examples: int,
        seed: tuple[int, ...],
        device: torch.device,
    ) -> None:
        self._temperature = temperature
        self._examples = examples
        self._generator = torch.Generator(device)
        self._generator.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))

    def __call__(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Add noise to all gradients, of the standard deviation that the step will have."""
        for group in optimizer.param_groups:
            rate = group["lr"]
            deviation = noise_deviation(
                rate,
                momentum=group["momentum"],
                temperature=self._temperature,
                examples=self._examples,
            )
            for weight in group["params"]:
                if weight.grad is not None:
                    noise = torch.randn(
                        weight.shape,
                        generator=self._generator,
                        device=weight.device,
                        dtype=weight.dtype,
                    )
                    weight.grad.add_(noise, alpha=deviation / rate)


def count_examples(dataset: CheckedDataset, *, dimensions: int) -> int:
    """Return the number of training examples: slices of a 2D network, cases of a 3D network."""
    if dimensions == 3:
        return len(dataset.identifiers)
    images = (dataset.load_case(case)[0] for case in dataset.identifiers)
    return sum(image.shape[1] for image in images)
