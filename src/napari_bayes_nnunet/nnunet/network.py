"""Network of a plans file, built once, into which the weights of members are loaded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_args

import torch
from torch.nn.functional import group_norm, interpolate, max_pool2d
from torch.nn.modules.instancenorm import _InstanceNorm

from ..core.choices import Precision
from . import ModelError
from .device import has_fast_bfloat16
from .dropout import dropout_placement, one_weight_sample, place_dropout
from .weights import StateDict, build_network, without_duplicates

if TYPE_CHECKING:
    from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

HEART_BORDER: Final = 4
"""Pixels around the heart that count as its border."""
FEWEST_HEART_PIXELS: Final = 30
"""Pixels of the heart in a slice from which it counts."""


class Network:
    """One network in evaluation mode on a device; ``load`` gives it the weights of a member.

    ``precision`` "auto" is half precision if the device is fast with it, "full" is float32. Logits
    are always float32.
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
            raise ModelError(
                "{precision!r} is not a precision. Choose auto or full.", precision=precision
            )
        module = build_network(plans, configuration, dataset_json)
        place_dropout(module, dropout_placement(plans.plans))
        self.module: torch.nn.Module = module.eval()
        self._precision: Precision = precision
        _normalise_without_copies(self.module)
        self.device, self.dtype = next(module.parameters()).device, torch.float32  # as it was built
        self.to(device)

    def to(self, device: torch.device) -> None:
        """Move the network, in the precision that suits the device.

        After an error, `device` and `dtype` are those before; the device is the CPU if the network
        does not even fit where it was.
        """
        try:
            self._place(device, self._type_on(device))
        except (RuntimeError, MemoryError):
            self._place_again()
            raise

    def _place_again(self) -> None:
        """Undo a move that failed in the middle: torch moves one tensor after the other."""
        cpu = torch.device("cpu")
        for device, dtype in ((self.device, self.dtype), (cpu, self._type_on(cpu))):
            with suppress(RuntimeError, MemoryError):
                self._place(device, dtype)
                return

    def _type_on(self, device: torch.device) -> torch.dtype:
        return half_type(device) if self._precision == "auto" else torch.float32

    def _place(self, device: torch.device, dtype: torch.dtype) -> None:
        self.module.to(device, dtype)
        self.device, self.dtype = device, dtype
        # nnU-Net has up to three names for a tensor; each is loaded once.
        self._tensors = without_duplicates(self.module.state_dict())

    def use_full_precision(self) -> None:
        """Compute in float32 from now on."""
        self._precision = "full"
        self.to(self.device)

    @torch.inference_mode()
    def load(self, weights: StateDict) -> None:
        """Load the weights of a member, in place.

        Raises ModelError if they belong to another network.
        """
        for name, tensor in self._tensors.items():
            loaded = weights.get(name)
            if loaded is None or loaded.shape != tensor.shape:
                raise ModelError(
                    "A member does not fit the network in plans.json ({tensor}). Choose members "
                    "and plans of the same training.",
                    tensor=name,
                )
            tensor.copy_(loaded)

    def dropping_out(self, seed: int | None) -> AbstractContextManager[None]:
        """Switch dropout on, with the channels of ``seed``, see `one_weight_sample`.

        Do nothing if it is None.
        """
        return nullcontext() if seed is None else one_weight_sample(self.module, seed)

    @torch.inference_mode()
    def logits(
        self, patches: torch.Tensor, mirrors: list[tuple[int, ...]], *, at_once: int
    ) -> torch.Tensor:
        """Return mean logits (N, C, …) of ``patches`` (N, channels, …) over ``mirrors``, float32.

        A mirror is a tuple of the axes to flip; ``()`` flips none. Logits are averaged over mirrors
        as in nnU-Net's predictor; mirrored copies are not members of the posterior. All mirrors of
        all patches form one batch, of which the network sees ``at_once`` at a time.
        """
        if not mirrors:
            raise ModelError("No mirrored copy was chosen.")
        patches = patches.to(self.device, self.dtype)
        batch = torch.cat([_flipped(patches, axes) for axes in mirrors])
        logits = torch.cat([self.module(part) for part in torch.split(batch, at_once)]).float()
        of_mirrors = zip(mirrors, logits.chunk(len(mirrors)), strict=True)
        return torch.stack([_flipped(part, axes) for axes, part in of_mirrors]).mean(0)

    @torch.inference_mode()
    def heart_sums(self, patches: torch.Tensor) -> torch.Tensor | None:
        """Return sums (N, 1 + 2 · features) over the heart that the network finds in ``patches``.

        float32: the number of pixels of the heart and its border in the second deepest stage of the
        encoder, and the sums of its activations and of their squares there. The deepest stage tells
        less about the image: see docs/explanation/failure.md. Patches with hardly any heart
        do not count. None if the network has no encoder with several stages.
        """
        encoder, decoder = (getattr(self.module, part, None) for part in ("encoder", "decoder"))
        if encoder is None or decoder is None:
            return None
        stages = encoder(patches.to(self.device, self.dtype))
        if not isinstance(stages, list | tuple) or len(stages) < 2:
            return None
        heart = (decoder(stages).argmax(1, keepdim=True) > 0).float()
        few = heart.flatten(1).sum(1) <= FEWEST_HEART_PIXELS
        heart[few] = 0
        grown = max_pool2d(heart.flatten(0, -3), 2 * HEART_BORDER + 1, 1, HEART_BORDER)
        values = stages[-2].float()
        share = interpolate(grown.view_as(heart), values.shape[2:], mode="area")
        sums = [part.flatten(2).sum(2) for part in (share, share * values, share * values**2)]
        return torch.cat(sums, dim=1)


def _flipped(batch: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    return batch.flip(axes) if axes else batch


def half_type(device: torch.device) -> torch.dtype:
    """Return the number type in which a device is fastest; it sums in float32 internally.

    nnU-Net's predictor also computes in float16 on CUDA, by autocast.
    """
    if device.type == "cuda":
        return torch.float16
    if device.type == "cpu" and has_fast_bfloat16():
        return torch.bfloat16
    return torch.float32


def _normalise_without_copies(module: torch.nn.Module) -> None:
    """Compute instance norm on CPUs as group norm with one channel a group: equal, but faster.

    On CPUs instance norm copies the whole tensor twice. On GPUs it has a kernel of its own.
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
