"""Thickness of the wall of the left ventricle, in the 16 segments of the AHA.

The wall is measured along the centreline method (Sheehan et al., Circulation 1986): chords
perpendicular to the line midway between the smooth contours of endocardium and epicardium. The
contours follow the labels only, so that files with the labels give the same numbers.

Segments are those of Cerqueira et al., Circulation 2002, without the 17th, the apical cap, which
short-axis slices do not show. Slices count if the myocardium closes round the cavity, which leaves
out the outflow tract and the cap. The stack of these slices at end-diastole is divided into equal
thirds: basal and mid-cavity with six segments of 60°, apical with four of 90°. The septum lies
midway between both insertions of the RV, so that an error of one insertion counts by half.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from ..editing.closed_curve import Points
from ..editing.smooth_contours import contour_around
from ..types import Mask
from .measurements import Structure
from .plausibility import OPEN_SHARE, open_share

CHORDS: Final = 180
"""Chords of a slice, at equal angles."""
_TANGENT: Final = 2
"""Chords to either side over which the direction of the midline is taken."""
_ANGLES: Final = np.arange(CHORDS) * 360 / CHORDS
_NEAR: Final = 2.0
"""Distance from the epicardium up to which a voxel of the RV touches it, in voxels."""
_SIX: Final = (
    "anterior", "anteroseptal", "inferoseptal", "inferior", "inferolateral", "anterolateral",
)  # fmt: skip
_FOUR: Final = "anterior", "septal", "inferior", "lateral"
RINGS: Final = {"Basal": _SIX, "Mid": _SIX, "Apical": _FOUR}
"""Walls of each third, in the order of the standard, counterclockwise from the anterior wall."""
SEGMENTS: Final = tuple(f"{ring} {wall}" for ring, walls in RINGS.items() for wall in walls)
"""Names of the segments 1 to 16."""

Point: TypeAlias = tuple[float, float]
"""(y, x) in voxels."""
_Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Insertions:
    """Points at which the RV is inserted into the LV in a slice."""

    anterior: Point
    inferior: Point


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceWall:
    """Wall of a slice: (CHORDS,) ``thickness`` in mm at equal angles, from x towards y.

    Angles are those about the ``centre`` of the cavity. ``spacing`` (y, x) in mm. ``from_apex``
    is as for `measure_wall`. ``insertions`` are None if no RV touches the wall.
    """

    thickness: _Values
    centre: Point
    spacing: Point
    from_apex: bool
    insertions: Insertions | None

    @property
    def septum(self) -> float | None:
        """Degree of the middle of the septum, None without insertions.

        It is the smaller of both arcs between them: 14 to 146 degrees in the references of ACDC.
        """
        if self.insertions is None:
            return None
        points = np.array([self.insertions.anterior, self.insertions.inferior])
        anterior, inferior = _degrees(points, self.centre, self.spacing)
        return float(inferior + ((anterior - inferior + 180) % 360 - 180) / 2)


@dataclass(frozen=True, kw_only=True)
class SegmentWall:
    """Mean thickness of a segment at end-diastole and end-systole, mm, and thickening in %.

    NaN if no slice counts. ``thickening`` compares the slices that count in both phases.
    """

    ed: float
    es: float
    thickening: float


def measure_wall(
    labels: NDArray[Any],
    spacing: Sequence[float],
    heart: Mapping[Structure, int],
    *,
    from_apex: bool,
) -> SliceWall | None:
    """Return the wall of (Y, X) ``labels``; None unless the myocardium closes round the cavity.

    ``spacing`` (y, x) in mm, ``heart`` the labels of RV, MYO and LV. ``from_apex`` says that the
    slice, with x to the right and y down, is seen from the apex: the anterior wall then follows
    the septum clockwise.
    """
    cavity = _largest(labels == heart["LV"])
    whole = cavity | _largest(labels == heart["MYO"])
    if not cavity.any() or open_share(cavity, whole & ~cavity) > OPEN_SHARE:
        return None
    scale = np.asarray(spacing, np.float64)
    inside, outside = (contour_around(mask) * scale for mask in (cavity, whole))
    centre = np.argwhere(cavity).mean(axis=0)
    angles = np.radians(_ANGLES)
    rays = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    origins = np.tile(centre * scale, (CHORDS, 1))
    radius = (_reach(origins, rays, inside) + _reach(origins, rays, outside)) / 2
    middle = origins + radius[:, None] * rays
    along = np.roll(middle, -_TANGENT, axis=0) - np.roll(middle, _TANGENT, axis=0)
    across = np.stack([along[:, 1], -along[:, 0]], axis=1)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    # Outwards, whichever way the midline runs.
    across *= np.sign((across * rays).sum(axis=1, keepdims=True))
    ends = _ends_of_septum(_largest(labels == heart["RV"]), whole, centre, scale)
    points = [
        tuple((outside[np.linalg.norm(outside - end * scale, axis=1).argmin()] / scale).tolist())
        for end in (ends if from_apex else ends[::-1])
    ]
    return SliceWall(
        thickness=_reach(middle, across, outside) + _reach(middle, -across, inside),
        centre=tuple(centre.tolist()),
        spacing=tuple(scale.tolist()),
        from_apex=from_apex,
        insertions=Insertions(inferior=points[0], anterior=points[1]) if points else None,
    )


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest piece of a (Y, X) mask: a speck elsewhere is no wall."""
    pieces, count = scipy.ndimage.label(mask, np.ones((3, 3)))
    return mask if count < 2 else pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()


