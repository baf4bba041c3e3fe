"""List of the studies of a folder."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog

from napari_bayes_nnunet.core.heart.patient_record import PatientRecord
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.files import make_pseudonym
from napari_bayes_nnunet.io.study.patient import write_patient
from napari_bayes_nnunet.io.study.summary import StudySummary, list_studies
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.common.wording import in_the_window
from napari_bayes_nnunet.widgets.layers.study_card import THUMBNAIL_SIDE, alias_key
from napari_bayes_nnunet.widgets.review import study_list as study_list_module
from napari_bayes_nnunet.widgets.review.study_list import (
    NO_STUDIES,
    SEARCHING,
    StudyList,
    make_study_row,
)

from ...helpers.data.studies import make_study
from ...helpers.windows.settling import settle


def summary(case: str, quality: float | None = None, **known: Any) -> StudySummary:
    return StudySummary(folder=Path("studies") / case, case=case, quality=quality, **known)


OUT_OF_RANGE = "High mean entropy."
GOOD = summary("good", 0.93, slices=24)
BAD = summary("bad", 0.71, warnings=(OUT_OF_RANGE,), reviewed=7, flagged=2, slices=24)
DONE = summary("done", 0.88, reviewed=24, slices=24, finished=True)
UNKNOWN = summary("unknown")
CUT_SHORT = statement("{file} is cut short.", Action.OTHER_OUTPUT, file="study.json")
BROKEN = summary("broken", problem=CUT_SHORT)
ALL = [BROKEN, BAD, DONE, GOOD, UNKNOWN]
"""Studies, sorted by `list_studies`."""


@pytest.fixture
def make_list(qtbot: Any, settings: Settings, monkeypatch: Any) -> Any:
    def make(list_studies: Any = lambda *_: ALL) -> StudyList:
        monkeypatch.setattr(study_list_module, "list_studies", list_studies)
        made = StudyList(settings=settings)
        qtbot.addWidget(made)
        made.resize(330, 300)
        made.show()
        qtbot.waitExposed(made)
        return made

    return make


@pytest.fixture
def study_list(make_list: Any, tmp_path: Path, qtbot: Any) -> StudyList:
    made: StudyList = make_list()
    made.set_folder(tmp_path)
    qtbot.waitUntil(lambda: bool(made.studies))
    return made


@pytest.fixture
def heard(study_list: StudyList) -> list[Path]:
    folders: list[Path] = []
    study_list.study_chosen.connect(folders.append)
    return folders


def click(study_list: StudyList, row: int, qtbot: Any, *, double: bool = False) -> None:
    press = qtbot.mouseDClick if double else qtbot.mouseClick
    rect = study_list.table.visualRect(study_list.table.model().index(row, 0))
    press(study_list.table.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())


def names(study_list: StudyList) -> list[str]:
    return [study.case for study in study_list.studies]


def test_studies_keep_their_order(study_list) -> None:
    assert names(study_list) == ["broken", "bad", "done", "good", "unknown"]


def test_a_row_shows_case_quality_slices_and_state() -> None:
    assert make_study_row(GOOD).cells == ("good", "0.93", "0 of 24", "new")
    assert make_study_row(BAD).cells == ("⚠ bad", "0.71", "7 of 24", "2 flagged")
    assert make_study_row(DONE).cells == ("done", "0.88", "24 of 24", "finished")
    assert make_study_row(replace(DONE, flagged=1)).cells[-1] == "1 flagged"
    assert make_study_row(replace(DONE, flagged=1)).level == "fine"
    assert make_study_row(replace(GOOD, reviewed=1)).cells[-1] == "started"
    assert make_study_row(UNKNOWN).cells == ("unknown", "–", "–", "new")
    assert make_study_row(BROKEN).cells == ("⚠ broken", "–", "–", "unusable")
    assert [make_study_row(study).level for study in (GOOD, BAD, DONE, BROKEN)] == [
        "fine", "warning", "done", "blocking",
    ]  # fmt: skip


def test_equal_case_names_are_shown_with_folders(make_list, tmp_path, qtbot) -> None:
    studies = [summary("cine", 0.5), summary("cine", 0.6), summary("heart", 0.7)]
    folders = [tmp_path / "a" / "cine", tmp_path / "b" / "cine", tmp_path / "b" / "heart"]
    placed = [replace(study, folder=at) for study, at in zip(studies, folders, strict=True)]
    made = make_list(lambda *_: placed)
    made.set_folder(tmp_path)
    qtbot.waitUntil(lambda: bool(made.studies))
    model = made.table.model()
    assert [model.index(row, 0).data() for row in range(3)] == ["a/cine", "b/cine", "heart"]


def test_dicom_studies_have_the_names_of_their_patients(tmp_path) -> None:
    doe = PatientRecord(name="DOE^J", patient_id="4711")
    for name, whose in (("dicom-1f", doe), ("heart", PatientRecord(files=("heart.nii.gz",)))):
        write_patient(make_study(tmp_path / name), whose)
    assert {study.patient for study in list_studies(tmp_path)} == {"DOE, J (4711)", ""}


def test_studies_of_one_patient_are_told_apart(make_list, tmp_path, qtbot) -> None:
    names = ["rest", "stress", "other"]
    studies = [replace(summary(name, 0.5), folder=tmp_path / name) for name in names]
    whose = ["DOE^J", "DOE^J", "ROE^R"]
    placed = [replace(study, patient=who) for study, who in zip(studies, whose, strict=True)]
    made = make_list(lambda *_: placed)
    made.set_folder(tmp_path)
    qtbot.waitUntil(lambda: bool(made.studies))
    shown = [made.table.model().index(row, 0).data() for row in range(3)]
    assert shown == ["DOE^J, rest", "DOE^J, stress", "ROE^R"]


def test_a_warning_is_shown_for_its_row(study_list, qtbot) -> None:
    assert make_study_row(BAD).help.splitlines() == [OUT_OF_RANGE, "bad", str(BAD.folder)]
    click(study_list, 1, qtbot)
    assert study_list.detail.message == OUT_OF_RANGE
    click(study_list, 3, qtbot)
    assert study_list.detail.message == ""


@pytest.mark.parametrize("way", ["double click", "return", "button"])
def test_a_study_is_opened(study_list, heard, way, qtbot) -> None:
    click(study_list, 2, qtbot)
    assert heard == []
    if way == "double click":
        click(study_list, 2, qtbot, double=True)
    elif way == "return":
        qtbot.keyClick(study_list.table, Qt.Key.Key_Return)
    else:
        qtbot.mouseClick(study_list.open_button, Qt.MouseButton.LeftButton)
    assert heard == [DONE.folder]


def test_an_unusable_study_is_not_opened(study_list, heard, qtbot) -> None:
    click(study_list, 0, qtbot)
    click(study_list, 0, qtbot, double=True)
    assert not study_list.open_button.isEnabled()
    assert study_list.detail.message == in_the_window(CUT_SHORT) != str(CUT_SHORT)
    assert heard == []


def test_without_a_folder_buttons_are_disabled(make_list) -> None:
    study_list = make_list()
    assert not study_list.open_button.isEnabled()
    assert not study_list.refresh_button.isEnabled()
    assert study_list.table.isHidden()
    assert study_list.detail.message == ""


def test_an_empty_folder_shows_a_message(make_list, tmp_path, qtbot) -> None:
    study_list = make_list(lambda *_: [])
    study_list.set_folder(tmp_path)
    assert study_list.detail.message == SEARCHING
    qtbot.waitUntil(lambda: study_list.detail.message == NO_STUDIES)


def test_an_unreadable_folder_shows_the_error(make_list, tmp_path, qtbot) -> None:
    def fail(*_: Any) -> Sequence[StudySummary]:
        raise DataError("Unreadable folder.")

    study_list = make_list(fail)
    study_list.set_folder(tmp_path)
    qtbot.waitUntil(lambda: study_list.detail.message == "Unreadable folder.")
    assert study_list.studies == []


def test_a_hanging_folder_does_not_block_the_next(make_list, tmp_path, qtbot) -> None:
    def listed(folder: Path, *_: Any) -> Sequence[StudySummary]:
        if folder.name == "hangs":
            free.wait(5)
            return [BAD]
        return [GOOD]

    free = threading.Event()
    study_list = make_list(listed)
    study_list.set_folder(tmp_path / "hangs")
    study_list.set_folder(tmp_path)
    qtbot.waitUntil(lambda: names(study_list) == ["good"])
    free.set()
    settle(qtbot, study_list)
    assert names(study_list) == ["good"]


def test_refreshing_keeps_the_chosen_study(make_list, tmp_path, qtbot) -> None:
    results = [[BAD, GOOD], [summary("worse", 0.2), BAD, GOOD]]
    study_list = make_list(lambda *_: results.pop(0))
    study_list.set_folder(tmp_path)
    qtbot.waitUntil(lambda: len(study_list.studies) == 2)
    click(study_list, 1, qtbot)
    qtbot.mouseClick(study_list.refresh_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(study_list.studies) == 3)
    assert study_list.studies[study_list.table.currentIndex().row()] == GOOD
    assert study_list.open_button.isEnabled()


def test_a_folder_is_chosen_in_a_dialog(make_list, tmp_path, monkeypatch, qtbot) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    study_list = make_list()
    qtbot.mouseClick(study_list.folder.button, Qt.MouseButton.LeftButton)
    assert study_list.folder.path == tmp_path
    qtbot.waitUntil(lambda: len(study_list.studies) == len(ALL))


def test_a_folder_is_accepted_by_drop(make_list, tmp_path, qtbot) -> None:
    study_list = make_list()
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    study_list.dropEvent(QDropEvent(QPointF(9, 99), copy, mime, left, none))
    assert study_list.folder.path == tmp_path
    qtbot.waitUntil(lambda: len(study_list.studies) == len(ALL))


def test_a_real_folder_is_searched(qtbot, tmp_path) -> None:
    study_list = StudyList()
    qtbot.addWidget(study_list)
    study_list.set_folder(tmp_path)
    qtbot.waitUntil(lambda: study_list.detail.message == NO_STUDIES)


# Studies told apart


def test_a_chosen_study_shows_its_picture(make_list, tmp_path, qtbot) -> None:
    folder = make_study(tmp_path / "studies" / "heart")
    study_list = make_list(list_studies)
    study_list.set_folder(folder.parent)
    qtbot.waitUntil(lambda: bool(study_list.studies))
    assert study_list.card.isHidden()
    click(study_list, 0, qtbot)
    qtbot.waitUntil(lambda: not study_list.picture.pixmap().isNull())
    picture = study_list.picture.pixmap()
    assert max(picture.width(), picture.height()) == THUMBNAIL_SIDE


def test_an_alias_replaces_the_case_in_the_list(study_list, make_list, tmp_path, qtbot) -> None:
    click(study_list, 3, qtbot)
    qtbot.keyClicks(study_list.notes.alias, "Tuesday, bed 4")
    qtbot.keyClick(study_list.notes.alias, Qt.Key.Key_Return)
    model = study_list.table.model()
    assert model.index(3, 0).data() == "Tuesday, bed 4"
    assert study_list.table.currentIndex().row() == 3
    click(study_list, 2, qtbot)
    assert study_list.notes.alias.text() == ""
    again = make_list()
    again.set_folder(tmp_path)
    qtbot.waitUntil(lambda: bool(again.studies))
    assert again.table.model().index(3, 0).data() == "Tuesday, bed 4"


def test_another_study_of_the_same_name_has_no_alias(make_list, tmp_path) -> None:
    pseudonym = make_pseudonym("1.2.3")
    assert alias_key(pseudonym, Path("a")) == alias_key(pseudonym, Path("b"))
    assert alias_key("dicom-heart", Path("a")) != alias_key("dicom-heart", Path("b"))
    mine, other = (replace(GOOD, folder=tmp_path / folder) for folder in ("a", "b"))
    study_list = make_list(lambda *_: [mine, other])
    study_list.notes.set_study(alias_key(mine.case, mine.folder))
    study_list.notes.alias.setText("Mrs. Doe")
    study_list.notes.alias.editingFinished.emit()
    assert [study_list._name_of(study) for study in (mine, other)] == ["Mrs. Doe", "good"]


def test_dates_are_shown_only_if_wanted(study_list, settings, qtbot) -> None:
    click(study_list, 3, qtbot)
    assert study_list.date.text() == ""
    qtbot.mouseClick(study_list.notes.dates, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert study_list.date.text() == ""
    settings.add("study_dates", {"good": "2004-03-12"})
    click(study_list, 2, qtbot)
    click(study_list, 3, qtbot)
    assert study_list.date.text() == "2004-03-12"
    qtbot.mouseClick(study_list.notes.dates, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert study_list.date.text() == ""
    assert settings.kept.study_dates == {}  # forgotten when it was switched off
