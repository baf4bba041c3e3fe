"""Kernels with which a CPU trains a network faster than with those that nnU-Net calls.

oneDNN convolves channels-last tensors without reordering them, but torch's instance norm would copy
them to the other order and back. `ChannelsLastInstanceNorm` needs no copies. A transposed
convolution whose stride is its kernel is a matrix product at each pixel, which is faster backwards.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.nn.functional import instance_norm, linear
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
    for module in network.modules():
        if isinstance(module, _InstanceNorm) and module.affine and not module.track_running_stats:
            module.forward = partial(_normalise, module)  # type: ignore[method-assign]
        elif isinstance(module, torch.nn.ConvTranspose2d) and _fills_blocks(module):
            module.forward = partial(_enlarge, module)  # type: ignore[method-assign]


def _fills_blocks(convolution: torch.nn.ConvTranspose2d) -> bool:
    # Then each input pixel makes a block of output pixels of its own.
    plain = convolution.groups == 1 and set(convolution.dilation) == {1}
    unpadded = {*convolution.padding, *convolution.output_padding} == {0}
    return plain and unpadded and convolution.stride == convolution.kernel_size


def _enlarge(convolution: torch.nn.ConvTranspose2d, features: torch.Tensor) -> torch.Tensor:
    samples, _, rows, columns = features.shape
    height, width = convolution.kernel_size
    # torch keeps these weights as (in, out, height, width).
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    bias = None if convolution.bias is None else convolution.bias.repeat(height * width)
    blocks = linear(features.permute(0, 2, 3, 1), weight, bias)
    blocks = blocks.view(samples, rows, columns, height, width, -1).transpose(2, 3)
    return blocks.reshape(samples, rows * height, columns * width, -1).permute(0, 3, 1, 2)


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
