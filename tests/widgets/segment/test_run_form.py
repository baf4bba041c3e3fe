"""Buttons, progress and sentences."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.widgets.segment.job import SegmentationProgress
from napari_bayes_nnunet.widgets.segment.run_form import RunForm


@pytest.fixture
def form(qtbot) -> RunForm:
    made = RunForm()
    qtbot.addWidget(made)
    return made


def test_at_first_only_segment_makes_sense(form) -> None:
    assert form.segment_button.isEnabled()
    assert not form.stop_button.isEnabled()
    assert not form.save_button.isEnabled()
    assert not form.review_button.isEnabled()
    assert not form.progress.isVisibleTo(form)


def test_while_running_only_stop_makes_sense(form) -> None:
    form.set_running(True)
    assert not form.segment_button.isEnabled()
    assert form.stop_button.isEnabled()
    assert form.progress.isVisibleTo(form)


def test_progress_says_member_and_time_left(form) -> None:
    form.show_stage("Loading the ensemble")
    assert form.progress.maximum() == 0
    assert form.progress_text.text() == "Loading the ensemble…"
    form.show_progress(SegmentationProgress(4, 30, 21, None, 4 / 30))
    assert form.progress_text.text() == "Member 4 of 30, 21 s left"
    assert form.progress.value() / form.progress.maximum() == pytest.approx(4 / 30, abs=1e-3)


def test_sentences_are_said_once(form) -> None:
    form.say("One.")
    form.say_also("Two.")
    form.say_also("Two.")
    assert form.status.text() == "One.\nTwo."
    form.say()
    assert not form.status.isVisibleTo(form)


def test_with_a_result_there_is_a_scale_and_something_to_save_and_review(form) -> None:
    form.set_result(2.0)
    assert form.save_button.isEnabled()
    assert form.review_button.isEnabled()
    assert "2 bit" in form.scale.text()
    assert "not a probability of error" in form.scale.text()
    form.set_result(None)
    assert not form.scale.isVisibleTo(form)
    assert not form.review_button.isEnabled()


def test_a_folder_that_is_segmented_is_counted_on_its_button(form) -> None:
    assert form.folder_button.text() == "Segment a folder…"
    form.show_folder_progress("3 of 60")
    assert form.folder_button.text() == "Segment a folder… 3 of 60"
    form.show_folder_progress("")
    assert form.folder_button.text() == "Segment a folder…"


@pytest.mark.parametrize(
    ("button", "signal"),
    [
        ("segment_button", "segment_requested"),
        ("stop_button", "stop_requested"),
        ("save_button", "save_requested"),
        ("review_button", "review_requested"),
        ("folder_button", "folder_requested"),
    ],
)
def test_buttons_say_what_they_do_and_tell(form, qtbot, button, signal) -> None:
    form.set_running(button == "stop_button")
    form.set_result(2.0)
    assert getattr(form, button).toolTip()
    with qtbot.waitSignal(getattr(form, signal)):
        getattr(form, button).click()
