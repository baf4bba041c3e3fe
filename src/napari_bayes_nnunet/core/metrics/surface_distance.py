"""How far the surface of a segmented structure lies from that of the reference, in mm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import InputError
from ..types import Mask
from .calibration import foreground_box
from .overlap import LabelMap


@dataclass(frozen=True, kw_only=True)
class SurfaceDistance:
    """Distances from each voxel of either surface to the nearest of the other, both ways together.

    ``hausdorff95`` their 95th percentile, ``average`` their mean (the average symmetric surface
    distance), mm; NaN where either structure is empty.
    """

    hausdorff95: float
    average: float


def surface_distances(
    prediction: LabelMap,
    reference: LabelMap,
    spacing: Sequence[float],
    structures: Mapping[str, int],
) -> dict[str, SurfaceDistance]:
    """Distance of each structure (name: label) between two (Z, Y, X) label maps.

    ``spacing`` (z, y, x) in mm, from centre to centre. The surface is made of those voxels of the
    structure of which one of the six neighbours is outside; beyond the image all is outside, so a
    structure that is cut off ends in a surface there. All as in MedPy. But an image of one slice is
    a plane: its surface is the contour, with four neighbours.

    Raises ValueError if the shapes differ.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    if prediction.shape != reference.shape:
        raise InputError(
            "Surface distances need label maps of one shape, not {shape} and {shape_2}.",
            shape=prediction.shape,
            shape_2=reference.shape,
        )
    if len(prediction) == 1:
        prediction, reference, spacing = prediction[0], reference[0], spacing[1:]
    return {
        name: _between_masks(prediction == label, reference == label, spacing)
        for name, label in structures.items()
    }


def _between_masks(a: Mask, b: Mask, spacing: Sequence[float]) -> SurfaceDistance:
    if not (a.any() and b.any()):
        return SurfaceDistance(hausdorff95=math.nan, average=math.nan)
    # Nothing is inside beyond the box of both, just as beyond the image: no surface changes.
    box = foreground_box((a | b).view(np.uint8))
    a, b = _surface(a[box]), _surface(b[box])
    distances = np.concatenate([_distance_from(b, spacing)[a], _distance_from(a, spacing)[b]])
    return SurfaceDistance(
        hausdorff95=float(np.percentile(distances, 95)), average=float(distances.mean())
    )


def _surface(mask: Mask) -> Mask:
    return np.asarray(mask & ~ndimage.binary_erosion(mask), bool)


def _distance_from(surface: Mask, spacing: Sequence[float]) -> NDArray[np.float64]:
    """Distance of every voxel to the nearest of the surface, mm."""
    return np.asarray(ndimage.distance_transform_edt(~surface, sampling=spacing))
