"""The outline of a structure in a slice: as handles of a smooth curve, and back into the labels.

Points are (y, x) in voxels, whole numbers at the voxels' centres.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..types import Mask
from .closed_curve import FEWEST_POINTS, Points, curve_through, filled, knots_of, spline_through
from .outlines import outlines_of
from .slice_checks import Labels, are_of, checked_slice, checked_structures, give_up, largest_piece

# An LV is close enough with 8, the horns of an RV may need more.
_COUNTS = range(8, 17)
_CLOSE = 0.975  # Dice of what the curve encloses with what is outlined
_SPACING = 0.25  # voxels between the points of an outline the curve is fitted to
_STEPS = 1.5  # voxels over which the steps of an outline along the grid are smoothed
_TURNING = 2.0  # handles drawn to where the outline turns, against those spread evenly


def outlined(labels: Labels, label: int, *, inner: Collection[int] = ()) -> Mask:
    """(Y, X) what the contour of a structure runs around: its largest piece in ``labels``.

    A wall is outlined together with the cavity in it, ``inner``, so that the curve is its outer
    outline also where the ring is open: the myocardium with the LV. ValueError for labels that
    are no slice or a label that is no structure.
    """
    return largest_piece(are_of(checked_slice(labels), {label, *inner}))


def handles_of(mask: Mask, *, count: int | None = None) -> Points:
    """(k, 2) handles whose curve follows the outer outline of the largest piece of a (Y, X) mask.

    Close together where the outline turns. As few as bring the curve close to the outline (Dice
    0.975), 8 to 16, fewer around a few voxels; or ``count``. They need not lie on the outline:
    the curve is the one nearest to it, which smooths its steps along the grid.

    ValueError for an empty mask, or a count below 3.
    """
    mask = np.asarray(mask, np.bool_)
    if mask.ndim != 2 or not mask.any():
        raise ValueError("There is nothing to outline: the structure is absent in this slice.")
    if count is not None and count < FEWEST_POINTS:
        raise ValueError(f"A contour needs at least {FEWEST_POINTS} handles, not {count}.")
    ((y, x),) = ndimage.find_objects(mask.astype(np.uint8))
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
    """(Y, X) labels in which the structure ``label`` ends at a closed (m, 2) ``curve``.

    Inside it, background and the structure itself become the structure; other structures stay,
    so the curve of the myocardium leaves the LV in it alone. Outside it, voxels of the piece that
    is `outlined` with the same ``inner`` are given up; other pieces stay. What is given up becomes
    background, except that a hole between structures closes (see `give_up`): the myocardium
    follows an LV that shrinks in its ring.

    ``start`` is the curve as it was before its handles were moved. With it, only what the curve
    passed over changes, and what hangs together with that: away from the handle that was dragged
    the labels stay, and a contour that was not moved gives them back bit for bit.

    ``over`` are structures that share the moved border and follow it both ways, even where a
    ring is open: {MYO} when the contour is that of the LV. Inside the curve they are overwritten,
    and what is given up beside them becomes theirs. ``protected`` structures neither change nor
    are gained. A curve that holds no voxel's centre takes the piece away; where the structure is
    absent a curve draws it.

    ValueError for labels that are no slice, a label that is no structure, a curve not (m, 2).
    """
    inside = filled(curve, checked_slice(labels).shape)
    checked_structures([label])
    if label in protected:
        return labels.copy()
    yielding = (labels == 0) | are_of(labels, {*over} - {label, *protected})
    gained = inside & yielding
    lost = outlined(labels, label, inner=inner) & (labels == label) & ~inside
    if start is not None:
        moved = _with_what_touches(inside ^ filled(start, labels.shape), gained | lost)
        gained, lost = gained & moved, lost & moved
    grown = np.where(gained, np.uint8(label), labels)
    beside = {*over} - {label, *protected}
    return give_up(grown, lost, protected=protected, beside=beside)


def _with_what_touches(passed: Mask, changes: Mask) -> Mask:
    """What a curve passed over, and the changes that hang together with it.

    A smooth curve leaves out steps of the outline it was fitted to; where it is moved these would
    stay behind as specks.
    """
    anywhere = np.ones((3, 3), np.bool_)
    return np.asarray(ndimage.binary_propagation(passed, anywhere, mask=passed | changes))


def _counts(piece: Mask) -> range:
    """Numbers of handles to try: from 4 around a single voxel, from 8 around a heart."""
    around = 2 * np.sqrt(np.pi * np.count_nonzero(piece))
    fewest = int(np.clip(round(around / 3), 4, _COUNTS.start))
    return range(fewest, _COUNTS.stop)


def _closest(piece: Mask, counts: Collection[int]) -> Points:
    """The handles of the first number that comes close enough, or else of the closest."""
    size = np.count_nonzero(piece)
    closest, best = np.empty((0, 2)), -1.0
    for count in counts:
        handles = _fitted(_outline(piece, 8 * count), count)
        inside = filled(curve_through(handles), piece.shape)
        dice = 2 * np.count_nonzero(inside & piece) / (np.count_nonzero(inside) + size)
        if dice > best:
            closest, best = handles, dice
        if best >= _CLOSE:
            break
    return closest


def _outline(piece: Mask, fewest: int) -> Points:
    """Evenly spaced points, ``fewest`` at least, on the outline of a piece without holes."""
    outline = max(outlines_of(piece, 0.5), key=len)
    outline = np.concatenate([outline, outline[:1]])
    lengths = np.linalg.norm(np.diff(outline, axis=0), axis=1)
    along = np.concatenate([[0.0], lengths.cumsum()])
    points = max(fewest, int(along[-1] / _SPACING))
    at = np.linspace(0, along[-1], points, endpoint=False)
    return np.stack([np.interp(at, along, side) for side in outline.T], axis=1)


def _fitted(outline: Points, count: int) -> Points:
    """Handles whose curve has the least squared distance from the evenly spaced outline."""
    places = _places(outline, count)
    knots = knots_of(outline[places])
    # Between two handles the curve runs as evenly as the outline does.
    beyond_first = (np.arange(len(outline)) - places[0]) % len(outline)
    at = np.interp(beyond_first, np.append(places - places[0], len(outline)), knots)
    weights = spline_through(knots, np.eye(count), at)
    return np.asarray(np.linalg.lstsq(weights, outline)[0], np.float64)


def _places(outline: Points, count: int) -> NDArray[np.intp]:
    """Which points of the outline become handles: spread evenly, closer together in its turns."""
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
    wanted = np.arange(count) / count * share[-1]
    places: NDArray[np.intp] = np.interp(wanted, share, np.arange(points + 1)).astype(np.intp)
    return places
