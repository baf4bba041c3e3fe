"""Agreement of two readings: differences of a number, and distances of contours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..types import LabelMap
from .surface_distance import surface_distances

_WITHIN_95_PERCENT: Final = 1.96


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement over ``count`` studies: the mean difference ``bias`` and its limits.

    ``low`` and ``high`` are NaN for a single study.
    """

    count: int
    bias: float
    low: float
    high: float


def bland_altman(differences: Sequence[float]) -> Agreement:
    """Return bias and 95 % limits of agreement, bias ± 1.96 SD (Bland and Altman, Lancet 1986)."""
    values = np.asarray(differences, np.float64)
    spread = _WITHIN_95_PERCENT * (values.std(ddof=1) if len(values) > 1 else np.nan)
    bias = float(values.mean())
    return Agreement(count=len(values), bias=bias, low=bias - spread, high=bias + spread)


def contour_distances(
    first: LabelMap, second: LabelMap, spacing: Sequence[float], structures: Mapping[str, int]
) -> dict[str, NDArray[np.float64]]:
    """Return the (Z,) mean distance of the two contours of each structure in each slice, mm.

    ``first`` and ``second`` (Z, Y, X), ``spacing`` (z, y, x) in mm. It is NaN in slices in which
    one of them lacks the structure. Raises InputError if the shapes differ.
    """
    # One slice at a time, so that the contours of other slices do not count.
    planes = [
        surface_distances(first[z : z + 1], second[z : z + 1], spacing, structures)
        for z in range(len(first))
    ]
    return {name: np.array([plane[name].average for plane in planes]) for name in structures}
