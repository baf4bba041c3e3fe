"""Smooth closed curve through a few handles, and the voxels inside it.

Points are (y, x) in voxels, with whole numbers at the centres of voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray
from skimage.measure import points_in_poly

from ..types import Mask

Points = NDArray[np.float64]
"""(n, 2) points (y, x)."""

FEWEST_POINTS = 3
"""Minimum number of handles of a curve."""

_SPACING = 0.5  # voxels between evenly spaced points
# 8 handles are enough for an LV; the horns of an RV may need more.
_FEWEST, _USUAL, _MOST = 4, 8, 16
_APART = 3.0  # voxels between the handles of a small curve
_SMOOTHED = 3  # points over which bends are measured, so that ripples do not count
_TURNING = 2.0  # weight of handles at bends against evenly spread handles


@dataclass(frozen=True, eq=False)
class BentCurve:
    """A closed (m, 2) ``base`` bent by (k, 2) ``handles`` that were moved from its points ``at``.

    The shift between two handles is a periodic cubic spline along the base, so the shape of the
    base stays, and a curve without moved handles is the base. ``at`` (k,) are ascending indices.
    """

    base: Points
    at: NDArray[np.intp]
    handles: Points

    @classmethod
    def with_handles(cls, curve: Points) -> Self:
        """Return a closed curve with handles: 8 for a round one, up to 16 for one with bends.

        They are closer together at bends, and fewer around a few voxels.
        """
        base = space_evenly(curve)
        at = _places(base)
        return cls(base, at, base[at])

    @property
    def curve(self) -> Points:
        """(m, 2) points of the bent curve."""
        knots = np.append(self.at - self.at[0], len(self.base)).astype(np.float64)
        along = (np.arange(len(self.base)) - self.at[0]) % len(self.base)
        shifts = self.handles - self.base[self.at]
        return self.base + evaluate_spline(knots, shifts, along.astype(np.float64))

    def move(self, index: int, point: ArrayLike) -> Self:
        """Return the curve with a handle moved to ``point`` (y, x)."""
        handles = self.handles.copy()
        handles[index] = point
        return replace(self, handles=handles)

    def add(self, place: ArrayLike) -> tuple[Self, int]:
        """Return the same curve with a handle where it is nearest to ``place``, and its index."""
        curve = self.curve
        distances = np.linalg.norm(curve - np.asarray(place, np.float64), axis=1)
        distances[self.at] = np.inf  # these points have a handle
        nearest = int(distances.argmin())
        index = int(np.searchsorted(self.at, nearest))
        handles = np.insert(self.handles, index, curve[nearest], axis=0)
        return replace(self, at=np.insert(self.at, index, nearest), handles=handles), index

    def keep(self, stays: Mask) -> Self:
        """Return the curve with some of its handles; at least three must be left."""
        return replace(self, at=self.at[stays], handles=self.handles[stays])


def space_evenly(curve: Points) -> Points:
    """Return a closed (m, 2) curve with points about half a voxel apart."""
    closed = np.concatenate([curve, curve[:1]])
    along = np.concatenate([[0.0], np.linalg.norm(np.diff(closed, axis=0), axis=1).cumsum()])
    count = max(len(curve) if along[-1] == 0 else 8, round(along[-1] / _SPACING))
    at = np.linspace(0, along[-1], count, endpoint=False)
    return np.stack([np.interp(at, along, side) for side in closed.T], axis=1)


def _places(curve: Points) -> NDArray[np.intp]:
    """Return the indices of the points of an evenly spaced curve that become handles."""
    points = len(curve)
    width = min(_SMOOTHED, points / 20)
    smoothed = scipy.ndimage.gaussian_filter1d(curve, width, axis=0, mode="wrap")
    y, x = (np.roll(smoothed, -1, axis=0) - smoothed).T
    directions = np.arctan2(y, x)
    turns = np.abs(np.angle(np.exp(1j * (np.roll(directions, -1) - directions))))
    few = np.clip(round(points * _SPACING / _APART), _FEWEST, _USUAL)
    # A convex curve turns once around, a crescent further.
    count = int(np.clip(round(few * turns.sum() / (2 * np.pi)), few, _MOST))
    turning = scipy.ndimage.gaussian_filter1d(turns, points / 40, mode="wrap")
    density = 1 / points + _TURNING * turning / turning.sum()
    share = np.concatenate([[0.0], density.cumsum()])
    places = np.interp(np.arange(count) / count * share[-1], share, np.arange(points + 1))
    return np.unique(places.astype(np.intp))


def join_holes(curves: Sequence[Points]) -> list[Points]:
    """Return closed (m, 2) curves, holes joined to the curve around them by a line run twice.

    This "keyhole" makes one curve of both, which every program fills without the hole (DICOM PS3.3
    C.8.8.6.3). A hole lies inside a curve of the opposite direction.
    """
    joined = list(curves)
    for hole in curves:
        opposite = [curve for curve in joined if _area(curve) * _area(hole) < 0]
        around = [
            curve
            for curve in opposite
            if points_in_poly(hole[:1], curve)[0]  # type: ignore[no-untyped-call]
        ]
        if around:
            # The others lie around this one.
            outer = min(around, key=lambda curve: abs(_area(curve)))
            distances = np.linalg.norm(outer[:, None] - hole, axis=2)
            i, j = np.unravel_index(distances.argmin(), distances.shape)
            inner = np.roll(hole, -j, axis=0)
            keyhole = np.concatenate([outer[: i + 1], inner, inner[:1], outer[i:]])
            joined = [keyhole if c is outer else c for c in joined if c is not hole]
    return joined


def _area(curve: Points) -> float:
    """Return the area inside a closed curve, negative for the opposite direction."""
    y, x = curve.T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def fill_curve(curve: ArrayLike, shape: tuple[int, ...]) -> Mask:
    """Return the mask (Y, X) of the voxels whose centres lie inside a closed (m, 2) curve.

    All loops of a curve that crosses itself are inside, whatever their direction. The part of the
    curve outside the slice of ``shape`` is ignored.
    """
    y, x = np.asarray(curve, np.float64).T
    next_y, next_x = np.roll(y, -1), np.roll(x, -1)
    rows, columns = shape
    above, next_above = (side <= np.arange(rows)[:, None] for side in (y, next_y))
    row, edge = np.nonzero(above != next_above)
    along = (row - y[edge]) / (next_y[edge] - y[edge])
    crossing = x[edge] + along * (next_x[edge] - x[edge])
    # Each crossing changes the winding number of every voxel to its right by one.
    turns = np.zeros((rows, columns + 1), np.int64)
    first = np.clip(np.ceil(crossing), 0, columns).astype(np.intp)
    np.add.at(turns, (row, first), np.where(above[row, edge], 1, -1))
    inside: Mask = turns.cumsum(axis=1)[:, :-1] != 0
    return inside


def evaluate_spline(
    knots: NDArray[np.float64], values: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (n, d) values at ``at`` of a periodic cubic spline.

    ``values`` (k, d) are the values at the first k of k + 1 knots.
    """
    closed = np.concatenate([values, values[:1]])
    # Imported here because it would delay opening the Review dock by a tenth of a second.
    from scipy.interpolate import CubicSpline

    interpolated: NDArray[np.float64] = CubicSpline(knots, closed, bc_type="periodic")(at)
    return interpolated
