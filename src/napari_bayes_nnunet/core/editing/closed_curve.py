"""Smooth closed curve through a few handles, and the voxels inside it.

Points are (y, x) in voxels, with whole numbers at the centres of voxels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..types import Mask

Points = NDArray[np.float64]
"""(n, 2) points (y, x)."""

FEWEST_POINTS = 3
"""Minimum number of handles of a curve."""

# Keeps the curve defined if handles coincide.
_SHORTEST = 1e-3
_FINE = 32  # points between two handles among which the nearest is searched


def draw_curve(handles: ArrayLike, points: int = 200) -> Points:
    """Return (points, 2) points of a smooth closed curve through (k, 2) handles in their order.

    The first point is not repeated at the end. The curve is a periodic cubic spline whose knots are
    spaced by the square roots of the distances between handles, so that it does not swing out
    between a long and a short distance.
    """
    handles = np.asarray(handles, np.float64)
    knots = place_knots(handles)
    return evaluate_spline(knots, handles, np.linspace(0, knots[-1], points, endpoint=False))


def add_handle(handles: ArrayLike, place: ArrayLike) -> Points:
    """Return (k + 1, 2) handles with a new one where the curve is nearest to ``place`` (y, x)."""
    handles = np.asarray(handles, np.float64)
    knots = place_knots(handles)
    between = np.linspace(knots[:-1], knots[1:], _FINE, endpoint=False, axis=1)[:, 1:]
    fine = evaluate_spline(knots, handles, between.ravel())
    nearest = int(((fine - np.asarray(place, np.float64)) ** 2).sum(axis=1).argmin())
    return np.insert(handles, nearest // (_FINE - 1) + 1, fine[nearest], axis=0)


def remove_handle(handles: ArrayLike, index: int) -> Points:
    """Return (k - 1, 2) handles without the handle ``index``; at least three must be left."""
    handles = np.asarray(handles, np.float64)
    return np.delete(handles, index, axis=0)


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


def place_knots(handles: Points) -> NDArray[np.float64]:
    """Return (k + 1,) ascending positions of (k, 2) handles along their curve, from 0."""
    distances = np.linalg.norm(np.roll(handles, -1, axis=0) - handles, axis=1)
    return np.concatenate([[0.0], np.sqrt(np.maximum(distances, _SHORTEST)).cumsum()])


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
