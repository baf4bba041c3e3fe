"""Network of a student: that of the plans, whose last layer also gives the mutual information.

The file of a student is that of a member, with the weights of the additional output next to it: so
all that reads members reads a student, too.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final, TypeGuard

import torch

from .. import ModelError
from ..inference import Predictor
from ..weights import UNUSABLE, StateDict, read_checkpoint, write_member

HEAD: Final = "mutual_information_head"
"""Key of the weights of the additional output in the file of a student."""
NO_HEAD: Final = "it has no weights for the mutual information, so it is not a student"
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


def read_student(path: Path) -> tuple[StateDict, tuple[int, ...] | None]:
    """Return the weights of a student with the additional output, and its mirroring axes.

    Raises ModelError if the file cannot be used or is not that of a student.
    """
    content = read_checkpoint(path)
    weights, head = content["network_weights"], content.get(HEAD)
    if not _fits(head, weights):
        raise ModelError(UNUSABLE, file=path.name, reason=NO_HEAD)
    axes = content.get("inference_allowed_mirroring_axes")
    return join_head(weights, head), tuple(axes) if axes else None


class StudentPredictor(Predictor):
    """Predictor whose probabilities are followed by the mutual information, in bit."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        widen_output(self.network.module)
        self.network.to(self.network.device)
        self.classes += 1

    def _activated(self, logits: torch.Tensor) -> torch.Tensor:
        """Return (C + 1, …) probabilities and mutual information, bit, from as many logits."""
        largest = math.log2(self.classes - 1)
        information = largest * torch.sigmoid(logits[-1:].float())
        return torch.cat([super()._activated(logits[:-1]), information])


def _output_names(weights: StateDict) -> dict[str, str]:
    """Return the names of weight and bias of the last layer."""
    layers = (name.removeprefix(_LAYERS) for name in weights if name.startswith(_LAYERS))
    last = max(int(name.partition(".")[0]) for name in layers)
    return {key: f"{_LAYERS}{last}.{key}" for key in ("weight", "bias")}


def _fits(head: Any, weights: StateDict) -> TypeGuard[StateDict]:
    """Return whether ``head`` has the weights of one more output of the last layer."""
    names = _output_names(weights)
    return (
        isinstance(head, dict)
        and head.keys() == names.keys()
        and all(
            isinstance(part, torch.Tensor)
            and part.shape == weights[names[key]][:1].shape
            and part.dtype == weights[names[key]].dtype
            and bool(part.isfinite().all())
            for key, part in head.items()
        )
    )
