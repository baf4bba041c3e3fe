"""Where the slices of a stack lie: apart by their positions, never by what a header calls thick."""

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
UNEVEN: Final = 0.02
"""How far the distances between slices may differ, as a part of their mean."""
SIDEWAYS: Final = 1e-3
"""1 - cosine of the angle by which slices may be shifted against their normal."""
TO_APEX: Final = np.array([1.0, -1.0, -1.0])
"""To the left, the front and the feet: so points the heart, from base to apex."""


def normal_of(image: DicomImage) -> NDArray[np.float64]:
    """(3,) direction across the slices, of length 1."""
    row, column = np.array(image.orientation[:3]), np.array(image.orientation[3:])
    across = np.cross(row, column)
    return across / max(float(np.linalg.norm(across)), 1e-9)


def by_place(images: Iterable[DicomImage]) -> list[Slice]:
    """The images of every slice, sorted along the normal."""
    given = list(images)
    normal = normal_of(given[0])
    along = [float(normal @ np.array(image.position)) for image in given]
    slices: list[list[DicomImage]] = []
    last = -np.inf
    for index in np.argsort(along, kind="stable"):
        if along[index] - last > _SAME_PLACE:
            slices.append([])
        slices[-1].append(given[index])
        last = along[index]
    return [tuple(one) for one in slices]


def base_to_apex(slices: Sequence[Slice]) -> list[Slice]:
    """The slices in the order base to apex, however they were acquired or named."""
    way = np.array(slices[-1][0].position) - np.array(slices[0][0].position)
    return list(slices) if way @ TO_APEX >= 0 else list(reversed(slices))


def slice_distance(slices: Sequence[Slice]) -> float:
    """Mean distance between neighbouring slices, mm; 0 where there is one slice."""
    ends = [np.array(slices[place][0].position) for place in (0, -1)]
    return float(np.linalg.norm(ends[1] - ends[0])) / max(len(slices) - 1, 1)


def gap_between(slices: Sequence[Slice]) -> str:
    """A sentence, without its end, where the slices are not evenly stacked; else ""."""
    positions = [one[0].position for one in slices]
    distance, _ = get_volume_positions(
        positions, slices[0][0].orientation, rtol=UNEVEN, perpendicular_tol=SIDEWAYS
    )
    if distance is not None:
        return ""
    steps = np.linalg.norm(np.diff(np.array(positions), axis=0), axis=1)
    widest = int(steps.argmax())
    if steps[widest] > 1.5 * np.median(steps):
        return (
            f"between slice {widest + 1} and {widest + 2} of {len(slices)} lie "
            f"{steps[widest]:.1f} mm where the others are {np.median(steps):.1f} mm apart, as if "
            "one were missing"
        )
    return (
        f"its {len(slices)} slices are not evenly stacked: they are {steps.min():.1f} to "
        f"{steps.max():.1f} mm apart, or shifted sideways"
    )


def evenly_stacked(places: Sequence[float]) -> list[int]:
    """Of ascending ``places`` in mm those that are most evenly spaced, as indices; gaps count."""
    along = np.array(places)
    best, most = list(range(len(places))), -np.inf
    for low, high in itertools.combinations(range(len(places)), 2):
        for parts in range(1, high - low + 1):
            step = (along[high] - along[low]) / parts
            steps = (along - along[low]) / step
            away = np.abs(steps - steps.round()) * step
            on = np.flatnonzero(away <= max(UNEVEN * step, _SAME_PLACE))
            count = 2 * len(on) - (steps[on[-1]] - steps[on[0]]).round() - 1
            if count > most:
                best, most = [int(index) for index in on], count
    return best


def affine_of(slices: Sequence[Slice], spacing: Sequence[float]) -> NDArray[np.float64]:
    """(4, 4) from voxel (x, y, z) to patient (R, A, S), mm, for ``spacing`` (z, y, x)."""
    first = slices[0][0]
    affine = create_affine_matrix_from_attributes(
        first.position, first.orientation, first.pixel_spacing, spacing[0]
    )
    if len(slices) > 1:
        way = np.array(slices[-1][0].position) - np.array(first.position)
        affine[:3, 2] = way / (len(slices) - 1)
    return np.asarray(convert_affine_to_convention(affine, "LPH", "RAH"), dtype=np.float64)
