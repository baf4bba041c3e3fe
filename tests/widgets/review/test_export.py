"""Export of files and of training cases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app.review.accepted_slices import OPEN_SLICES
from napari_bayes_nnunet.app.review.corrected_studies import NOT_REVIEWED
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.images.nifti import read_labels
from napari_bayes_nnunet.widgets.common.dialogs import NOT_OPENED
from napari_bayes_nnunet.widgets.review import export
from napari_bayes_nnunet.widgets.review.export import (
    FILES_SAVED_IN,
    IMAGE_NEEDED,
    ReviewExporter,
    SaveButton,
)

from ...helpers.data.cines import ED, ES, LV, WORST, accept, make_cine, write_dicoms
from ...helpers.data.dicoms import write_cine
from ...helpers.data.hearts import make_dataset
from ...helpers.windows.reviewing import opened
from ...helpers.windows.settling import settle


@pytest.fixture
def form(qtbot) -> SaveButton:
    made = SaveButton()
    qtbot.addWidget(made)
    return made


def test_one_button_offers_all_that_can_be_saved(form) -> None:
    offered = [action for action in form.menu().actions() if not action.isSeparator()]
    assert [action.toolTip() for action in offered] == [
        *(export.STUDY_HELP, export.EXPORT_HELP, export.DICOM_HELP, export.SEND_HELP),
        *(export.TRAINING_HELP, export.NAMED_HELP, export.CONTOURS_HELP, export.NOTHING_SAVED),
    ]


def test_the_folder_of_saved_files_can_be_opened(form, monkeypatch, tmp_path) -> None:
    opened_paths: list[Path] = []
    monkeypatch.setattr(export, "open_path", lambda path: bool(opened_paths.append(path)))
    assert not form.folder_action.isEnabled()
    form.show_saved([tmp_path / "a.csv", tmp_path / "b.html"])
    assert form.message == FILES_SAVED_IN.format(folder=tmp_path, names="a.csv, b.html")
    form.folder_action.trigger()
    assert opened_paths == [tmp_path]
    assert form.message == NOT_OPENED.format(path=tmp_path)


@pytest.fixture
def study(tmp_path) -> Any:
    return opened(make_cine(tmp_path / "heart"))


@pytest.fixture
def session(study) -> ReviewSession:
    return study.session


@pytest.fixture
def exporter(study, form) -> ReviewExporter:
    return ReviewExporter(study.session, study.image, form)


@pytest.fixture
def message(form, qtbot) -> Callable[[], str]:
    """Return a function that waits for the message at the end of an export."""

    def wait() -> str:
        qtbot.waitUntil(lambda: form.message and not form.message.endswith("…"))
        return str(form.message)

    return wait


def edit(session: ReviewSession, rows: int) -> None:
    session.labels_in(WORST)[:rows] = LV
    session.note_change([WORST], tool="paint")


def test_files_have_the_state_of_the_request(exporter, session, message, tmp_path) -> None:
    edit(session, 2)
    expected = session.labels.copy()
    exporter.export_to(tmp_path / "out")
    edit(session, 9)
    session.decide(WORST, "accepted")
    text = message()
    assert "heart_edited.nii.gz, heart_numbers.csv, heart_report.html" in text
    assert str(tmp_path / "out") in text
    assert text.startswith(OPEN_SLICES.format(open=8, total=8))
    assert np.array_equal(read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels, expected)


def test_a_preview_is_not_exported(exporter, session, message, tmp_path) -> None:
    session.preview = WORST, session.labels_in(WORST).copy()
    session.labels_in(WORST)[:] = LV
    exporter.export_to(tmp_path / "out")
    message()
    labels = read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels
    assert np.array_equal(labels, session.study.prediction)
    assert (session.labels_in(WORST) == LV).all()  # the preview is kept


def test_what_is_being_drawn_is_exported(study, session, form, message, tmp_path) -> None:
    drawn: list[int] = []

    def end_drawing() -> None:
        drawn.append(1)
        edit(session, 1 + len(drawn))

    exporter = ReviewExporter(session, study.image, form, end_drawing=end_drawing)
    exporter.export_to(tmp_path / "out")
    message()
    labels = read_labels(tmp_path / "out" / "heart_edited.nii.gz").voxels
    assert np.array_equal(labels, session.labels)
    exports = (
        lambda: exporter.export_dicom_to(tmp_path / "out", images=tmp_path),
        lambda: exporter.add_to_training_set(tmp_path),
    )
    for number, ask in enumerate(exports):
        ask()
        assert len(drawn) == 2 + number


def test_an_export_outlives_its_form(study, tmp_path, qtbot, monkeypatch) -> None:
    may_continue, written = threading.Event(), tmp_path / "out" / "late.html"

    def late(*_: object, **__: object) -> list[Path]:
        may_continue.wait(10)
        return [written]

    monkeypatch.setattr(export, "export_review", late)
    form = SaveButton()
    exporter = ReviewExporter(study.session, study.image, form)
    exporter.export_to(written.parent)
    form.deleteLater()
    settle(qtbot)
    may_continue.set()
    settle(qtbot, exporter)  # an exception in a slot would fail the test


def test_a_failed_export_names_the_folder(exporter, message, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    exporter.export_to(tmp_path / "file" / "out")
    assert str(tmp_path / "file") in message()
    assert (tmp_path / "file").is_file()


def test_only_accepted_phases_become_training_cases(exporter, session, message, tmp_path) -> None:
    dataset = make_dataset(tmp_path / "Dataset001_Hearts")
    before = read_dataset(dataset)
    exporter.add_to_training_set(dataset)
    assert message() == NOT_REVIEWED.format(open="4 in phase 1, 4 in phase 3")
    assert read_dataset(dataset) == before
    accept(session, ED, ES)
    exporter.add_to_training_set(dataset)
    assert "heart_frame01, heart_frame03" in message()
    assert len(read_dataset(dataset).cases) == len(before.cases) + 2


def test_training_cases_need_the_image(session, form, tmp_path: Path) -> None:
    ReviewExporter(session, None, form).add_to_training_set(tmp_path)
    assert form.message == IMAGE_NEEDED


def test_dicom_files_are_exported(form, message, tmp_path) -> None:
    folder = make_cine(tmp_path / "heart", geometry=write_dicoms(tmp_path / "in"))
    study = opened(folder)
    exporter = ReviewExporter(study.session, study.image, form)
    exporter.export_dicom_to(tmp_path / "out", images=tmp_path / "in")
    assert "heart_frame01_seg.dcm, heart_frame03_seg.dcm, heart_" in message()
    assert (tmp_path / "out" / "heart_measurements.dcm").exists()


def test_foreign_dicom_images_are_rejected(exporter, message, tmp_path) -> None:
    write_cine(tmp_path / "in")
    exporter.export_dicom_to(tmp_path / "out", images=tmp_path / "in")
    assert "heart" in message()
    assert not (tmp_path / "out" / "heart_measurements.dcm").exists()
