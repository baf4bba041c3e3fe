"""Advice on the end of a review: how far the LV EF may still change, and what is open before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ...core.counts import format_count
from ...core.metrics.conformal import Coverage
from ...core.review.queue import review_queue
from ...core.review.stop_rule import urgent_places
from ...core.types import Place
from ...io.study.case_report import is_no_cine, is_unlike_training, worst_failure
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

    NO_CINE = "no cine"
    UNLIKE_TRAINING = "unlike training"
    LIKELY_FAILED = "likely failed"
    FLAGGED = "flagged"
    FINDING = "finding"
    BASAL = "basal"


_PREDICTED: Final = "{name} {value:.0f} ({low:.0f}–{high:.0f})"
_CORRECTED: Final = "{name} {value:.0f} ±\u00a0{bound:.1f}"
_SOON: Final = "; after the first {slices} of the queue about ±\u00a0{bound:.1f}."
_MET: Final = (
    "{name} {value:.0f} ±\u00a0{bound:.1f} ({level}\u00a0%): your target of ±\u00a0{target:g} is "
    "met."
)
_OUT_OF_REACH: Final = (
    " Your target of ±\u00a0{target:g} cannot be reached: at best ±\u00a0{floor:.1f} "
    "({level}\u00a0%)."
)
_OF_THE_CASE: Final = {
    Obstacle.NO_CINE: "The image may not be a short-axis cine",
    Obstacle.UNLIKE_TRAINING: "The image is unlike the training images",
    Obstacle.LIKELY_FAILED: "The segmentation has probably failed",
}
"""Reasons for which no bound holds, whatever is reviewed."""
_REVIEW_ALL: Final = (
    "{reason}, so it is unknown how far the LV EF may still change. Review every slice."
)
_OBSTACLES: Final = {
    Obstacle.FLAGGED: "{slice} is flagged. Settle it before you stop.",
    Obstacle.FINDING: "{slice} has a finding. Correct or accept it before you stop.",
    Obstacle.BASAL: "{slice} is at the base and uncertain. Review it before you stop.",
}


@dataclass(frozen=True, kw_only=True)
class StopAdvice:
    """Change of the LV EF, in points, that full correction may bring in ``level`` % of patients.

    ``value`` is the LV EF now and ``interval`` its lowest and highest plausible value: those of the
    prediction if it ``is_predicted``, else ``value`` ± ``bound``. ``bound`` is its largest change
    from now on, and ``next_bound`` that after the next ``slices`` open slices. No target below
    ``floor`` can be met. ``obstacle`` and its ``place`` stand against the end of the review, None
    if nothing does. An obstacle of the whole case has no place, and then no bound holds.
    """

    value: float
    interval: tuple[float, float]
    is_predicted: bool
    bound: float
    slices: int
    next_bound: float
    floor: float
    target: float
    level: Coverage
    obstacle: Obstacle | None = None
    place: Place | None = None

    @property
    def is_met(self) -> bool:
        """Whether the bound is within the target."""
        return self.bound <= self.target

    @property
    def may_stop(self) -> bool:
        """Whether the target is met and nothing stands against the end of the review."""
        return self.is_met and self.obstacle is None


def advise(
    session: ReviewSession, target: float = DEFAULT_TARGET, level: Coverage = 90
) -> StopAdvice | None:
    """Return the advice for the review as it is now.

    None if the ensemble has no rule, the LV EF or its spread is unknown, ED and ES are swapped, or
    all slices of the queue are accepted. The rule is for the queue of ED and ES by the default
    score, so this is the queue that counts, whatever the reader sorts by.
    """
    rule, measured = session.review_rules.get(NUMBER), session.measured().get(NUMBER)
    if rule is None or measured is None or math.isnan(measured.spread):
        return None
    if measured.value < 0:
        return None
    places = [(item.phase, item.z) for item in review_queue(session.default_scores())]
    accepted = {p for p, d in session.state.decisions.items() if d.state == "accepted"}
    done = [place for place in places if place in accepted]
    still_open = [place for place in places if place not in accepted]
    if not still_open:
        return None
    following = still_open[:NEXT_SLICES]
    ed, es = session.state.ed, session.state.es
    spreads = session.numbers.spreads_during([*done, *following], NUMBER, ed=ed, es=es)
    # A bound includes later changes, so it still holds if the spread rises again.
    bound = rule.bound(min(spreads[: len(done) + 1]), level)
    obstacle, place = _obstacle(session, places, still_open)
    ends = (max(measured.value - bound, 0.0), min(measured.value + bound, 100.0))
    return StopAdvice(
        value=measured.value,
        interval=measured.intervals.get(level) or ends,
        is_predicted=level in measured.intervals,
        bound=bound,
        slices=len(following),
        next_bound=rule.bound(min(spreads), level),
        floor=rule.bound(0.0, level),
        target=target,
        level=level,
        obstacle=obstacle,
        place=place,
    )


def word_advice(session: ReviewSession, advice: StopAdvice) -> str:
    """Return the advice in one or two sentences."""
    if advice.obstacle in _OF_THE_CASE:
        return _REVIEW_ALL.format(reason=_OF_THE_CASE[advice.obstacle])
    if not advice.is_met:
        low, high = advice.interval
        numbers = {"value": advice.value, "low": low, "high": high, "bound": advice.bound}
        now = (_PREDICTED if advice.is_predicted else _CORRECTED).format(name=NUMBER, **numbers)
        slices = format_count(advice.slices, "open slice")
        is_told = advice.is_predicted or advice.next_bound < advice.bound  # else ± x; about ± x
        soon = _SOON.format(slices=slices, bound=advice.next_bound) if is_told else "."
        ends = {"target": advice.target, "floor": advice.floor, "level": advice.level}
        is_out_of_reach = advice.floor > advice.target
        return now + soon + (_OUT_OF_REACH.format(**ends) if is_out_of_reach else "")
    met = _MET.format(
        name=NUMBER,
        value=advice.value,
        bound=advice.bound,
        target=advice.target,
        level=advice.level,
    )
    if advice.obstacle is None or advice.place is None:
        return met
    return f"{met} {_OBSTACLES[advice.obstacle].format(slice=session.title_of(advice.place))}"


def _obstacle(
    session: ReviewSession, places: list[Place], still_open: list[Place]
) -> tuple[Obstacle | None, Place | None]:
    if (of_the_case := _obstacle_of_the_case(session)) is not None:
        return of_the_case, None
    flagged = [p for p, d in session.state.decisions.items() if d.state == "flagged"]
    if flagged:
        return Obstacle.FLAGGED, flagged[0]
    if findings := session.findings():
        return Obstacle.FINDING, findings[0].place
    urgent = urgent_places(places)
    basal = [place for place in still_open if place in urgent and session.is_basal(place)]
    return (Obstacle.BASAL, basal[0]) if basal else (None, None)


def _obstacle_of_the_case(session: ReviewSession) -> Obstacle | None:
    """Return why no bound holds for this case, whatever is reviewed; None if bounds hold."""
    reports = list(session.study.info.reports.values())
    if is_no_cine(reports):
        return Obstacle.NO_CINE
    if is_unlike_training(reports):
        return Obstacle.UNLIKE_TRAINING
    failure = worst_failure(reports)
    return Obstacle.LIKELY_FAILED if failure is not None and failure.warned else None
