"""Positions of the slices of a stack; distances come from positions, never from the thickness."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from highdicom.spatial import (
    convert_affine_to_convention,
    create_affine_matrix_from_attributes,
    get_volume_positions,
)
from numpy.typing import NDArray

from .headers import DicomImage
from .phases import Slice

_SAME_PLACE: Final = 0.1
"""Positions closer than this, in mm, are one slice."""
UNEVEN_PART: Final = 0.02
"""Largest difference of the distances between slices, as a fraction of their mean."""
SIDEWAYS_SHIFT: Final = 1e-3
"""1 - cosine of the largest angle between the slice normal and the direction of the stack."""
TO_APEX: Final = np.array([1.0, -1.0, -1.0])
"""Direction from base to apex: to the left, the front and the feet."""


def slice_normal(image: DicomImage) -> NDArray[np.float64]:
    """Return the (3,) direction across the slices, of length 1."""
    row, column = np.array(image.orientation[:3]), np.array(image.orientation[3:])
    across = np.cross(row, column)
    return across / max(float(np.linalg.norm(across)), 1e-9)


def group_by_position(images: Iterable[DicomImage]) -> list[Slice]:
    """Return the images of every slice, sorted along the normal."""
    unsorted = list(images)
    normal = slice_normal(unsorted[0])
    along = [float(normal @ np.array(image.position)) for image in unsorted]
    slices: list[list[DicomImage]] = []
    last = -np.inf
    for index in np.argsort(along, kind="stable"):
        if along[index] - last > _SAME_PLACE:
            slices.append([])
        slices[-1].append(unsorted[index])
        last = along[index]
    return [tuple(of_slice) for of_slice in slices]


def sort_base_to_apex(slices: Sequence[Slice]) -> list[Slice]:
    """Return the slices in the order base to apex, whatever the order of acquisition."""
    direction = np.array(slices[-1][0].position) - np.array(slices[0][0].position)
    return list(slices) if direction @ TO_APEX >= 0 else list(reversed(slices))


def mean_slice_distance(slices: Sequence[Slice]) -> float:
    """Return the mean distance between neighbouring slices, mm.

    That of a single slice is its thickness, or 1 if this is unknown.
    """
    if len(slices) == 1:
        return slices[0][0].thickness or 1.0
    ends = [np.array(slices[index][0].position) for index in (0, -1)]
    return float(np.linalg.norm(ends[1] - ends[0])) / (len(slices) - 1)


def describe_uneven_slices(slices: Sequence[Slice]) -> str:
    """Return a clause if the slices are not evenly spaced, or ""."""
    positions = [of_slice[0].position for of_slice in slices]
    distance, _ = get_volume_positions(
        positions, slices[0][0].orientation, rtol=UNEVEN_PART, perpendicular_tol=SIDEWAYS_SHIFT
    )
    if distance is not None:
        return ""
    steps = np.linalg.norm(np.diff(np.array(positions), axis=0), axis=1)
    widest = int(steps.argmax())
    if steps[widest] > 1.5 * np.median(steps):
        return (
            f"slices {widest + 1} and {widest + 2} of {len(slices)} are {steps[widest]:.1f} mm "
            f"apart instead of {np.median(steps):.1f} mm, as if a slice were missing"
        )
    return (
        f"its {len(slices)} slices are not evenly spaced ({steps.min():.1f} to "
        f"{steps.max():.1f} mm apart) or are shifted sideways"
    )


def find_evenly_spaced(positions: Sequence[float]) -> list[int]:
    """Return the indices of the largest evenly spaced subset of ascending ``positions`` in mm.

    Each gap in the subset counts like a lost position.
    """
    along, total = np.array(positions), len(positions)
    best, most = list(range(total)), 0
    mean = (along[-1] - along[0]) / max(total - 1, 1)
    away = np.abs(along - along[0] - mean * np.arange(total))
    if away.max() <= max(UNEVEN_PART * mean, _SAME_PLACE):
        return best
    for low, high in itertools.combinations(range(total), 2):
        # With fewer parts, too many positions between the two are not in the subset.
        for parts in range(max(1, high - low - total + most + 1), high - low + 1):
            step = (along[high] - along[low]) / parts
            steps = (along - along[low]) / step
            away = np.abs(steps - steps.round()) * step
            on = np.flatnonzero(away <= max(UNEVEN_PART * step, _SAME_PLACE))
            count = 2 * len(on) - round(float(steps[on[-1]] - steps[on[0]])) - 1
            if count > most:
                best, most = [int(index) for index in on], count
    return best


def stack_affine(slices: Sequence[Slice], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Return (4, 4) from voxel (x, y, z) to patient (R, A, S), mm, for ``spacing`` (z, y, x)."""
    first = slices[0][0]
    affine = create_affine_matrix_from_attributes(
        first.position, first.orientation, first.pixel_spacing, spacing[0]
    )
    if len(slices) > 1:
        direction = np.array(slices[-1][0].position) - np.array(first.position)
        affine[:3, 2] = direction / (len(slices) - 1)
    return np.asarray(convert_affine_to_convention(affine, "LPH", "RAH"), dtype=np.float64)
