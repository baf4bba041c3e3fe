"""Handles of a contour, dragged without a mouse."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from napari_bayes_nnunet.widgets.editing.contour_handles import ContourHandles


def move_handle(handles: ContourHandles, index: int, point: ArrayLike) -> None:
    """Move a handle to (y, x) in voxels, as one undo step."""
    handles._drag_to(index, np.asarray(point, np.float64), handles._bent)
