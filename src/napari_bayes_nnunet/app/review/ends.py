"""Base and apex of a structure, moved by one slice at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.editing.alternatives import Alternative
from ...core.editing.presence import add_structure, find_shapes, remove_at_end, slices_with
from ...core.types import Phase, Place
from ...io.study.arrays import select_phase
from .. import AppError
from .session import ReviewSession

IS_LOCKED: Final = "The {structure} is locked, so it was not changed."
NO_SLICE_LEFT: Final = "The {structure} already reaches the last slice of the image at the {end}."
NOWHERE: Final = "The {structure} is in no slice of this phase."
NOTHING_KNOWN: Final = (
    "No member sees the {structure} in slice {slice}, and no other slice has it. Go to a slice in "
    "which members see it, or paint it."
)
UNDER_LOCKED: Final = "Locked structures cover the {structure} in slice {slice}."


class End(StrEnum):
    """End of a structure along the slices."""

    BASE = "base"
    APEX = "apex"


class ShapeSource(StrEnum):
    """Origin of the shape of a structure that appears in a slice."""

    PREDICTION = "prediction"
    MEMBERS = "members"
    NEIGHBOUR = "neighbour"


@dataclass(frozen=True, kw_only=True, eq=False)
class EndStep:
    """(Y, X) ``labels`` of the slice in which a structure appears, or from which it vanishes.

    ``source`` is None if it vanishes; ``members`` is the number of members that a shape of
    `ShapeSource.MEMBERS` is from.
    """

    place: Place
    labels: NDArray[np.uint8]
    source: ShapeSource | None = None
    members: int = 0


def move_end(
    session: ReviewSession, place: Place, label: int, end: End, *, outwards: bool
) -> EndStep:
    """Return the step of a structure's end by one slice, away from its middle or towards it.

    ``place`` is the slice on screen, in which a structure begins that no slice of the phase has. A
    structure appears as predicted, else as most of the members draw it, else as in the next slice.
    If the order of the slices is unknown, the first one counts as the base. The myocardium appears
    with the LV, and vanishes with it at the base.

    Raises AppError if the structure is locked, no slice is left, or its shape is unknown.
    """
    target = slice_to_change(session, place, label, end, outwards=outwards)
    if outwards:
        return _appear(session, target, label)
    return _vanish(session, target, label, end)


def slice_to_change(
    session: ReviewSession, place: Place, label: int, end: End, *, outwards: bool
) -> Place:
    """Return the slice that `move_end` changes.

    Raises AppError if the structure is locked, or no slice is left.
    """
    phase, name = place[0], session.structure_name(label)
    if label in session.protected_labels:
        raise AppError(IS_LOCKED, structure=name)
    having = slices_with(select_phase(session.labels, phase), label)
    if not len(having):
        if not outwards:
            raise AppError(NOWHERE, structure=name)
        return place
    at_start = (end is End.BASE) == (session.base_is_first is not False)
    limit = int(having[0] if at_start else having[-1])
    # Inwards it is the last slice of the structure itself that loses it.
    z = limit + (-1 if at_start else 1) * outwards
    if not 0 <= z < session.slices:
        raise AppError(NO_SLICE_LEFT, structure=name, end=end.value)
    return phase, z


def without_atria(session: ReviewSession, phase: Phase) -> dict[Place, NDArray[np.uint8]]:
    """Return the slices of a phase that lose the LV, with its walls, or the RV beyond its valve.

    They are those of `ReviewSession.atrial_findings`, with their (Y, X) labels. Locked structures
    stay.
    """
    slices: dict[Place, NDArray[np.uint8]] = {}
    for finding in session.atrial_findings(phase):
        label = session.heart_labels[finding.structure]
        labels = slices.get(finding.place, session.labels_in(finding.place))
        slices[finding.place] = remove_at_end(
            labels, label, walls=walls_of(session, label), protected=session.protected_labels
        )
    return slices


def _appear(session: ReviewSession, place: Place, label: int) -> EndStep:
    """Return the labels of a slice with the structure. Raises AppError if nothing is known."""
    (phase, z), name = place, session.structure_name(label)
    predicted = Alternative(labels=session.predicted_in(place), members=())
    alternatives = [predicted, *session.alternatives_in(place)]
    shapes = find_shapes(label, alternatives, select_phase(session.labels, phase), z)
    if not shapes:
        raise AppError(NOTHING_KNOWN, structure=name, slice=z + 1)
    labels = add_structure(
        session.labels_in(place),
        source=shapes[0].labels,
        label=label,
        walls=walls_of(session, label),
        protected=session.protected_labels,
    )
    if not (labels == label).any():
        raise AppError(UNDER_LOCKED, structure=name, slice=z + 1)
    members = len(shapes[0].members)
    source = ShapeSource.MEMBERS if members else ShapeSource.NEIGHBOUR
    if shapes[0] is predicted:
        source = ShapeSource.PREDICTION
    return EndStep(place=place, labels=labels, source=source, members=members)


def _vanish(session: ReviewSession, place: Place, label: int, end: End) -> EndStep:
    """Return the labels of a slice without the structure."""
    # Beyond the base there is no myocardium either; at the apex it closes over the LV.
    beyond_base = end is End.BASE and session.base_is_first is not None
    walls = walls_of(session, label) if beyond_base else ()
    labels = session.labels_in(place)
    return EndStep(
        place=place,
        labels=remove_at_end(labels, label, walls=walls, protected=session.protected_labels),
    )


def walls_of(session: ReviewSession, label: int) -> Collection[int]:
    """Return the labels of the myocardium if the structure is the LV."""
    heart = session.heart_labels
    return [heart["MYO"]] if label == heart.get("LV") and "MYO" in heart else []
