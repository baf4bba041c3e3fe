"""Advice on the end of a review."""

from __future__ import annotations

from dataclasses import replace

import pytest

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.review.stop_advice import Obstacle, advise, word_advice
from napari_bayes_nnunet.core.review.queue import review_queue
from napari_bayes_nnunet.core.review.stop_rule import RemainingChange, urgent_places
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.data.cines import ED, ES, make_cine


@pytest.fixture
def session(tmp_path) -> ReviewSession:
    session = ReviewSession(read_study(make_cine(tmp_path / "heart")))
    session.review_rules = {"LV EF": rule_of(session)}
    return session


def rule_of(session: ReviewSession) -> RemainingChange:
    """Return a rule whose bounds are 9, 6, 4, 2.6, 1.5 … after the slices of the queue."""
    places = queue_of(session)
    spreads = session.numbers.spreads_during(places[:-1], "LV EF", ed=ED, es=ES)
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


def failure(warned: bool) -> dict:
    """Return the entry of a report."""
    return {"score": 4.0 if warned else 1.0, "threshold": 2.0, "warned": warned}


def accept(session: ReviewSession, places) -> None:
    for place in places:
        session.decide(place, "accepted")


def test_no_advice_without_a_rule_or_an_open_slice(session) -> None:
    accept(session, queue_of(session))
    assert advise(session) is None
    session.review_rules = {}
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
    assert advice.interval == pytest.approx((advice.value - 9, advice.value + 9))
    accept(session, [places[0]])
    advice = advise(session)
    assert advice is not None
    assert (advice.bound, advice.next_bound) == (6.0, 1.5)


def test_bound_holds_when_the_spread_rises_again(session, monkeypatch) -> None:
    places = queue_of(session)
    least = {0: 9.0, 1: 2.0, 2: 5.0}  # spread after so many slices
    monkeypatch.setattr(
        type(session.numbers),
        "spreads_during",
        lambda _, places, name, *, ed, es: [least.get(k, 5.0) for k in range(len(places) + 1)],
    )
    session.review_rules = {
        "LV EF": RemainingChange(
            spreads=(2.0, 9.0), bounds_80=(1.0, 4.0), bounds_90=(2.6, 6.0), patients=16
        )
    }
    assert advise(session).bound == 6.0
    for count in (1, 2):
        accept(session, places[:count])
        assert advise(session).bound == 2.6


def test_interval_is_named_by_what_it_is(session, monkeypatch) -> None:
    corrected = advise(session)
    assert not corrected.is_predicted
    assert "±\u00a09.0" in word_advice(session, corrected)
    measured = {
        name: replace(number, intervals={90: (11.0, 77.0)})
        for name, number in session.measured().items()
    }
    monkeypatch.setattr(type(session), "measured", lambda _: measured)
    predicted = advise(session)
    assert (predicted.is_predicted, predicted.interval) == (True, (11.0, 77.0))
    assert "(11–77)" in word_advice(session, predicted)


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
    assert (advice.obstacle, advice.place) == (Obstacle.FLAGGED, places[-1])
    assert not advice.may_stop


def test_open_urgent_basal_slice_stands_against_the_end(session) -> None:
    places = queue_of(session)
    basal = [p for p in places if p in urgent_places(places) and session.is_basal(p)]
    assert basal
    accept(session, [place for place in places[:4] if place not in basal])
    always = RemainingChange(spreads=(9.0,), bounds_80=(2.0,), bounds_90=(2.0,), patients=16)
    session.review_rules = {"LV EF": always}
    advice = advise(session)
    assert (advice.obstacle, advice.place) == (Obstacle.BASAL, basal[0])


def test_open_finding_stands_against_the_end(session) -> None:
    places = queue_of(session)
    accept(session, places[:3])
    phase, z = places[-1]
    session.labels_in((phase, z))[:4, :5] = 3  # a second piece of LV
    session.note_change([(phase, z)], tool="paint")
    advice = advise(session)
    assert (advice.obstacle, advice.place) == (Obstacle.FINDING, places[-1])
    accept(session, [places[-1]])
    assert advise(session).may_stop


@pytest.mark.parametrize(
    ("usual", "warning", "obstacle"),
    [
        ({"unlike_training": False}, {"unlike_training": True}, Obstacle.UNLIKE_TRAINING),
        ({"no_cine": False}, {"no_cine": True}, Obstacle.NO_CINE),
        ({"failure": failure(False)}, {"failure": failure(True)}, Obstacle.LIKELY_FAILED),
    ],
)
def test_warning_on_the_case_stands_against_the_end(session, usual, warning, obstacle) -> None:
    accept(session, queue_of(session)[:3])
    reports = session.study.info.reports
    reports[ED] |= usual
    assert advise(session).may_stop
    reports[ES] |= warning
    advice = advise(session)
    assert advice.is_met
    assert (advice.obstacle, advice.place) == (obstacle, None)
    assert not advice.may_stop
    assert "2.6" not in word_advice(session, advice)


def test_floor_is_told_if_the_target_is_below_it(session) -> None:
    rule = RemainingChange(spreads=(0.1, 9.0), bounds_80=(2.0, 5), bounds_90=(3.4, 5), patients=16)
    session.review_rules = {"LV EF": rule}
    advice = advise(session, 3.0)
    assert (advice.bound, advice.floor) == (5.0, 3.4)
    assert "3.4" in word_advice(session, advice)
    for reachable in (advise(session, 3.4), advise(session, 3.0, 80)):
        assert reachable.floor <= reachable.target < reachable.bound
        assert str(reachable.floor) not in word_advice(session, reachable)


def test_advice_is_for_the_default_order(session) -> None:
    before = advise(session)
    session.change(score="entropy", structure="RV", leave_out_border=True, all_phases=True)
    assert advise(session) == before
