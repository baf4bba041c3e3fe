"""Controller of a review: opening, settings, views and closing."""

from __future__ import annotations

import re
from time import thread_time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.app.report.number_warnings import NO_STROKE, SAME_PHASE
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.ensemble.maps import ENTROPY, MUTUAL_INFORMATION, VARIANCE
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.io.study.info import StudyInfo
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState
from napari_bayes_nnunet.io.study.study import Study, has_corrections, read_study, save_review
from napari_bayes_nnunet.widgets.layers.captions import CAPTION_KEY, PatientLetters, has_letters
from napari_bayes_nnunet.widgets.layers.keys import KEYS
from napari_bayes_nnunet.widgets.layers.result_layers import result_layers
from napari_bayes_nnunet.widgets.layers.review_layers import CLOSED_UNSAVED
from napari_bayes_nnunet.widgets.layers.viewing import index_of
from napari_bayes_nnunet.widgets.reading.picture import OpenedStudy
from napari_bayes_nnunet.widgets.reading.uncertainty_view import (
    INCLUSION,
    MEMBER_LINES,
    NOTHING,
    VIEWS,
)
from napari_bayes_nnunet.widgets.review.controller import ReviewController
from napari_bayes_nnunet.widgets.review.export import IMAGE_NEEDED
from napari_bayes_nnunet.widgets.review.forms import ReviewForms

from ...helpers.data.cines import ED, ES, LV, RV, STRUCTURES, WORST, image_of, make_cine
from ...helpers.windows.reviewing import make_review, opened, review
from ...helpers.windows.settling import settle

__all__ = ["make_review", "review"]


def test_the_review_starts_at_the_worst_slice(review) -> None:
    assert review.controller.picture.place == WORST
    assert review.queue[0] == WORST
    assert review.viewer.layers.selection.active is review.layer


def test_the_patient_directions_are_shown(review) -> None:
    overlays = review.viewer.canvas.overlays
    edges = ("top", "bottom", "left", "right")
    shown = [overlays[f"patient_letter_{edge}"] for edge in edges]
    assert all(overlay.visible and overlay.text for overlay in shown)
    review.controller.close()
    assert not has_letters(review.viewer)
    review.viewer.layers.clear()
    other = PatientLetters(review.viewer)  # as of the Segment dock
    again = ReviewController(review.viewer, opened(review.session.study.folder), ReviewForms())
    drain(again.open())
    assert again.letters is None
    again.close()
    assert has_letters(review.viewer)
    other.close()


def test_the_review_continues_at_the_last_slice(make_review, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    save_review(folder, ReviewState(current=(2, 1)))
    assert make_review(folder).controller.picture.place == (2, 1)


def test_a_missing_saved_slice_is_ignored(make_review, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    decisions = {(ED, 40): Decision(state="accepted"), (9, 0): Decision(state="flagged")}
    save_review(folder, ReviewState(score="gross-errors", current=(9, 40), decisions=decisions))
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
    assert len(bound) == len(KEYS)
    review.controller.close()
    assert not viewer.keymap
    assert not review.layer.keymap
    assert len(viewer.mouse_drag_callbacks) == len(callbacks) + 1  # that of the contours stays


def test_peeking_shows_the_entropy(review) -> None:
    entropy = result_layers(review.viewer, review.controller.picture.image)["entropy"]
    review.controller.outlines.peek(True)
    assert entropy.visible
    review.controller.outlines.peek(False)
    assert not entropy.visible


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
        ENTROPY: {"heart entropy, bit"},
        MUTUAL_INFORMATION: {"heart mutual information, bit"},
        VARIANCE: {"heart variance"},
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
    folder = tmp_path / "heart"
    assert np.array_equal(read_study(folder).edited, review.session.study.prediction)
    review.controller.exporter.export_to(tmp_path / "out")
    status = review.forms.export.status
    review.qtbot.waitUntil(lambda: status.text().startswith("Saved"))
    labels = read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels
    assert np.array_equal(labels, review.session.study.prediction)
    assert review.controller.corrections.is_preview  # not yet accepted
    assert review.session.edited_places() == [WORST]


def test_contour_and_stroke_are_exported(review, tmp_path) -> None:
    review.controller.tools.edit_contour()
    handles = review.controller.contour.handles
    handles.move_handle(0, handles.handles[0] + [-4, 0])
    review.layer._begin_stroke()  # as napari does at the press of the mouse
    review.layer.paint((*index_of(WORST), 30, 30), RV)
    review.controller.exporter.export_to(tmp_path / "out")
    assert not handles.is_active
    tools = [row.tool for row in review.session.peek_log() if row.tool]
    assert tools == [str(review.layer.mode), "contour"]
    status = review.forms.export.status
    review.qtbot.waitUntil(lambda: status.text().startswith("Saved"))
    labels = read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels
    assert np.array_equal(labels, review.session.labels)


def test_labels_on_black_can_be_reviewed(make_review) -> None:
    review = make_review(image=False)
    review.press("D")
    review.press("A")
    assert review.session.state.decisions[WORST].edited
    review.controller.exporter.add_to_training_set(image_of(review.session.study.folder).parent)
    assert review.forms.export.status.text() == IMAGE_NEEDED


def test_the_queue_follows_the_form(review, tmp_path) -> None:
    form = review.forms.queue
    form.scores.setCurrentIndex(form.scores.findData("area-spread"))
    form.structures.setCurrentIndex(form.structures.findData("LV"))
    form.borders_switch.setChecked(True)
    state = review.session.state
    assert (state.score, state.structure, state.leave_out_border) == ("area-spread", "LV", True)
    assert {item.structure for item in review.controller.view.queue} == {"LV"}
    review.controller.saver.save_now()
    saved = read_study(tmp_path / "heart").review
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
    review.controller.navigator.step(1)
    review.controller.saver.save_now()
    assert not has_corrections(tmp_path / "heart")
    review.forms.volumes.phases_changed.emit(1, 2)
    review.controller.saver.save_now()
    assert has_corrections(tmp_path / "heart")


def test_the_patient_is_saved(review, tmp_path) -> None:
    review.forms.numbers.patient.patient_changed.emit(Patient(heart_rate=60))
    review.settle()
    assert "LV CO" in review.session.measured()
    review.controller.saver.save_now()
    assert read_study(tmp_path / "heart").review.patient.heart_rate == 60


def test_closing_saves_and_discards_the_preview(review, tmp_path) -> None:
    review.press("D")
    edited = review.session.labels.copy()
    review.press("Q")
    review.controller.close()
    assert np.array_equal(read_study(tmp_path / "heart").edited, edited)
    assert np.array_equal(review.layer.data, edited)
    assert not review.layer.editable
    settle(review.qtbot, review.forms)  # no signal arrives late


def test_closing_saves_the_current_slice(review, tmp_path) -> None:
    review.press("N")
    place = review.controller.picture.place
    review.controller.close()
    assert read_study(tmp_path / "heart").review.current == place


def test_closing_raises_if_saving_fails(review, tmp_path, monkeypatch) -> None:
    review.press("D")
    (tmp_path / "heart" / "edited.nii.gz").write_bytes(b"damaged")
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
    controller = ReviewController(viewer, OpenedStudy(session, None), forms, every_ms=1_000_000)
    drain(controller.open())
    controller.navigator.step(1)
    times = []
    for number in range(9):
        started = thread_time()
        controller.tools.show_level(-0.05 * (number + 1))
        controller.view.show_edited()
        times.append(thread_time() - started)
    controller.corrections.accept_preview()
    assert min(times) < 0.05
    controller.close()
