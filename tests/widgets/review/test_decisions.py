"""Decisions on slices: accepted, flagged, commented on."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.editing.corrections import NOT_KEPT
from napari_bayes_nnunet.widgets.review.decisions import ACCEPTED, CINE_STOPPED, COMMENT_KEEPS_FLAG
from napari_bayes_nnunet.widgets.review.navigator import ALL_ACCEPTED

from ...helpers.data.cines import ED, RV, WORST
from ...helpers.windows.reviewing import Review, make_review, paint, review

__all__ = ["make_review", "review"]


def accept_all(review: Review) -> None:
    for place in review.queue:
        review.controller.picture.show_slice(place)
        review.controller.decisions.accept()


def test_accept_saves_and_shows_the_next_slice(review, tmp_path) -> None:
    places = review.queue
    review.press("A")
    assert review.session.state.decisions[WORST].state == "accepted"
    assert review.controller.picture.place == places[1]
    review.saved()
    saved = read_study(tmp_path / "heart").review
    assert saved.decisions[WORST].state == "accepted"
    assert saved.current == places[1]


def test_accept_reports_slice_after_next_one_is_shown(review) -> None:
    reported: list[str] = []
    review.controller.said.connect(reported.append)
    review.controller.reported.connect(reported.append)
    review.press("A")
    title = review.session.title_of(WORST)
    assert (title, review.session.title_of((2, 0))) == ("Slice 3, ED", "Slice 1, phase 2")
    count = f"{len(review.queue) - 1} open slices"
    assert reported[-1] == ACCEPTED.format(slice=title, count=count)


def test_accept_continues_until_all_are_accepted(review) -> None:
    places = review.queue
    review.controller.picture.show_slice(places[-1])
    review.press("A")
    assert review.controller.picture.place == places[0]  # back to the start of the queue
    accept_all(review)
    assert set(review.said) == {ALL_ACCEPTED}
    assert review.session.state.finished
    assert review.controller.picture.place == places[-1]
    review.press("K")
    assert not review.session.state.finished


def test_accepting_again_only_shows_the_next_slice(review) -> None:
    places = review.queue
    review.press("A")
    review.controller.picture.show_slice(WORST)
    review.press("A")
    assert review.session.state.count("accepted") == 1
    assert review.controller.picture.place == places[1]


def test_accepting_outside_the_queue_shows_the_worst(make_review) -> None:
    review = make_review(phases=(1, 2, 3), ed=1, es=3)
    review.controller.picture.show_slice((2, 0))
    review.press("A")
    assert review.session.state.decisions[2, 0].state == "accepted"
    assert review.controller.picture.place == review.queue[0]


def test_flagging_twice_restores_the_decision(review) -> None:
    review.press("A")
    review.controller.picture.show_slice(WORST)
    review.press("K")
    assert review.session.state.decisions[WORST].state == "flagged"
    review.press("K")
    assert review.session.state.decisions[WORST].state == "accepted"
    review.controller.picture.show_slice((ED, 0))
    review.press("K")
    review.press("K")
    assert (ED, 0) not in review.session.state.decisions


def test_deleting_a_comment_removes_its_flag(review) -> None:
    review.forms.slice.comment_changed.emit("valve plane?")
    review.forms.slice.comment_changed.emit("")
    assert WORST not in review.session.state.decisions


def test_an_edit_reopens_an_accepted_slice(review, qtbot) -> None:
    review.press("A")
    review.controller.picture.show_slice(WORST)
    paint(review.layer, WORST, 3, 3, RV, qtbot)
    assert WORST not in review.session.state.decisions
    review.press("A")
    review.controller.picture.show_slice(WORST)
    review.controller.decisions.comment("valve plane?")
    review.press("D")
    decision = review.session.state.decisions[WORST]
    assert (decision.state, decision.comment) == ("flagged", "valve plane?")


def test_a_comment_keeps_its_flag(review) -> None:
    review.forms.slice.comment_changed.emit("valve plane?")
    assert review.session.state.decisions[WORST].state == "flagged"
    review.press("K")
    assert review.session.state.decisions[WORST].comment == "valve plane?"
    assert review.said[-1] == COMMENT_KEEPS_FLAG
    review.press("A")
    decision = review.session.state.decisions[WORST]
    assert (decision.state, decision.comment) == ("accepted", "valve plane?")


def test_a_flag_discards_an_alternative_and_says_so(review) -> None:
    start = review.now(WORST)
    review.press("Q")
    review.press("K")
    last = len(review.session.alternatives_in(WORST))
    assert review.said[-1] == NOT_KEPT.format(number=last)
    assert np.array_equal(review.now(WORST), start)


@pytest.mark.parametrize("key", ["Control-Z", "I"])
def test_the_canvas_names_no_answer_that_changed_nothing(review, key: str) -> None:
    review.press("W")
    review.forms.corrections.take_button.click()
    review.press("W")  # the same again
    review.settle()
    assert review.controller.picture.caption.text.text.count("Answer")
    review.press(key)
    review.settle()
    assert not review.controller.corrections.is_preview
    assert not review.controller.picture.caption.text.text.count("Answer")


def test_a_cine_says_that_an_answer_was_not_kept(review) -> None:
    review.press("W")
    review.forms.corrections.play_requested.emit()
    review.qtbot.waitUntil(lambda: not review.controller.corrections.is_preview)
    assert review.said == [NOT_KEPT.format(number=1)]


def test_accept_stops_a_playing_cine(review) -> None:
    review.forms.corrections.play_requested.emit()
    assert review.controller.player.is_playing
    assert review.forms.corrections.play_button.text() == "Stop"
    review.qtbot.waitUntil(lambda: review.controller.picture.place != WORST)
    assert review.session.state.current == WORST  # played slices do not count as viewed
    review.press("A")
    assert not review.controller.player.is_playing
    assert review.session.state.decisions == {}
    assert review.said[-1] == CINE_STOPPED
    assert review.session.state.current == review.controller.picture.place
    review.forms.corrections.play_requested.emit()
    review.press("D")  # a correction stops the cine
    assert not review.controller.player.is_playing
