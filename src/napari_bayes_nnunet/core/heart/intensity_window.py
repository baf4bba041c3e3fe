"""Ranges of intensities that show the heart well, and the contrast of its blood and muscle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..types import LabelMap
from .slice_volumes import heart_structures

DARK, BRIGHT = 5, 95
"""Percentiles of the intensities of muscle and blood."""
WINDOW_MARGIN: Final = 0.25
"""Share of the range between them that is added below and above."""
FEWEST: Final = 50
"""Number of voxels of blood and of muscle that are needed."""
BRIGHTEST: Final = 99.5
"""Percentile shown as white in an image; fat near the coil would darken the heart."""
SAMPLE: Final = 500_000
"""Largest number of voxels from which the window of an image is computed."""


def image_window(voxels: NDArray[Any]) -> tuple[float, float]:
    """Return the minimum and a high percentile of an image of any shape; they can be equal."""
    step = math.ceil(voxels.size / SAMPLE)
    while math.gcd(step, voxels.size) > 1:  # or large steps would hit the same columns of all rows
        step += 1
    sample = voxels.ravel()[::step]
    return float(sample.min()), float(np.percentile(sample, BRIGHTEST))


def heart_window(
    voxels: NDArray[Any], labels: NDArray[Any], structures: Mapping[str, int]
) -> tuple[float, float] | None:
    """Return the intensities to show as black and as white, from the predicted heart.

    ``voxels`` and ``labels`` are (Z, Y, X) or (T, Z, Y, X), ``structures`` maps names to labels.
    Returns None if the heart is absent, or if blood is not brighter than muscle.
    """
    known = heart_structures(structures)
    blood = [label for name, label in known.items() if name != "MYO"]
    shown = labels.any(axis=tuple(range(1, labels.ndim)))  # slices, or phases of a cine
    voxels, labels = np.asarray(voxels[shown]), labels[shown]
    bright, dark = voxels[np.isin(labels, blood)], voxels[labels == known.get("MYO", -1)]
    if min(bright.size, dark.size) < FEWEST:
        return None
    low, high = float(np.percentile(dark, DARK)), float(np.percentile(bright, BRIGHT))
    # In other sequences muscle may be brighter than blood.
    if not low < high or np.median(bright) <= np.median(dark):
        return None
    margin = WINDOW_MARGIN * (high - low)
    return max(low - margin, float(voxels.min())), high + margin


_DARKEST: Final = 1
"""Percentile of an image that counts as black, %."""


def muscle_to_blood(voxels: NDArray[Any], labels: LabelMap, structures: Mapping[str, int]) -> float:
    """Return the median intensity of the myocardium divided by that of the LV's blood.

    Both are above the darkest percentile of the image. NaN with fewer than 50 voxels of either.
    ``voxels`` and ``labels`` are (Z, Y, X), ``structures`` maps names to labels. In a cine, blood
    is brighter than muscle, so the ratio is between 0 and 1; a nulled muscle has almost 0.
    """
    heart = heart_structures(structures)
    if "MYO" not in heart or "LV" not in heart:
        return math.nan
    parts = [voxels[labels == heart[name]] for name in ("MYO", "LV")]
    if min(part.size for part in parts) < FEWEST:
        return math.nan
    # Not the minimum, which may be a single voxel.
    dark = float(np.percentile(voxels, _DARKEST))
    muscle, blood = (float(np.median(part)) - dark for part in parts)
    return muscle / blood if blood > 0 else math.inf
