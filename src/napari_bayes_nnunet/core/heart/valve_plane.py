"""Planes of the mitral and the tricuspid valve, and the share of each slice beyond them.

1. A reader marks the two hinges of a valve on one or several long-axis planes, at ED and at ES.
   Between phases with hinges they move along straight lines, see `hinges_in_phase`.
2. The plane of the valve is the least squares plane through the hinges, each of which is replaced
   by two points 1 mm to either side of its long-axis plane. So with one long-axis plane the line
   of the valve extends along the normal of this plane; with several that cross, the hinges
   themselves decide. See `fit_plane`.
3. Each voxel stands for a column as long as the distance of the slices. The plane cuts the column,
   and what lies on the side of the ventricle is kept, see `kept_share`.

Positions are (R, A, S) in mm, as in `Geometry.affine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..types import Mask, Phase
from .measurements import Structure

Valve: TypeAlias = Literal["mitral", "tricuspid"]
VALVE_OF: Final[Mapping[Structure, Valve]] = {"LV": "mitral", "MYO": "mitral", "RV": "tricuspid"}
"""Valve at which a structure ends."""
ATRIAL_SHARE: Final = 0.5
"""Share of a structure in a slice beyond the valve from which this slice belongs to the atrium."""
_SUPPORT_MM: Final = 1.0
"""Distance of the points beside a long-axis plane that stand for a hinge on it."""

Position: TypeAlias = tuple[float, float, float]
"""(R, A, S) in mm."""
HingesKey: TypeAlias = tuple[Phase, Valve, str]
"""Phase, valve, and name of a long-axis plane of the study."""
_Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Hinges:
    """Both hinges of a valve on a long-axis plane with the unit vector ``normal``."""

    first: Position
    second: Position
    normal: Position


@dataclass(frozen=True, kw_only=True, eq=False)
class ValvePlane:
    """Plane through ``point``, (3,) mm; the (3,) unit vector ``normal`` points to the atrium."""

    point: _Values
    normal: _Values


def hinges_in_phase(known: Mapping[Phase, Hinges], phase: Phase, *, count: int) -> Hinges | None:
    """Return the hinges of a valve on one long-axis plane in a phase of a cycle of ``count``.

    Between two phases of ``known`` they move evenly along straight lines, also from the last phase
    to the first. None for another phase if fewer than two phases are known.
    """
    if phase in known:
        return known[phase]
    times = sorted(time for time in known if time is not None)
    if phase is None or len(times) < 2:
        return None
    values = np.array([(known[time].first, known[time].second) for time in times]).reshape(-1, 6)
    moved = [float(np.interp(phase, times, value, period=count)) for value in values.T]
    first, second = (moved[0], moved[1], moved[2]), (moved[3], moved[4], moved[5])
    return Hinges(first=first, second=second, normal=known[times[0]].normal)


def fit_plane(hinges: Iterable[Hinges], *, to_base: ArrayLike) -> ValvePlane:
    """Return the plane of a valve from its hinges on at least one long-axis plane.

    ``to_base`` (3,) is the direction of the short-axis stack from the apex to the base.
    """
    points = np.array(
        [
            np.add(hinge, side * np.array(pair.normal))
            for pair in hinges
            for hinge in (pair.first, pair.second)
            for side in (-_SUPPORT_MM, _SUPPORT_MM)
        ]
    )
    centre = points.mean(axis=0)
    # The direction in which the points vary least.
    normal = np.linalg.svd(points - centre)[2][-1]
    return ValvePlane(point=centre, normal=normal * (1 if normal @ np.asarray(to_base) > 0 else -1))


def kept_share(
    mask: Mask, z: int, plane: ValvePlane, affine: _Values, *, most: float = 1.0
) -> float:
    """Return the share of a structure's volume in slice ``z`` on the side of the ventricle.

    ``mask`` (Y, X); ``affine`` (4, 4) from voxel (x, y, z) to mm, with the distance of the slices
    as the length of its third axis. 0 … 1 with columns that end with the slice. With ``most`` 2
    they reach one slice further towards the plane, for the basal slice of a structure, so that a
    plane beyond this slice adds volume. 1 if the mask is empty.
    """
    y, x = np.nonzero(mask)
    if not len(y):
        return 1.0
    steps = plane.normal @ affine[:3, :3]
    start = plane.normal @ (affine[:3, 3] - plane.point)
    height = start + x * steps[0] + y * steps[1] + z * steps[2]
    # A plane parallel to the columns keeps each of them whole or not at all.
    length = max(abs(float(steps[2])), np.finfo(float).tiny)
    return float(np.clip(0.5 - height / length, 0, most).mean())
