"""Accepted slices of a review, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ...core.heart.function import Measured
from ...core.types import Phase
from .comparisons import add_comparisons
from .session import ReviewSession

OPEN_SLICES: Final = "{open} of {total} slices are open."


@dataclass(frozen=True)
class AcceptedSlices:
    """Number of ``accepted`` slices, of the ``total`` that a reader has to accept."""

    accepted: int = 0
    total: int = 0

    @property
    def still_open(self) -> int:
        """Number of slices still to accept."""
        return self.total - self.accepted

    @property
    def state(self) -> str:
        """State of the review: "DRAFT, 3 of 20 slices accepted", or "reviewed, …"."""
        return f"{'DRAFT' if self.still_open else 'reviewed'}, {self}"

    def __str__(self) -> str:
        return f"{self.accepted} of {self.total} slices accepted"


def count_accepted(
    session: ReviewSession, phases: Iterable[Phase] | None = None
) -> dict[Phase, AcceptedSlices]:
    """Return the accepted slices of ``phases``, by default those of the queue."""
    phases = [*(session.queue_phases if phases is None else phases)]
    places = session.to_accept(phases)
    accepted = [place for place in places if session.state_of(place) == "accepted"]
    return {
        phase: AcceptedSlices(
            sum(place[0] == phase for place in accepted), sum(place[0] == phase for place in places)
        )
        for phase in phases
    }


def count_open_slices(session: ReviewSession) -> dict[Phase, int]:
    """Return the number of slices still to accept in each phase of the queue."""
    return {phase: count.still_open for phase, count in count_accepted(session).items()}


def measure_review(session: ReviewSession) -> tuple[dict[str, Measured], dict[str, int]]:
    """Return the numbers of the edited labels, and how many slices each still has to be accepted.

    A number without open slices is reviewed: it is no prediction any more, and has neither spread
    nor interval.
    """
    numbers = session.measured()
    open_slices = open_slices_of(session, numbers)
    reviewed = {
        name: replace(measured, intervals={}, spread=math.nan)
        for name, measured in numbers.items()
        if not open_slices[name]
    }
    return add_comparisons(session, numbers | reviewed), open_slices


def open_slices_of(session: ReviewSession, numbers: Mapping[str, Measured]) -> dict[str, int]:
    """Return how many slices are still to accept in the phases of each number."""
    phases = {phase for measured in numbers.values() for phase in measured.phases}
    counts = count_accepted(session, phases)
    return {
        name: sum(counts[phase].still_open for phase in measured.phases)
        for name, measured in numbers.items()
    }


def sum_accepted(counts: Mapping[Phase, AcceptedSlices]) -> AcceptedSlices:
    """Return the accepted slices of all phases together."""
    return AcceptedSlices(
        sum(count.accepted for count in counts.values()),
        sum(count.total for count in counts.values()),
    )


def describe_open_slices(session: ReviewSession, phases: Iterable[Phase] | None = None) -> str:
    """Return a sentence on the slices of ``phases`` that are not accepted; "" for none."""
    accepted = sum_accepted(count_accepted(session, phases))
    if not accepted.still_open:
        return ""
    return OPEN_SLICES.format(open=accepted.still_open, total=accepted.total)
