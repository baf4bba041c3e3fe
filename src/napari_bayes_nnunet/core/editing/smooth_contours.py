"""Smooth contours of all structures of a slice, with sub-pixel accuracy.

Points are (y, x) in voxels, with whole numbers at the centres of voxels. A contour crosses an
edge between two neighbouring centres if exactly one of them belongs to the structure. So no piece,
hole or thin wall is lost or merged, however much is smoothed. Two structures that touch share their
crossings, so that their contours meet.

If both voxels of an edge are labelled as predicted, the posterior gives the crossing, at which both
structures are equally probable. Elsewhere the crossings are placed so that the contour bends least
(constrained elastic surface nets, Gibson 1998) and encloses the same area as the mask.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..ensemble.stored_posterior import PlanePosterior
from ..types import Mask
from .closed_curve import Points

SUBDIVISIONS: Final = 2
"""Points of a contour for each crossing."""
_NEAREST: Final = 0.04
"""Smallest distance of a crossing from a centre, in voxels, so that the centre keeps its side."""
_NEAREST_THIN: Final = 0.3
"""The same for a structure that is one voxel wide there, so that it stays visible."""
_ANCHOR: Final = 2e-3
"""Weight of the middle of an edge against straightness; it matters beyond about six voxels."""
_KNOWN_ANCHOR: Final = 0.3
"""Weight of a crossing that the posterior gives: half of them move by at most 0.02 voxels."""
_LARGEST: Final = 8.0
"""Bound of the curvature: two contours share an edge, and each bend has weights 1, ½, ½."""
_ROUNDS, _FEW_ROUNDS = 40, 10
_STEPS: Final = 8
"""Maximum number of steps towards the masks' areas; a heart needs one, scattered voxels more."""
_SHORTEST: Final = 1e-6
_TOLERANCE, _TOLERATED_VOXELS = 0.008, 1.5
"""Share and number of voxels by which the enclosed area may differ from the mask."""

_Ints = NDArray[np.intp]
_Floats = NDArray[np.float64]


