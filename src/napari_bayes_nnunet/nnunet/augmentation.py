"""Augmentation "wide": mild changes that other scanners and protocols make to an image.

They come right after nnU-Net's rotation and scaling, and before its own noise, blur and contrasts.
Gamma, bias fields and ghosts keep mean and standard deviation, as nnU-Net's normalisation does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from batchgeneratorsv2.helpers.scalar_type import RandomScalar, sample_scalar
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform
from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform

CONTRAST = (0.65, 1.5)
"""Factor of the distance of each intensity from the mean; nnU-Net's own is 0.75 to 1.25."""
GAMMA = (0.6, 1.8)
"""Exponent of the intensities, scaled to 0 … 1; nnU-Net's own is 0.7 to 1.5."""
BIAS = (0.1, 0.4)
"""Largest logarithm of the gain of the coils: at 0.4 the gain is 0.67 to 1.49."""
GHOSTS = (0.1, 0.4)
"""Part of their strength that the disturbed lines of k-space lose."""
GHOST_PERIODS = (2, 5)
"""Every second to every fourth line of k-space is disturbed."""
RESOLUTION = (0.5, 1.0)
"""Part of the pixels along an axis, drawn for each axis; nnU-Net's own is the same for all."""
CHANCE = 0.2
"""Probability of each change; a third of the images stay as nnU-Net's own augmentation has them."""


class BiasField(ImageOnlyTransform):
    """Smooth gain of the receiver coils, relative to the darkest voxel.

    The logarithm of the gain is a random parabola along each axis. Its largest absolute value is
    drawn from ``strength``, and its mean is 0.
    """

    def __init__(self, strength: RandomScalar) -> None:
        super().__init__()
        self.strength = strength

    def get_parameters(self, **sample: Any) -> dict[str, torch.Tensor]:
        """Return the gain, of the spatial shape of the image."""
        shape = sample["image"].shape[1:]
        logarithm = torch.zeros(shape)
        for axis, length in enumerate(shape):
            at = torch.linspace(-1, 1, length)
            slope, bend = (2 * torch.rand(2) - 1).tolist()
            along = [-1 if other == axis else 1 for other in range(len(shape))]
            logarithm += (slope * at + bend * at**2).view(along)
        logarithm -= logarithm.mean()
        logarithm *= sample_scalar(self.strength) / logarithm.abs().max().clamp(min=1e-6)
        return {"gain": logarithm.exp()}

    def _apply_to_image(self, img: torch.Tensor, *, gain: torch.Tensor) -> torch.Tensor:
        lowest = _lowest(img)
        return _normalised_as(img, (img - lowest) * gain + lowest)


class Ghosting(ImageOnlyTransform):
    """Ghosts of a heart or breath that moves between the lines of k-space.

    Every n-th line along one of the ``axes`` loses the part ``strength`` of its signal; n is drawn
    from ``periods`` (first, end). The line of the mean stays.
    """

    def __init__(
        self, strength: RandomScalar, *, periods: tuple[int, int], axes: Sequence[int]
    ) -> None:
        super().__init__()
        self.strength = strength
        self.periods = periods
        self.axes = tuple(axes)

    def get_parameters(self, **sample: Any) -> dict[str, Any]:
        """Return the axis, counted without the channels, and the weights of its lines."""
        axis = self.axes[int(torch.randint(len(self.axes), ()))]
        period = int(torch.randint(*self.periods, ()))
        weights = torch.ones(sample["image"].shape[1 + axis])
        weights[int(torch.randint(period, ())) :: period] = 1 - sample_scalar(self.strength)
        weights[0] = 1
        return {"axis": axis, "weights": weights}

    def _apply_to_image(
        self, img: torch.Tensor, *, axis: int, weights: torch.Tensor
    ) -> torch.Tensor:
        lowest = _lowest(img)
        along = [1] * img.ndim
        along[1 + axis] = -1
        lines = torch.fft.fft(img - lowest, dim=1 + axis) * weights.view(along)
        return _normalised_as(img, torch.fft.ifft(lines, dim=1 + axis).abs() + lowest)


def add_scanner_changes(transforms: ComposeTransforms) -> None:
    """Add the changes to nnU-Net's training transforms, in place.

    Where nnU-Net rotates slice by slice, pixels become coarser and ghosts appear within slices.
    Raises LookupError if nnU-Net does not rotate and scale.
    """
    kinds = [type(transform) for transform in transforms.transforms]
    position = kinds.index(SpatialTransform) + 1
    dimensions = len(transforms.transforms[position - 1].patch_size)
    in_slices = Convert2DTo3DTransform in kinds
    if in_slices:
        position = kinds.index(Convert2DTo3DTransform) + 1
    transforms.transforms[position:position] = [
        RandomTransform(change, apply_probability=CHANCE)
        for change in scanner_changes(dimensions, in_slices=in_slices)
    ]


def scanner_changes(dimensions: int, *, in_slices: bool) -> list[ImageOnlyTransform]:
    """Return the changes in the order in which a scanner makes them.

    ``dimensions`` are those of a slice if the changes of pixels are ``in_slices`` of 3D patches.
    """
    return [
        ContrastTransform(BGContrast(CONTRAST), preserve_range=True, synchronize_channels=False),
        GammaTransform(
            BGContrast(GAMMA),
            p_invert_image=0,
            synchronize_channels=False,
            p_per_channel=1,
            p_retain_stats=1,
        ),
        BiasField(BIAS),
        Ghosting(
            GHOSTS,
            periods=GHOST_PERIODS,
            axes=[axis + in_slices for axis in range(dimensions)],
        ),
        SimulateLowResolutionTransform(
            RESOLUTION,
            synchronize_channels=True,
            synchronize_axes=False,
            ignore_axes=(0,) if in_slices else None,
        ),
    ]


def _lowest(image: torch.Tensor) -> torch.Tensor:
    """Return the lowest intensity of each channel (C, 1, …): air, which has no signal."""
    return image.amin(dim=tuple(range(1, image.ndim)), keepdim=True)


def _normalised_as(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return ``after`` with the mean and the standard deviation of ``before``, of each channel."""
    axes = tuple(range(1, before.ndim))
    deviation, mean = torch.std_mean(before, axes, keepdim=True)
    other_deviation, other_mean = torch.std_mean(after, axes, keepdim=True)
    return (after - other_mean) * (deviation / other_deviation.clamp(min=1e-7)) + mean
