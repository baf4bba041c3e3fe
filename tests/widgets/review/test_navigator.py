"""Navigation through queue, slices and phases, with keys and forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.widgets.review.action_check import NOT_SEGMENTED, ONE_PHASE
from napari_bayes_nnunet.widgets.review.navigator import (
    ALL_ACCEPTED,
    LAST_OPEN,
    QUEUE_EMPTY,
    QUEUE_STARTS,
    QUEUE_WRAPPED,
    UNDONE,
)

from ...helpers.data.cines import ED, ES, STRUCTURES, WORST
from ...helpers.windows.reviewing import Review, make_review, place_of, predicted, review, steps_of

__all__ = ["make_review", "review"]


def choose_another_structure(review: Review) -> None:
    """Choose a structure that the queue does not name for the next slice."""
    following = next(item for item in review.controller.view.queue if place_of(item) != WORST)
    name = next(name for name in STRUCTURES if name != following.structure)
    review.forms.corrections.structure_chosen.emit(name)


def test_previous_stops_at_the_start_of_the_queue(review) -> None:
    places = review.queue
    review.press("Shift-N")
    assert review.said == [QUEUE_STARTS]
    review.press("N")
    assert review.controller.picture.place == places[1]
    review.press("Shift-N")
    assert review.controller.picture.place == places[0]


def test_next_at_end_goes_to_first_open_slice(review) -> None:
    places = review.queue
    for place in places[:2]:
        review.session.decide(place, "accepted")
    review.controller.picture.show_slice(places[-1])
    assert review.forms.slice.next_button.isEnabled()
    review.press("N")
    assert review.controller.picture.place == places[2]
    assert review.said[-1] == QUEUE_WRAPPED


def test_next_during_a_cine_follows_the_slice_at_which_it_began(review) -> None:
    review.press("N")
    _, z = review.controller.picture.place
    review.forms.corrections.play_requested.emit()
    review.controller.picture.go_to((2, z))  # which is not in the queue
    review.press("N")
    assert review.controller.picture.place == review.queue[2]
    assert not review.controller.player.is_playing


def test_next_stays_if_no_slice_is_open(review) -> None:
    places = review.queue
    for place in places[:-1]:
        review.session.decide(place, "accepted")
    review.controller.picture.show_slice(places[-1])
    review.press("N")
    review.settle()
    assert not review.forms.slice.next_button.isEnabled()
    assert (review.controller.picture.place, review.said[-1]) == (places[-1], LAST_OPEN)
    review.session.decide(places[-1], "accepted")
    review.press("N")
    assert review.said[-1] == ALL_ACCEPTED


def test_the_structure_follows_the_queue(review) -> None:
    form, items = review.forms.corrections, review.controller.view.queue
    other = items[1] = replace(items[1], structure="MYO")
    assert form.structure == items[0].structure
    review.forms.table.row_chosen.emit(other.phase, other.z)
    assert form.structure == other.structure
    assert review.layer.selected_label == STRUCTURES[other.structure]
    review.forms.grid.cell_chosen.emit(*WORST)
    assert form.structure == items[0].structure
    review.session.change(protected=(other.structure,))
    review.forms.table.row_chosen.emit(*WORST)
    review.forms.table.row_chosen.emit(other.phase, other.z)
    assert form.structure == items[0].structure  # the other one is finished


def test_the_structure_follows_all_moves_but_those_of_a_tool(review) -> None:
    form, items = review.forms.corrections, review.controller.view.queue
    phase, z = (ES if WORST[0] == ED else ED), WORST[1]
    number = next(i for i, item in enumerate(items) if place_of(item) == (phase, z))
    name = "MYO" if items[0].structure != "MYO" else "LV"
    items[number] = replace(items[number], structure=name)
    for move in (
        lambda: review.forms.thumbnails.cell_chosen.emit(phase, z),
        lambda: review.viewer.dims.set_current_step(0, phase - 1),
        review.controller.navigator.other_landmark,
    ):
        review.controller.navigator.go_to_queued(*WORST)
        assert form.structure == items[0].structure
        move()
        review.qtbot.waitUntil(lambda: form.structure == name)
        assert review.controller.picture.place == (phase, z)
    review.controller.navigator.go_to_queued(*WORST)
    form.slice_chosen.emit(z)
    review.controller.tools.scribble.start()
    review.controller.navigator.other_landmark()
    assert (review.controller.picture.place, form.structure) == ((phase, z), items[0].structure)


def test_the_next_slice_clears_the_message(review) -> None:
    messages: list[str] = []
    review.press("I")
    review.controller.said.connect(messages.append)
    review.press("N")
    assert messages == [""]


def test_an_empty_queue_shows_a_message(make_review) -> None:
    review = make_review(members=1)  # one member without any uncertainty
    assert review.controller.picture.place == (ED, 2)  # the middle of the heart
    review.press("N")
    assert review.said == [QUEUE_EMPTY]
    review.press("A")
    assert review.session.state.decisions[ED, 2].state == "accepted"


def test_t_switches_between_ed_and_es(review) -> None:
    review.press("T")
    assert review.controller.picture.place == (ES, 2)
    review.press("T")
    assert review.controller.picture.place == (ED, 2)
    review.controller.picture.show_slice((2, 1))  # not segmented
    review.press("T")
    assert review.controller.picture.place == (ED, 1)


def test_a_volume_has_no_other_phase(make_review) -> None:
    review = make_review(phases=(None,))
    review.press("T")
    assert review.said == [ONE_PHASE]
    review.press("Shift-T")
    assert review.said == [ONE_PHASE, ONE_PHASE]
    review.press(".")
    assert review.controller.picture.place == (None, 2)


def test_stepping_through_phases_is_a_loop(review) -> None:
    for phase in (2, 3, 4, 1):
        review.press(".")
        assert review.controller.picture.place == (phase, 2)
    review.press(",")
    assert review.controller.picture.place == (4, 2)


def test_clicks_in_the_forms_show_the_slice(review) -> None:
    review.forms.grid.cell_chosen.emit(ES, 1)
    assert review.controller.picture.place == (ES, 1)
    review.forms.table.row_chosen.emit(ED, 0)
    assert review.controller.picture.place == (ED, 0)
    review.forms.numbers.cell_chosen.emit(ES, 3)
    assert review.controller.picture.place == (ES, 3)


@pytest.mark.parametrize("key", ["N", "A", "T"])
def test_next_accept_and_ed_return_from_g(review, key) -> None:
    camera = review.viewer.scene.camera
    before = camera.center
    review.press("G")
    review.press("G")
    assert camera.center != pytest.approx(before)
    review.press(key)
    assert camera.center == pytest.approx(before)


@pytest.mark.parametrize("key", ["N", "A", "T"])
def test_a_lost_heart_is_brought_back(review, key) -> None:
    camera = review.viewer.scene.camera
    before, zoom = camera.center, camera.zoom
    camera.center, camera.zoom = (0, 500, 500), 2 * zoom
    review.press(key)
    assert (*camera.center, camera.zoom) == pytest.approx((*before, zoom))


def test_a_detail_of_the_heart_stays_in_view(review) -> None:
    camera = review.viewer.scene.camera
    review.press("G")
    camera.center = detail = (0, camera.center[1] + 1, camera.center[2])
    camera.zoom = zoom = 10 * camera.zoom
    review.press("N")
    assert (*camera.center, camera.zoom) == pytest.approx((*detail, zoom))


def test_g_centres_on_the_most_uncertain_voxel(review) -> None:
    review.press("G")
    y, x = review.session.most_uncertain_in(WORST)
    world = review.controller.picture.image.data_to_world((0, 2, y, x))
    center = review.viewer.scene.camera.center[-2:]
    assert tuple(center) == pytest.approx([world[axis] for axis in review.viewer.dims.displayed])


def test_g_stays_in_a_phase_that_was_not_segmented(review) -> None:
    while review.controller.picture.place[0] in review.session.phases:
        review.press(".")
    center = review.viewer.scene.camera.center
    review.press("G")
    assert review.said[-1] == NOT_SEGMENTED
    assert review.viewer.scene.camera.center == center


def test_next_slice_is_outlined_once_with_its_structure(review, monkeypatch) -> None:
    choose_another_structure(review)
    lines = review.controller.outlines._lines
    drawn: list[object] = []
    draw = lines.draw
    monkeypatch.setattr(lines, "draw", lambda *args: (drawn.append(args), draw(*args)))
    review.press("N")
    queued = {place_of(item): item.structure for item in review.controller.view.queue}
    place = review.controller.picture.place
    assert review.forms.corrections.structure == queued[place]
    assert review.controller.outlines.title.startswith(queued[place])
    assert [index for _, index in drawn] == [place]


def test_leaving_for_another_structure_discards_a_level(review) -> None:
    start = review.now(WORST)
    choose_another_structure(review)
    review.controller.tools.show_level(-0.5)
    assert not np.array_equal(review.now(WORST), start)
    review.press("N")
    assert np.array_equal(review.now(WORST), start)
    assert steps_of(review.layer) == 0


def test_undo_in_a_hidden_slice_shows_it(review) -> None:
    review.press("D")
    review.press("A")
    assert review.controller.picture.place != WORST
    review.controller.corrections.undo()
    assert review.controller.picture.place == WORST
    assert np.array_equal(review.now(WORST), predicted(review.session, WORST))
    assert WORST not in review.session.state.decisions  # it needs another review


def test_undo_in_a_hidden_slice_chooses_its_structure(review) -> None:
    form, items = review.forms.corrections, review.controller.view.queue
    items[0] = replace(items[0], structure="MYO")
    elsewhere = next(place_of(item) for item in items if place_of(item) != WORST)
    for shown, chosen in (("RV", "RV"), ("LV", "MYO")):  # what was undone, else as queued
        review.controller.picture.show_slice(WORST)
        form.set_structure("RV")
        review.press("D")
        review.controller.picture.show_slice(elsewhere)
        form.set_structure(shown)
        review.controller.corrections.undo()
        assert (review.controller.picture.place, form.structure) == (WORST, chosen)


def test_undo_removes_the_message_of_the_edit(review) -> None:
    said: list[str] = []
    review.controller.said.connect(said.append)
    review.press("D")
    assert said[-1]
    review.controller.corrections.undo()
    assert said[-1] == ""


@pytest.mark.parametrize("count", [1, 2])
def test_undo_names_slices_that_were_not_on_screen(review, count) -> None:
    elsewhere = next(place_of(i) for i in review.controller.view.queue if place_of(i) != WORST)
    places = [WORST, elsewhere][:count]
    corrections = review.controller.corrections
    corrections.put_all({place: np.zeros_like(review.now(place)) for place in places}, "absent")
    review.controller.picture.show_slice(elsewhere)
    corrections.undo()
    named = review.session.title_of(WORST) if count == 1 else "2 slices"
    assert review.said[-1] == UNDONE.format(slices=named)
