"""Advice on the end of a review: how far the LV EF may still change, and what is open before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np

from ...core.counts import format_count
from ...core.heart.function import Patient
from ...core.metrics.conformal import Coverage, RemainingChange
from ...core.review.queue import review_queue
from ...core.review.stop_rule import urgent_places
from ...core.types import Place
from ...io.study.case_report import is_no_cine, is_unlike_training, worst_failure
from .accepted_slices import count_open_slices
from .session import ReviewSession

NUMBER: Final = "LV EF"
"""Number with a target."""
DEFAULT_TARGET: Final = 3.0
LEAST_TARGET: Final = 3.0
"""Smallest target in points of EF.

A reader who reads a scan twice differs by up to 2.8 points (Gandy et al. 2008), other readers by
more.
"""
LARGEST_TARGET: Final = 10.0
NEXT_SLICES: Final = 3
"""Slices after which a bound is foretold."""


class Obstacle(StrEnum):
    """Reason not to stop."""

    FLAGGED = "flagged"
    FINDING = "finding"
    BASAL = "basal"


_NOW: Final = "{name} {value:.1f} ±\u00a0{bound:.1f} ({level}\u00a0%)"
_SOON: Final = ". Reviewing the next {slices} narrows this to about ±\u00a0{bound:.1f}."
_MET: Final = ": your target of ±\u00a0{target:g} is met."
_OUT_OF_REACH: Final = (
    " Your target of ±\u00a0{target:g} cannot be reached: at best ±\u00a0{floor:.1f}."
)
_REVIEW_ALL: Final = "{reason}, so it is unknown how far the numbers are off. Review every slice."
_BEFORE: Final = "Before you stop, review {slices}."
_OBSTACLES: Final = {
    Obstacle.FLAGGED: "flagged",
    Obstacle.FINDING: "finding",
    Obstacle.BASAL: "uncertain, in the basal half",
}
MOST_NAMED: Final = 4
"""Slices that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class StopAdvice:
    """Change of the LV EF, in points, that full correction may bring in ``level`` % of patients.

    ``value`` is the LV EF now, ``bound`` its largest change from now on, which is half of its
    interval, and ``next_bound`` that after the next ``slices`` open slices. No target below
    ``floor`` can be met. ``obstacles`` are the slices that stand against the end of the review.
    """

    value: float
    bound: float
    slices: int
    next_bound: float
    floor: float
    target: float
    level: Coverage
    obstacles: Mapping[Place, Obstacle] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        """Whether the bound is within the target."""
        return self.bound <= self.target

    @property
    def may_stop(self) -> bool:
        """Whether the target is met and nothing stands against the end of the review."""
        return self.is_met and not self.obstacles


def advise(
    session: ReviewSession, target: float = DEFAULT_TARGET, level: Coverage = 90
) -> StopAdvice | None:
    """Return the advice for the review as it is now.

    None if the case has no rule, the LV EF or its spread is unknown, ED and ES are swapped, or all
    slices of the queue are accepted. The rule is for the queue of ED and ES by the default score,
    so this is the queue that counts, whatever the reader sorts by.
    """
    rule, state = session.numbers.rules.get(NUMBER), session.state
    places = [(item.phase, item.z) for item in review_queue(session.default_scores())]
    still_open = [place for place in places if session.state_of(place) != "accepted"]
    following = still_open[:NEXT_SLICES]
    if not isinstance(rule, RemainingChange) or not following:
        return None
    # The EF depends on no value of the patient.
    steps = session.numbers.during([*session.accepted, *following], state.ed, state.es, Patient())
    numbers = [step[NUMBER] for step in steps if NUMBER in step]
    # A negative EF means that ED and ES are swapped.
    if not numbers or numbers[-1].value < 0 or math.isnan(numbers[-1].spread):
        return None
    # Before the first slice was reviewed, only the bound of a whole review holds.
    spreads = np.array([math.inf, *(number.spread for number in numbers[1:])])
    return StopAdvice(
        value=numbers[-1].value,
        # A bound includes later changes, so it still holds if the spread rises again.
        bound=rule.bound(float(np.nanmin(spreads[: -len(following)])), level),
        slices=len(following),
        next_bound=rule.bound(float(np.nanmin(spreads)), level),
        floor=rule.bound(0.0, level),
        target=target,
        level=level,
        obstacles=_obstacles(session, places, still_open),
    )


def word_advice(session: ReviewSession, advice: StopAdvice | None) -> str:
    """Return the advice in one to three sentences; "" if there is nothing to advise."""
    if advice is None:
        reason = _reason_without_bound(session)
        is_open = any(count_open_slices(session).values())
        return _REVIEW_ALL.format(reason=reason) if reason and is_open else ""
    ends = {"target": advice.target, "floor": advice.floor, "level": advice.level}
    now = _NOW.format(name=NUMBER, value=advice.value, bound=advice.bound, **ends)
    if not advice.is_met:
        slices = format_count(advice.slices, "slice")
        # A bound that stays is not told twice.
        narrows = advice.next_bound < advice.bound
        now += _SOON.format(slices=slices, bound=advice.next_bound) if narrows else "."
        return now + (_OUT_OF_REACH.format(**ends) if advice.floor > advice.target else "")
    met = now + _MET.format(**ends)
    if not advice.obstacles:
        return met
    named = [
        f"{session.name_of_slice(place)} ({_OBSTACLES[obstacle]})"
        for place, obstacle in advice.obstacles.items()
    ]
    if more := len(named[MOST_NAMED:]):
        named[MOST_NAMED:] = [f"{more} more"]
    return f"{met} {_BEFORE.format(slices='; '.join(named))}"


def _obstacles(
    session: ReviewSession, places: list[Place], still_open: list[Place]
) -> dict[Place, Obstacle]:
    """Return the slices to review before the end, each with its strongest reason."""
    urgent = urgent_places(places)
    basal = [place for place in still_open if place in urgent and session.is_basal(place)]
    flagged = [p for p, d in session.state.decisions.items() if d.state == "flagged"]
    found = [finding.place for finding in session.findings()]
    kinds = (Obstacle.FLAGGED, flagged), (Obstacle.FINDING, found), (Obstacle.BASAL, basal)
    obstacles: dict[Place, Obstacle] = {}
    for kind, of_kind in kinds:  # the strongest reason first
        for place in of_kind:
            obstacles.setdefault(place, kind)
    return obstacles


def _reason_without_bound(session: ReviewSession) -> str:
    """Return why no bound holds for this case, whatever is reviewed; "" if bounds hold."""
    reports = list(session.study.info.reports.values())
    failure = worst_failure(reports)
    if is_no_cine(reports):
        return "The image may not be a short-axis cine"
    if is_unlike_training(reports):
        return "The image is unlike the training images"
    has_failed = failure is not None and failure.warned
    return "The segmentation may have failed" if has_failed else ""
