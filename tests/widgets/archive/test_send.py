"""Labels and numbers of a review, sent to a real Orthanc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest

from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.archive import Archive
from napari_bayes_nnunet.io.known_archives import KnownArchive, keep_archive
from napari_bayes_nnunet.widgets.archive.archive_form import NO_ARCHIVE
from napari_bayes_nnunet.widgets.archive.send import SendDialog
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.review import dock as review_dock
from napari_bayes_nnunet.widgets.review.dock import SENT

from ...helpers.processes.orthanc import HOST, run_orthanc
from ...io.test_archive import files_in
from ..review.test_dock import asked, make_dock, open_with_dicoms

__all__ = ["asked", "make_dock"]  # fixtures


@pytest.fixture
def archive(tmp_path: Path) -> Any:
    with run_orthanc(tmp_path / "orthanc") as port:
        yield Archive(f"http://{HOST}:{port}/dicom-web")


def test_a_review_is_sent_after_a_question_only(make_dock, archive, tmp_path, monkeypatch, qtbot):
    questions: list[tuple[Any, ...]] = []
    answers = [None, KnownArchive("Research", archive.url)]

    def ask(*question: Any) -> KnownArchive | None:
        questions.append(question)
        return answers.pop(0)

    monkeypatch.setattr(review_dock, "ask_to_send", ask)
    dock = make_dock()
    open_with_dicoms(dock, tmp_path, qtbot)
    drain(archive.store(files_in(tmp_path / "in")))
    dock.forms.export.send_action.trigger()
    assert not dock._sending.is_running
    dock.forms.export.send_action.trigger()
    qtbot.waitUntil(lambda: not dock._sending.is_running)
    sent = SENT.format(files="3 files", archive="Research")
    assert dock.messages.line.message == sent
    _, patient, names, doubt, _ = questions[0]
    assert patient == dock.controller.session.study.patient.identity
    assert [name.rpartition("_")[2] for name in names] == ["seg.dcm", "seg.dcm", "measurements.dcm"]
    assert doubt
    (study,) = archive.find_studies()
    drain(archive.fetch(study.uid, tmp_path / "back"))
    kinds = [pydicom.dcmread(file).Modality for file in files_in(tmp_path / "back")]
    assert (kinds.count("SEG"), kinds.count("SR")) == (2, 1)


def test_an_error_of_the_archive_is_said(make_dock, tmp_path, monkeypatch, qtbot):
    known = KnownArchive("Research", f"http://{HOST}:1")
    monkeypatch.setattr(review_dock, "ask_to_send", lambda *_: known)
    dock = make_dock()
    open_with_dicoms(dock, tmp_path, qtbot)
    dock.forms.export.send_action.trigger()
    qtbot.waitUntil(lambda: not dock._sending.is_running)
    assert f"{HOST}:1" in dock.messages.line.message


def test_the_question_needs_an_archive(tmp_path, monkeypatch, qtbot):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    settings = Settings(tmp_path / "settings.json")

    def make() -> SendDialog:
        dialog = SendDialog("DOE^J", ["a.dcm"], "", settings, None)
        qtbot.addWidget(dialog)
        return dialog

    empty = make()
    assert not empty.send_button.isEnabled()
    assert empty.archive.names.toolTip() == NO_ARCHIVE
    keep_archive(KnownArchive("Research", "https://a.example"))
    assert make().send_button.isEnabled()
