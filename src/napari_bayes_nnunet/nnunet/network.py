"""The network of a plans file, built once, with members swapped in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch.nn.functional import group_norm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from . import ModelError
from .weights import StateDict


class Network:
    """One network in evaluation mode on a device; ``load`` gives it the weights of a member."""

    def __init__(
        self,
        plans: PlansManager,
        configuration: ConfigurationManager,
        dataset_json: dict[str, Any],
        device: torch.device,
    ) -> None:
        channels = determine_num_input_channels(plans, configuration, dataset_json)
        classes = plans.get_label_manager(dataset_json).num_segmentation_heads
        module = nnUNetTrainer.build_network_architecture(
            plans, configuration, channels, classes, enable_deep_supervision=False
        )
        self.module: torch.nn.Module = module.eval().to(device)
        _normalise_without_copies(self.module)
        self.device = device

    def load(self, weights: StateDict) -> None:
        """Swap in a member that was checked to fit."""
        self.module.load_state_dict(weights)

    def to(self, device: torch.device) -> None:
        """Move the network."""
        self.module.to(device)
        self.device = device

    @contextmanager
    def dropping_out(self, seed: int | None) -> Iterator[None]:
        """Dropout armed, its channels drawn from ``seed``; nothing at all for None.

        The state of the random generators is put back afterwards.
        """
        if seed is None:
            yield
            return
        layers = [m for m in self.module.modules() if isinstance(m, _DropoutNd)]
        cards = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cards):
            torch.manual_seed(seed)
            try:
                for layer in layers:
                    layer.train()
                yield
            finally:
                self.module.eval()

    @torch.inference_mode()
    def logits(self, batch: torch.Tensor, mirrors: list[tuple[int, ...]]) -> torch.Tensor:
        """Mean logits (N, C, …) of ``batch`` (N, channels, …) over ``mirrors``, float32.

        A mirror is the axes of the batch that are flipped; ``()`` is the image as it is. nnU-Net's
        predictor averages logits over mirrors too, which are no members of the posterior.
        """
        batch = batch.to(self.device)
        with torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            total = self.module(batch).float() if () in mirrors else None
            for axes in filter(None, mirrors):
                flipped = self.module(torch.flip(batch, axes)).flip(axes).float()
                total = flipped if total is None else total.add_(flipped)
        if total is None:
            raise ModelError("No mirror was asked for.")
        mean: torch.Tensor = total.div_(len(mirrors))
        return mean


def _normalise_without_copies(module: torch.nn.Module) -> None:
    """On CPUs compute instance norm as group norm with one channel a group: the same, and faster.

    Instance norm copies the whole tensor twice there. On cards it has a kernel of its own.
    """
    for norm in module.modules():
        if isinstance(norm, _InstanceNorm) and not norm.track_running_stats:
            norm.forward = partial(_instance_norm, norm, norm.forward)  # type: ignore[method-assign]


def _instance_norm(
    norm: _InstanceNorm, stock: Callable[[torch.Tensor], torch.Tensor], features: torch.Tensor
) -> torch.Tensor:
    if features.device.type != "cpu":
        return stock(features)
    return group_norm(features, norm.num_features, norm.weight, norm.bias, norm.eps)
