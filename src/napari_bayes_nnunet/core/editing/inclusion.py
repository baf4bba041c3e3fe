"""The uncertainty of a structure's border as outlines: by inclusion, and one for each member.

Outlines are closed (m, 2) polylines (y, x) in voxels, whole numbers at the voxels' centres, the
end left open. A structure has one for each piece and each hole: a myocardium has two.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ensemble.stored_posterior import SlicePosterior
from .closed_curve import Points
from .outlines import outlines_of


def outlines_at(
    slice_: SlicePosterior, label: int, levels: Sequence[float] = (0.1, 0.5, 0.9)
) -> list[list[Points]]:
    """For each level the outlines of where the structure ``label`` is at least that probable.

    Interpolated between voxels. Where the structure comes nowhere near a level there is none.
    ValueError for a label the posterior does not have, or a level not between 0 and 1.
    """
    _check(slice_, label)
    for level in levels:
        if not 0 < level < 1:
            raise ValueError(f"An inclusion is a probability between 0 and 1, not {level}.")
    return [outlines_of(slice_.probabilities[label], level) for level in levels]


def member_outlines(slice_: SlicePosterior, label: int) -> list[list[Points]]:
    """For each member the outlines of its structure ``label``; none where it has none.

    ValueError for a label the posterior does not have.
    """
    _check(slice_, label)
    return [outlines_of(labels == label, 0.5) for labels in slice_.members]


def _check(slice_: SlicePosterior, label: int) -> None:
    classes = len(slice_.probabilities)
    if not 1 <= label < classes:
        raise ValueError(f"There is no structure {label}; the posterior has 1 to {classes - 1}.")
