"""Images other than short-axis cines, each made from a short-axis cine and its labels.

A rule that tells cines from other images is fitted on them, because real ones are not at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from ..types import LabelMap, Spacing

Made: TypeAlias = tuple[NDArray[np.floating], Spacing]
"""(Z, Y, X) voxels of a made image, and their spacing (z, y, x) in mm."""
_BRIGHTEST: Final = 99.5
"""Percentile of the intensities that counts as 1."""
_KNOTS: Final = (0, 0.1, 0.3, 0.55, 0.8, 1)
"""Intensities of a cine whose values in another contrast are given; muscle has about 0.3."""
_SCALE: Final = 1000.0
"""Intensity of what counts as 1 in a made image."""
_PLANES_APART_MM: Final = 8.0


@dataclass(frozen=True, kw_only=True)
class Source:
    """Frame of a cine, (Z, Y, X) voxels and labels; ``muscle`` is the label of the myocardium.

    ``spacing`` (z, y, x) in mm. ``random`` draws what differs between the images made from it.
    """

    voxels: NDArray[Any]
    labels: LabelMap
    spacing: Spacing
    muscle: int | None
    random: np.random.Generator

    @property
    def scaled(self) -> NDArray[np.float64]:
        """Intensities up to the 99.5th percentile, 0 … 1."""
        low, high = self.voxels.min(), np.percentile(self.voxels, _BRIGHTEST)
        scaled: NDArray[np.float64] = (self.voxels - low) / max(high - low, 1e-6)
        return scaled.clip(0, 1)


def _remapped(source: Source, after: Sequence[float]) -> Made:
    return _SCALE * np.interp(source.scaled, _KNOTS, after), source.spacing


def _with_noise(
    voxels: NDArray[np.floating], noise: float, random: np.random.Generator
) -> NDArray[np.floating]:
    """Return the magnitude of intensities with complex noise of this standard deviation."""
    # MR images are magnitudes, so their noise brightens what is black.
    real, imaginary = random.normal(0, noise, (2, *voxels.shape))
    return np.asarray(np.hypot(voxels + real, imaginary))


def remapped(source: Source) -> Made:
    """Return random intensities in place of those of a cine, not in their order; air stays dark."""
    values = np.sort(source.random.random(len(_KNOTS) - 1))
    # Values in the order of a cine would still show one.
    while (np.diff(values) > 0).all():
        values = source.random.permutation(values)
    return _remapped(source, (0, *values))


def late_enhancement(source: Source) -> Made:
    """Return nulled muscle, with a bright scar in a fifth of it, and noise."""
    made = 0.6 * np.clip((source.scaled - 0.3) / 0.7, 0, 1)
    muscle = source.labels == source.muscle
    made[muscle] *= 0.15
    if muscle.any():
        z, y, x = np.nonzero(muscle)
        angle = np.arctan2(y - y.mean(), x - x.mean())
        scar = (angle > -1) & (angle < 0.3)
        made[z[scar], y[scar], x[scar]] = 0.9
    return _SCALE * _with_noise(made, 0.05, source.random), source.spacing


def nulled(source: Source) -> Made:
    """Return a late enhancement without labels: a random intensity nulled, blur and noise."""
    null, gamma = source.random.uniform(0.15, 0.45), source.random.uniform(0.5, 1.5)
    made = 0.7 * np.clip((source.scaled - null) / (1 - null), 0, 1) ** gamma
    blur = source.random.uniform(0, 1.5)
    made = scipy.ndimage.gaussian_filter(made, (0, blur, blur))
    noise = source.random.uniform(0.01, 0.05)
    return _SCALE * _with_noise(made, noise, source.random), source.spacing


def long_axis(source: Source) -> Made:
    """Return planes perpendicular to the slices, 8 mm apart, through the heart."""
    voxels, (z, step, _) = source.voxels.astype(np.float32), source.spacing
    heart = np.flatnonzero((source.labels > 0).any(axis=(0, 1)))
    # The planes have square pixels, as those of a scanner.
    planes = np.moveaxis(scipy.ndimage.zoom(voxels, (z / step, 1, 1), order=1), 2, 0)
    apart = max(1, round(_PLANES_APART_MM / step))
    chosen = planes[heart[0] : heart[-1] + 1 : apart] if heart.size else planes[::apart]
    return chosen.copy(), (apart * step, step, step)


NON_CINES: Final[Mapping[str, Callable[[Source], Made]]] = {
    "late enhancement": late_enhancement,
    "late enhancement without labels": nulled,
    "random contrast": remapped,
    "black blood": partial(_remapped, after=(0, 0.25, 0.85, 0.55, 0.12, 0.05)),
    "inverted": partial(_remapped, after=(1, 0.9, 0.7, 0.45, 0.2, 0)),
    "long axis": long_axis,
}
