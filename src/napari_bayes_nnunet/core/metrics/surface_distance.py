"""Distances between the surfaces of a segmented structure and of its reference, in mm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from ..types import LabelMap, Mask
from .calibration import foreground_box
from .overlap import check_shape


@dataclass(frozen=True, kw_only=True)
class SurfaceDistance:
    """Distances from each voxel of either surface to the nearest voxel of the other surface.

    ``hausdorff95`` is their 95th percentile and ``average`` their mean (the average symmetric
    surface distance) over both directions, mm. Both are NaN if either structure is empty.
    """

    hausdorff95: float
    average: float


def surface_distances(
    prediction: LabelMap,
    reference: LabelMap,
    spacing: Sequence[float],
    structures: Mapping[str, int],
) -> dict[str, SurfaceDistance]:
    """Return the distances of each structure (name: label) between two (Z, Y, X) label maps.

    ``spacing`` (z, y, x) in mm, from centre to centre. The surface contains the voxels of the
    structure that have one of their six neighbours outside. Beyond the image all is outside, so a
    structure that is cut off has a surface there, as in MedPy. Only an image of one slice is
    treated as a plane, whose surface is the contour, with four neighbours.

    Raises InputError if the shapes differ.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    check_shape(prediction, reference.shape)
    if len(prediction) == 1:
        prediction, reference, spacing = prediction[0], reference[0], spacing[1:]
    return {
        name: _between_masks(prediction == label, reference == label, spacing)
        for name, label in structures.items()
    }


def _between_masks(a: Mask, b: Mask, spacing: Sequence[float]) -> SurfaceDistance:
    if not (a.any() and b.any()):
        return SurfaceDistance(hausdorff95=math.nan, average=math.nan)
    # Outside the box all is outside, as beyond the image, so cropping changes no surface.
    box = foreground_box((a | b).view(np.uint8))
    a, b = _surface(a[box]), _surface(b[box])
    distances = np.concatenate([_distance_from(b, spacing)[a], _distance_from(a, spacing)[b]])
    return SurfaceDistance(
        hausdorff95=float(np.percentile(distances, 95)), average=float(distances.mean())
    )


def _surface(mask: Mask) -> Mask:
    return np.asarray(mask & ~scipy.ndimage.binary_erosion(mask), bool)


def _distance_from(surface: Mask, spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return the distance of every voxel to the nearest voxel of the surface, mm."""
    return np.asarray(scipy.ndimage.distance_transform_edt(~surface, sampling=spacing))
