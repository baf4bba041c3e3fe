"""A smooth closed curve through a few handles, and the voxels it runs around.

Points are (y, x) in voxels, whole numbers at the voxels' centres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..types import Mask

Points = NDArray[np.float64]
"""(n, 2) places (y, x)."""

FEWEST_POINTS = 3
"""Handles a curve must keep."""

# Handles that lie on each other still have a curve through them.
_SHORTEST = 1e-3
_FINE = 32  # points between two handles where the nearest place is looked for


def curve_through(handles: ArrayLike, points: int = 200) -> Points:
    """(points, 2) smooth closed curve through (k, 2) handles in their order, the end left open.

    A periodic cubic spline, with knots as far apart as the square roots of the distances between
    handles: so it does not swing out where a long and a short distance meet. ValueError below
    three handles.
    """
    handles = _checked(handles)
    knots = knots_of(handles)
    return spline_through(knots, handles, np.linspace(0, knots[-1], points, endpoint=False))


def add_handle(handles: ArrayLike, place: ArrayLike) -> Points:
    """(k + 1, 2) handles with one more where the curve is nearest to ``place`` (y, x)."""
    handles = _checked(handles)
    knots = knots_of(handles)
    between = np.linspace(knots[:-1], knots[1:], _FINE, endpoint=False, axis=1)[:, 1:]
    fine = spline_through(knots, handles, between.ravel())
    nearest = int(((fine - np.asarray(place, np.float64)) ** 2).sum(axis=1).argmin())
    return np.insert(handles, nearest // (_FINE - 1) + 1, fine[nearest], axis=0)


def remove_handle(handles: ArrayLike, index: int) -> Points:
    """(k - 1, 2) handles without that at ``index``. ValueError where three are left."""
    handles = _checked(handles)
    if len(handles) == FEWEST_POINTS:
        raise ValueError(f"A contour keeps at least {FEWEST_POINTS} handles.")
    return np.delete(handles, index, axis=0)


def filled(curve: ArrayLike, shape: tuple[int, ...]) -> Mask:
    """The voxels of a slice of ``shape`` (Y, X) whose centres a closed (m, 2) curve runs around.

    Where the curve crosses itself, all that it runs around is inside, in whichever direction.
    What it encloses beyond the slice is left out. ValueError for a curve that is not (m, 2).
    """
    y, x = _points(curve).T
    next_y, next_x = np.roll(y, -1), np.roll(x, -1)
    rows, columns = shape
    above, next_above = (side <= np.arange(rows)[:, None] for side in (y, next_y))
    row, edge = np.nonzero(above != next_above)
    along = (row - y[edge]) / (next_y[edge] - y[edge])
    crossing = x[edge] + along * (next_x[edge] - x[edge])
    # Every voxel right of a crossing is run around once more, or once less.
    turns = np.zeros((rows, columns + 1), np.int64)
    first = np.clip(np.ceil(crossing), 0, columns).astype(np.intp)
    np.add.at(turns, (row, first), np.where(above[row, edge], 1, -1))
    inside: Mask = turns.cumsum(axis=1)[:, :-1] != 0
    return inside


def knots_of(handles: Points) -> NDArray[np.float64]:
    """(k + 1,) rising places of (k, 2) handles along their curve, from 0 to its end."""
    distances = np.linalg.norm(np.roll(handles, -1, axis=0) - handles, axis=1)
    return np.concatenate([[0.0], np.sqrt(np.maximum(distances, _SHORTEST)).cumsum()])


def spline_through(
    knots: NDArray[np.float64], values: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, d) periodic cubic spline with (k, d) values at the first k of k + 1 knots."""
    closed = np.concatenate([values, values[:1]])
    # Not on top: a tenth of a second that the dock Review would take longer to open.
    from scipy.interpolate import CubicSpline

    places: NDArray[np.float64] = CubicSpline(knots, closed, bc_type="periodic")(at)
    return places


def _points(points: ArrayLike) -> Points:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"Points of a contour are (n, 2) finite numbers, not {points.shape}.")
    return points


def _checked(handles: ArrayLike) -> Points:
    points = _points(handles)
    if len(points) < FEWEST_POINTS:
        raise ValueError(f"A contour needs at least {FEWEST_POINTS} handles, not {len(points)}.")
    return points
