"""One study at work: through the queue with keys, corrections in place, all of it kept."""

from __future__ import annotations

from time import thread_time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.app.review.session import SAME_PHASE, SWAPPED_PHASES, ReviewSession
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.io.study.arrays import posterior_file
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState
from napari_bayes_nnunet.io.study.study import Study, StudyInfo, read_study, save_review
from napari_bayes_nnunet.widgets.editing.corrections import NO_CONTOUR, NO_POSTERIOR
from napari_bayes_nnunet.widgets.layers.result_layers import result_layers
from napari_bayes_nnunet.widgets.reading.picture import OpenedStudy
from napari_bayes_nnunet.widgets.reading.uncertainty_view import UncertaintyView
from napari_bayes_nnunet.widgets.review.controller import NOTHING_TO_COPY, ReviewController
from napari_bayes_nnunet.widgets.review.forms import ReviewForms
from napari_bayes_nnunet.widgets.review.keys import KEYS
from napari_bayes_nnunet.widgets.review.view import NOT_SEGMENTED, ONE_PHASE

from ...helpers.cines import ED, ES, LV, RV, STRUCTURES, WORST, image_of, make_cine
from ...helpers.reviewing import Desk, desk, make_desk, paint, predicted, steps_of
from ...helpers.settling import settle

__all__ = ["desk", "make_desk"]


def queue(desk: Desk) -> list:
    return [(item.phase, item.z) for item in desk.desk.view.queue]


def press_until_changed(desk: Desk, start: np.ndarray) -> None:
    """The first answers may be the labels as they are."""
    for _ in range(len(desk.session.alternatives_in(WORST))):
        desk.press("W")
        if not np.array_equal(desk.now(WORST), start):
            return
    raise AssertionError("All alternatives are as the labels.")


def accept_all(desk: Desk) -> None:
    for place in queue(desk):
        desk.desk.go_to(*place)
        desk.desk.accept()


# Through the queue


def test_the_review_begins_at_the_worst_slice(desk) -> None:
    assert desk.desk.place == WORST
    assert queue(desk)[0] == WORST
    assert desk.viewer.layers.selection.active is desk.layer


