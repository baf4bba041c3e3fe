"""Tests of the table of studies and the files left out."""

from __future__ import annotations

from pathlib import Path
from time import thread_time
from typing import Any

import pytest

from napari_bayes_nnunet.app.messages import StudyDone, text_fields
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.widgets.cohort.dialog import CohortList
from napari_bayes_nnunet.widgets.common.wording import in_the_window

from ...helpers.windows.settling import settle


@pytest.fixture
def table(qtbot: Any) -> CohortList:
    made = CohortList()
    qtbot.addWidget(made)
    made.resize(340, 400)
    made.show()
    return made


def add(table: CohortList, case: str, outcome: str = "done", text: str = "") -> None:
    table.add(StudyDone(case=case, outcome=outcome, text=text, done=1, total=9))


def cases(table: CohortList) -> list[str]:
    return [row.cells[0] for row in table.table.rows]


def test_failed_studies_come_first_then_the_latest(table) -> None:
    add(table, "a")
    add(table, "b", "failed", "It is damaged.")
    add(table, "c", "finished before")
    assert cases(table) == []
    table.refresh()
    assert cases(table) == ["b", "c", "a"]
    assert [row.level for row in table.table.rows] == ["blocking", "done", "fine"]
    assert table.table.rows[0].cells == ("b", "failed", "It is damaged.")
    assert (table.done, table.failed) == (2, 1)


def test_chosen_row_is_shown_in_full_and_stays(table) -> None:
    add(table, "a", "failed", "It is damaged.\nToo short.")
    add(table, "b")
    table.refresh()
    table.table.selectRow(0)
    assert table.detail.text() == "a: It is damaged.\nToo short."
    add(table, "c", "failed", "So is this.")
    add(table, "d")
    table.refresh()
    assert table.table.rows[table.table.currentIndex().row()].cells[0] == "a"
    assert table.detail.isVisible()
    table.table.selectRow(2)
    assert table.detail.text() == "d: done."


def test_the_scroll_position_stays(table, qtbot) -> None:
    for number in range(60):
        add(table, str(number), "failed", "Damaged.")
    table.refresh()
    settle(qtbot, table)
    bar = table.table.verticalScrollBar()
    bar.setValue(bar.maximum() // 2)
    before = bar.value()
    add(table, "new", "failed", "Damaged.")
    table.refresh()
    assert bar.value() == before > 0


def test_remedies_have_the_words_of_the_window(table) -> None:
    told = statement("{report} differs.", Action.OVERWRITE, report="a.json")
    table.add(StudyDone(case="a", outcome="failed", **text_fields(told), done=1, total=9))
    table.refresh()
    assert table.table.rows[0].cells[2] == in_the_window(told) != told.text()


def test_files_are_named_relative_to_the_images(table, tmp_path) -> None:
    table.clear(tmp_path)
    add(table, "a/b", "failed", f"{tmp_path / 'a' / 'b.nii.gz'} is cut short.")
    table.refresh()
    name = str(Path("a") / "b.nii.gz")
    assert table.table.rows[0].cells[2] == f"{name} is cut short."


def test_files_left_out_are_one_sentence(table, qtbot) -> None:
    assert not table.left_out.isVisible()
    table.set_left_out(["labels or maps: 3", "localisers: 2"])
    assert table.left_out.text().endswith(": labels or maps: 3; localisers: 2.")
    qtbot.waitUntil(lambda: table.left_out.y() < 50)  # while there is no table
    table.clear()
    assert not table.left_out.isVisible()


def test_a_wide_window_shows_more_of_a_name(table, qtbot) -> None:
    add(table, "a-folder/another-folder/a-patient-with-a-long-name")
    table.refresh()
    narrow = table.table.columnWidth(0)
    assert narrow <= 0.5 * table.width()
    table.resize(700, 400)
    qtbot.waitUntil(lambda: table.table.columnWidth(0) > narrow)
    assert table.table.isVisible()
    table.clear()
    assert not table.table.isVisible()


def test_ten_thousand_studies_are_shown_in_a_moment(table) -> None:
    for number in range(10_000):
        add(table, f"patient{number}", "finished before")
    started = thread_time()
    table.refresh()
    assert thread_time() - started < 2
    table.clear()
    assert cases(table) == []
