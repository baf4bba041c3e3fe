"""Papillary muscles and trabeculae: dark voxels inside the cavity of the left ventricle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import Mask


def papillary_muscles(image: NDArray[Any], labels: NDArray[Any], *, lv: int, myo: int) -> Mask:
    """Return the (Z, Y, X) voxels of the cavity that are as dark as muscle.

    In each slice of ``image`` (Z, Y, X) these are the voxels labelled ``lv`` at or below Otsu's
    threshold between the voxels labelled ``lv`` and ``myo``. A slice without one of them has none,
    nor has one whose cavity is not brighter than its muscle. The labels are not changed.
    """
    from skimage.filters import threshold_otsu  # takes a moment

    muscle = np.zeros(labels.shape, np.bool_)
    for z, plane in enumerate(labels):
        # As float, because Otsu makes a bin for each whole number.
        cavity, wall, values = plane == lv, plane == myo, image[z].astype(np.float32)
        if cavity.any() and wall.any() and values[cavity].mean() > values[wall].mean():
            threshold = threshold_otsu(values[cavity | wall])  # type: ignore[no-untyped-call]
            muscle[z] = cavity & (values <= threshold)
    return muscle
