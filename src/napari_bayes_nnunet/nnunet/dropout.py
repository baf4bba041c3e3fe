"""Dropout of a network: where it drops channels, and one sample of the weights for a pass.

Dropping a channel is setting the weights and the bias of the convolution that makes it to 0. A pass
over an image is one sample of the weights, so it drops the same channels in all slices, tiles and
mirrored copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np
import torch
from torch.nn.modules.dropout import _DropoutNd

from ..core.choices import DropoutPlacement
from ..io.ensemble.ensemble_folder import PLANS_ENTRY

PLACEMENT = "dropout_placement"
"""Key of the placement among the settings of a training in its plans."""


def dropout_placement(plans: Mapping[str, Any]) -> DropoutPlacement:
    """Return where a network of these plans was trained with dropout.

    This is "everywhere" for plans that do not name it, such as those of nnU-Net. Raises
    ValueError for an unknown placement.
    """
    settings = plans.get(PLANS_ENTRY)
    placement = settings.get(PLACEMENT) if isinstance(settings, Mapping) else None
    if placement is None:
        return "everywhere"
    known: tuple[DropoutPlacement, ...] = get_args(DropoutPlacement)
    if placement not in known:
        raise ValueError("the placement of the dropout is unknown")
    return known[known.index(placement)]


def place_dropout(network: torch.nn.Module, placement: DropoutPlacement) -> None:
    """Switch dropout off outside ``placement``, in place; the names of the weights stay.

    Raises AttributeError for "encoder" if the network has none.
    """
    if placement == "everywhere":
        return
    encoder = {id(layer) for layer in _dropout_layers(network.get_submodule("encoder"))}
    for layer in _dropout_layers(network):
        if id(layer) not in encoder:
            layer.p = 0.0


@contextmanager
def one_weight_sample(network: torch.nn.Module, seed: int) -> Iterator[None]:
    """Drop the channels of ``seed`` in everything that the network, in evaluation mode, computes.

    The channels depend on the seed and on the network only, so they are the same on every device.
    """
    hooks = [
        layer.register_forward_hook(_ChannelMask((seed, number)))
        for number, layer in enumerate(_dropout_layers(network))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _ChannelMask:
    """Mask (1, C, 1, 1) or (1, C, 1, 1, 1) of a layer: 0 with its probability p, else 1 / (1 - p).

    It is drawn when the layer is first used, and stays.
    """

    def __init__(self, seed: tuple[int, ...]) -> None:
        self._seed = seed
        self._mask: torch.Tensor | None = None

    def __call__(self, layer: _DropoutNd, given: Any, features: torch.Tensor) -> torch.Tensor:
        if layer.p == 0:
            return features
        if self._mask is None:
            keeps = np.random.default_rng(self._seed).random(features.shape[1]) >= layer.p
            shape = (1, -1, *(1 for _ in features.shape[2:]))
            mask = torch.from_numpy(keeps / (1 - layer.p)).reshape(shape)
            self._mask = mask.to(features.device, features.dtype)
        return features.mul_(self._mask) if layer.inplace else features * self._mask


def _dropout_layers(network: torch.nn.Module) -> list[_DropoutNd]:
    return [module for module in network.modules() if isinstance(module, _DropoutNd)]
