"""Asking for files, and for cases to train on."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.widgets.review.export import ExportForm


@pytest.fixture
def form(qtbot) -> ExportForm:
    made = ExportForm()
    qtbot.addWidget(made)
    return made


def test_each_button_asks_for_its_own(form, qtbot) -> None:
    for button, asked, not_asked in (
        (form.export_button, form.export_requested, form.training_requested),
        (form.training_button, form.training_requested, form.export_requested),
        (form.dicom_button, form.dicom_requested, form.export_requested),
    ):
        with qtbot.waitSignal(asked), qtbot.assertNotEmitted(not_asked):
            button.click()


def test_the_buttons_say_what_they_do(form) -> None:
    assert "HTML" in form.export_button.toolTip()
    assert "refer to the images" in form.dicom_button.toolTip()
    assert "all slices in the queue are accepted" in form.training_button.toolTip()
    assert "training part" in form.training_button.toolTip()


def test_the_last_sentence_is_shown(form) -> None:
    form.say("Saving…")
    form.say("Saved.")
    assert form.status.text() == "Saved."
