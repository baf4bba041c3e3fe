"""Network of a student: that of the plans, whose last layer also gives the mutual information.

The file of a student is that of a member, with the weights of the additional output next to it: so
all that reads members reads a student, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from ..weights import StateDict, write_member

HEAD: Final = "mutual_information_head"
"""Key of the weights of the additional output in the file of a student."""
_LAYERS: Final = "decoder.seg_layers."
_START: Final = -4.0
"""Bias of the additional output before the training: 2 % of the largest mutual information."""


def widen_output(network: torch.nn.Module) -> None:
    """Add an output for the mutual information to the last layer of a U-Net, in place."""
    decoder: Any = network.decoder
    last = decoder.seg_layers[-1]
    wide = type(last)(last.in_channels, last.out_channels + 1, last.kernel_size)
    with torch.no_grad():
        for new, old, start in ((wide.weight, last.weight, 0.0), (wide.bias, last.bias, _START)):
            new[:-1] = old
            new[-1:] = start
    decoder.seg_layers[-1] = wide


def join_head(weights: StateDict, head: StateDict) -> StateDict:
    """Return the weights of a member with those of the additional output."""
    names = _output_names(weights)
    joined = {names[key]: torch.cat([weights[names[key]], part]) for key, part in head.items()}
    return {**weights, **joined}


def split_head(weights: StateDict) -> tuple[StateDict, StateDict]:
    """Return the weights of a member, and those of the additional output."""
    names = _output_names(weights)
    member = {name: weights[name][:-1] for name in names.values()}
    return {**weights, **member}, {key: weights[name][-1:] for key, name in names.items()}


def first_weights(member: StateDict) -> StateDict:
    """Return the weights from which a student starts: a member's, and no mutual information."""
    names = _output_names(member)
    weight, bias = (member[names[key]].float() for key in ("weight", "bias"))
    head = {"weight": torch.zeros_like(weight[:1]), "bias": torch.full_like(bias[:1], _START)}
    floats = {name: tensor.float() for name, tensor in member.items()}
    return join_head(floats, head)


def write_student(
    path: Path, weights: StateDict, *, configuration: str, mirroring_axes: tuple[int, ...] | None
) -> None:
    """Write the weights of a student, atomically, as a member with an additional output."""
    member, head = split_head(weights)
    write_member(
        path,
        member,
        configuration=configuration,
        mirroring_axes=mirroring_axes,
        extras={HEAD: head},
    )


def _output_names(weights: StateDict) -> dict[str, str]:
    """Return the names of weight and bias of the last layer."""
    layers = (name.removeprefix(_LAYERS) for name in weights if name.startswith(_LAYERS))
    last = max(int(name.partition(".")[0]) for name in layers)
    return {key: f"{_LAYERS}{last}.{key}" for key in ("weight", "bias")}
