"""Correction of a slice carried to the other phases of a review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.editing.carried_change import PhaseSlice, carry_change
from ...core.types import Place, Spacing
from ...io.study.arrays import select_phase
from .. import AppError
from .session import ReviewSession

NOTHING_TO_CARRY: Final = "This slice is as predicted. Correct it, then carry the correction."
ACCEPTED_ELSEWHERE: Final = "This slice is accepted in all other phases, so nothing was changed."


@dataclass(frozen=True, kw_only=True, eq=False)
class CarriedCorrection:
    """Copies of all that is needed to carry a correction, so that it can be done in a thread.

    ``source`` is the corrected slice, at ``place``; ``targets`` are the slices that are not
    accepted, and ``members`` their (n, Y, X) labels.
    """

    place: Place
    source: PhaseSlice
    targets: Mapping[Place, PhaseSlice]
    members: Mapping[Place, NDArray[np.uint8]]
    spacing: Spacing
    protected: frozenset[int]

    def may_change(self, place: Place, session: ReviewSession) -> bool:
        """Return whether a target is as it was and open, and the correction was not changed."""
        return (
            session.state_of(place) != "accepted"
            and np.array_equal(session.labels_in(place), self.targets[place].labels)
            and np.array_equal(session.labels_in(self.place), self.source.labels)
        )

    def compute(self) -> dict[Place, NDArray[np.uint8]]:
        """Return the (Y, X) labels of each slice that changes; see `carry_change`."""
        changed = {}
        for place, target in self.targets.items():
            labels = carry_change(
                self.source,
                target,
                self.members[place],
                spacing=self.spacing,
                protected=self.protected,
            )
            if not np.array_equal(labels, target.labels):
                changed[place] = labels
        return changed


def prepare_carrying(
    session: ReviewSession, image: NDArray[Any], place: Place
) -> CarriedCorrection:
    """Return the correction of a slice, to be carried to all other phases with a posterior.

    ``image`` is (T, Z, Y, X). Slices that are accepted are left out. Raises AppError if the slice
    is as predicted or no phase is left.
    """
    source = _phase_slice(session, image, place)
    if np.array_equal(source.labels, source.predicted):
        raise AppError(NOTHING_TO_CARRY)
    others = [(phase, place[1]) for phase in session.study.posteriors if phase != place[0]]
    places = [other for other in others if session.state_of(other) != "accepted"]
    if not places:
        raise AppError(ACCEPTED_ELSEWHERE)
    posteriors = {p: session.posterior_in(p) for p in places}
    return CarriedCorrection(
        place=place,
        source=source,
        targets={p: _phase_slice(session, image, p) for p in places},
        members={p: slice_.members for p, slice_ in posteriors.items() if slice_ is not None},
        spacing=session.spacing,
        protected=frozenset(session.protected_labels),
    )


def _phase_slice(session: ReviewSession, image: NDArray[Any], place: Place) -> PhaseSlice:
    phase, z = place
    return PhaseSlice(
        image=np.array(select_phase(image, phase)[z]),
        predicted=session.predicted_in(place).copy(),
        labels=session.labels_in(place).astype(np.uint8),
    )