def wall_segments(
    ed: Mapping[int, SliceWall], es: Mapping[int, SliceWall], *, base_first: bool
) -> tuple[SegmentWall, ...]:
    """Return the segments 1 to 16 of the slices (z → wall) that count at ED and ES.

    ``base_first`` says that slice 0 is at the base. A slice without RV takes the septum of the
    nearest slice of its phase. Nothing is known with fewer than three slices, or without an RV.
    """
    rings = thirds(ed, base_first=base_first)
    before, after = (_of_slices(walls, rings) for walls in (ed, es))
    in_both = before.keys() & after.keys()
    return tuple(
        SegmentWall(
            ed=_mean(values[number] for values in before.values()),
            es=_mean(values[number] for values in after.values()),
            thickening=100 * (
                _mean(after[z][number] for z in in_both)
                / _mean(before[z][number] for z in in_both)
                - 1
            ),
        )
        for number in range(len(SEGMENTS))
    )  # fmt: skip


def thirds(slices: Collection[int], *, base_first: bool) -> dict[int, int]:
    """Return the third of each slice of a heart, 0 for the base; {} if there are fewer slices."""
    if len(slices) < len(RINGS):
        return {}
    first, count = min(slices), max(slices) - min(slices) + 1
    # Slices that do not count between the first and the last one have their place, too.
    ends = range(first, first + count)
    return {
        z: int(len(RINGS) * (rank + 0.5) / count)
        for rank, z in enumerate(ends if base_first else reversed(ends))
    }


def _of_slices(walls: Mapping[int, SliceWall], rings: Mapping[int, int]) -> dict[int, list[float]]:
    """Return the mean thickness of each of the 16 segments in each slice, NaN in other rings."""
    septa = {z: wall.septum for z, wall in walls.items() if wall.septum is not None}
    counts = [len(walls) for walls in RINGS.values()]
    found = {}
    for z in walls.keys() & rings.keys() if septa else ():
        septum, count = septa[min(septa, key=lambda other: abs(other - z))], counts[rings[z]]
        width, first = 360 / count, sum(counts[: rings[z]])
        degrees = (_ANGLES - septum) * (1 if walls[z].from_apex else -1)
        part = np.floor((90 + width / 2 - degrees) / width).astype(int) % count
        found[z] = [math.nan] * len(SEGMENTS)
        found[z][first : first + count] = (
            _mean(walls[z].thickness[part == number]) for number in range(count)
        )
    return found


def _mean(values: Iterable[float]) -> float:
    """Return the mean of the known values, NaN if there are none."""
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _ends_of_septum(rv: Mask, whole: Mask, centre: _Values, scale: _Values) -> NDArray[np.intp]:
    """Return the (2, 2) first and last voxels at which the RV touches the LV, (0, 2) if none do."""
    near = scipy.ndimage.distance_transform_edt(~whole) <= _NEAR
    voxels = np.argwhere(rv & near)
    if not len(voxels):
        return voxels
    degrees = _degrees(voxels, centre, scale)
    order = np.argsort(degrees)
    # The widest gap between its voxels is where the RV does not touch.
    before = int(np.diff(degrees[order], append=degrees[order[0]] + 360).argmax())
    return np.asarray(voxels[order[[(before + 1) % len(order), before]]])


def _degrees(points: NDArray[Any], centre: Sequence[float] | _Values, scale: Any) -> _Values:
    """Return the degrees of (…, 2) points in voxels about the centre, from x towards y."""
    offsets = (points - np.asarray(centre)) * np.asarray(scale)
    return np.asarray(np.degrees(np.arctan2(offsets[..., 0], offsets[..., 1])))


def _reach(origins: Points, directions: Points, contour: Points) -> _Values:
    """Return the distance from each of (n, 2) ``origins`` to the closed (m, 2) ``contour``.

    It is that of the first crossing along the unit vectors ``directions``, NaN without one.
    """
    sides = np.roll(contour, -1, axis=0) - contour
    offsets = contour - origins[:, None]
    turned = _cross(directions[:, None], sides)
    with np.errstate(divide="ignore", invalid="ignore"):  # sides parallel to a direction
        distance = _cross(offsets, sides) / turned
        share = _cross(offsets, directions[:, None]) / turned
    distance[~((share >= 0) & (share < 1) & (distance > 0))] = np.inf
    nearest = distance.min(axis=1)
    return np.where(np.isfinite(nearest), nearest, np.nan)


def _cross(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    product: NDArray[Any] = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return product
