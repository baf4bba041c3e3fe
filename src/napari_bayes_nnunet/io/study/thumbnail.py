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
    if voxels.ndim == 4:  # which may lack the ED that Info.cfg names
        voxels = voxels[info.ed - 1 if info.ed and info.ed <= len(voxels) else 0]
    middle: NDArray[np.generic] = np.asarray(voxels[len(voxels) // 2])
    return middle