def test_it_goes_on_at_the_slice_it_was_left_at(make_desk, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    save_review(folder, ReviewState(current=(2, 1)))
    assert make_desk(folder).desk.place == (2, 1)


def test_a_slice_that_is_not_there_is_not_gone_to(make_desk, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    decisions = {(ED, 40): Decision(state="accepted"), (9, 0): Decision(state="flagged")}
    save_review(folder, ReviewState(score="gross-errors", current=(9, 40), decisions=decisions))
    assert make_desk(folder).desk.place == WORST


def test_next_and_previous_go_through_the_queue_and_say_where_it_ends(desk) -> None:
    places = queue(desk)
    desk.press("Shift-N")
    assert desk.said == ["This is the first slice of the queue."]
    desk.press("N")
    assert desk.desk.place == places[1]
    desk.press("Shift-N")
    assert desk.desk.place == places[0]
    desk.desk.go_to(*places[-1])
    desk.press("N")
    assert desk.desk.place == places[-1]
    assert desk.said[-1] == "This is the last slice of the queue."


def test_what_was_said_of_a_slice_goes_with_it(desk) -> None:
    sentences: list[str] = []
    desk.press("I")
    desk.desk.said.connect(sentences.append)
    desk.press("N")
    assert sentences == [""]


def test_an_empty_queue_says_so(make_desk) -> None:
    desk = make_desk(members=1)  # one model that is sure of all
    assert desk.desk.place == (ED, 2)  # somewhere in the heart
    desk.press("N")
    assert desk.said == ["The queue is empty."]
    desk.press("A")
    assert desk.session.state.decisions[ED, 2].state == "accepted"


def test_accept_keeps_the_slice_goes_on_and_saves(desk, tmp_path) -> None:
    places = queue(desk)
    desk.press("A")
    assert desk.session.state.decisions[WORST].state == "accepted"
    assert desk.desk.place == places[1]
    desk.saved()
    saved = read_study(tmp_path / "heart").review
    assert saved.decisions[WORST].state == "accepted"
    assert saved.current == places[1]


def test_accept_goes_to_what_is_open_and_says_when_all_is_done(desk) -> None:
    places = queue(desk)
    desk.desk.go_to(*places[-1])
    desk.press("A")
    assert desk.desk.place == places[0]  # round the queue
    accept_all(desk)
    assert set(desk.said) == {"All slices of the queue are accepted."}
    assert desk.session.state.finished
    assert desk.desk.place == places[-1]
    desk.press("K")
    assert not desk.session.state.finished


def test_accept_once_more_goes_on_and_changes_nothing(desk) -> None:
    places = queue(desk)
    desk.press("A")
    desk.desk.go_to(*WORST)
    desk.press("A")
    assert desk.session.state.count("accepted") == 1
    assert desk.desk.place == places[1]


def test_accepting_a_slice_outside_the_queue_goes_to_the_worst(make_desk) -> None:
    desk = make_desk(phases=(1, 2, 3), ed=1, es=3)
    desk.desk.go_to(2, 0)
    desk.press("A")
    assert desk.session.state.decisions[2, 0].state == "accepted"
    assert desk.desk.place == queue(desk)[0]


def test_flags_come_and_go_and_take_acceptance_back(desk) -> None:
    desk.press("A")
    desk.desk.go_to(*WORST)
    desk.press("K")
    assert desk.session.state.decisions[WORST].state == "flagged"
    desk.press("K")
    assert desk.session.state.decisions[WORST].state == "accepted"
    desk.desk.go_to(ED, 0)
    desk.press("K")
    desk.press("K")
    assert (ED, 0) not in desk.session.state.decisions


def test_a_comment_that_is_deleted_takes_its_flag_along(desk) -> None:
    desk.forms.slice.comment_changed.emit("valve plane?")
    desk.forms.slice.comment_changed.emit("")
    assert WORST not in desk.session.state.decisions


def test_what_was_accepted_is_open_again_when_its_labels_change(desk, qtbot) -> None:
    desk.press("A")
    desk.desk.go_to(*WORST)
    paint(desk.layer, WORST, 3, 3, RV, qtbot)
    assert WORST not in desk.session.state.decisions
    desk.press("A")
    desk.desk.go_to(*WORST)
    desk.desk.comment("valve plane?")
    desk.press("D")
    decision = desk.session.state.decisions[WORST]
    assert (decision.state, decision.comment) == ("flagged", "valve plane?")


@pytest.mark.parametrize("key", ["D", "R", "W"])
def test_a_contour_lies_over_nothing_that_came_after_it(desk, key) -> None:
    desk.desk.edit_contour()
    desk.desk.handles.move_handle(0, desk.desk.handles.handles[0] + [-4, 0])
    desk.press(key)
    assert not desk.desk.handles.is_active
    shown = desk.now(WORST)
    desk.press("A")
    assert np.array_equal(desk.now(WORST), shown)


@pytest.mark.filterwarnings("ignore:Contours are not displayed")  # napari's, of the 3D view
def test_in_3d_no_slice_is_accepted_or_changed(desk) -> None:
    before = desk.session.labels.copy()
    desk.viewer.dims.ndisplay = 3
    for key in ("A", "D", "K"):
        desk.press(key)
    assert desk.session.state.decisions == {}
    assert np.array_equal(desk.session.labels, before)
    assert "go back to the 2D view" in desk.said[-1]


def test_odd_landmarks_are_doubted(desk) -> None:
    desk.forms.volumes.phases_changed.emit(ES, ED)
    assert desk.said[-1] == SWAPPED_PHASES
    desk.forms.volumes.phases_changed.emit(ED, ED)
    assert desk.said[-1] == SAME_PHASE


def test_a_comment_flags_and_is_not_lost_with_the_flag(desk) -> None:
    desk.forms.slice.comment_changed.emit("valve plane?")
    assert desk.session.state.decisions[WORST].state == "flagged"
    desk.press("K")
    assert desk.session.state.decisions[WORST].comment == "valve plane?"
    assert "comment keeps the flag" in desk.said[-1]
    desk.press("A")
    decision = desk.session.state.decisions[WORST]
    assert (decision.state, decision.comment) == ("accepted", "valve plane?")


def test_t_goes_from_ed_to_es_and_from_elsewhere_to_ed(desk) -> None:
    desk.press("T")
    assert desk.desk.place == (ES, 2)
    desk.press("T")
    assert desk.desk.place == (ED, 2)
    desk.desk.go_to(2, 1)  # not segmented, but it has an ED
    desk.press("T")
    assert desk.desk.place == (ED, 1)


def test_a_volume_has_no_other_phase(make_desk) -> None:
    desk = make_desk(phases=(None,))
    desk.press("T")
    assert desk.said == [ONE_PHASE]
    desk.press(".")
    assert desk.desk.place == (None, 2)


def test_phases_are_stepped_through_round_and_round(desk) -> None:
    for phase in (2, 3, 4, 1):
        desk.press(".")
        assert desk.desk.place == (phase, 2)
    desk.press(",")
    assert desk.desk.place == (4, 2)


def test_a_click_in_grid_table_or_numbers_goes_there(desk) -> None:
    desk.forms.grid.cell_chosen.emit(ES, 1)
    assert desk.desk.place == (ES, 1)
    desk.forms.table.row_chosen.emit(ED, 0)
    assert desk.desk.place == (ED, 0)
    desk.forms.numbers.cell_chosen.emit(ES, 3)
    assert desk.desk.place == (ES, 3)


def test_g_centres_on_the_most_uncertain_voxel(desk) -> None:
    desk.press("G")
    y, x = desk.session.most_uncertain_in(WORST)
    world = desk.desk.picture.image.data_to_world((0, 2, y, x))
    center = desk.viewer.scene.camera.center[-2:]
    assert tuple(center) == pytest.approx([world[axis] for axis in desk.viewer.dims.displayed])


def test_every_key_is_bound_and_given_back(desk) -> None:
    viewer, callbacks = desk.viewer, ViewerModel().mouse_drag_callbacks
    bound = {str(key) for key in viewer.keymap}
    assert len(bound) == len(KEYS)
    desk.desk.close()
    assert not viewer.keymap
    assert not desk.layer.keymap
    assert len(viewer.mouse_drag_callbacks) == len(callbacks)


def test_u_peeks_at_the_entropy(desk) -> None:
    entropy = result_layers(desk.viewer, desk.desk.picture.image)["entropy"]
    desk.desk._on_peek(True)
    assert entropy.visible
    desk.desk._on_peek(False)
    assert not entropy.visible


@pytest.mark.parametrize("view", list(UncertaintyView))
def test_one_switch_shows_the_uncertainty(desk, view) -> None:
    desk.forms.view.view_chosen.emit(view)
    assert desk.desk.outlines.view == view
    visible = {layer.name for layer in desk.viewer.layers if layer.visible}
    wanted = {
        UncertaintyView.NOTHING: set(),
        UncertaintyView.INCLUSION: {"heart outlines", "heart strong outlines"},
        UncertaintyView.MEMBERS: {"heart outlines"},
        UncertaintyView.ENTROPY: {"heart entropy"},
        UncertaintyView.MUTUAL_INFORMATION: {"heart mutual information"},
    }[view]
    assert visible == {"heart", "heart edited"} | wanted


# Corrections


def test_w_shows_an_alternative_that_a_takes(desk) -> None:
    start = desk.now(WORST)
    press_until_changed(desk, start)
    shown = desk.now(WORST)
    assert steps_of(desk.layer) == 0
    assert np.array_equal(desk.session.labels_to_save(), desk.session.study.prediction)
    desk.press("A")
    assert np.array_equal(desk.now(WORST), shown)
    assert steps_of(desk.layer) == 1
    assert desk.session.state.decisions[WORST].edited


def test_an_alternative_is_dropped_when_the_slice_is_left(desk) -> None:
    start = desk.now(WORST)
    desk.press("Q")
    assert not np.array_equal(desk.now(WORST), start)
    desk.press("N")
    assert np.array_equal(desk.now(WORST), start)
    assert steps_of(desk.layer) == 0
    desk.press("Shift-N")
    assert "from 5 members" in desk.forms.corrections.alternative.text()
    assert not desk.forms.corrections.take_button.isEnabled()


def test_an_alternative_is_neither_saved_nor_exported_before_it_is_taken(desk, tmp_path) -> None:
    desk.press("Q")
    desk.settle()
    desk.desk.saver.save()
    desk.saved()
    folder = tmp_path / "heart"
    assert np.array_equal(read_study(folder).edited, desk.session.study.prediction)
    desk.desk.outcome.export_to(tmp_path / "out")
    status = desk.forms.export.status
    desk.qtbot.waitUntil(lambda: status.text().startswith("Saved"))
    labels = read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels
    assert np.array_equal(labels, desk.session.study.prediction)
    assert desk.desk.corrections.is_preview  # still to be taken
    assert desk.session.edited_places() == [WORST]


def test_take_it_takes_the_alternative_and_stays(desk) -> None:
    desk.press("Q")
    shown = desk.now(WORST)
    assert desk.forms.corrections.take_button.isEnabled()
    desk.forms.corrections.take_button.click()
    assert desk.desk.place == WORST
    assert steps_of(desk.layer) == 1
    assert np.array_equal(desk.now(WORST), shown)
    assert not desk.forms.corrections.take_button.isEnabled()


def test_another_structure_does_not_take_an_alternative(desk) -> None:
    desk.press("Q")
    desk.forms.corrections.structure_chosen.emit("RV")
    assert desk.desk.corrections.is_preview
    assert desk.layer.selected_label == RV
    desk.forms.corrections.level_released.emit()  # a click on the slider does not either
    assert desk.desk.corrections.is_preview


def test_the_level_is_live_and_stays_where_it_was_left(desk) -> None:
    form = desk.forms.corrections
    form.set_structure("LV")
    before = form.level.value.text()
    form.level.level_moved.emit(-0.5)
    desk.settle()
    assert form.level.value.text() != before  # mL in this slice
    assert desk.forms.numbers.numbers is not None
    form.level.level_released.emit()
    form.level.set_level(-0.5)
    desk.settle()
    assert form.level.margin == pytest.approx(-0.5, abs=0.01)
    assert steps_of(desk.layer) == 1
    desk.press("N")
    assert form.level.margin == 0
    desk.press("Shift-N")
    assert form.level.margin == pytest.approx(-0.5, abs=0.01)
    desk.desk.corrections.undo()
    desk.settle()
    assert form.level.margin == 0


def test_a_level_that_is_not_let_go_is_dropped_when_the_slice_is_left(desk) -> None:
    start = desk.now(WORST)
    desk.desk.show_level(-0.5)
    desk.viewer.dims.set_current_step(0, ES - 1)
    desk.qtbot.waitUntil(lambda: not desk.desk.corrections.is_preview)
    assert np.array_equal(desk.now(WORST), start)
    assert steps_of(desk.layer) == 0


def test_the_contour_is_taken_by_apply(desk) -> None:
    before = desk.now(WORST)
    desk.forms.corrections.set_structure("LV")
    desk.desk.edit_contour()
    assert desk.desk.handles.is_active
    assert desk.forms.corrections.apply_button.isEnabled()
    desk.desk.handles.move_handle(0, desk.desk.handles.handles[0] + [-4, 0])
    desk.forms.corrections.contour_applied.emit()
    assert not desk.desk.handles.is_active
    assert not desk.forms.corrections.apply_button.isEnabled()
    assert not np.array_equal(desk.now(WORST), before)
    assert steps_of(desk.layer) == 1
    assert desk.viewer.layers.selection.active is desk.layer


def test_accept_takes_the_contour_that_is_shown(desk) -> None:
    before = desk.now(WORST)
    desk.desk.edit_contour()
    desk.desk.handles.move_handle(0, desk.desk.handles.handles[0] + [-4, 0])
    desk.press("A")
    assert not np.array_equal(desk.now(WORST), before)
    assert desk.session.state.decisions[WORST].edited


def test_a_contour_that_was_moved_is_taken_when_the_slice_is_left(desk) -> None:
    before = desk.now(WORST)
    desk.desk.edit_contour()
    desk.press("N")
    assert not desk.desk.handles.is_active
    assert np.array_equal(desk.now(WORST), before)
    desk.press("Shift-N")
    desk.desk.edit_contour()
    desk.desk.handles.move_handle(0, desk.desk.handles.handles[0] + [-4, 0])
    desk.press("N")
    assert not desk.desk.handles.is_active
    assert not desk.forms.corrections.apply_button.isEnabled()
    assert not np.array_equal(desk.now(WORST), before)
    assert steps_of(desk.layer) == 1


def test_a_contour_that_was_moved_is_saved_on_closing(desk, tmp_path) -> None:
    folder = desk.session.study.folder
    before = desk.now(WORST)
    desk.desk.edit_contour()
    desk.desk.handles.move_handle(0, desk.desk.handles.handles[0] + [-4, 0])
    desk.desk.close()
    saved = read_study(folder).edited
    assert not np.array_equal(saved[WORST[0] - 1, WORST[1]], before)


def test_the_contour_of_an_absent_structure_is_a_sentence(desk) -> None:
    desk.press("D")
    name = desk.forms.corrections.structure
    desk.desk.edit_contour()
    assert desk.said == [NO_CONTOUR.format(name)]
    assert not desk.desk.handles.is_active


def test_d_r_and_i_work_on_the_slice_shown(desk) -> None:
    desk.press("D")
    assert not (desk.now(WORST) == desk.desk.label).any()
    desk.press("R")
    assert np.array_equal(desk.now(WORST), predicted(desk.session, WORST))
    desk.press("I")
    assert "needs a corrected slice on either side" in desk.said[-1]
    for z in (1, 3):
        desk.session.decide((ED, z), "accepted")
    desk.press("I")
    assert desk.session.edited_places() == [WORST]


@pytest.mark.parametrize(
    ("where", "source"),
    [("slice above", (ED, 1)), ("slice below", (ED, 3))],
)
def test_a_structure_is_copied_from_beside(desk, where, source) -> None:
    desk.forms.corrections.set_structure("LV")
    desk.forms.corrections.copy_requested.emit(where)
    assert np.array_equal(desk.now(WORST) == LV, desk.now(source) == LV)


def test_copies_from_where_nothing_is_are_a_sentence(desk) -> None:
    desk.forms.corrections.copy_requested.emit("next phase")  # phase 2 was not segmented
    assert desk.said[-1] == NOTHING_TO_COPY.format("next phase")
    desk.desk.go_to(ED, 0)
    desk.forms.corrections.copy_requested.emit("slice above")
    assert desk.said[-1] == NOTHING_TO_COPY.format("slice above")
    assert desk.session.edited_places() == []


def test_the_brush_can_be_kept_to_what_is_uncertain(desk) -> None:
    desk.forms.corrections.brush_limited.emit(0.3)
    before = desk.now(WORST)
    y, x = desk.session.most_uncertain_in(WORST)
    desk.layer.brush_size = 15
    paint(desk.layer, WORST, y, x, LV, desk.qtbot)
    changed = desk.now(WORST) != before
    assert (desk.session.entropy_in(WORST)[changed] > 0.3).all()
    desk.forms.corrections.brush_limited.emit(None)
    assert desk.desk.corrections.threshold is None


def test_finished_structures_are_protected_and_remembered(desk, tmp_path) -> None:
    desk.forms.corrections.protection_toggled.emit("LV", True)
    desk.forms.corrections.set_structure("LV")
    desk.press("D")
    assert (desk.now(WORST) == LV).any()
    desk.desk.saver.save_now()
    assert read_study(tmp_path / "heart").review.protected == ("LV",)
    desk.forms.corrections.protection_toggled.emit("LV", False)
    assert desk.session.state.protected == ()


def test_undo_in_a_slice_that_is_not_shown_goes_there(desk) -> None:
    desk.press("D")
    desk.press("A")
    assert desk.desk.place != WORST
    desk.desk.corrections.undo()
    assert desk.desk.place == WORST
    assert np.array_equal(desk.now(WORST), predicted(desk.session, WORST))
    assert WORST not in desk.session.state.decisions  # it is to be looked at again


def test_the_prediction_is_never_changed(desk) -> None:
    prediction = result_layers(desk.viewer, desk.desk.picture.image)["prediction"]
    before = np.array(prediction.data)
    for key in ("D", "W", "A", "W", "A", "R"):
        desk.press(key)
    desk.desk.corrections.undo()
    assert np.array_equal(prediction.data, before)
    assert np.array_equal(desk.session.study.prediction, before)


# Phases that were not segmented, lost posteriors


def test_a_phase_that_was_not_segmented_can_be_looked_at_and_tools_say_why_not(desk) -> None:
    desk.desk.go_to(2, 1)
    form = desk.forms.corrections
    assert not form.level.isEnabled()
    assert form.revert_button.toolTip() == NOT_SEGMENTED
    assert form.landmark_button.isEnabled()
    for key in ("A", "W", "D", "R", "I"):
        desk.press(key)
    desk.desk.edit_contour()
    desk.desk.show_level(-0.5)
    assert desk.said == [NOT_SEGMENTED] * 7
    assert desk.desk.place == (2, 1)
    assert desk.session.state.decisions == {}
    desk.desk.go_to(*WORST)
    assert form.level.isEnabled()


def test_a_lost_posterior_leaves_all_but_level_and_alternatives(make_desk, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    posterior_file(folder, ES).unlink()
    desk = make_desk(folder)
    assert {phase for phase, _ in queue(desk)} == {ED}
    desk.desk.go_to(ES, 1)
    form = desk.forms.corrections
    assert not form.level.isEnabled()
    assert not form.next_button.isEnabled()
    assert form.level.toolTip() == NO_POSTERIOR
    assert form.revert_button.isEnabled()
    desk.press("W")
    assert desk.said == [NO_POSTERIOR]
    desk.press("D")
    desk.press("A")
    assert desk.session.state.decisions[ES, 1].edited


def test_labels_on_black_can_be_reviewed(make_desk) -> None:
    desk = make_desk(image=False)
    desk.press("D")
    desk.press("A")
    assert desk.session.state.decisions[WORST].edited
    desk.desk.outcome.add_to_training_set(image_of(desk.session.study.folder).parent)
    assert "image is needed" in desk.forms.export.status.text()


# Setting up, playing


def test_the_queue_follows_the_form(desk, tmp_path) -> None:
    form = desk.forms.queue
    form.scores.setCurrentIndex(form.scores.findData("area-spread"))
    form.structures.setCurrentIndex(form.structures.findData("LV"))
    form.borders_switch.setChecked(True)
    state = desk.session.state
    assert (state.score, state.structure, state.leave_out_border) == ("area-spread", "LV", True)
    assert {item.structure for item in desk.desk.view.queue} == {"LV"}
    desk.desk.saver.save_now()
    saved = read_study(tmp_path / "heart").review
    assert (saved.score, saved.structure) == ("area-spread", "LV")


def test_landmarks_are_changed_by_hand(make_desk) -> None:
    desk = make_desk(phases=(1, 2, 3))
    before = desk.session.measured()["LV ESV"].value
    desk.forms.volumes.phases_changed.emit(1, 2)
    assert (desk.session.state.ed, desk.session.state.es) == (1, 2)
    assert {phase for phase, _ in queue(desk)} == {1, 2}
    assert desk.session.measured()["LV ESV"].value != before


def test_the_patient_is_kept(desk, tmp_path) -> None:
    desk.forms.numbers.patient.patient_changed.emit(Patient(heart_rate=60))
    desk.settle()
    assert "LV CO" in desk.session.measured()
    desk.desk.saver.save_now()
    assert read_study(tmp_path / "heart").review.patient.heart_rate == 60


def test_the_cine_plays_with_its_contours_and_a_stops_it(desk) -> None:
    desk.forms.corrections.play_requested.emit()
    assert desk.desk.player.is_playing
    assert desk.forms.corrections.play_button.text() == "Stop"
    desk.qtbot.waitUntil(lambda: desk.desk.place != WORST)
    assert desk.session.state.current == WORST  # passing by is no look
    desk.press("A")
    assert not desk.desk.player.is_playing
    assert desk.session.state.decisions == {}
    assert "cine was stopped" in desk.said[-1]
    assert desk.session.state.current == desk.desk.place
    desk.forms.corrections.play_requested.emit()
    desk.press("D")  # a correction needs a slice that stands still
    assert not desk.desk.player.is_playing


# Closing


def test_closing_saves_and_puts_back_what_is_only_shown(desk, tmp_path) -> None:
    desk.press("D")
    edited = desk.session.labels.copy()
    desk.press("Q")
    desk.desk.close()
    assert np.array_equal(read_study(tmp_path / "heart").edited, edited)
    assert desk.layer not in desk.viewer.layers
    settle(desk.qtbot, desk.forms)  # nothing is late


def test_closing_without_an_edit_keeps_the_place(desk, tmp_path) -> None:
    desk.press("N")
    place = desk.desk.place
    desk.desk.close()
    assert read_study(tmp_path / "heart").review.current == place


def test_closing_tells_what_could_not_be_saved(desk, tmp_path, monkeypatch) -> None:
    desk.press("D")
    (tmp_path / "heart" / "edited.nii.gz").write_bytes(b"damaged by somebody else")
    with pytest.raises(DataError):
        desk.desk.close()
    assert desk.layer not in desk.viewer.layers


# Time


def large_study(tmp_path) -> Study:
    """12 slices × 25 phases × 30 models."""
    shape = (12, 160, 160)
    one = np.zeros(shape, np.uint8)
    one[1:-1, 30:100, 10:40] = 1
    one[1:-1, 40:110, 40:110] = 2
    one[1:-1, 55:95, 55:95] = 3
    members = np.stack([np.roll(one, member // 3 - 5, axis=2) for member in range(30)])
    mean = np.stack([(members == label).mean(axis=0) for label in range(4)]).astype(np.float32)
    said = StoredPosterior.from_members(
        mean, members, prediction=one, entropy=mean.std(axis=0), mutual_information=mean.std(axis=0)
    )
    phases = tuple(range(1, 26))
    geometry = make_geometry((25, *shape), (8, 1.4, 1.4), frame_time=40)
    labels = np.stack([one] * 25)
    info = StudyInfo(
        case="large",
        image=None,
        geometry=geometry,
        structures=STRUCTURES,
        classes=4,
        phases=phases,
        reports={phase: {} for phase in phases},
        ed=1,
        es=12,
    )
    maps = np.zeros(geometry.shape, np.float32)
    return Study(
        folder=tmp_path,
        info=info,
        posteriors=dict.fromkeys(phases, said),
        prediction=labels,
        edited=labels.copy(),
        entropy=maps,
        mutual_information=maps,
        review=ReviewState(ed=1, es=12),
    )


def test_what_follows_an_edit_of_a_large_cine_is_not_felt(qtbot, tmp_path) -> None:
    session = ReviewSession(large_study(tmp_path))
    forms, viewer = ReviewForms(), ViewerModel()
    qtbot.addWidget(forms)
    desk = ReviewController(viewer, OpenedStudy(session, None), forms, every_ms=1_000_000)
    desk.step(1)
    times = []
    for number in range(9):
        started = thread_time()
        desk.show_level(-0.05 * (number + 1))  # edits, and what forms show of it
        desk.view.show_edited()
        times.append(thread_time() - started)
    desk.corrections.accept_preview()
    assert min(times) < 0.05
    desk.close()
