"""Contour pushed by a round tool, as with the *nudge* tools of readers' workstations.

Points are (y, x) in voxels, with whole numbers at the centres of voxels.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy

from .closed_curve import Points, space_evenly

MOST_MM: Final = 15.0
"""Largest radius of the tool."""
_DRAWN_ALONG = 5.0
"""Points next to the tool that its push draws along (standard deviation)."""
_SHORTEST = 1e-9


def push_radius(curve: Points, point: Points, *, most: float) -> float:
    """Return the radius of a tool at ``point`` that touches a closed (m, 2) curve, 1 to ``most``.

    So a drag begins without a jump, and from afar the tool is large, as in OsiriX's repulsor.
    """
    nearest = float(np.linalg.norm(space_evenly(curve) - point, axis=1).min())
    return float(np.clip(nearest, 1.0, most))


def push_curve(curve: Points, start: Points, end: Points, radius: float) -> Points:
    """Return a closed (m, 2) curve that a disc pushes on its way from ``start`` to ``end``.

    Points inside the disc move to its edge, away from its centre, and draw their neighbours along,
    so that the curve stays smooth; elsewhere it stays as it is. The disc moves in steps of at most
    half a radius, so that a quick drag does not jump over the curve. The points of the result are
    evenly spaced.
    """
    curve = space_evenly(curve)
    steps = max(1, int(np.ceil(np.linalg.norm(end - start) / (radius / 2))))
    for share in np.linspace(0, 1, steps + 1)[1:]:
        centre = start + share * (end - start)
        shift = _outside(curve, centre, radius) - curve
        if shift.any():
            shift = scipy.ndimage.gaussian_filter1d(shift, _DRAWN_ALONG, axis=0, mode="wrap")
            # Once more, because points that were drawn along may lie inside.
            curve = space_evenly(_outside(curve + shift, centre, radius))
    return curve


def draw_circle(centre: Points, radius: float, points: int = 48) -> Points:
    """Return (points, 2) points of a circle."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.asarray(centre + radius * np.stack([np.sin(angle), np.cos(angle)], axis=1))


def _outside(curve: Points, centre: Points, radius: float) -> Points:
    """Return the curve with its points inside the disc moved to its edge."""
    away = curve - centre
    distance = np.linalg.norm(away, axis=1)
    inside = distance < radius
    moved = curve.copy()
    moved[inside] = centre + away[inside] * (
        radius / np.maximum(distance[inside], _SHORTEST)[:, None]
    )
    return moved
