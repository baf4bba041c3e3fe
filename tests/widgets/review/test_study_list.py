"""A folder of studies as a list."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.study.summary import StudySummary
from napari_bayes_nnunet.widgets.review.study_list import (
    NO_STUDIES,
    SEARCHING,
    CaseList,
    study_list_row,
)

from ...helpers.settling import settle


def summary(case: str, quality: float | None = None, **known: Any) -> StudySummary:
    return StudySummary(folder=Path("studies") / case, case=case, quality=quality, **known)


OUT_OF_RANGE = "The mean entropy is 0.31 bit, above that of the training cases: look closely."
GOOD = summary("good", 0.93, slices=24)
BAD = summary("bad", 0.71, warnings=(OUT_OF_RANGE,), reviewed=7, flagged=2, slices=24)
DONE = summary("done", 0.88, reviewed=24, slices=24, finished=True)
UNKNOWN = summary("unknown")
BROKEN = summary("broken", problem="study.json is cut short.")
ALL = [BROKEN, BAD, DONE, GOOD, UNKNOWN]
"""In the order of ``io.study_list``."""


@pytest.fixture
def make_list(qtbot: Any) -> Any:
    def make(list_studies: Any = lambda _: ALL) -> CaseList:
        made = CaseList(list_studies=list_studies)
        qtbot.addWidget(made)
        made.resize(330, 300)
        made.show()
        qtbot.waitExposed(made)
        return made

    return make


@pytest.fixture
def cases(make_list: Any, tmp_path: Path, qtbot: Any) -> CaseList:
    made: CaseList = make_list()
    made.set_folder(tmp_path)
    qtbot.waitUntil(lambda: bool(made.studies))
    return made


@pytest.fixture
def heard(cases: CaseList) -> list[Path]:
    folders: list[Path] = []
    cases.study_chosen.connect(folders.append)
    return folders


def click(cases: CaseList, place: int, qtbot: Any, *, double: bool = False) -> None:
    press = qtbot.mouseDClick if double else qtbot.mouseClick
    rect = cases.table.visualRect(cases.table.model().index(place, 0))
    press(cases.table.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())


def names(cases: CaseList) -> list[str]:
    return [study.case for study in cases.studies]


def test_the_order_is_that_of_the_list(cases: CaseList) -> None:
    assert names(cases) == ["broken", "bad", "done", "good", "unknown"]


def test_a_row_says_case_quality_slices_and_state() -> None:
    assert study_list_row(GOOD).cells == ("good", "0.93", "0 of 24", "new")
    assert study_list_row(BAD).cells == ("⚠ bad", "0.71", "7 of 24", "2 flagged")
    assert study_list_row(DONE).cells == ("done", "0.88", "24 of 24", "finished")
    assert study_list_row(replace(DONE, flagged=1)).cells[-1] == "1 flagged"
    assert study_list_row(replace(DONE, flagged=1)).level == "fine"
    assert study_list_row(replace(GOOD, reviewed=1)).cells[-1] == "begun"
    assert study_list_row(UNKNOWN).cells == ("unknown", "–", "–", "new")
    assert study_list_row(BROKEN).cells == ("⚠ broken", "–", "–", "not usable")
    assert [study_list_row(study).level for study in (GOOD, BAD, DONE, BROKEN)] == [
        "fine", "warning", "done", "blocking",
    ]  # fmt: skip


def test_cases_of_one_name_are_told_apart_by_their_folders(make_list, tmp_path, qtbot) -> None:
    found = [summary("cine", 0.5), summary("cine", 0.6), summary("heart", 0.7)]
    folders = [tmp_path / "a" / "cine", tmp_path / "b" / "cine", tmp_path / "b" / "heart"]
    placed = [replace(one, folder=at) for one, at in zip(found, folders, strict=True)]
    made = make_list(lambda _: placed)
    made.set_folder(tmp_path)
    qtbot.waitUntil(lambda: bool(made.studies))
    model = made.table.model()
    assert [model.index(row, 0).data() for row in range(3)] == ["a/cine", "b/cine", "heart"]


def test_a_warning_is_told_at_the_row(cases: CaseList, qtbot: Any) -> None:
    assert study_list_row(BAD).help.splitlines() == [OUT_OF_RANGE, str(BAD.folder)]
    click(cases, 1, qtbot)
    assert cases.detail.text() == OUT_OF_RANGE
    click(cases, 3, qtbot)
    assert cases.detail.isHidden()


@pytest.mark.parametrize("way", ["double click", "return", "button"])
def test_a_study_is_opened(cases: CaseList, heard: Any, way: str, qtbot: Any) -> None:
    click(cases, 2, qtbot)
    assert heard == []
    if way == "double click":
        click(cases, 2, qtbot, double=True)
    elif way == "return":
        qtbot.keyClick(cases.table, Qt.Key.Key_Return)
    else:
        qtbot.mouseClick(cases.open_button, Qt.MouseButton.LeftButton)
    assert heard == [DONE.folder]


def test_a_study_that_is_not_usable_is_not_opened(cases: CaseList, heard: Any, qtbot: Any) -> None:
    click(cases, 0, qtbot)
    click(cases, 0, qtbot, double=True)
    assert not cases.open_button.isEnabled()
    assert cases.detail.text() == "study.json is cut short."
    assert heard == []


def test_without_a_folder_there_is_nothing_to_do(make_list: Any) -> None:
    cases = make_list()
    assert not cases.open_button.isEnabled()
    assert not cases.refresh_button.isEnabled()
    assert cases.table.isHidden()
    assert cases.detail.isHidden()


def test_a_folder_without_studies_says_so(make_list: Any, tmp_path: Path, qtbot: Any) -> None:
    cases = make_list(lambda _: [])
    cases.set_folder(tmp_path)
    assert cases.detail.text() == SEARCHING
    qtbot.waitUntil(lambda: cases.detail.text() == NO_STUDIES)


def test_a_folder_that_cannot_be_read_says_why(make_list: Any, tmp_path: Path, qtbot: Any) -> None:
    def fail(_: Path) -> Sequence[StudySummary]:
        raise DataError("This folder cannot be read.")

    cases = make_list(fail)
    cases.set_folder(tmp_path)
    qtbot.waitUntil(lambda: cases.detail.text() == "This folder cannot be read.")
    assert cases.studies == []


def test_a_folder_that_hangs_does_not_hold_up_the_next(
    make_list: Any, tmp_path: Path, qtbot: Any
) -> None:
    def listed(folder: Path) -> Sequence[StudySummary]:
        if folder.name == "hangs":
            free.wait(5)
            return [BAD]
        return [GOOD]

    free = threading.Event()
    cases = make_list(listed)
    cases.set_folder(tmp_path / "hangs")
    cases.set_folder(tmp_path)
    qtbot.waitUntil(lambda: names(cases) == ["good"])
    free.set()
    settle(qtbot, cases)
    assert names(cases) == ["good"]


def test_a_look_again_keeps_the_chosen_study(make_list: Any, tmp_path: Path, qtbot: Any) -> None:
    found = [[BAD, GOOD], [summary("worse", 0.2), BAD, GOOD]]
    cases = make_list(lambda _: found.pop(0))
    cases.set_folder(tmp_path)
    qtbot.waitUntil(lambda: len(cases.studies) == 2)
    click(cases, 1, qtbot)
    qtbot.mouseClick(cases.refresh_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(cases.studies) == 3)
    assert cases.studies[cases.table.currentIndex().row()] == GOOD
    assert cases.open_button.isEnabled()


def test_a_folder_is_chosen_in_a_dialog(
    make_list: Any, tmp_path: Path, monkeypatch: Any, qtbot: Any
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    cases = make_list()
    qtbot.mouseClick(cases.folder.button, Qt.MouseButton.LeftButton)
    assert cases.folder.path == tmp_path
    qtbot.waitUntil(lambda: len(cases.studies) == len(ALL))


def test_a_folder_is_dropped_anywhere(make_list: Any, tmp_path: Path, qtbot: Any) -> None:
    cases = make_list()
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    copy, left = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton
    none = Qt.KeyboardModifier.NoModifier
    cases.dropEvent(QDropEvent(QPointF(9, 99), copy, mime, left, none))
    assert cases.folder.path == tmp_path
    qtbot.waitUntil(lambda: len(cases.studies) == len(ALL))


def test_a_real_folder_is_looked_into(qtbot: Any, tmp_path: Path) -> None:
    cases = CaseList()
    qtbot.addWidget(cases)
    cases.set_folder(tmp_path)
    qtbot.waitUntil(lambda: cases.detail.text() == NO_STUDIES)
