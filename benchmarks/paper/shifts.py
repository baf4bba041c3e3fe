"""Simulated shifts of scanner and protocol, at stated strengths.

Each function takes a (Z, Y, X) image and a random generator, and returns a float32 image on the
same grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Shift:
    """Simulated shift, with its strength in words."""

    name: str
    title: str
    strength: str
    apply: Callable[[Image, np.random.Generator], Image]


def unchanged(image: Image, rng: np.random.Generator) -> Image:
    """Return the image unchanged."""
    return image


def intensity(image: Image, rng: np.random.Generator) -> Image:
    """Change the contrast: raise the intensities, scaled to 0 … 1, to the power of 1.8."""
    lowest, span = image.min(), np.ptp(image)
    return np.asarray(((image - lowest) / span) ** 1.8 * span + lowest, np.float32)


def noise(image: Image, rng: np.random.Generator) -> Image:
    """Add Rician noise, the magnitude of a noisy complex signal, σ = 8 % of the 99th percentile."""
    sigma = 0.08 * np.percentile(image, 99)
    real, imaginary = rng.normal(0, sigma, size=(2, *image.shape))
    return np.hypot(image + real, imaginary).astype(np.float32)


def bias_field(image: Image, rng: np.random.Generator) -> Image:
    """Apply a coil sensitivity that falls from 1.7 to 0.3 along a random in-plane direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = (np.linspace(-1, 1, side) for side in image.shape[1:])
    slope = np.sin(angle) * y[:, None] + np.cos(angle) * x
    return np.asarray(image * (1 + 0.7 * slope / np.abs(slope).max()), np.float32)


def spacing(image: Image, rng: np.random.Generator) -> Image:
    """Resample to pixels 2.5 times as wide, and interpolate back to the grid."""
    blurred = ndimage.gaussian_filter(image, (0, 1.0, 1.0))
    coarse = ndimage.zoom(blurred, (1, 1 / 2.5, 1 / 2.5), order=1)
    back = [1, *(new / old for new, old in zip(image.shape[1:], coarse.shape[1:], strict=True))]
    return np.asarray(ndimage.zoom(coarse, back, order=1), np.float32)


def ghosting(image: Image, rng: np.random.Generator) -> Image:
    """Simulate breathing ghosts: halve every third k-space line along y."""
    lines = np.fft.fft(image, axis=1)
    weights = np.ones(image.shape[1])
    weights[int(rng.integers(3)) :: 3] = 0.5
    weights[0] = 1  # keep the mean of the image
    return np.abs(np.fft.ifft(lines * weights[:, None], axis=1)).astype(np.float32)


UNSHIFTED = "none"
SHIFTS = (
    Shift(UNSHIFTED, "ACDC", "", unchanged),
    Shift("intensity", "Intensity", "gamma 1.8", intensity),
    Shift("noise", "Noise", "Rician, σ 8 % of the 99th percentile", noise),
    Shift("bias-field", "Bias field", "1.7 to 0.3 across the image", bias_field),
    Shift("spacing", "Spacing", "pixels 2.5 times as wide", spacing),
    Shift("ghosting", "Ghosting", "every third k-space line at half strength", ghosting),
)
