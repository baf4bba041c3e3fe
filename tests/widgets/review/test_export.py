"""Asking for files, and for cases to train on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app.review.corrected_studies import NOT_REVIEWED
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.dicom.reader import read_dicom
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.widgets.review import export
from napari_bayes_nnunet.widgets.review.export import IMAGE_NEEDED, ExportForm, ReviewExporter

from ...helpers.cines import ED, ES, LV, SHAPE, WORST, make_cine
from ...helpers.dicoms import write_cine
from ...helpers.hearts import make_dataset
from ...helpers.reviewing import opened
from ...helpers.settling import settle


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


@pytest.fixture
def study(tmp_path) -> Any:
    return opened(make_cine(tmp_path / "heart"))


@pytest.fixture
def session(study) -> ReviewSession:
    return study.session


@pytest.fixture
def outcome(study, form) -> ReviewExporter:
    return ReviewExporter(study.session, study.image, form)


@pytest.fixture
def said(form, qtbot) -> Callable[[str], str]:
    """Wait for a sentence that begins so."""

    def wait(start: str) -> str:
        qtbot.waitUntil(lambda: form.status.text().startswith(start))
        return str(form.status.text())

    return wait


def edit(session: ReviewSession, rows: int) -> None:
    session.labels_in(WORST)[:rows] = LV
    session.note_change([WORST], tool="paint")


def test_files_are_written_while_the_review_goes_on(outcome, session, said, tmp_path) -> None:
    edit(session, 2)
    expected = session.labels.copy()
    outcome.export_to(tmp_path / "out")
    edit(session, 9)
    session.decide(WORST, "accepted")
    sentence = said("Saved")
    assert sentence == (
        f"Saved heart_edited.nii.gz, heart_numbers.csv, heart_report.html in {tmp_path / 'out'}."
    )
    assert np.array_equal(read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels, expected)


def test_what_is_only_shown_is_not_exported(outcome, session, said, tmp_path) -> None:
    session.preview = WORST, session.labels_in(WORST).copy()
    session.labels_in(WORST)[:] = LV
    session.recount([WORST])
    outcome.export_to(tmp_path / "out")
    said("Saved")
    labels = read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels
    assert np.array_equal(labels, session.study.prediction)
    assert (session.labels_in(WORST) == LV).all()  # and is still shown


def test_an_export_may_outlive_its_form(study, tmp_path, qtbot, monkeypatch) -> None:
    goes_on, written = threading.Event(), tmp_path / "out" / "late.html"

    def late(*_: object, **__: object) -> list[Path]:
        goes_on.wait(10)
        return [written]

    monkeypatch.setattr(export, "export_review", late)
    form = ExportForm()
    outcome = ReviewExporter(study.session, study.image, form)
    outcome.export_to(written.parent)
    form.deleteLater()
    settle(qtbot)
    goes_on.set()
    settle(qtbot, outcome)  # an exception in a slot would fail the test


def test_an_export_that_fails_is_a_sentence(outcome, said, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    outcome.export_to(tmp_path / "file" / "out")
    assert said(str(tmp_path / "file"))


def test_open_slices_are_not_trained_on(outcome, session, said, tmp_path) -> None:
    dataset = make_dataset(tmp_path / "Dataset001_Hearts")
    before = read_dataset(dataset)
    outcome.add_to_training_set(dataset)
    said(NOT_REVIEWED.format(open="4 in phase 1, 4 in phase 3"))
    assert read_dataset(dataset) == before
    for phase in (ED, ES):
        for z in range(4):
            session.decide((phase, z), "accepted")
    outcome.add_to_training_set(dataset)
    assert said("Added").startswith("Added heart_frame01, heart_frame03.")
    assert len(read_dataset(dataset).cases) == len(before.cases) + 2


def test_without_the_image_nothing_is_trained_on(session, form, tmp_path: Path) -> None:
    ReviewExporter(session, None, form).add_to_training_set(tmp_path)
    assert form.status.text() == IMAGE_NEEDED


def test_dicom_files_beside_their_images(form, said, tmp_path) -> None:
    voxels = np.random.default_rng(1).integers(1, 400, (4, *SHAPE), dtype=np.int16)
    write_cine(tmp_path / "in", voxels)
    folder = make_cine(tmp_path / "heart", geometry=read_dicom(tmp_path / "in").geometry)
    study = opened(folder)
    outcome = ReviewExporter(study.session, study.image, form)
    outcome.export_dicom_to(tmp_path / "out", images=tmp_path / "in")
    assert said("Saved ").startswith("Saved heart_frame01_seg.dcm, heart_frame03_seg.dcm, heart_")
    assert (tmp_path / "out" / "heart_measurements.dcm").exists()


def test_dicom_images_that_are_others(outcome, said, tmp_path) -> None:
    write_cine(tmp_path / "in")
    outcome.export_dicom_to(tmp_path / "out", images=tmp_path / "in")
    said("heart was not made")
