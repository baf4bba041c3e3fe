"""Architecture of a network, as plans describe it, and the network with the features it passes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import torch

from . import ModelError

if TYPE_CHECKING:
    from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

MOST_WEIGHTS: Final = 2**29
"""Weights of the largest network; nnU-Net's residual presets have a fifth of them."""
LARGE_NETWORK: Final = (
    "The network in plans.json has {weights:.3g} weights, but at most {most:.3g} can be used. Copy "
    "the plans again from where they were made."
)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Class, arguments, input channels, output heads and patch of a network, as JSON has them.

    ``imported`` names the arguments that are classes.
    """

    network: str
    arguments: dict[str, Any]
    imported: list[str]
    channels: int
    heads: int
    patch: list[int]

    @classmethod
    def planned(
        cls, plans: PlansManager, configuration: ConfigurationManager, dataset_json: dict[str, Any]
    ) -> Self:
        """Return the architecture of checked plans."""
        from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels

        return cls(
            network=configuration.network_arch_class_name,
            arguments=configuration.network_arch_init_kwargs,
            imported=[*configuration.network_arch_init_kwargs_req_import],
            channels=determine_num_input_channels(plans, configuration, dataset_json),
            heads=plans.get_label_manager(dataset_json).num_segmentation_heads,
            patch=[*configuration.patch_size],
        )

    def build(self) -> torch.nn.Module:
        """Return the network, without deep supervision and with arbitrary weights.

        nnU-Net's trainers call the same function, but importing a trainer takes three times as long
        as all imports of a segmentation. Raises ModelError, before memory is allocated, if the
        network has more than `MOST_WEIGHTS`.
        """
        from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

        build = partial(
            get_network_from_plans,
            self.network,
            self.arguments,
            self.imported,
            self.channels,
            self.heads,
            allow_init=False,
            deep_supervision=False,
        )
        with torch.device("meta"):
            drawn = build()
        weights = sum(parameter.numel() for parameter in drawn.parameters())
        if weights > MOST_WEIGHTS:
            raise ModelError(LARGE_NETWORK, weights=weights, most=MOST_WEIGHTS)
        network: torch.nn.Module = build()
        return network

    @property
    def smallest_patch(self) -> list[int]:
        """Sides of an image of which the deepest stage still has several pixels."""
        strides = [
            stride if isinstance(stride, list | tuple) else [stride] * len(self.patch)
            for stride in self.arguments.get("strides", ())
        ]
        if not strides:
            return self.patch
        steps = (math.prod(of_axis) for of_axis in zip(*strides, strict=True))
        return [min(2 * step, side) for step, side in zip(steps, self.patch, strict=True)]


class WithFeatures(torch.nn.Module):
    """A network whose output is its logits and, if it has them, features of its encoder.

    The features are those of the second deepest stage. The deepest one tells less about the image:
    see docs/explanation/failure.md.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        self._stages: Any = ()
        encoder = getattr(network, "encoder", None)
        if isinstance(encoder, torch.nn.Module):
            encoder.register_forward_hook(self._keep)

    def _keep(self, encoder: torch.nn.Module, given: Any, stages: Any) -> None:
        self._stages = stages if isinstance(stages, list | tuple) else ()

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return logits (N, C, …), and features (N, features, …) unless the network has none."""
        logits = self.network(batch)
        stages, self._stages = self._stages, ()
        return (logits, stages[-2]) if len(stages) > 1 else (logits,)