def smooth_contours(
    labels: NDArray[Any], structures: Collection[int], posterior: PlanePosterior | None = None
) -> dict[int, list[Points]]:
    """Return for each structure its closed (m, 2) contours in a slice of (Y, X) ``labels``.

    Each piece and each hole has a contour; the first point is not repeated at the end. Voxels of
    a structure that touch at a corner are one piece. With ``posterior``, contours follow the
    margin between the probabilities where the labels are as predicted. At the edge of the slice,
    contours run half a voxel outside the last centres.
    """
    contours: dict[int, list[Points]] = {label: [] for label in structures}
    (rows,), (columns,) = (np.nonzero((labels > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return contours
    box = labels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Two voxels, because limits depend on the voxels beyond an edge.
    grid = np.pad(np.where(np.isin(box, list(structures)), box, 0).astype(np.int16), 2)
    origin = rows[0] - 2, columns[0] - 2
    edges = _find_edges(grid)
    nodes = _find_nodes(grid, edges, sorted(structures))
    at = np.full(len(edges.start), 0.5)
    start = edges.start + np.array(origin)
    free = ((start >= 0) & (start + edges.step < labels.shape)).all(axis=1)
    if posterior is not None:
        at, free = _cross_margins(edges, start, free, posterior)
    lowest, highest = _limits(grid, edges)
    at = np.clip(at, lowest, highest)
    at = _straighten(edges, nodes, at, free, lowest, highest)
    if free.any():
        at = _match_areas(grid, edges, nodes, at, lowest, highest)
    points = _subdivide(_positions(edges, at)[nodes.edge], nodes) + origin
    for label, loop in _loops(nodes):
        contours[label].append(points[loop].reshape(-1, 2))
    return contours


def contour_around(mask: Mask) -> Points:
    """Return the longest closed (m, 2) contour of a (Y, X) mask."""
    return max(smooth_contours(mask.astype(np.uint8), [1])[1], key=len)


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges between neighbouring centres with different labels.

    ``start`` (n, 2) is the centre with the lower index, ``step`` (n, 2) leads to the other one;
    ``labels`` (n, 2) are those of both. ``down`` (Y - 1, X) and ``right`` (Y, X - 1) number the
    edges of the grid, −1 where there is none.
    """

    start: _Ints
    step: _Ints
    labels: NDArray[np.int16]
    down: _Ints
    right: _Ints


@dataclass(frozen=True, eq=False)
class _Nodes:
    """Crossings of the contours of all structures: (k,) ``edge``, ``label`` and neighbours.

    ``following`` and ``previous`` are the numbers of the neighbours along the contour, which has
    the structure on its right, seen with y downwards.
    """

    edge: _Ints
    label: _Ints
    following: _Ints
    previous: _Ints


def _find_edges(grid: NDArray[np.int16]) -> _Edges:
    down, right = grid[:-1] != grid[1:], grid[:, :-1] != grid[:, 1:]
    ends = np.argwhere(down), np.argwhere(right)
    numbers = np.full(down.shape, -1, np.intp), np.full(right.shape, -1, np.intp)
    count = len(ends[0])
    numbers[0][down] = np.arange(count)
    numbers[1][right] = count + np.arange(len(ends[1]))
    start = np.concatenate(ends)
    step = np.zeros_like(start)
    step[:count, 0] = step[count:, 1] = 1
    other = start + step
    labels = np.stack([grid[tuple(start.T)], grid[tuple(other.T)]], axis=1)
    return _Edges(start, step, labels, *numbers)


def _segment_table() -> NDArray[np.int8]:
    """Return (32, 2, 2) sides of a cell, from and to, that a contour connects; −1 for none.

    The index has a bit for each corner of the structure (top left, top right, bottom right,
    bottom left), and 16 if opposite corners are connected. Sides are top, right, bottom, left.
    """
    table = np.full((32, 2, 2), -1, np.int8)
    before, after = (3, 0, 1, 2), (0, 1, 2, 3)  # the sides next to a corner, clockwise
    for case in range(1, 15):
        inside = [bool(case >> corner & 1) for corner in range(4)]
        first = [corner for corner in range(4) if inside[corner] and not inside[corner - 1]]
        for row, corner in enumerate(first):
            last = corner
            while inside[(last + 1) % 4]:
                last = (last + 1) % 4
            table[case, row] = table[case + 16, row] = before[corner], after[last]
    for case in (5, 10):
        ends = table[case, :, 1]
        table[case + 16, :, 1] = ends[::-1]
    return table


_SEGMENTS: Final = _segment_table()


def _find_nodes(grid: NDArray[np.int16], edges: _Edges, structures: list[int]) -> _Nodes:
    """Connect the edges in the cells between four centres."""
    down, right = edges.down, edges.right
    sides = np.stack([right[:-1], down[:, 1:], right[1:], down[:, :-1]])
    y, x = np.nonzero((sides >= 0).any(axis=0))
    sides = sides[:, y, x]
    corners = np.stack([grid[y, x], grid[y, x + 1], grid[y + 1, x + 1], grid[y + 1, x]])
    # Of two structures that both touch at a corner, only one can be connected.
    crossed = (corners[0] == corners[2]) & (corners[1] == corners[3])
    bits = np.array([1, 2, 4, 8], np.int8)[:, None]
    parts, count = [], 0
    for label in structures:
        inside = corners == label
        case = (inside * bits).sum(axis=0)
        rival = np.where(inside[0], corners[1], corners[0])
        case[~crossed | (rival < label)] += 16
        cell, row = np.nonzero(_SEGMENTS[case, :, 0] >= 0)
        first, second = (sides[_SEGMENTS[case[cell], row, end], cell] for end in (0, 1))
        number = np.full(len(edges.start), -1, np.intp)
        number[first] = np.arange(len(first)) + count
        following = number[second]
        previous = np.empty_like(following)
        previous[following - count] = np.arange(len(first)) + count
        parts.append((first, np.full(len(first), label, np.intp), following, previous))
        count += len(first)
    return _Nodes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _cross_margins(
    edges: _Edges, start: _Ints, within: Mask, posterior: PlanePosterior
) -> tuple[_Floats, Mask]:
    """Return the crossings at equal probability, and True for edges that were edited.

    ``start`` are the starts of the edges in the slice, ``within`` is False at its border.
    """
    ends = start, start + edges.step
    known = within.copy()
    for side, end in enumerate(ends):
        y, x = end[within].T
        known[within] &= posterior.prediction[y, x] == edges.labels[within, side]
    first, second = edges.labels[known].T
    margins = [
        posterior.probability(ours, *end[known].T) - posterior.probability(theirs, *end[known].T)
        for end, ours, theirs in ((ends[0], first, second), (ends[1], second, first))
    ]
    total = margins[0] + margins[1]
    at = np.full(len(start), 0.5)
    at[known] = np.divide(margins[0], total, out=at[known], where=total > 0)
    return at, within & ~known


def _limits(grid: NDArray[np.int16], edges: _Edges) -> tuple[_Floats, _Floats]:
    """Return the lowest and highest crossing of each edge."""
    beyond = edges.start - edges.step, edges.start + 2 * edges.step
    limits = [
        np.where(grid[tuple(end.T)] == edges.labels[:, side], _NEAREST, _NEAREST_THIN)
        for side, end in enumerate(beyond)
    ]
    return limits[0], 1 - limits[1]


def _positions(edges: _Edges, at: _Floats) -> Points:
    return edges.start + at[:, None] * edges.step


def _straighten(
    edges: _Edges, nodes: _Nodes, at: _Floats, free: Mask, lowest: _Floats, highest: _Floats
) -> _Floats:
    """Return the crossings, moved to where the contours bend least.

    Known crossings move little, and only to remove the ripple of the grid. Minimises a quadratic
    form within limits by Nesterov's accelerated projected gradient.
    """
    edge, following, previous = nodes.edge, nodes.following, nodes.previous
    position = _positions(edges, at)[edge]
    before, after = position[previous], position[following]
    along = after - before
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1), _SHORTEST)[:, None]
    to_before, to_after = (np.linalg.norm(position - end, axis=1) for end in (before, after))
    share = to_after / np.maximum(to_before + to_after, _SHORTEST)
    start, step = edges.start[edge], edges.step[edge]
    # The bend of a node is its distance from the line between its neighbours.
    constant = start - share[:, None] * start[previous] - (1 - share)[:, None] * start[following]
    constant = (normal * constant).sum(axis=1)
    own = (normal * step).sum(axis=1)
    back = -share * (normal * step[previous]).sum(axis=1)
    ahead = (share - 1) * (normal * step[following]).sum(axis=1)
    anchor = np.where(free, _ANCHOR, _KNOWN_ANCHOR)
    size = 1 / (_LARGEST + anchor)
    target, ahead_of = at, at
    for number in range(_ROUNDS if free.any() else _FEW_ROUNDS):
        value = ahead_of[edge]
        bend = constant + own * value + back * value[previous] + ahead * value[following]
        slope = own * bend + (back * bend)[following] + (ahead * bend)[previous]
        gradient = np.bincount(edge, slope, len(at)) + anchor * (ahead_of - target)
        moved = np.minimum(np.maximum(ahead_of - size * gradient, lowest), highest)
        ahead_of = moved + number / (number + 3) * (moved - at)
        at = moved
    return at


def _match_areas(
    grid: NDArray[np.int16],
    edges: _Edges,
    nodes: _Nodes,
    at: _Floats,
    lowest: _Floats,
    highest: _Floats,
) -> _Floats:
    """Return the crossings, moved by the least amount that makes areas those of the masks."""
    structures, numbers = np.unique(nodes.label, return_inverse=True)
    sizes = np.bincount(grid.ravel(), minlength=structures[-1] + 1)[structures].astype(np.float64)
    tolerance = np.maximum(_TOLERANCE * sizes, np.minimum(_TOLERATED_VOXELS, sizes / 5))
    for _ in range(_STEPS):
        position = _positions(edges, at)[nodes.edge]
        missing = sizes - np.bincount(numbers, _node_areas(_subdivide(position, nodes), nodes))
        if (np.abs(missing) <= tolerance).all():
            break
        missing = np.sign(missing) * np.maximum(np.abs(missing) - tolerance / 2, 0)
        turned = (position[nodes.following] - position[nodes.previous]) / 2
        step = edges.step[nodes.edge]
        growth = step[:, 0] * turned[:, 1] - step[:, 1] * turned[:, 0]
        places = numbers * len(at) + nodes.edge
        gradient = np.bincount(places, growth, len(structures) * len(at)).reshape(-1, len(at))
        shift = np.linalg.lstsq(gradient @ gradient.T, missing, rcond=1e-6)[0] @ gradient
        at = np.clip(at + shift, lowest, highest)
    return at


def _hermite_weights() -> NDArray[np.float64]:
    """Return (SUBDIVISIONS, 4) weights of both ends and both tangents of a cubic curve."""
    t = np.arange(SUBDIVISIONS) / SUBDIVISIONS
    weights = (1 + 2 * t) * (1 - t) ** 2, t**2 * (3 - 2 * t), t * (1 - t) ** 2, t**2 * (t - 1)
    return np.stack(weights, axis=1)


_HERMITE: Final = _hermite_weights()


def _subdivide(position: Points, nodes: _Nodes) -> NDArray[np.float64]:
    """Return (k, SUBDIVISIONS, 2) points of a cubic curve from each node to the next."""
    following = position[nodes.following]
    forward = following - position
    length = np.maximum(np.linalg.norm(forward, axis=1), _SHORTEST)[:, None]
    backward, before = forward[nodes.previous], length[nodes.previous]
    # The tangent of the parabola through three points, in voxels per voxel.
    tangent = (backward / before * length + forward / length * before) / (length + before)
    ends = position, following, tangent * length, tangent[nodes.following] * length
    return np.tensordot(_HERMITE, np.stack(ends), axes=1).transpose(1, 0, 2)


def _node_areas(points: NDArray[np.float64], nodes: _Nodes) -> _Floats:
    """Return (k,) parts of the enclosed areas, by the shoelace formula."""
    ends = np.concatenate([points[:, 1:], points[nodes.following, :1]], axis=1)
    parts = ends[..., 1] * points[..., 0] - points[..., 1] * ends[..., 0]
    return np.asarray(parts.sum(axis=1) / 2)


def _loops(nodes: _Nodes) -> list[tuple[int, list[int]]]:
    """Return label and nodes, in order, of each contour."""
    following, labels = nodes.following.tolist(), nodes.label.tolist()
    is_new = [True] * len(following)
    loops = []
    for first in range(len(following)):
        if not is_new[first]:
            continue
        loop, node = [], first
        while is_new[node]:
            is_new[node] = False
            loop.append(node)
            node = following[node]
        loops.append((labels[first], loop))
    return loops
