"""Picture of a study for a list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .info import find_image, read_study_image, read_study_info


def read_study_thumbnail(folder: Path) -> NDArray[np.generic] | None:
    """Return the (Y, X) middle slice of ED, or of the first phase; None if the image is missing.

    Raises DataError if study or image cannot be read.
    """
    info = read_study_info(folder)
    file = find_image(info, folder)
    if file is None:
        return None
    voxels = read_study_image(info, file).voxels
    volume = voxels[(info.ed or 1) - 1] if voxels.ndim == 4 else voxels
    middle: NDArray[np.generic] = np.asarray(volume[len(volume) // 2])
    return middle
