"""The network of a plans file, built once, with members swapped in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, get_args

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch.nn.functional import group_norm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from ..core.types import Precision
from . import ModelError
from .device import has_fast_bfloat16
from .weights import StateDict, build_network, each_once


class Network:
    """One network in evaluation mode on a device; ``load`` gives it the weights of a member.

    ``precision`` "auto" is half precision where the device is fast with it, "full" is float32.
    What leaves the network is float32 in any case.
    """

    def __init__(
        self,
        plans: PlansManager,
        configuration: ConfigurationManager,
        dataset_json: dict[str, Any],
        device: torch.device,
        *,
        precision: Precision = "auto",
    ) -> None:
        if precision not in get_args(Precision):
            raise ModelError(f"The precision is 'auto' or 'full', not {precision!r}.")
        module = build_network(plans, configuration, dataset_json)
        self.module: torch.nn.Module = module.eval()
        self._precision: Precision = precision
        _normalise_without_copies(self.module)
        self.to(device)

    def to(self, device: torch.device) -> None:
        """Move the network, in the precision that suits the device."""
        self.device = device
        self.dtype = half_type(device) if self._precision == "auto" else torch.float32
        self.module.to(device, self.dtype)
        self._tensors = each_once(self.module.state_dict())

    def use_full_precision(self) -> None:
        """Compute in float32 from now on."""
        self._precision = "full"
        self.to(self.device)

    @torch.inference_mode()
    def load(self, weights: StateDict) -> None:
        """Swap in a member, in place. Raises ModelError where it is of another network."""
        for name, tensor in self._tensors.items():
            found = weights.get(name)
            if found is None or found.shape != tensor.shape:
                raise ModelError(f"The member does not fit the network of plans.json ({name}).")
            tensor.copy_(found)

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
    def logits(
        self, patches: torch.Tensor, mirrors: list[tuple[int, ...]], *, at_once: int
    ) -> torch.Tensor:
        """Mean logits (N, C, …) of ``patches`` (N, channels, …) over ``mirrors``, float32.

        A mirror is the axes of the patches that are flipped; ``()`` is the image as it is.
        nnU-Net's predictor averages logits over mirrors too, which are no members of the posterior.
        All mirrors of all patches are one batch, of which the network sees ``at_once`` at a time.
        """
        if not mirrors:
            raise ModelError("No mirror was asked for.")
        patches = patches.to(self.device, self.dtype)
        batch = torch.cat([_flipped(patches, axes) for axes in mirrors])
        answers = torch.cat([self.module(part) for part in torch.split(batch, at_once)]).float()
        turned_back = zip(mirrors, answers.chunk(len(mirrors)), strict=True)
        return torch.stack([_flipped(answer, axes) for axes, answer in turned_back]).mean(0)


def _flipped(batch: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    return batch.flip(axes) if axes else batch


def half_type(device: torch.device) -> torch.dtype:
    """The number type in which a device is fastest; its sums are float32 inside.

    nnU-Net's predictor computes in float16 on CUDA, too, by autocast.
    """
    if device.type == "cuda":
        return torch.float16
    if device.type == "cpu" and has_fast_bfloat16():
        return torch.bfloat16
    return torch.float32


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
