"""Signs of failure of a result, which need no reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.heart.shapes import fragment_share, open_wall_share
from ...core.heart.slice_volumes import heart_structures
from ...core.metrics.border import far_from_contours
from ...core.slice_axis import find_slice_axis
from ...core.types import LabelMap, Spacing

MUSCLE_TO_BLOOD: Final = "muscle_to_blood"
FEATURE_DISTANCE: Final = "feature_distance"
CINE_SCORE: Final = "cine_score"
OF_THE_IMAGE: Final = (MUSCLE_TO_BLOOD, FEATURE_DISTANCE, CINE_SCORE)
"""Signs that are no part of the failure score."""


def failure_signs(
    labels: LabelMap,
    mutual_information: NDArray[np.floating],
    spacing: Spacing,
    structures: Mapping[str, int],
    agreement: Mapping[str, float],
) -> dict[str, float]:
    """Return the signs by name, each higher for a worse expected result.

    ``labels`` and ``mutual_information`` (bit, of the untempered members) are (Z, Y, X),
    ``spacing`` (z, y, x) in mm, ``agreement`` the pairwise Dice of the members. ``disagreement`` is
    1 - the mean agreement (NaN for a single member), which is 0 for a part that was not found;
    ``distant_information`` is log(1 + x) for the mutual information x more than 3 mm from every
    contour, in mL · bit; ``fragments`` is the share of voxels in separate pieces, and ``open_wall``
    that of the cavity's contour without muscle.
    """
    heart = heart_structures(structures)
    missing = {label for label in heart.values() if not (labels == label).any()}
    known = [
        0.0 if structures[name] in missing else value
        for name, value in agreement.items()
        if math.isfinite(value)
    ]
    axis = find_slice_axis(labels.shape, spacing) or 0
    labels = np.moveaxis(labels, axis, 0)
    steps = (spacing[axis], *(step for n, step in enumerate(spacing) if n != axis))
    distant = np.moveaxis(mutual_information, axis, 0)[far_from_contours(labels, steps)]
    amount = float(distant.sum(dtype=np.float64)) * math.prod(spacing) / 1000
    signs = {
        "disagreement": 1 - fmean(known) if known else math.nan,
        "distant_information": math.log1p(amount),
        "fragments": fragment_share(labels, structures.values()),
    }
    if "LV" in heart and "MYO" in heart:
        signs["open_wall"] = open_wall_share(labels, heart["LV"], heart["MYO"])
    return signs
