"""Controller of a review: what its keys, buttons and forms do."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from time import thread_time

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.report.number_warnings import NO_STROKE, SAME_PHASE
from napari_bayes_nnunet.app.review.comparisons import AS_MUSCLE, PAPILLARY
from napari_bayes_nnunet.app.review.ends import IS_LOCKED
from napari_bayes_nnunet.app.review.report_numbers import format_number
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.ensemble.maps import MAPS
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.heart.normal_ranges import LOW
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.heart.normal_ranges import NO_RANGES, PETERSEN, read_normal_ranges
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.io.study.arrays import posterior_file
from napari_bayes_nnunet.io.study.info import StudyInfo
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, write_review
from napari_bayes_nnunet.io.study.study import Study, has_corrections, read_study
from napari_bayes_nnunet.widgets.editing.correction_form import END_BUTTONS
from napari_bayes_nnunet.widgets.editing.corrections import (
    ALSO_CHANGED,
    ENDS,
    NO_CONTOUR,
    NO_POSTERIOR,
    NOT_A_STRUCTURE,
    NOT_KEPT,
    NOTHING_TO_REDO,
    NOTHING_TO_UNDO,
    REDONE,
    REOPENED,
    REVERTED,
    SCRIBBLE,
    UNDONE,
)
from napari_bayes_nnunet.widgets.layers.captions import CAPTION_KEY
from napari_bayes_nnunet.widgets.layers.keys import ANSWER_KEYS, KEYS
from napari_bayes_nnunet.widgets.layers.result_layers import result_layers
from napari_bayes_nnunet.widgets.layers.review_layers import CLOSED_UNSAVED
from napari_bayes_nnunet.widgets.layers.viewing import index_of
from napari_bayes_nnunet.widgets.reading.numbers import BESIDE, INTERVAL, VALUE, VERDICT
from napari_bayes_nnunet.widgets.reading.picture import OpenedStudy
from napari_bayes_nnunet.widgets.reading.uncertainty_view import (
    INCLUSION,
    MEMBER_LINES,
    NOTHING,
    VIEWS,
)
from napari_bayes_nnunet.widgets.review.controller import (
    ACCEPTED,
    ALL_ACCEPTED,
    ASKED,
    CINE_STOPPED,
    COMMENT_KEEPS_FLAG,
    FROM_PREDICTION,
    LAST_OPEN,
    NOTHING_TO_COPY,
    PAINTS,
    QUEUE_EMPTY,
    QUEUE_STARTS,
    QUEUE_WRAPPED,
    WAS_HIDDEN,
    WITH_ANSWER,
    ReviewController,
)
from napari_bayes_nnunet.widgets.review.export import IMAGE_NEEDED
from napari_bayes_nnunet.widgets.review.forms import ReviewForms
from napari_bayes_nnunet.widgets.review.view import (
    NO_SLICE_SHOWN,
    NOT_SEGMENTED,
    ONE_PHASE,
    READ_ONLY,
)

from ...helpers.data.cines import ED, ES, LV, MYO, RV, STRUCTURES, WORST, image_of, make_cine
from ...helpers.windows.handles import move_handle
from ...helpers.windows.reviewing import Review, paint, place_of, predicted, press, steps_of
from ...helpers.windows.settling import settle

# Opening, settings and closing


def test_the_review_starts_at_the_worst_slice(review) -> None:
    assert review.controller.picture.place == WORST
    assert review.queue[0] == WORST
    assert review.viewer.layers.selection.active is review.layer


def test_the_review_continues_at_the_last_slice(make_review, folder) -> None:
    write_review(folder, ReviewState(current=(2, 1)))
    assert make_review(folder).controller.picture.place == (2, 1)


def test_a_missing_saved_slice_is_ignored(make_review, folder) -> None:
    decisions = {(ED, 40): Decision(state="accepted"), (9, 0): Decision(state="flagged")}
    write_review(folder, ReviewState(score="gross-errors", current=(9, 40), decisions=decisions))
    assert make_review(folder).controller.picture.place == WORST


def test_doubtful_landmarks_show_a_message(review) -> None:
    review.forms.volumes.phases_changed.emit(ES, ED)
    numbers = {name: number.value for name, number in review.session.measured().items()}
    volumes = {"edv": numbers["LV EDV"], "esv": numbers["LV ESV"]}
    assert NO_STROKE.format(side="LV", **volumes) in review.said[-1].splitlines()
    review.forms.volumes.phases_changed.emit(ED, ED)
    assert review.said[-1] == SAME_PHASE


def test_every_key_is_bound_and_restored(review) -> None:
    viewer, callbacks = review.viewer, ViewerModel().mouse_drag_callbacks
    bound = {str(key) for key in viewer.keymap}
    assert len(bound) == len(KEYS) - len(ANSWER_KEYS)
    review.controller.close()
    assert not viewer.keymap
    assert not review.layer.keymap
    assert len(viewer.mouse_drag_callbacks) == len(callbacks)


@pytest.mark.parametrize("view", VIEWS)
def test_one_switch_shows_the_uncertainty(review, view) -> None:
    review.forms.view.view_chosen.emit(view)
    title = review.controller.picture.caption.title.text.split()
    assert title == review.controller.outlines.title.split()
    assert review.controller.outlines.view == view
    visible = {layer.name for layer in review.viewer.layers if layer.visible}
    wanted = {
        NOTHING: set(),
        INCLUSION: {"heart outlines"},
        MEMBER_LINES: {"heart outlines"},
        **{entry: {f"heart {entry.title}" + ", bit" * bool(entry.unit)} for entry in MAPS.values()},
    }[view]
    assert visible == {"heart", "heart edited", "heart contours"} | wanted


def test_shift_u_shows_the_next_view(review) -> None:
    assert review.controller.outlines.view == INCLUSION
    review.press("Shift-U")
    assert review.controller.outlines.view == review.forms.view.view == MEMBER_LINES


def test_the_canvas_names_slice_and_alternative(review) -> None:
    caption = review.controller.picture.caption
    review.controller.picture.show_slice((ES, 1))
    place = caption.text.text
    assert "ES" in place
    review.press("W")
    count = len(review.session.alternatives_in((ES, 1)))
    members = len(review.session.alternatives_in((ES, 1))[0].members)
    models = review.session.study.posteriors[ES].count
    note = caption.text.text.removeprefix(place)
    assert [int(number) for number in re.findall(r"\d+", note)] == [1, count, members, models]
    review.press("Shift-N")
    assert "ED" in caption.text.text
    assert note.strip() not in caption.text.text
    review.forms.volumes.phases_changed.emit(2, ES)
    assert "ED" not in caption.text.text
    review.controller.close()
    assert CAPTION_KEY not in review.viewer.canvas.overlays


def test_a_previewed_alternative_is_not_saved_or_exported(review, tmp_path) -> None:
    review.press("Q")
    review.settle()
    review.controller.saver.save()
    review.saved()
    folder = review.session.study.folder
    assert np.array_equal(read_study(folder).edited, review.session.study.prediction)
    review.controller.exporter.export_to(tmp_path / "out")
    status = review.forms.export
    review.qtbot.waitUntil(lambda: "Saved" in status.message)
    labels = read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels
    assert np.array_equal(labels, review.session.study.prediction)
    assert review.controller.corrections.is_preview  # not yet accepted
    assert review.session.edited_places() == []


def test_contour_and_stroke_are_exported(review, tmp_path) -> None:
    review.controller.act("contour")
    handles = review.controller.contour
    move_handle(handles, 0, handles.handles[0] + [-4, 0])
    review.layer._begin_stroke()  # as napari does at the press of the mouse
    review.layer.paint((*index_of(WORST), 30, 30), RV)
    review.controller.exporter.export_to(tmp_path / "out")
    assert not handles.is_active
    tools = [row.tool for row in review.session.peek_log() if row.tool]
    assert tools == [str(review.layer.mode), "contour"]
    status = review.forms.export
    review.qtbot.waitUntil(lambda: "Saved" in status.message)
    labels = read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels
    assert np.array_equal(labels, review.session.labels)


def test_labels_on_black_can_be_reviewed(make_review) -> None:
    review = make_review(image=False)
    review.press("D")
    review.press("A")
    review.press("Enter")  # the slice has a finding
    assert review.session.state.decisions[WORST].edited
    review.controller.exporter.add_to_training_set(image_of(review.session.study.folder).parent)
    assert review.forms.export.message == IMAGE_NEEDED


def test_the_queue_follows_the_form(review) -> None:
    form = review.forms.queue
    form.scores.setCurrentIndex(form.scores.findData("area-spread"))
    form.structures.setCurrentIndex(form.structures.findData("LV"))
    form.borders_switch.setChecked(True)
    state = review.session.state
    assert (state.score, state.structure, state.leave_out_border) == ("area-spread", "LV", True)
    assert {item.structure for item in review.controller.view.queue} == {"LV"}
    review.controller.saver.save_now()
    saved = read_study(review.session.study.folder).review
    assert (saved.score, saved.structure) == ("area-spread", "LV")


def test_changed_landmarks_change_numbers_and_queue(make_review) -> None:
    review = make_review(phases=(1, 2, 3))
    before = review.session.measured()["LV ESV"].value
    review.forms.volumes.phases_changed.emit(1, 2)
    assert (review.session.state.ed, review.session.state.es) == (1, 2)
    assert {phase for phase, _ in review.queue} == {1, 2}
    assert review.session.measured()["LV ESV"].value != before


def test_chosen_landmarks_are_work(make_review, tmp_path) -> None:
    review = make_review(phases=(1, 2, 3))
    review.controller.step(1)
    review.controller.saver.save_now()
    assert not has_corrections(tmp_path / "heart")
    review.forms.volumes.phases_changed.emit(1, 2)
    review.controller.saver.save_now()
    assert has_corrections(tmp_path / "heart")


def test_the_patient_is_saved(review) -> None:
    review.forms.numbers.patient.patient_changed.emit(Patient(heart_rate=60))
    review.settle()
    assert "LV CO" in review.session.measured()
    review.controller.saver.save_now()
    assert read_study(review.session.study.folder).review.patient.heart_rate == 60


def key_texts(review: Review, name: str) -> tuple[str, ...]:
    """Return verdict and comparison in the row of a key number."""
    texts = review.forms.key_numbers.table.texts(name)
    return texts[VERDICT], texts[BESIDE]


def test_a_chosen_sex_and_set_change_the_ranges_on_screen(review) -> None:
    form = review.forms.numbers
    form.ranges_chosen.emit(read_normal_ranges(PETERSEN))
    assert key_texts(review, "LV EDV") == (LOW, "")  # those of both are in the tooltip
    form.patient.sex.editor.value = "f"
    form.patient.age.editor.value = 50
    review.settle()
    assert key_texts(review, "LV EDV") == (LOW, "80–175")
    assert "50" not in form.rules.text()
    form.patient.age.editor.value = 90
    review.settle()
    assert key_texts(review, "LV EDV") == ("", "")
    assert form.rules.text().endswith("90.")
    form.ranges_chosen.emit(read_normal_ranges(NO_RANGES))
    assert form.rules.text() == PAPILLARY


def test_the_papillary_switch_is_saved_and_shows_both_numbers(review) -> None:
    form = review.forms.numbers
    labels = review.session.labels.copy()
    assert not form.as_muscle.isChecked()
    form.as_muscle.click()
    review.settle()
    value = review.forms.key_numbers.table.texts("LV EDV")
    assert value[VALUE] == format_number(review.session.measured()["LV EDV"])
    assert float(value[BESIDE]) <= float(value[VALUE])
    assert value[INTERVAL] == ""
    assert AS_MUSCLE in form.rules.text()
    review.controller.saver.save_now()
    assert read_study(review.session.study.folder).review.papillary_as_muscle
    assert np.array_equal(review.session.labels, labels)
    form.as_muscle.click()
    review.settle()
    assert key_texts(review, "LV EDV") == ("", "")


def test_the_papillary_switch_needs_the_image(make_review, tmp_path) -> None:
    review = make_review(make_cine(tmp_path / "black"), image=False)
    assert not review.forms.numbers.as_muscle.isEnabled()


def test_closing_saves_and_discards_the_preview(review) -> None:
    review.press("D")
    edited = review.session.labels.copy()
    review.press("Q")
    review.controller.close()
    assert np.array_equal(read_study(review.session.study.folder).edited, edited)
    assert review.layer not in review.viewer.layers
    settle(review.qtbot, review.forms)  # no signal arrives late


def test_closing_raises_if_saving_fails(review, monkeypatch) -> None:
    review.press("D")
    (review.session.study.folder / "edited.nii.gz").write_bytes(b"damaged")
    with pytest.raises(DataError):
        review.controller.close()
    assert review.layer.name.endswith(f"({CLOSED_UNSAVED})")


def test_an_unfinished_stroke_is_limited_when_closing(review) -> None:
    review.session.change(protected=("LV",))
    y, x = np.argwhere(review.now(WORST) == LV)[0]
    review.layer._begin_stroke()  # as napari does at the press of the mouse
    review.layer.paint((*index_of(WORST), y, x), RV)
    review.close()
    assert review.now(WORST)[y, x] == LV


# Time


def large_study(tmp_path) -> Study:
    """Return a study of 12 slices, 25 phases and 30 members."""
    shape = (12, 160, 160)
    heart = np.zeros(shape, np.uint8)
    heart[1:-1, 30:100, 10:40] = 1
    heart[1:-1, 40:110, 40:110] = 2
    heart[1:-1, 55:95, 55:95] = 3
    members = np.stack([np.roll(heart, member // 3 - 5, axis=2) for member in range(30)])
    mean = np.stack([(members == label).mean(axis=0) for label in range(4)]).astype(np.float32)
    posterior = StoredPosterior.from_members(
        mean,
        members,
        prediction=heart,
        maps={"entropy": mean.std(axis=0), "mutual-information": mean.std(axis=0)},
    )
    phases = tuple(range(1, 26))
    geometry = make_geometry((25, *shape), (8, 1.4, 1.4), frame_time=40)
    labels = np.stack([heart] * 25)
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
        posteriors=dict.fromkeys(phases, posterior),
        prediction=labels,
        edited=labels.copy(),
        maps={"entropy": maps, "mutual-information": maps},
        review=ReviewState(ed=1, es=12),
    )


def test_an_edit_of_a_large_cine_is_fast(qtbot, tmp_path) -> None:
    session = ReviewSession(large_study(tmp_path))
    forms, viewer = ReviewForms(), ViewerModel()
    qtbot.addWidget(forms)
    controller = ReviewController(viewer, OpenedStudy(session, None), forms)
    drain(controller.open())
    controller.step(1)
    times = []
    for number in range(9):
        started = thread_time()
        controller.show_level(-0.05 * (number + 1))
        controller.view.show_edited()
        times.append(thread_time() - started)
    controller.corrections.accept_preview()
    assert min(times) < 0.05
    controller.close()


# Actions that are refused, with the reason


@pytest.mark.filterwarnings("ignore:Contours are not displayed")  # napari's warning in 3D
@pytest.mark.parametrize(
    "view", [{"ndisplay": 3}, {"order": (3, 0, 1, 2)}, {"order": (2, 3, 0, 1)}]
)
def test_without_a_slice_on_screen_nothing_is_decided(review, view) -> None:
    before = review.session.labels.copy()
    review.viewer.dims.update(view)
    for key in ("A", "D", "K"):
        review.press(key)
    assert review.session.state.decisions == {}
    assert np.array_equal(review.session.labels, before)
    assert review.said[-1] == NO_SLICE_SHOWN


def test_an_unsegmented_phase_disables_the_tools(review) -> None:
    review.controller.picture.show_slice((2, 1))
    form = review.forms.corrections
    review.settle()
    assert not form.level.isEnabled()
    assert form.buttons["revert"].toolTip() == NOT_SEGMENTED
    assert form.buttons["ED or ES"].isEnabled()
    for key in ("A", "W", "D", "R", "I"):
        review.press(key)
    review.controller.act("contour")
    review.controller.show_level(-0.5)
    assert review.said == [NOT_SEGMENTED] * 7
    assert review.controller.picture.place == (2, 1)
    assert review.session.state.decisions == {}
    review.controller.picture.show_slice(WORST)
    review.settle()
    assert form.level.isEnabled()


def test_a_missing_posterior_disables_level_and_alternatives(make_review, folder) -> None:
    posterior_file(folder, ES).unlink()
    review = make_review(folder)
    assert {phase for phase, _ in review.queue} == {ED}
    review.controller.picture.show_slice((ES, 1))
    form = review.forms.corrections
    review.settle()
    assert not form.level.isEnabled()
    assert not form.buttons["next alternative"].isEnabled()
    assert form.level.toolTip() == NO_POSTERIOR
    assert form.buttons["absent"].isEnabled()
    assert form.buttons["contour"].isEnabled()
    review.press("W")
    assert review.said == [NO_POSTERIOR]
    review.press("D")
    review.press("A")
    assert review.session.state.decisions[ES, 1].edited


def test_a_stroke_is_noted_before_an_action_in_another_slice(review) -> None:
    review.layer.paint((*index_of(WORST), 30, 30), MYO)
    review.press("Shift-E")  # changes the apex
    assert len(review.session.edited_places()) == 2
    assert [row.z for row in review.session.take_log()] == [WORST[1], WORST[1] + 1]


def test_a_read_only_volume_has_only_one_phase(make_review) -> None:
    review = make_review(phases=(None,))
    review.controller.view.read_only = True
    review.press("T")
    review.controller.view.show_usable()
    assert review.said == [ONE_PHASE]
    assert not review.forms.corrections.buttons["play"].isEnabled()
    assert review.forms.corrections.buttons["revert"].toolTip() == READ_ONLY


def test_what_stops_the_cine_stays_on_screen(review) -> None:
    player, picture = review.controller.player, review.controller.picture
    review.forms.corrections.requested.emit("play")
    review.qtbot.waitUntil(lambda: picture._place != WORST)
    review.controller.act("next alternative")  # returns to the first phase
    assert (player.is_playing, review.controller.picture.place) == (False, WORST)
    assert review.controller.corrections.is_preview
    review.settle()
    assert review.controller.corrections.is_preview


def test_nothing_is_decided_with_hidden_labels(review) -> None:
    review.layer.visible = False
    review.press("A")
    assert (review.said, review.session.state.decisions) == ([WAS_HIDDEN], {})
    review.press("A")
    assert list(review.session.state.decisions) == [WORST]


# Queue, slices and phases, with keys and forms


def choose_another_structure(review: Review) -> None:
    """Choose a structure that the queue does not name for the next slice."""
    following = next(item for item in review.controller.view.queue if place_of(item) != WORST)
    name = next(name for name in STRUCTURES if name != following.structure)
    review.forms.corrections.structures.structure_chosen.emit(name)


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
    assert review.forms.slice.buttons["next"].isEnabled()
    review.press("N")
    assert review.controller.picture.place == places[2]
    assert review.said[-1] == QUEUE_WRAPPED


def test_next_during_a_cine_follows_the_slice_at_which_it_began(review) -> None:
    review.press("N")
    _, z = review.controller.picture.place
    review.forms.corrections.requested.emit("play")
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
    assert not review.forms.slice.buttons["next"].isEnabled()
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


def test_the_structure_stays_while_a_tool_draws(review) -> None:
    form, items = review.forms.corrections, review.controller.view.queue
    other = items[1] = replace(items[1], structure="MYO")
    first = form.structure
    for start, end in (("J", "J"), ("P", "Z")):
        review.press(start)
        review.controller.go_to_queued(other.phase, other.z)
        assert form.structure == first
        review.press(end)
        review.controller.go_to_queued(*WORST)
    review.controller.go_to_queued(other.phase, other.z)
    assert form.structure == "MYO"


def test_the_structure_stays_when_slices_and_phases_are_turned(review) -> None:
    form, items = review.forms.corrections, review.controller.view.queue
    phase, z = (ES if WORST[0] == ED else ED), WORST[1]
    number = next(i for i, item in enumerate(items) if place_of(item) == (phase, z))
    name = "MYO" if items[0].structure != "MYO" else "LV"
    items[number] = replace(items[number], structure=name)
    for move in (
        lambda: review.viewer.dims.set_current_step(0, phase - 1),
        lambda: review.controller.act("ED or ES"),
        lambda: review.controller.step_phase(phase - WORST[0]),
    ):
        review.controller.go_to_queued(*WORST)
        move()
        review.qtbot.waitUntil(lambda: review.controller.picture.place == (phase, z))
        review.qtbot.wait(50)
        assert form.structure == items[0].structure
    review.forms.thumbnails.cell_chosen.emit(phase, z)
    assert form.structure == name


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
    review.controller.show_level(-0.5)
    assert not np.array_equal(review.now(WORST), start)
    review.press("N")
    assert np.array_equal(review.now(WORST), start)
    assert steps_of(review.layer) == 0


def test_undo_takes_back_one_thing_at_a_time_and_says_it(review) -> None:
    corrections = review.controller.corrections
    start, slice_ = review.now(WORST), "slice 3, ED"
    review.press("D")
    edited = review.now(WORST)
    review.press("A")
    review.press("Enter")  # the slice has a finding
    assert review.controller.picture.place != WORST
    corrections.undo()
    assert review.controller.picture.place == WORST
    assert WORST not in review.session.state.decisions
    assert np.array_equal(review.now(WORST), edited)
    assert review.said[-1] == UNDONE.format(what="acceptance", slices=slice_)
    review.saved()
    assert WORST not in read_study(review.session.study.folder).review.decisions
    corrections.undo()
    assert np.array_equal(review.now(WORST), start)
    assert review.said[-1] == UNDONE.format(what="marked absent", slices=slice_)
    corrections.undo()
    assert review.said[-1] == NOTHING_TO_UNDO
    corrections.redo()
    assert np.array_equal(review.now(WORST), edited)
    assert review.said[-1] == REDONE.format(what="marked absent", slices=slice_)
    corrections.redo()
    assert review.session.state.decisions[WORST].state == "accepted"
    corrections.redo()
    assert review.said[-1] == NOTHING_TO_REDO
    corrections.undo()
    review.press("K")
    corrections.redo()  # of the acceptance, before which the reader has flagged the slice
    assert review.session.state.decisions[WORST].state == "flagged"
    corrections.undo()
    assert WORST not in review.session.state.decisions


def test_redo_is_over_after_a_decision(review) -> None:
    start, corrections = review.now(WORST), review.controller.corrections
    review.press("D")
    corrections.undo()
    review.press("K")
    corrections.redo()
    assert review.said[-1] == NOTHING_TO_REDO
    assert np.array_equal(review.now(WORST), start)
    assert review.session.state.decisions[WORST].state == "flagged"


def test_undo_takes_back_a_comment_before_the_decision(review) -> None:
    decisions = lambda: review.session.state.decisions.get(WORST)  # noqa: E731
    review.press("K")
    for text in ("b", "base?"):
        review.controller.comment(text)
    review.controller.corrections.undo()
    assert (decisions().state, decisions().comment) == ("flagged", "")
    assert review.said[-1] == UNDONE.format(what="comment", slices="slice 3, ED")
    review.controller.corrections.undo()
    assert decisions() is None
    review.controller.corrections.redo()
    review.controller.corrections.redo()
    assert (decisions().state, decisions().comment) == ("flagged", "base?")
    review.controller.corrections.undo()
    review.controller.comment("apex?")
    review.controller.corrections.redo()
    assert review.said[-1] == NOTHING_TO_REDO
    assert decisions().comment == "apex?"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [(("A", "K", "K"), "accepted"), (("K", "A"), "")],
)
def test_flag_that_is_put_back_knows_what_was_before(review, keys, expected) -> None:
    for key in keys:
        review.controller.picture.show_slice(WORST)
        review.press(key)
    review.controller.corrections.undo()
    assert review.session.state_of(WORST) == "flagged"
    review.press("K")
    assert review.session.state_of(WORST) == expected


def test_accept_and_next_go_on_to_slices_that_the_order_leaves_out(review) -> None:
    view = review.controller.view
    view.queue = view.queue[:2]  # as with a structure that is uncertain in two slices
    named, whole = review.queue, set(review.session.to_accept())
    assert set(named) < whole
    for place in named[:-1]:
        review.session.decide(place, "accepted")
    review.controller.picture.show_slice(named[-1])
    review.press("A")
    assert ALL_ACCEPTED not in review.said
    assert not review.session.state.finished
    assert review.controller.picture.place in whole - set(named)
    review.controller.picture.show_slice(named[-1])
    review.press("N")
    assert review.controller.picture.place in whole - set(named)


def test_undo_in_a_hidden_slice_chooses_its_structure(review) -> None:
    form, items = review.forms.corrections, review.controller.view.queue
    items[0] = replace(items[0], structure="MYO")
    elsewhere = next(place_of(item) for item in items if place_of(item) != WORST)
    for shown, chosen in (("RV", "RV"), ("LV", "MYO")):  # what was undone, else as queued
        review.controller.picture.show_slice(WORST)
        form.structures.set_structure("RV")
        review.press("D")
        review.controller.picture.show_slice(elsewhere)
        form.structures.set_structure(shown)
        review.controller.corrections.undo()
        assert (review.controller.picture.place, form.structure) == (WORST, chosen)


@pytest.mark.parametrize("count", [1, 2])
def test_undo_names_slices_that_were_not_on_screen(review, count) -> None:
    elsewhere = next(place_of(i) for i in review.controller.view.queue if place_of(i) != WORST)
    places = [WORST, elsewhere][:count]
    corrections = review.controller.corrections
    corrections.put_all({place: np.zeros_like(review.now(place)) for place in places}, "absent")
    review.controller.picture.show_slice(elsewhere)
    corrections.undo()
    assert review.controller.picture.place in places
    named = "slice 3, ED" if count == 1 else "2 slices"
    assert review.said[-1] == UNDONE.format(what="marked absent", slices=named)


# Decisions on slices


def accept_all(review: Review) -> None:
    for place in review.queue:
        review.controller.picture.show_slice(place)
        review.controller.accept()


def test_accept_saves_and_shows_the_next_slice(review) -> None:
    places = review.queue
    review.press("A")
    assert review.session.state.decisions[WORST].state == "accepted"
    assert review.controller.picture.place == places[1]
    review.saved()
    saved = read_study(review.session.study.folder).review
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
    assert reported[-1] == ACCEPTED.format(slice=title, answer="", count=count)


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


def test_slice_that_is_not_drawn_yet_is_not_accepted(review) -> None:
    for accepted in (1, 2):
        review.settle()
        for _ in range(3):
            press(review.viewer, "A")
        assert review.session.state.count("accepted") == accepted


def test_accepting_again_only_shows_the_next_slice(review) -> None:
    places = review.queue
    for _ in range(2):
        review.controller.picture.show_slice(WORST)
        review.press("A")
        assert review.session.state.count("accepted") == 1
        assert review.controller.picture.place == places[1]
    review.controller.corrections.undo()
    assert WORST not in review.session.state.decisions
    review.controller.corrections.undo()
    assert review.said[-1] == NOTHING_TO_UNDO


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


def test_an_edit_reopens_an_accepted_slice(review, qtbot) -> None:
    review.press("A")
    review.controller.picture.show_slice(WORST)
    paint(review.layer, WORST, 3, 3, RV, qtbot)
    assert WORST not in review.session.state.decisions
    assert review.said[-1] == REOPENED.format(slice="Slice 3, ED")
    review.press("A")
    review.press("Enter")  # the voxel is a finding
    review.controller.picture.show_slice(WORST)
    review.press("R")
    assert review.said[-1] == f"{REVERTED} {REOPENED.format(slice='Slice 3, ED')}"
    review.press("A")
    review.controller.picture.show_slice(WORST)
    review.controller.comment("valve plane?")
    review.press("D")
    decision = review.session.state.decisions[WORST]
    assert (decision.state, decision.comment) == ("flagged", "valve plane?")


def test_a_comment_keeps_its_flag(review) -> None:
    for comment in ("valve plane?", ""):
        review.forms.slice.comment_changed.emit(comment)
    assert WORST not in review.session.state.decisions
    review.forms.slice.comment_changed.emit("valve plane?")
    assert review.session.state.decisions[WORST].state == "flagged"
    review.press("K")
    assert review.session.state.decisions[WORST].comment == "valve plane?"
    assert review.said[-1] == COMMENT_KEEPS_FLAG
    review.press("A")
    decision = review.session.state.decisions[WORST]
    assert (decision.state, decision.comment) == ("accepted", "valve plane?")


def test_a_flag_keeps_the_answer_on_screen(review) -> None:
    review.press("Q")
    answer = review.now(WORST)
    review.press("K")
    assert not review.controller.corrections.is_preview
    assert np.array_equal(review.now(WORST), answer)
    assert review.session.marks()[WORST] == {"edited", "flagged"}


@pytest.mark.parametrize("key", ["Control-Z", "I"])
def test_the_canvas_names_no_answer_that_changed_nothing(review, key: str) -> None:
    review.press("W")
    review.forms.corrections.buttons["use answer"].click()
    review.press("W")  # the same again
    review.settle()
    assert review.controller.picture.caption.text.text.count("Answer")
    review.press(key)
    review.settle()
    assert not review.controller.corrections.is_preview
    assert not review.controller.picture.caption.text.text.count("Answer")


def test_a_cine_says_that_an_answer_was_not_kept(review) -> None:
    review.press("W")
    review.forms.corrections.requested.emit("play")
    review.qtbot.waitUntil(lambda: not review.controller.corrections.is_preview)
    assert review.said == [NOT_KEPT.format(number=1)]


def test_accept_stops_a_playing_cine(review) -> None:
    review.forms.corrections.requested.emit("play")
    assert review.controller.player.is_playing
    assert review.forms.corrections.buttons["play"].text().startswith("Stop")
    review.qtbot.waitUntil(lambda: review.controller.picture.place != WORST)
    assert review.session.state.current == WORST  # played slices do not count as viewed
    review.press("A")
    assert not review.controller.player.is_playing
    assert review.session.state.decisions == {}
    assert review.said[-1] == CINE_STOPPED
    assert review.session.state.current == review.controller.picture.place
    review.forms.corrections.requested.emit("play")
    review.press("D")  # a correction stops the cine
    assert not review.controller.player.is_playing


# Tools of correction, with their keys and their form


def press_until_changed(review: Review, start: np.ndarray) -> None:
    """Press W until the labels change, because the first alternatives may equal them."""
    for _ in range(len(review.session.alternatives_in(WORST))):
        review.press("W")
        if not np.array_equal(review.now(WORST), start):
            return
    raise AssertionError("All alternatives are equal.")


def move_a_handle(review: Review) -> None:
    handles = review.controller.contour
    move_handle(handles, 0, handles.handles[0] + [-4, 0])


@pytest.mark.parametrize("key", ["D", "R", "W"])
def test_other_tools_end_the_contour(review, key) -> None:
    review.controller.act("contour")
    move_a_handle(review)
    review.press(key)
    assert not review.controller.contour.is_active
    shown = review.now(WORST)
    review.press("A")
    assert np.array_equal(review.now(WORST), shown)


def test_accept_keeps_the_previewed_alternative(review) -> None:
    reported: list[str] = []
    review.controller.reported.connect(reported.append)
    press_until_changed(review, review.now(WORST))
    shown = review.now(WORST)
    answer = WITH_ANSWER.format(number=review.controller.corrections.shown_alternative)
    assert steps_of(review.layer) == 0
    assert np.array_equal(review.session.labels_to_save(), review.session.study.prediction)
    review.press("A")
    assert answer in reported[-1]
    assert np.array_equal(review.now(WORST), shown)
    assert steps_of(review.layer) == 1
    assert review.session.state.decisions[WORST].edited


def test_tools_that_can_do_nothing_are_disabled(review) -> None:
    controller, buttons = review.controller, review.forms.corrections.buttons

    def usable(*actions: str) -> list[bool]:
        review.settle()
        return [buttons[action].isEnabled() for action in actions]

    controller.choose_structure("RV")
    ends = "apex outwards", "apex inwards"
    assert usable("revert", "absent", "push", *ends) == [False, True, True, False, True]
    assert buttons["apex outwards"].toolTip() != buttons["apex inwards"].toolTip()
    review.press("D")
    assert usable("revert", "absent", "push", "scribble") == [True, False, False, True]
    controller.session.change(protected=("LV",))
    controller.choose_structure("LV")
    assert usable("scribble", "shrink", *ends, "revert") == [False, False, False, False, True]


def test_b_brings_back_what_was_removed(make_review) -> None:
    review = make_review(removed=[2, 3])
    session, button = review.session, review.forms.corrections.buttons["bring back"]
    phase, _ = review.controller.picture.place
    removed = session.removed_in(phase)
    assert removed.any()
    assert button.isEnabled()
    review.press("B")
    assert np.array_equal(session.labels[phase - 1][2:], removed[2:])
    review.settle()
    assert not button.isEnabled()


def test_keys_step_through_slices_and_structures(review) -> None:
    review.controller.picture.show_slice((ED, 1))
    towards_apex = 1 if review.session.base_is_first is not False else -1
    review.press("PageDown")
    assert review.controller.picture.place == (ED, 1 + towards_apex)
    review.press("PageUp")
    assert review.controller.picture.place == (ED, 1)
    for _ in range(5):
        review.press("PageUp")
    assert review.controller.picture.place == (ED, 0 if towards_apex == 1 else 3)
    names = [*review.session.structures]
    review.forms.corrections.structures.structure_chosen.emit(names[-1])
    review.press("Shift-S")
    assert review.forms.corrections.structure == names[0]
    assert review.layer.selected_label == review.session.structures[names[0]]


def test_a_tool_of_napari_that_changes_labels_is_said(review) -> None:
    review.layer.mode = "paint"  # as by P
    assert review.said[-1] == PAINTS.format(tool="brush")
    brush = review.forms.corrections.buttons["brush"]
    assert brush.isChecked()
    review.controller.act("brush")
    assert review.layer.mode == "pan_zoom"
    assert not brush.isChecked()
    review.controller.act("brush")
    assert review.layer.mode == "paint"


def test_looking_at_answers_costs_nothing(review) -> None:
    session, numbers = review.session, review.session.measured()
    start, state = review.now(WORST), session.state
    press_until_changed(review, start)
    review.settle()
    assert session.measured() == numbers
    assert session.marks() == {}
    assert session.state is state
    assert session.peek_log() == []
    assert steps_of(review.layer) == 0
    review.press("Escape")
    assert np.array_equal(review.now(WORST), start)
    before = [*review.layer.keymap, *review.viewer.keymap]
    press_until_changed(review, start)
    shown = review.now(WORST)
    review.press("Enter")
    assert review.controller.picture.place == WORST
    assert np.array_equal(review.now(WORST), shown)
    assert steps_of(review.layer) == 1
    assert session.marks() == {WORST: {"edited"}}
    assert [*review.layer.keymap, *review.viewer.keymap] == before


def test_only_enter_accepts_a_slice_with_a_finding(review) -> None:
    show, state_of = partial(review.controller.picture.show_slice, (ED, 1)), review.session.state_of
    show()
    review.controller.corrections.remove((ED, 1), LV)
    keys, button = [*review.layer.keymap], review.forms.slice.buttons["accept"]
    for _ in range(5):  # or the key is held
        review.press("A")
    assert review.said[-1] == ASKED.format(finding=review.controller.view.finding_in((ED, 1)))
    assert review.controller.picture.place == (ED, 1)
    assert button.text().startswith("Accept  Enter")
    for end in ("N", "Escape", "T", "D", "Control-Z"):
        review.press(end)
        assert button.text().startswith("Accept  A")
        assert [*review.layer.keymap] == keys  # Enter is napari's again
        show()
        review.press("A")
    assert review.session.state.decisions == {}
    review.press("Enter")
    assert state_of((ED, 1)) == "accepted"
    assert review.controller.picture.place != (ED, 1)
    review.press("Control-Z")
    show()
    button.click()
    button.click()
    assert state_of((ED, 1)) == "accepted"


def test_question_leaves_an_answer_as_it_is(review) -> None:
    review.press("A")
    review.controller.picture.show_slice(WORST)
    assert review.session.state_of(WORST) == "accepted"
    saved = review.now(WORST)
    review.controller.corrections.show_level(WORST, RV, -1.0)  # in two pieces
    shown = review.now(WORST)
    assert not np.array_equal(shown, saved)
    review.press("A")
    assert review.said[-1].startswith(review.controller.view.finding_in(WORST))
    assert review.session.state_of(WORST) == "accepted"
    assert np.array_equal(review.session.labels_to_save()[ED - 1, WORST[1]], saved)
    review.press("Enter")
    assert np.array_equal(review.now(WORST), shown)
    assert review.session.state_of(WORST) == "accepted"
    assert review.controller.picture.place != WORST


def test_comment_keeps_the_answer_on_screen(review) -> None:
    press_until_changed(review, review.now(WORST))
    shown = review.now(WORST)
    review.controller.comment("b")
    review.press("N")
    assert np.array_equal(review.now(WORST), shown)
    assert review.session.state.decisions[WORST].comment == "b"


def test_undo_and_redo_are_keys_of_every_layer(make_review) -> None:
    review = make_review()
    start = review.now(WORST)
    review.press("R")
    review.press("D")
    changed = review.now(WORST)
    assert not np.array_equal(changed, start)
    for layer in (*review.viewer.layers, None):
        review.viewer.layers.selection.active = layer
        review.press("Control-Z")
        assert np.array_equal(review.now(WORST), start)
        review.viewer.layers.selection.active = layer
        review.press("Control-Shift-Z")
        assert np.array_equal(review.now(WORST), changed)


def test_leaving_the_slice_discards_an_alternative(review) -> None:
    start = review.now(WORST)
    review.press("Q")
    assert not np.array_equal(review.now(WORST), start)
    last = len(review.session.alternatives_in(WORST))
    review.press("N")
    assert review.said[-1] == NOT_KEPT.format(number=last)
    assert np.array_equal(review.now(WORST), start)
    assert steps_of(review.layer) == 0
    review.press("Shift-N")
    review.settle()
    assert not review.forms.corrections.buttons["use answer"].isEnabled()


def test_a_preview_leaves_nothing_to_save(review) -> None:
    review.controller.saver.save()
    review.saved()
    review.press("Q")
    review.press("W")
    assert not review.controller.saver.has_unsaved
    review.press("Q")
    review.controller.corrections.accept_preview()
    assert review.controller.saver.has_unsaved


def test_use_this_keeps_the_alternative_and_stays(review) -> None:
    review.press("Q")
    shown = review.now(WORST)
    assert review.forms.corrections.buttons["use answer"].isEnabled()
    review.forms.corrections.buttons["use answer"].click()
    assert review.controller.picture.place == WORST
    assert steps_of(review.layer) == 1
    assert np.array_equal(review.now(WORST), shown)
    assert not review.forms.corrections.buttons["use answer"].isEnabled()


def test_choosing_a_structure_keeps_the_preview(review) -> None:
    review.press("Q")
    review.forms.corrections.structures.structure_chosen.emit("RV")
    assert review.controller.corrections.is_preview
    assert review.layer.selected_label == RV
    review.forms.corrections.level.level_released.emit()  # nor does a click on the slider accept it
    assert review.controller.corrections.is_preview


def test_the_level_of_a_slice_is_remembered(review) -> None:
    form = review.forms.corrections
    form.structures.set_structure("LV")
    before = form.level.value.text()
    form.level.level_moved.emit(-0.5)
    review.settle()
    assert form.level.value.text() != before  # mL in this slice
    assert review.forms.numbers.numbers is not None
    form.level.level_released.emit()
    form.level.set_level(-0.5)
    review.settle()
    assert form.level.margin == pytest.approx(-0.5, abs=0.01)
    assert steps_of(review.layer) == 1
    review.press("N")
    review.settle()
    assert form.level.margin == 0
    review.press("Shift-N")
    form.structures.chips["LV"].click()  # the queue has chosen another
    assert form.level.margin == pytest.approx(-0.5, abs=0.01)
    review.controller.corrections.undo()
    review.settle()
    assert form.level.margin == 0


def test_a_level_says_that_it_replaces_a_correction(review, qtbot) -> None:
    name = review.session.structure_name(review.controller.view.label)
    review.press("=")
    assert FROM_PREDICTION.format(structure=name) not in review.said
    paint(review.layer, WORST, 3, 3, review.controller.view.label, qtbot)
    painted = review.now(WORST)
    review.press("=")
    assert review.said[-1] == FROM_PREDICTION.format(structure=name)
    review.controller.corrections.undo()
    assert np.array_equal(review.now(WORST), painted)


def test_a_comment_renews_the_advice(review) -> None:
    advised = review.controller.view._advised
    review.forms.slice.comment_changed.emit("valve plane?")
    review.settle()
    assert review.controller.view._advised is review.session.state is not advised


def test_undone_decision_chooses_the_structure_in_doubt(review) -> None:
    form, items = review.forms.corrections, review.controller.view.queue
    review.press("D")
    review.controller.corrections.undo()  # of this structure
    review.press("A")
    review.controller.choose_structure("MYO" if items[0].structure != "MYO" else "LV")
    review.controller.corrections.undo()
    assert form.structure == items[0].structure


def test_a_contour_says_what_else_it_changes(review) -> None:
    review.controller.choose_structure("LV")
    review.controller.act("contour")
    handles = review.controller.contour
    move_handle(handles, 0, handles.handles[0] + [-6, 0])
    handles.apply()
    assert review.said[-1].startswith(ALSO_CHANGED.partition("{")[0])


def test_the_level_of_a_locked_structure_returns(review) -> None:
    form = review.forms.corrections
    name = review.session.structure_name(review.controller.view.label)
    form.locks.protection_toggled.emit(name, True)
    form.level.slider.setValue(40)
    assert form.level.slider.value() == 0
    assert review.said == [IS_LOCKED.format(structure=name)]


def test_leaving_the_slice_discards_an_unreleased_level(review) -> None:
    start = review.now(WORST)
    review.controller.show_level(-0.5)
    review.viewer.dims.set_current_step(0, ES - 1)
    review.qtbot.waitUntil(lambda: not review.controller.corrections.is_preview)
    assert np.array_equal(review.now(WORST), start)
    assert steps_of(review.layer) == 0


@pytest.mark.parametrize(
    ("key", "place"), [("Shift-W", (ED, 0)), ("Shift-E", (ED, 3))], ids=["base", "apex"]
)
def test_an_end_moves_by_one_undo_step(review, key, place) -> None:
    review.forms.corrections.structures.set_structure("RV")
    before = review.session.labels.copy()
    review.press(key)
    assert review.controller.picture.place == place  # the changed slice is shown
    assert not (review.now(place) == RV).any()
    assert steps_of(review.layer) == 1
    assert review.session.edited_places() == [place]
    assert "edited" in review.session.marks()[place]
    row = review.session.peek_log()[-1]
    assert (row.tool, row.phase, row.z) == (ENDS, *place)
    review.settle()
    strip = review.forms.corrections.strip
    assert not strip.presence.drawn[place[1]]
    review.controller.saver.save()
    review.saved()
    assert np.array_equal(read_study(review.session.study.folder).edited, review.session.labels)
    review.controller.picture.show_slice(WORST)
    review.controller.corrections.undo()
    assert review.controller.picture.place == place
    assert np.array_equal(review.session.labels, before)
    assert review.session.edited_places() == []
    review.settle()
    assert strip.presence.drawn.all()


def test_an_end_that_moved_in_moves_out(review) -> None:
    review.forms.corrections.structures.set_structure("RV")
    before = review.session.labels.copy()
    for key in ("Shift-W", "Shift-W", "Shift-Q"):
        review.press(key)
    assert review.controller.picture.place == (ED, 1)
    review.press("Shift-Q")
    assert review.controller.picture.place == (ED, 0)
    assert np.array_equal(review.session.labels, before)
    assert steps_of(review.layer) == 4
    assert len(review.said) == 4
    for key in ("Shift-Q", "Shift-R"):
        review.press(key)
    assert steps_of(review.layer) == 4  # refused at the edge of the image
    assert [e in said for e, said in zip(("base", "apex"), review.said[4:], strict=True)]


def test_moving_an_end_keeps_the_preview(review) -> None:
    review.press("Q")
    shown = review.now(WORST)
    review.press("Shift-W")
    assert np.array_equal(review.now(WORST), shown)
    assert steps_of(review.layer) == 2


def test_the_strip_shows_members_and_slice(review) -> None:
    corrections = review.forms.corrections
    corrections.structures.chips["LV"].click()
    shown = corrections.strip.presence
    assert (shown.models, shown.current, shown.base_first) == (5, WORST[1], True)
    assert shown.shares.tolist() == [1, 1, 1, 1]
    point = corrections.strip.cell_rect(0).center()
    review.qtbot.mouseClick(corrections.strip, Qt.MouseButton.LeftButton, pos=point)
    assert review.controller.picture.place == (ED, 0)
    review.settle()
    assert corrections.strip.presence.current == 0
    review.controller.picture.show_slice((2, 1))  # not segmented
    review.settle()
    shown = corrections.strip.presence
    assert shown.shares is None
    assert not shown.drawn.any()
    assert not any(corrections.buttons[action].isEnabled() for action in END_BUTTONS)


def test_j_lets_the_mouse_draw_strokes(review) -> None:
    form = review.forms.corrections
    form.structures.set_structure("RV")
    review.press("J")
    assert review.controller.scribble.is_active
    assert form.buttons["scribble"].isChecked()
    assert review.controller.window_level.needs_shift
    stroke = np.zeros(review.now().shape, bool)
    stroke[31:35, 43] = True
    before = review.now()
    review.controller.scribble.drawn.emit(stroke, True)
    assert (review.now()[stroke] == RV).all()
    assert review.session.peek_log()[-1].tool == SCRIBBLE
    assert review.session.edited_places() == [WORST]
    review.controller.corrections.undo()
    assert np.array_equal(review.now(), before)
    review.press("A")
    assert review.controller.scribble.is_active  # for the next slice
    form.buttons["scribble"].click()
    assert not review.controller.scribble.is_active
    assert not form.buttons["scribble"].isChecked()
    assert not review.controller.window_level.needs_shift


def test_only_one_tool_has_the_mouse(review) -> None:
    review.press("J")
    review.controller.act("contour")
    assert not review.controller.scribble.is_active
    assert review.controller.contour.is_active
    review.press("J")
    assert review.controller.scribble.is_active
    assert not review.controller.contour.is_active
    review.layer.mode = "paint"
    assert not review.controller.scribble.is_active
    assert not review.forms.corrections.buttons["scribble"].isChecked()


def test_strokes_need_a_posterior(make_review, folder) -> None:
    posterior_file(folder, ED).unlink()
    review = make_review(folder)
    review.controller.picture.show_slice(WORST)
    review.press("J")
    assert review.said == [NO_POSTERIOR]
    assert not review.controller.scribble.is_active
    assert not review.forms.corrections.buttons["scribble"].isChecked()


def test_apply_keeps_the_contour(review) -> None:
    before = review.now(WORST)
    review.forms.corrections.structures.set_structure("LV")
    review.controller.act("contour")
    assert review.controller.contour.is_active
    assert review.forms.corrections.buttons["apply contour"].isEnabled()
    move_a_handle(review)
    review.forms.corrections.requested.emit("apply contour")
    assert not review.controller.contour.is_active
    assert not review.forms.corrections.buttons["apply contour"].isEnabled()
    assert not np.array_equal(review.now(WORST), before)
    assert steps_of(review.layer) == 1
    assert review.viewer.layers.selection.active is review.layer


def test_accept_keeps_the_contour(review) -> None:
    before = review.now(WORST)
    review.controller.act("contour")
    move_a_handle(review)
    review.press("A")
    assert not np.array_equal(review.now(WORST), before)
    assert review.session.state.decisions[WORST].edited


def test_leaving_the_slice_keeps_a_moved_contour(review) -> None:
    before = review.now(WORST)
    review.controller.act("contour")
    review.press("N")
    assert not review.controller.contour.is_active
    assert np.array_equal(review.now(WORST), before)
    review.press("Shift-N")
    review.controller.act("contour")
    move_a_handle(review)
    review.press("N")
    assert not review.controller.contour.is_active
    assert not review.forms.corrections.buttons["apply contour"].isEnabled()
    assert not np.array_equal(review.now(WORST), before)
    assert steps_of(review.layer) == 1


def test_closing_saves_a_moved_contour(review, tmp_path) -> None:
    folder = review.session.study.folder
    before = review.now(WORST)
    review.controller.act("contour")
    move_a_handle(review)
    review.controller.close()
    saved = read_study(folder).edited
    assert not np.array_equal(saved[WORST[0] - 1, WORST[1]], before)


def test_an_absent_structure_has_no_contour(review) -> None:
    review.press("D")
    name = review.forms.corrections.structure
    review.controller.act("contour")
    assert review.said[-1] == NO_CONTOUR.format(name)
    assert not review.controller.contour.is_active


def test_keys_correct_the_slice_on_screen(review) -> None:
    review.press("D")
    assert not (review.now(WORST) == review.controller.view.label).any()
    review.press("R")
    assert np.array_equal(review.now(WORST), predicted(review.session, WORST))
    review.press("I")
    assert str(WORST[1] + 1) in review.said[-1]
    for z in (1, 3):
        review.session.decide((ED, z), "accepted")
    review.press("I")
    assert review.session.edited_places() == [WORST]


@pytest.mark.parametrize(
    ("where", "source"),
    [("slice above", (ED, 1)), ("slice below", (ED, 3))],
)
def test_a_structure_is_copied_from_a_neighbour(review, where, source) -> None:
    review.forms.corrections.structures.set_structure("LV")
    review.forms.corrections.copy_requested.emit(where)
    assert np.array_equal(review.now(WORST) == LV, review.now(source) == LV)


def test_copies_need_a_source_with_labels(review) -> None:
    review.forms.corrections.copy_requested.emit("next phase")  # phase 2 was not segmented
    assert review.said[-1] == NOTHING_TO_COPY.format("next phase")
    review.controller.picture.show_slice((ED, 0))
    review.forms.corrections.copy_requested.emit("slice above")
    assert review.said[-1] == NOTHING_TO_COPY.format("slice above")
    assert review.session.edited_places() == []


def test_a_copy_during_a_cine_is_from_next_to_the_first_phase(make_review) -> None:
    review = make_review(phases=(1, 2, 3, 4))
    review.forms.corrections.structures.set_structure("LV")
    review.forms.corrections.requested.emit("play")
    review.controller.picture.go_to((2, 2))
    review.forms.corrections.copy_requested.emit("next phase")
    assert review.controller.picture.place == WORST
    assert np.array_equal(review.now() == LV, predicted(review.session, (2, 2)) == LV)


def test_the_brush_can_be_limited_by_entropy(review) -> None:
    for threshold in (0.3, None):
        review.forms.corrections.brush_limited.emit(threshold)
        assert review.controller.corrections.threshold == threshold


def test_finished_structures_are_protected_and_saved(review) -> None:
    review.forms.corrections.locks.protection_toggled.emit("LV", True)
    review.forms.corrections.structures.set_structure("LV")
    review.press("D")
    assert (review.now(WORST) == LV).any()
    review.controller.saver.save_now()
    assert read_study(review.session.study.folder).review.protected == ("LV",)
    review.forms.corrections.locks.protection_toggled.emit("LV", False)
    assert review.session.state.protected == ()


def test_the_prediction_is_never_changed(review) -> None:
    prediction = result_layers(review.viewer, review.controller.picture.image)["prediction"]
    before = np.array(prediction.data)
    for key in ("D", "W", "A", "W", "A", "R"):
        review.press(key)
    review.controller.corrections.undo()
    assert np.array_equal(prediction.data, before)
    assert np.array_equal(review.session.study.prediction, before)


def test_only_structures_can_be_painted(review) -> None:
    before = review.now(WORST)
    paint(review.layer, WORST, 2, 2, 7, review.qtbot)
    assert np.array_equal(review.now(WORST), before)
    assert review.said == [NOT_A_STRUCTURE.format(label=7, structures="RV, MYO, LV")]
    assert review.session.edited_places() == []


def test_brush_and_chip_have_the_same_structure_whatever_napari_chooses(review) -> None:
    review.controller.choose_structure("LV")
    layer, form = review.layer, review.forms.corrections
    layer.swap_selected_and_background_labels()  # as napari's X does
    assert (layer.selected_label, form.structure) == (LV, "LV")
    layer.selected_label = 1  # as napari's layer controls do
    assert (layer.selected_label, form.structure) == (1, "RV")
    layer.selected_label = 9
    assert (layer.selected_label, form.structure) == (1, "RV")
