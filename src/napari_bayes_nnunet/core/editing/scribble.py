"""Correction of a structure by one stroke, with a shape from the posterior."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .. import InputError
from ..ensemble.stored_posterior import SlicePosterior
from ..types import Mask
from .alternatives import Alternative
from .closed_curve import Points
from .level import LEVEL_STEPS, apply_level, level_ranks
from .slice_checks import Labels, pieces_at, structure_mask

AGREED: Final = 0.9
"""Share of the voxels of a stroke that a shape must match, because strokes are not exact."""
UNKNOWN_SHAPE: Final = (
    "No member has a shape that fits this stroke. Paint the structure, or edit its contour."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scribbled:
    """(Y, X) ``labels`` after a stroke, and where their shape comes from.

    Either the ``margin`` of a level, -1 … 1, or the number of an ``alternative``, counted from 1.
    """

    labels: Labels
    margin: float | None = None
    alternative: int | None = None


def draw_stroke(points: Points, shape: tuple[int, int]) -> Mask:
    """Return the (Y, X) mask of the voxels under a line through (n, 2) ``points`` (y, x).

    Parts of the line outside the slice are left out. A single point is one voxel.
    """
    from skimage.draw import line

    mask = np.zeros(shape, np.bool_)
    corners = np.rint(points).astype(int)
    for start, end in zip(corners, np.vstack([corners[1:], corners[-1:]]), strict=True):
        y, x = line(*start, *end)  # type: ignore[no-untyped-call]
        within = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
        mask[y[within], x[within]] = True
    return mask


def apply_scribble(
    slice_: SlicePosterior,
    labels: Labels,
    stroke: Mask,
    *,
    label: int,
    inside: bool,
    alternatives: Sequence[Alternative] = (),
    protected: Collection[int] = (),
) -> Scribbled:
    """Return (Y, X) labels in which a structure contains a stroke, or leaves it out.

    ``stroke`` is a (Y, X) mask; ``inside`` says whether its voxels belong to the structure. Levels
    of the structure and the alternatives of the slice are tried. Those that agree with at least
    `AGREED` of the stroke are candidates, and the one that changes the fewest voxels is taken. Only
    changed pieces that touch the stroke are applied, so the rest of the slice stays as it is.
    ``protected`` structures neither lose nor gain voxels.

    Raises InputError if no candidate agrees, or for a stroke that covers nothing that may change.
    """
    drawn = stroke & ~structure_mask(labels, protected)
    if label in protected or not drawn.any():
        raise InputError(
            "The stroke covers no voxel that may change. Draw it elsewhere, or unlock the "
            "structure."
        )
    candidates: list[tuple[int, int, Scribbled]] = []
    level = _at_level(slice_, labels, drawn, label=label, inside=inside, protected=protected)
    others = [(a.labels, None, number) for number, a in enumerate(alternatives, start=1)]
    for other, margin, number in (*level, *others):
        changed = _changed(labels, other, drawn, label=label, inside=inside, protected=protected)
        result = np.where(changed, other, labels)
        if not inside:
            # A protected structure must not gain them.
            result = np.where(changed & structure_mask(other, protected), np.uint8(0), result)
        agreed = np.mean((result[drawn] == label) == inside)
        if agreed >= AGREED:
            size = int(np.count_nonzero(changed & ~drawn))
            # Of equal sizes the first, because results cannot be compared.
            candidates.append((size, len(candidates), Scribbled(
                labels=result, margin=margin, alternative=number
            )))  # fmt: skip
    if not candidates:
        raise InputError(UNKNOWN_SHAPE)
    return min(candidates, key=lambda candidate: candidate[:2])[2]


def _at_level(
    slice_: SlicePosterior,
    labels: Labels,
    drawn: Mask,
    *,
    label: int,
    inside: bool,
    protected: Collection[int],
) -> Iterator[tuple[Labels, float, None]]:
    """Yield the labels at the level that agrees and changes the fewest voxels, if there is one.

    Where the labels lack the structure it returns as predicted or larger, not as its certain core.
    """
    ranks = np.sort(level_ranks(slice_, label)[drawn])
    spared = len(ranks) - math.ceil(AGREED * len(ranks))
    if inside:
        step = int(ranks[spared])
        at_stroke = pieces_at((slice_.prediction == label) | (labels == label), drawn, corners=True)
        if not (labels[at_stroke] == label).any():
            step = min(step, 0)
    else:  # voxels that no level gains are lost at the lowest one
        step = max(int(ranks[len(ranks) - 1 - spared]) + 1, -LEVEL_STEPS)
    if -LEVEL_STEPS <= step <= LEVEL_STEPS:
        margin = step / LEVEL_STEPS
        yield (
            apply_level(slice_, labels, label=label, margin=margin, protected=protected),
            margin,
            None,
        )


def _changed(
    labels: Labels,
    other: Labels,
    drawn: Mask,
    *,
    label: int,
    inside: bool,
    protected: Collection[int],
) -> Mask:
    """Return the voxels that the structure gains or loses, in pieces that touch the stroke."""
    had, has = labels == label, other == label
    change = (has & ~had) if inside else (had & ~has)
    change &= ~structure_mask(labels, protected)
    return pieces_at(change, drawn, corners=True)
