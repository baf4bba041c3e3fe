"""The outline of a structure in a slice, as handles of a smooth curve and applied to labels.

Points are (y, x) in voxels, with whole numbers at the centres of voxels.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..types import Mask
from .closed_curve import (
    Points,
    draw_curve,
    evaluate_spline,
    fill_curve,
    place_knots,
)
from .outlines import trace_outlines
from .slice_checks import (
    Labels,
    give_up_voxels,
    largest_piece,
    structure_mask,
)

# 8 handles are enough for an LV; the horns of an RV may need more.
_COUNTS = range(8, 17)
_CLOSE = 0.975  # Dice between the inside of the curve and the outlined region
_SPACING = 0.25  # voxels between the points of an outline to which the curve is fitted
_STEPS = 1.5  # voxels over which the staircase of an outline is smoothed
_TURNING = 2.0  # weight of handles at bends against evenly spread handles


def contour_region(labels: Labels, label: int, *, inner: Collection[int] = ()) -> Mask:
    """Return the mask (Y, X) that a contour encloses: the largest piece of a structure.

    A wall is outlined together with its cavity ``inner``, such as the myocardium with the LV, so
    that the curve is the outer outline of the wall even if the ring is open.
    """
    return largest_piece(structure_mask(labels, {label, *inner}))


def fit_handles(mask: Mask, *, count: int | None = None) -> Points:
    """Return (k, 2) handles whose curve follows the outer outline of a (Y, X) mask.

    The outline is that of the largest piece. Handles are closer together at bends. Their number is
    ``count``, or the smallest from 8 to 16 that brings the curve close to the outline (Dice 0.975),
    and fewer around a few voxels. Handles may lie off the outline: the curve is the one nearest to
    it, which smooths its staircase.
    """
    ((y, x),) = ndimage.find_objects(mask.astype(np.uint8))
    # The curve follows the outer outline only.
    piece = ndimage.binary_fill_holes(largest_piece(np.pad(mask[y, x], 1)))
    handles = _closest(piece, [count] if count else _counts(piece))
    return np.add(handles, (y.start - 1, x.start - 1))


def apply_contour(
    labels: Labels,
    curve: ArrayLike,
    *,
    label: int,
    start: ArrayLike | None = None,
    inner: Collection[int] = (),
    over: Collection[int] = (),
    protected: Collection[int] = (),
) -> Labels:
    """Return (Y, X) labels in which the structure ``label`` ends at a closed (m, 2) ``curve``.

    Inside the curve, background and the structure itself become the structure; other structures
    stay, so the curve of the myocardium does not change the LV. Outside the curve, voxels of the
    piece that `contour_region` returns for the same ``inner`` are given up; other pieces stay.
    Voxels given up become background, unless they are a hole between structures (see
    `give_up_voxels`): the myocardium follows an LV that shrinks in its ring.

    ``start`` is the curve before its handles were moved. With it, only the voxels that the curve
    passed over change, and the changes connected to them. Labels far from the dragged handle stay,
    and a contour that was not moved returns the labels bit for bit.

    ``over`` are structures that share the moved border and follow it in both directions, even if a
    ring is open: {MYO} for the contour of the LV. Inside the curve they are overwritten, and they
    gain the voxels given up next to them. ``protected`` structures neither change nor are gained. A
    curve that contains no centre of a voxel removes the piece. If the structure is absent, the
    curve draws it.
    """
    inside = fill_curve(curve, labels.shape)
    if label in protected:
        return labels.copy()
    yielding = (labels == 0) | structure_mask(labels, {*over} - {label, *protected})
    gained = inside & yielding
    lost = contour_region(labels, label, inner=inner) & (labels == label) & ~inside
    if start is not None:
        moved = _connected_changes(inside ^ fill_curve(start, labels.shape), gained | lost)
        gained, lost = gained & moved, lost & moved
    grown = np.where(gained, np.uint8(label), labels)
    followers = {*over} - {label, *protected}
    return give_up_voxels(grown, lost, protected=protected, beside=followers)


def _connected_changes(passed: Mask, changes: Mask) -> Mask:
    """Return the voxels a curve passed over, and the changes connected to them.

    A smooth curve leaves out steps of the outline to which it was fitted. They would stay behind as
    specks if the curve is moved.
    """
    neighbours = np.ones((3, 3), np.bool_)
    return np.asarray(ndimage.binary_propagation(passed, neighbours, mask=passed | changes))


def _counts(piece: Mask) -> range:
    """Return the numbers of handles to try: from 4 around a single voxel, from 8 around a heart."""
    circumference = 2 * np.sqrt(np.pi * np.count_nonzero(piece))
    fewest = int(np.clip(round(circumference / 3), 4, _COUNTS.start))
    return range(fewest, _COUNTS.stop)


def _closest(piece: Mask, counts: Collection[int]) -> Points:
    """Return the handles of the first number that is close enough, or else of the closest."""
    size = np.count_nonzero(piece)
    closest, best = np.empty((0, 2)), -1.0
    for count in counts:
        handles = _fitted(_outline(piece, 8 * count), count)
        inside = fill_curve(draw_curve(handles), piece.shape)
        dice = 2 * np.count_nonzero(inside & piece) / (np.count_nonzero(inside) + size)
        if dice > best:
            closest, best = handles, dice
        if best >= _CLOSE:
            break
    return closest


def _outline(piece: Mask, fewest: int) -> Points:
    """Return at least ``fewest`` evenly spaced points on the outline of a piece without holes."""
    outline = max(trace_outlines(piece, 0.5), key=len)
    outline = np.concatenate([outline, outline[:1]])
    lengths = np.linalg.norm(np.diff(outline, axis=0), axis=1)
    along = np.concatenate([[0.0], lengths.cumsum()])
    points = max(fewest, int(along[-1] / _SPACING))
    at = np.linspace(0, along[-1], points, endpoint=False)
    return np.stack([np.interp(at, along, side) for side in outline.T], axis=1)


def _fitted(outline: Points, count: int) -> Points:
    """Return the handles whose curve is nearest, by least squares, to an evenly spaced outline."""
    places = _places(outline, count)
    knots = place_knots(outline[places])
    # Between two handles the curve advances as evenly as the outline.
    beyond_first = (np.arange(len(outline)) - places[0]) % len(outline)
    at = np.interp(beyond_first, np.append(places - places[0], len(outline)), knots)
    weights = evaluate_spline(knots, np.eye(count), at)
    return np.asarray(np.linalg.lstsq(weights, outline)[0], np.float64)


def _places(outline: Points, count: int) -> NDArray[np.intp]:
    """Return the indices of the points that become handles, closer together at bends."""
    points = len(outline)
    smoothed = ndimage.gaussian_filter1d(
        outline, min(_STEPS / _SPACING, points / 20), axis=0, mode="wrap"
    )
    y, x = (np.roll(smoothed, -1, axis=0) - smoothed).T
    directions = np.arctan2(y, x)
    turns = np.angle(np.exp(1j * (np.roll(directions, -1) - directions)))
    turning = ndimage.gaussian_filter1d(np.abs(turns), points / 40, mode="wrap")
    density = 1 / points + _TURNING * turning / turning.sum()
    share = np.concatenate([[0.0], density.cumsum()])
    positions = np.arange(count) / count * share[-1]
    places: NDArray[np.intp] = np.interp(positions, share, np.arange(points + 1)).astype(np.intp)
    return places
