"""Kernels with which a CPU trains a network faster than with those that nnU-Net calls.

oneDNN convolves channels-last tensors without reordering them, but torch's instance norm would copy
them to the other order and back. `ChannelsLastInstanceNorm` needs no copies.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.nn.functional import instance_norm
from torch.nn.modules.instancenorm import _InstanceNorm

_FEWEST_PIXELS = 32 * 32
"""Pixels of a slice below which copying it costs less than one call for each sample."""


def train_channels_last(network: torch.nn.Module) -> None:
    """Let a two-dimensional network compute in channels-last order; another one stays as it is.

    Its mathematics and the names and shapes of its weights stay the same.
    """
    if not any(isinstance(module, torch.nn.Conv2d) for module in network.modules()):
        return
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for norm in network.modules():
        if isinstance(norm, _InstanceNorm) and norm.affine and not norm.track_running_stats:
            norm.forward = partial(_normalise, norm)  # type: ignore[method-assign]


def _normalise(norm: _InstanceNorm, features: torch.Tensor) -> torch.Tensor:
    # torch 2.13 gives wrong gradients for a batch of one if they come in channels-last order.
    if len(features) > 1 and features.shape[2:].numel() < _FEWEST_PIXELS:
        return instance_norm(features, weight=norm.weight, bias=norm.bias, eps=norm.eps)
    normalised: torch.Tensor = ChannelsLastInstanceNorm.apply(  # type: ignore[no-untyped-call]
        features.contiguous(memory_format=torch.channels_last), norm.weight, norm.bias, norm.eps
    )
    return normalised


class ChannelsLastInstanceNorm(torch.autograd.Function):
    """Instance norm of channels-last features (N, C, H, W), as the batch norm of each sample.

    torch's batch norm on CPUs has a kernel for this order, its instance norm has none.
    """

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
    ) -> torch.Tensor:
        """Return the normalised features, of the same shape, type and order."""
        samples, channels = features.shape[:2]
        normalised = torch.empty_like(features)
        mean, inverse = features.new_empty(2, samples, channels, dtype=weight.dtype)
        for sample in range(samples):
            torch.ops.aten.native_batch_norm.out(
                features[sample : sample + 1],
                weight,
                bias,
                None,
                None,
                True,
                0.0,
                eps,
                out=normalised[sample : sample + 1],
                save_mean=mean[sample],
                save_invstd=inverse[sample],
            )
        ctx.save_for_backward(features, weight, mean, inverse)
        ctx.eps = eps
        return normalised

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of the features, the weight and the bias."""
        features, weight, mean, inverse = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        of_features = torch.empty_like(features)
        of_weight, of_bias = torch.empty_like(mean), torch.empty_like(mean)
        for sample in range(len(features)):
            torch.ops.aten.native_batch_norm_backward.out(
                gradient[sample : sample + 1],
                features[sample : sample + 1],
                weight,
                None,
                None,
                mean[sample],
                inverse[sample],
                True,
                ctx.eps,
                [True, True, True],
                out0=of_features[sample : sample + 1],
                out1=of_weight[sample],
                out2=of_bias[sample],
            )
        return of_features, of_weight.sum(0), of_bias.sum(0), None
