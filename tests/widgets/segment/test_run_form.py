"""Tests of buttons, progress and messages."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.app.messages import StageStarted
from napari_bayes_nnunet.core.ensemble.maps import ENTROPY, MUTUAL_INFORMATION, VARIANCE
from napari_bayes_nnunet.widgets.segment.run_form import (
    A_FOLDER,
    SEGMENT_IMAGE,
    SEGMENTING_IMAGE,
    RunForm,
)


@pytest.fixture
def form(qtbot) -> RunForm:
    made = RunForm()
    qtbot.addWidget(made)
    return made


def test_only_segment_is_enabled_at_first(form) -> None:
    assert form.segment_button.isEnabled()
    assert not form.stop_button.isEnabled()
    assert not form.save_button.isEnabled()
    assert not form.review_button.isEnabled()
    assert not form.progress.bar.isVisibleTo(form)


def test_only_stop_is_enabled_during_a_run(form) -> None:
    form.set_running(True)
    assert not form.segment_button.isEnabled()
    assert form.stop_button.isEnabled()
    assert form.progress.bar.isVisibleTo(form)


def test_the_button_names_what_is_segmented(form) -> None:
    form.resize(900, 300)
    form.show()
    assert form.segment_button.text() == SEGMENT_IMAGE.format(title="").strip()
    form.set_title("patient011, ED and ES")
    assert form.segment_button.text() == SEGMENT_IMAGE.format(title="patient011, ED and ES")
    form.set_running(True)
    form.set_title("patient012")
    assert form.segment_button.text() == SEGMENTING_IMAGE.format(title="patient011, ED and ES")
    form.set_running(False)
    assert form.segment_button.text() == SEGMENT_IMAGE.format(title="patient012")


def test_a_long_name_does_not_widen_the_button(form) -> None:
    form.resize(300, 300)
    form.show()
    form.set_title("x" * 60)
    assert form.minimumSizeHint().width() <= 300
    button = form.segment_button
    shown = button.fontMetrics().horizontalAdvance(button.text())
    assert button.width() / 2 < shown <= button.width()
    assert "x" * 60 in button.toolTip()
    form.resize(1600, 300)
    assert button.text() == SEGMENT_IMAGE.format(title="x" * 60)


def test_progress_shows_member_and_time_left(form) -> None:
    form.set_running(True)
    form.show_stage("Loading the ensemble")
    assert form.progress.bar.maximum() == 0
    assert form.progress.text.text() == "Loading the ensemble…"
    stage = StageStarted(text="Member 4 of 30", done=4, total=30, eta_seconds=21)
    form.show_progress(stage)
    assert "4 of 30, 21 s" in form.progress.text.text()
    assert (form.progress.bar.value(), form.progress.bar.maximum()) == (4, 30)


def test_messages_are_shown_once(form) -> None:
    form.show_messages("One.")
    form.add_message("Two.")
    form.add_message("Two.")
    assert form.status.text() == "One.\nTwo."
    form.show_messages()
    assert not form.status.isVisibleTo(form)


def test_messages_are_repeated_while_the_outcome_is_far(form) -> None:
    form.show_messages("One.", "Two.")
    assert not form.progress.text.isVisibleTo(form)
    form.set_outcome_far(True)
    assert form.progress.text.isVisibleTo(form)
    assert form.progress.text.text() == "One. Two."
    form.set_running(True)
    form.show_stage("Loading")
    form.add_message("Three.")
    assert form.progress.text.text() == "Loading…"
    form.show_messages("Finished.")
    form.set_running(False)
    assert form.progress.text.text() == "Finished."
    form.show_stage("Loading")
    assert form.progress.text.text() == "Finished."
    form.set_outcome_far(False)
    assert not form.progress.text.isVisibleTo(form)


def test_a_result_shows_the_scale_and_enables_buttons(form) -> None:
    form.set_result(4)
    assert form.save_button.isEnabled()
    assert form.review_button.isEnabled()
    assert "2 bit" in form.scale.text()
    assert form.more.isVisibleTo(form)
    assert form.scale.text() == ENTROPY.scale.format(largest=2)
    form.map_boxes[MUTUAL_INFORMATION].setChecked(True)
    assert form.scale.text() == MUTUAL_INFORMATION.scale.format(largest=1)
    form.map_boxes[VARIANCE].setChecked(True)
    assert form.shown_map == VARIANCE
    assert not form.map_boxes[MUTUAL_INFORMATION].isChecked()
    assert form.scale.text() == VARIANCE.scale.format(largest=0.75)
    form.map_boxes[VARIANCE].setChecked(False)
    assert form.scale.text() == ENTROPY.scale.format(largest=2)
    form.set_result(None)
    assert not form.scale.isVisibleTo(form)
    assert not form.more.isVisibleTo(form)
    assert not form.review_button.isEnabled()


def test_the_folder_button_counts_finished_studies(form) -> None:
    assert form.folder_button.text() == A_FOLDER
    form.show_folder_progress("3 of 60")
    assert form.folder_button.text() == f"{A_FOLDER} 3 of 60"
    form.show_folder_progress("")
    assert form.folder_button.text() == A_FOLDER


@pytest.mark.parametrize("button", ["segment", "stop", "save", "review", "folder"])
def test_buttons_have_a_tooltip(form, button) -> None:
    assert getattr(form, f"{button}_button").toolTip()
