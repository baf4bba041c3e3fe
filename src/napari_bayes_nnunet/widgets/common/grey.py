"""Intensities as grey pictures."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qtpy.QtGui import QImage

NARROWEST_WINDOW: Final = 1e-9
"""Range of intensities from black to white of a constant image."""


def grey_levels(voxels: ArrayLike, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Return intensities as grey, with the ``window`` from black to white."""
    low, high = window
    values = np.asarray(voxels, np.float32)
    share = np.clip((values - low) / max(high - low, NARROWEST_WINDOW), 0, 1)
    return np.ascontiguousarray((255 * np.nan_to_num(share)).astype(np.uint8))


def grey_image(grey: NDArray[np.uint8]) -> QImage:
    """Return a picture of (Y, X) grey levels, which shares their memory."""
    rows, columns = grey.shape
    return QImage(grey.data, columns, rows, columns, QImage.Format.Format_Grayscale8)
