"""The window of archives with a real Orthanc, and a viewer that only notes what it opens."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QDialog

from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import archive as client
from napari_bayes_nnunet.io.known_archives import KnownArchive, keep_archive, read_archives
from napari_bayes_nnunet.widgets.archive import archive_work
from napari_bayes_nnunet.widgets.archive.archive_form import NO_ARCHIVE, AddressDialog, ArchiveForm
from napari_bayes_nnunet.widgets.archive.window import (
    BAD_DATE,
    NO_FOLDER,
    NO_STUDY_FOUND,
    STOPPED_FETCHING,
    WAS_THERE,
    ArchiveWindow,
)
from napari_bayes_nnunet.widgets.common.settings import Settings

from ...helpers.data.dicoms import made_voxels, slice_file
from ...helpers.processes.line import line
from ...helpers.processes.orthanc import HOST
from ...io.test_archive import LOGIN, files_in, orthanc, own_keyring, port, store_cine

__all__ = ["orthanc", "own_keyring", "port"]  # fixtures


class FakeViewer:
    """Viewer that notes the folders that it should open."""

    def __init__(self) -> None:
        self.opened: list[Path] = []

    def open(self, path: str, plugin: str) -> list[Path]:
        assert plugin == "napari-bayes-nnunet"
        self.opened.append(Path(path))
        return self.opened


class Asked:
    """Answers to the question for a login, and how often it was asked."""

    def __init__(self) -> None:
        self.answers: list[Any] = [(LOGIN, False)]
        self.sentences: list[str] = []

    def __call__(self, name: str, sentence: str, parent: object) -> Any:
        self.sentences.append(sentence)
        return self.answers.pop(0)


@pytest.fixture
def make(port, own_keyring, settings, tmp_path, monkeypatch, qtbot) -> Callable[..., Any]:
    """Return a function that makes a window which knows the archive at a port."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def window(at: int = port) -> ArchiveWindow:
        keep_archive(KnownArchive("Research", f"http://{HOST}:{at}/dicom-web"))
        monkeypatch.setattr(archive_work, "ask_login", Asked())
        made = ArchiveWindow(FakeViewer(), settings=settings)
        made.folder.set_path(tmp_path / "studies")
        qtbot.addWidget(made)
        return made

    return window


def wait(window: ArchiveWindow, qtbot: Any) -> str:
    """Return the message at the end of the work."""
    qtbot.waitUntil(lambda: not window.work.is_running)
    return str(window.status.text())


def find(window: ArchiveWindow, qtbot: Any, patient: str) -> None:
    window.patient.setText(patient)
    window.find_button.click()
    wait(window, qtbot)


def test_a_study_is_found_fetched_and_opened(make, orthanc, tmp_path, qtbot):
    who = {"PatientID": "W1", "PatientName": "Groß^Inga"}
    study = store_cine(orthanc, tmp_path / "in", **who)
    window = make()
    window.show()
    assert not window.open_button.isEnabled()
    find(window, qtbot, "W1")
    (row,) = window.table.rows
    assert row.cells[:2] + row.cells[3:5] == ("Groß, Inga", "W1", "1", "20")
    window.table.selectRow(0)
    window.open_button.click()
    wait(window, qtbot)
    (folder,) = window._viewer.opened
    assert len(files_in(folder)) == 20
    assert [*folder.parent.iterdir()] == [folder]
    assert not window.isVisible()  # it would lie on the image
    window.fetch()
    assert wait(window, qtbot) == WAS_THERE.format(folder=folder)
    assert window._viewer.opened == [folder, folder]
    about = {"StudyInstanceUID": study, "series": 8, **who}
    late = slice_file(tmp_path / "a.dcm", made_voxels()[0, 0], **about)
    drain(orthanc.store([late]))
    find(window, qtbot, "W1")
    window.table.selectRow(0)
    window.fetch()
    wait(window, qtbot)
    assert window._viewer.opened == [folder] * 3
    assert len(files_in(folder)) == 21


def test_a_login_is_asked_for_and_kept_if_wanted(make, own_keyring, qtbot):
    window = make()
    asked = archive_work.ask_login
    asked.answers = [None, ((LOGIN[0], "wrong"), True), (LOGIN, False)]
    find(window, qtbot, "nobody")
    assert window.status.text() == asked.sentences[0]
    find(window, qtbot, "nobody")
    assert window.status.text() == NO_STUDY_FOUND
    find(window, qtbot, "nobody")
    assert len(asked.sentences) == 3
    assert own_keyring.passwords == {}
    again = make()
    archive_work.ask_login.answers = [(LOGIN, True)]
    find(again, qtbot, "nobody")
    assert own_keyring.passwords == {("Research", LOGIN[0]): LOGIN[1]}
    find(make(), qtbot, "nobody")


@pytest.mark.parametrize("way", ["stop", "cut"])
def test_nothing_half_fetched_is_opened(make, orthanc, port, tmp_path, qtbot, way):
    store_cine(orthanc, tmp_path / "in", 128, PatientID=f"W2{way}")
    with line(port) as connection:
        window = make(connection.port)
        find(window, qtbot, f"W2{way}")
        window.table.selectRow(0)
        if way == "stop":
            connection.fall_silent()
            window.fetch()
            window.progress.stop_button.click()
            assert window.status.text() == STOPPED_FETCHING
        else:
            connection.breaks_after = 400_000
            window.fetch()
            assert "20 images" in wait(window, qtbot)
        assert window.find_button.isEnabled()
    qtbot.waitUntil(lambda: not files_in(tmp_path / "studies"))
    assert window._viewer.opened == []


def test_what_is_missing_is_said(make, tmp_path, qtbot, monkeypatch):
    window = make(1)  # where nothing listens
    find(window, qtbot, "")
    assert window.status.text() == client.NO_ANSWER.format(url=f"http://{HOST}:1/dicom-web")
    window.dates.setText("31.1.2026")
    window.find()
    assert window.status.text() == BAD_DATE.format(text="31.1.2026")
    window.dates.clear()
    monkeypatch.setitem(sys.modules, "dicomweb_client", None)
    find(window, qtbot, "")
    assert "dicomweb_client" in window.status.text()
    window.archive.remove_button.click()
    assert window.status.text() == NO_ARCHIVE
    assert read_archives() == {}


def test_a_folder_is_asked_for(make, orthanc, tmp_path, qtbot):
    store_cine(orthanc, tmp_path / "in", PatientID="W3")
    window = make()
    window.folder.set_path(None)
    find(window, qtbot, "W3")
    window.table.selectRow(0)
    window.fetch()
    assert window.status.text() == NO_FOLDER


def test_an_address_is_checked_before_it_is_kept(tmp_path, monkeypatch, qtbot):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    form = ArchiveForm(Settings(tmp_path / "settings.json"))
    qtbot.addWidget(form)
    dialog = AddressDialog(form)
    dialog.name.setText("Klinik")
    dialog.url.setText("ftp://a")
    dialog.accept()
    assert dialog.sentence.text() == client.BAD_URL.format(url="ftp://a")
    dialog.url.setText("https://a.example/dicom-web")
    dialog.accept()
    assert dialog.result() == QDialog.DialogCode.Accepted
    assert read_archives()["Klinik"].url == "https://a.example/dicom-web"
