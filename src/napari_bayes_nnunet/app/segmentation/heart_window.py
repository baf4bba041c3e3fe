"""Window around the heart, outside of which only the first members are asked.

The first member of each cycle sees the whole image. The window holds all that these have found, and
a margin; it is at least a patch of the network large, because its instance norm depends on the size
of what it sees. It is widened where a later member finds something at its edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...core.ensemble.posterior import entropy, most_probable
from ...core.types import Mask, VoxelBox

if TYPE_CHECKING:
    from ...nnunet.cutout import Cutout
    from ...nnunet.inference import Predictor, PreparedImage

HEART_MARGIN: Final = 10.0
"""Distance in mm between what was found and the edge of the window."""
WIDENING: Final = 4
"""Part of a patch by which a side of the window is widened: one over this number."""
SECOND: Final = 0.1
"""Area of a second find, as a share of the largest, from which the whole image is segmented."""
UNCERTAIN: Final = 0.5
"""Entropy, in bit, at the edge of the window that asks for a wider one."""


def find_window(
    predictor: Predictor, image: PreparedImage, found: Mask, slice_axis: int
) -> Cutout | None:
    """Return the window around the heart among the ``found`` voxels (Z, Y, X).

    None for the whole image, which is segmented if nothing was found, or two large things, one of
    which may be another organ. What is small beside the largest is left to the first members.
    """
    heart = _largest_piece(np.asarray(found.any(axis=slice_axis)))
    if heart is None:
        return None
    return predictor.cutout(image, found & np.expand_dims(heart, slice_axis), margin=HEART_MARGIN)


def widened_window(predictor: Predictor, window: Cutout, probabilities: Any) -> Cutout | None:
    """Return a wider window if a member's (C, Z, Y, X) probabilities in it reach its edge.

    They do with a structure or an entropy above `UNCERTAIN`. None if the window is wide enough.
    """

    def reaches(edge: VoxelBox) -> bool:
        at_edge = probabilities[(slice(None), *edge)]
        found = most_probable(at_edge).any() or (entropy(at_edge) > UNCERTAIN).any()
        return bool(found)

    return window.widened(reaches, by=[side // WIDENING for side in predictor.patch_size])


def _largest_piece(area: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Return the largest piece of an area (Y, X), None without one or if another is large too."""
    pieces, _ = ndimage.label(area, structure=np.ones((3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest = int(sizes.argmax())
    others = np.delete(sizes, largest)
    if sizes[largest] == 0 or others.max() >= SECOND * sizes[largest]:
        return None
    return np.asarray(pieces == largest)
