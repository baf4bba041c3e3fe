"""Contrast between blood and muscle of the predicted heart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..types import LabelMap
from .intensity_window import FEWEST
from .slice_volumes import heart_structures

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
    dark = float(np.percentile(voxels, _DARKEST))
    muscle, blood = (float(np.median(part)) - dark for part in parts)
    return muscle / blood if blood > 0 else math.inf
