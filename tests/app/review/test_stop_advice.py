"""Advice on the end of a review."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.review.stop_advice import Obstacle, advise, word_advice
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.metrics.conformal import RemainingChange
from napari_bayes_nnunet.core.review.queue import review_queue
from napari_bayes_nnunet.core.review.stop_rule import urgent_places
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.data.cines import ED, ES, make_cine


@pytest.fixture
def session(tmp_path) -> ReviewSession:
    session = ReviewSession(read_study(make_cine(tmp_path / "heart")))
    session.numbers.rules = {"LV EF": rule_of(session)}
    return session


def rule_of(session: ReviewSession) -> RemainingChange:
    """Return a rule whose bounds are 9, 6, 4, 2.6, 1.5 … after the slices of the queue."""
    places = queue_of(session)
    steps = session.numbers.during(places[:-1], ED, ES, Patient())
    spreads = [step["LV EF"].spread for step in steps]
    assert spreads == sorted(spreads, reverse=True)
    bounds = (9.0, 6.0, 4.0, 2.6, 1.5, *[1.0] * (len(places) - 5))
    return RemainingChange(
        spreads=tuple(reversed(spreads)),
        bounds_80=tuple(reversed([bound / 2 for bound in bounds])),
        bounds_90=tuple(reversed(bounds)),
        patients=16,
    )


def queue_of(session: ReviewSession) -> list:
    return [(item.phase, item.z) for item in review_queue(session.default_scores())]


def half_width(session: ReviewSession) -> float:
    """Return half of the interval of the LV EF."""
    low, high = session.measured()["LV EF"].intervals[90]
    return (high - low) / 2


def failure(warned: bool) -> dict:
    """Return the entry of a report."""
    return {"score": 4.0 if warned else 1.0, "threshold": 2.0, "warned": warned}


def accept(session: ReviewSession, places) -> None:
    for place in places:
        session.decide(place, "accepted")


def test_no_advice_without_a_rule_or_an_open_slice(session) -> None:
    accept(session, queue_of(session))
    assert advise(session) is None
    session.numbers.rules = {}
    session.decide(queue_of(session)[0], None)
    assert advise(session) is None


def test_no_advice_if_the_phases_are_swapped(session) -> None:
    session.change(ed=ES, es=ED)
    assert session.measured()["LV EF"].value < 0
    assert advise(session) is None


def test_bound_falls_with_the_accepted_slices(session) -> None:
    places = queue_of(session)
    advice = advise(session)
    assert advice is not None
    assert (advice.bound, advice.next_bound, advice.slices) == (9.0, 2.6, 3)
    assert half_width(session) == pytest.approx(9.0)
    accept(session, [places[0]])
    advice = advise(session)
    assert advice is not None
    assert (advice.bound, advice.next_bound) == (6.0, 1.5)
    assert half_width(session) == pytest.approx(6.0)


def test_interval_of_the_number_is_that_of_the_advice(session) -> None:
    """After each slice, in an order that is not that of the queue, and after a correction."""
    assert "±\u00a09.0" in word_advice(session, advise(session))
    widths = []
    for number, place in enumerate([*reversed(queue_of(session)[2:]), *queue_of(session)[:2]]):
        if number == 1:
            session.labels_in(place)[session.labels_in(place) == 3] = 2
            session.note_change([place], tool="paint")
        advice, measured = advise(session), session.measured()["LV EF"]
        assert advice.value == measured.value
        assert half_width(session) == pytest.approx(advice.bound)
        widths.append(advice.bound)
        session.decide(place, "accepted")
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0]


def test_order_of_the_accepted_slices_outlives_the_session(session) -> None:
    places = [*reversed(queue_of(session))][:4]
    accept(session, places)
    accept(session, places[:1])  # again
    assert session.accepted == places
    again = ReviewSession(replace(session.study, review=session.state))
    assert again.accepted == places


def test_bound_that_will_not_fall_is_told_once(session) -> None:
    falls = advise(session)
    stays = replace(falls, next_bound=falls.bound)
    assert [word_advice(session, advice).count("±") for advice in (falls, stays)] == [2, 1]


def test_review_may_stop_when_the_target_is_met(session) -> None:
    places = queue_of(session)
    accept(session, places[:2])
    assert not advise(session, 3.0).may_stop
    assert advise(session, 4.0).may_stop
    assert advise(session, 3.0, 80).may_stop
    accept(session, places[:3])
    advice = advise(session, 3.0)
    assert advice.may_stop
    assert "2.6" in word_advice(session, advice)


def test_flagged_slice_stands_against_the_end(session) -> None:
    places = queue_of(session)
    accept(session, places[:3])
    session.decide(places[-1], "flagged")
    advice = advise(session)
    assert advice.is_met
    assert advice.obstacles == {places[-1]: Obstacle.FLAGGED}
    assert not advice.may_stop


def test_open_urgent_basal_slice_stands_against_the_end(session) -> None:
    places = queue_of(session)
    basal = [p for p in places if p in urgent_places(places) and session.is_basal(p)]
    assert basal
    accept(session, [place for place in places[:4] if place not in basal])
    always = RemainingChange(spreads=(9.0,), bounds_80=(2.0,), bounds_90=(2.0,), patients=16)
    session.numbers.rules = {"LV EF": always}
    advice = advise(session)
    still_open = [place for place in basal if session.state_of(place) != "accepted"]
    assert advice.obstacles == dict.fromkeys(still_open, Obstacle.BASAL)
    assert all(session.name_of_slice(p) in word_advice(session, advice) for p in still_open[:4])
    session.decide(basal[0], "flagged")
    assert advise(session).obstacles[basal[0]] == Obstacle.FLAGGED


def test_open_finding_stands_against_the_end(session) -> None:
    places = queue_of(session)
    accept(session, places[:3])
    phase, z = places[-1]
    session.labels_in((phase, z))[:4, :5] = 3  # a second piece of LV
    session.note_change([(phase, z)], tool="paint")
    advice = advise(session)
    assert advice.obstacles == {places[-1]: Obstacle.FINDING}
    accept(session, [places[-1]])
    assert advise(session).may_stop


@pytest.mark.parametrize(
    ("usual", "warning"),
    [
        ({"unlike_training": False}, {"unlike_training": True}),
        ({"no_cine": False}, {"no_cine": True}),
        ({"failure": failure(False)}, {"failure": failure(True)}),
    ],
)
def test_warned_case_has_no_interval_and_is_to_be_reviewed_whole(session, usual, warning) -> None:
    rule = asdict(session.numbers.rules["LV EF"])
    calibration = {"calibration": {"review": {"LV EF": rule}}}

    def opened(at_es: dict) -> ReviewSession:
        reports = {ED: calibration | usual, ES: calibration | at_es}
        return ReviewSession(
            replace(session.study, info=replace(session.study.info, reports=reports))
        )

    known = opened(usual)
    assert half_width(known) == pytest.approx(9.0)
    warned = opened(warning)
    assert warned.measured()["LV EF"].intervals == {}
    assert advise(warned) is None
    assert "±" not in word_advice(warned, None) != word_advice(known, None) == ""
    accept(warned, queue_of(warned))
    assert word_advice(warned, None) == ""


def test_floor_is_told_if_the_target_is_below_it(session) -> None:
    rule = RemainingChange(spreads=(0.1, 9.0), bounds_80=(2.0, 5), bounds_90=(3.4, 5), patients=16)
    session.numbers.rules = {"LV EF": rule}
    advice = advise(session, 3.0)
    assert (advice.bound, advice.floor) == (5.0, 3.4)
    assert "3.4" in word_advice(session, advice)
    for reachable in (advise(session, 3.4), advise(session, 3.0, 80)):
        assert reachable.floor <= reachable.target < reachable.bound
        assert f"±\u00a0{reachable.floor}" not in word_advice(session, reachable)


def test_advice_is_for_the_default_order(session) -> None:
    before = advise(session)
    session.change(score="entropy", structure="RV", leave_out_border=True, all_phases=True)
    assert advise(session) == before
