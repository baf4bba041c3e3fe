"""Tools of correction, with their keys and their form."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.review.ends import IS_LOCKED
from napari_bayes_nnunet.io.study.arrays import posterior_file
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.editing.corrections import (
    ENDS,
    NO_CONTOUR,
    NO_POSTERIOR,
    NOT_A_STRUCTURE,
    NOT_KEPT,
    SCRIBBLE,
)
from napari_bayes_nnunet.widgets.layers.result_layers import result_layers
from napari_bayes_nnunet.widgets.review.correction_tools import NOTHING_TO_COPY

from ...helpers.data.cines import ED, ES, LV, RV, WORST, make_cine
from ...helpers.windows.reviewing import Review, make_review, paint, predicted, review, steps_of

__all__ = ["make_review", "review"]


def press_until_changed(review: Review, start: np.ndarray) -> None:
    """Press W until the labels change, because the first alternatives may equal them."""
    for _ in range(len(review.session.alternatives_in(WORST))):
        review.press("W")
        if not np.array_equal(review.now(WORST), start):
            return
    raise AssertionError("All alternatives are equal.")


def move_a_handle(review: Review) -> None:
    handles = review.controller.contour.handles
    handles.move_handle(0, handles.handles[0] + [-4, 0])


@pytest.mark.parametrize("key", ["D", "R", "W"])
def test_other_tools_end_the_contour(review, key) -> None:
    review.controller.tools.edit_contour()
    move_a_handle(review)
    review.press(key)
    assert not review.controller.contour.handles.is_active
    shown = review.now(WORST)
    review.press("A")
    assert np.array_equal(review.now(WORST), shown)


def test_accept_keeps_the_previewed_alternative(review) -> None:
    start = review.now(WORST)
    press_until_changed(review, start)
    shown = review.now(WORST)
    assert steps_of(review.layer) == 0
    assert np.array_equal(review.session.labels_to_save(), review.session.study.prediction)
    review.press("A")
    assert np.array_equal(review.now(WORST), shown)
    assert steps_of(review.layer) == 1
    assert review.session.state.decisions[WORST].edited


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
    assert "from 5 models" in review.forms.corrections.alternative.text()
    assert not review.forms.corrections.take_button.isEnabled()


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
    assert review.forms.corrections.take_button.isEnabled()
    review.forms.corrections.take_button.click()
    assert review.controller.picture.place == WORST
    assert steps_of(review.layer) == 1
    assert np.array_equal(review.now(WORST), shown)
    assert not review.forms.corrections.take_button.isEnabled()


def test_choosing_a_structure_keeps_the_preview(review) -> None:
    review.press("Q")
    review.forms.corrections.structure_chosen.emit("RV")
    assert review.controller.corrections.is_preview
    assert review.layer.selected_label == RV
    review.forms.corrections.level_released.emit()  # nor does a click on the slider accept it
    assert review.controller.corrections.is_preview


def test_the_level_of_a_slice_is_remembered(review) -> None:
    form = review.forms.corrections
    form.set_structure("LV")
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


def test_the_level_of_a_locked_structure_returns(review) -> None:
    form = review.forms.corrections
    name = review.session.structure_name(review.controller.context.label)
    form.protection_toggled.emit(name, True)
    form.level.slider.setValue(40)
    assert form.level.slider.value() == 0
    assert review.said == [IS_LOCKED.format(structure=name)]


def test_leaving_the_slice_discards_an_unreleased_level(review) -> None:
    start = review.now(WORST)
    review.controller.tools.show_level(-0.5)
    review.viewer.dims.set_current_step(0, ES - 1)
    review.qtbot.waitUntil(lambda: not review.controller.corrections.is_preview)
    assert np.array_equal(review.now(WORST), start)
    assert steps_of(review.layer) == 0


@pytest.mark.parametrize(
    ("key", "place"), [("Shift-W", (ED, 0)), ("Shift-E", (ED, 3))], ids=["base", "apex"]
)
def test_an_end_moves_by_one_undo_step(review, tmp_path, key, place) -> None:
    review.forms.corrections.set_structure("RV")
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
    strip = review.forms.corrections.ends.strip
    assert not strip.presence.drawn[place[1]]
    review.controller.saver.save()
    review.saved()
    assert np.array_equal(read_study(tmp_path / "heart").edited, review.session.labels)
    review.controller.picture.show_slice(WORST)
    review.controller.corrections.undo()
    assert review.controller.picture.place == place
    assert np.array_equal(review.session.labels, before)
    assert review.session.edited_places() == []
    review.settle()
    assert strip.presence.drawn.all()


def test_an_end_that_moved_in_moves_out(review) -> None:
    review.forms.corrections.set_structure("RV")
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
    shown = corrections.ends.strip.presence
    assert (shown.models, shown.current, shown.base_first) == (5, WORST[1], True)
    assert shown.shares.tolist() == [1, 1, 1, 1]
    point = corrections.ends.strip.cell_rect(0).center()
    review.qtbot.mouseClick(corrections.ends.strip, Qt.MouseButton.LeftButton, pos=point)
    assert review.controller.picture.place == (ED, 0)
    review.settle()
    assert corrections.ends.strip.presence.current == 0
    review.controller.picture.show_slice((2, 1))  # not segmented
    review.settle()
    shown = corrections.ends.strip.presence
    assert shown.shares is None
    assert not shown.drawn.any()
    assert not any(button.isEnabled() for button in corrections.ends.buttons.values())


def test_j_lets_the_mouse_draw_strokes(review) -> None:
    form = review.forms.corrections
    form.set_structure("RV")
    review.press("J")
    assert review.controller.tools.scribble.is_active
    assert form.scribble_button.isChecked()
    assert review.controller.window_level.needs_shift
    stroke = np.zeros(review.now().shape, bool)
    stroke[31:35, 43] = True
    before = review.now()
    review.controller.tools.scribble.drawn.emit(stroke, True)
    assert (review.now()[stroke] == RV).all()
    assert review.session.peek_log()[-1].tool == SCRIBBLE
    assert review.session.edited_places() == [WORST]
    review.controller.corrections.undo()
    assert np.array_equal(review.now(), before)
    review.press("A")
    assert review.controller.tools.scribble.is_active  # for the next slice
    form.scribble_button.click()
    assert not review.controller.tools.scribble.is_active
    assert not form.scribble_button.isChecked()
    assert not review.controller.window_level.needs_shift


def test_only_one_tool_has_the_mouse(review) -> None:
    review.press("J")
    review.controller.tools.edit_contour()
    assert not review.controller.tools.scribble.is_active
    assert review.controller.contour.handles.is_active
    review.press("J")
    assert review.controller.tools.scribble.is_active
    assert not review.controller.contour.handles.is_active
    review.layer.mode = "paint"
    assert not review.controller.tools.scribble.is_active
    assert not review.forms.corrections.scribble_button.isChecked()


def test_strokes_need_a_posterior(make_review, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    posterior_file(folder, ED).unlink()
    review = make_review(folder)
    review.controller.picture.show_slice(WORST)
    review.press("J")
    assert review.said == [NO_POSTERIOR]
    assert not review.controller.tools.scribble.is_active
    assert not review.forms.corrections.scribble_button.isChecked()


def test_apply_keeps_the_contour(review) -> None:
    before = review.now(WORST)
    review.forms.corrections.set_structure("LV")
    review.controller.tools.edit_contour()
    assert review.controller.contour.handles.is_active
    assert review.forms.corrections.apply_button.isEnabled()
    move_a_handle(review)
    review.forms.corrections.contour_applied.emit()
    assert not review.controller.contour.handles.is_active
    assert not review.forms.corrections.apply_button.isEnabled()
    assert not np.array_equal(review.now(WORST), before)
    assert steps_of(review.layer) == 1
    assert review.viewer.layers.selection.active is review.layer


def test_accept_keeps_the_contour(review) -> None:
    before = review.now(WORST)
    review.controller.tools.edit_contour()
    move_a_handle(review)
    review.press("A")
    assert not np.array_equal(review.now(WORST), before)
    assert review.session.state.decisions[WORST].edited


def test_leaving_the_slice_keeps_a_moved_contour(review) -> None:
    before = review.now(WORST)
    review.controller.tools.edit_contour()
    review.press("N")
    assert not review.controller.contour.handles.is_active
    assert np.array_equal(review.now(WORST), before)
    review.press("Shift-N")
    review.controller.tools.edit_contour()
    move_a_handle(review)
    review.press("N")
    assert not review.controller.contour.handles.is_active
    assert not review.forms.corrections.apply_button.isEnabled()
    assert not np.array_equal(review.now(WORST), before)
    assert steps_of(review.layer) == 1


def test_closing_saves_a_moved_contour(review, tmp_path) -> None:
    folder = review.session.study.folder
    before = review.now(WORST)
    review.controller.tools.edit_contour()
    move_a_handle(review)
    review.controller.close()
    saved = read_study(folder).edited
    assert not np.array_equal(saved[WORST[0] - 1, WORST[1]], before)


def test_an_absent_structure_has_no_contour(review) -> None:
    review.press("D")
    name = review.forms.corrections.structure
    review.controller.tools.edit_contour()
    assert review.said[-1] == NO_CONTOUR.format(name)
    assert not review.controller.contour.handles.is_active


def test_keys_correct_the_slice_on_screen(review) -> None:
    review.press("D")
    assert not (review.now(WORST) == review.controller.context.label).any()
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
    review.forms.corrections.set_structure("LV")
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
    review.forms.corrections.set_structure("LV")
    review.forms.corrections.play_requested.emit()
    review.controller.picture.go_to((2, 2))
    review.forms.corrections.copy_requested.emit("next phase")
    assert review.controller.picture.place == WORST
    assert np.array_equal(review.now() == LV, predicted(review.session, (2, 2)) == LV)


def test_the_brush_can_be_limited_by_entropy(review) -> None:
    review.forms.corrections.brush_limited.emit(0.3)
    before = review.now(WORST)
    y, x = review.session.most_uncertain_in(WORST)
    review.layer.brush_size = 15
    paint(review.layer, WORST, y, x, LV, review.qtbot)
    changed = review.now(WORST) != before
    assert (review.session.entropy_in(WORST)[changed] > 0.3).all()
    review.forms.corrections.brush_limited.emit(None)
    assert review.controller.corrections.threshold is None


def test_finished_structures_are_protected_and_saved(review, tmp_path) -> None:
    review.forms.corrections.protection_toggled.emit("LV", True)
    review.forms.corrections.set_structure("LV")
    review.press("D")
    assert (review.now(WORST) == LV).any()
    review.controller.saver.save_now()
    assert read_study(tmp_path / "heart").review.protected == ("LV",)
    review.forms.corrections.protection_toggled.emit("LV", False)
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
