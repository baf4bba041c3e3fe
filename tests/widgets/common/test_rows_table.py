"""Tests of the table of rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtWidgets import QApplication, QScrollArea, QToolTip

from napari_bayes_nnunet.widgets.common.levels import ON_LIGHT
from napari_bayes_nnunet.widgets.common.rows_table import SHARE_ROLE, Column, Row, RowsTable

COLUMNS = (Column("Case", "The case."), Column("State", "How it is."))
ROWS = [Row((f"case {number}", "fine"), share=number / 40) for number in range(40)]


@pytest.fixture
def table(qtbot: Any) -> RowsTable:
    made = RowsTable(COLUMNS, rows_shown=4)
    qtbot.addWidget(made)
    made.set_rows(ROWS)
    made.show()
    qtbot.waitExposed(made)
    return made


@pytest.fixture
def heard(table: RowsTable) -> list[Row | None]:
    rows: list[Row | None] = []
    table.row_chosen.connect(rows.append)
    return rows


def is_in_sight(table: RowsTable, number: int) -> bool:
    center = table.visualRect(table.model().index(number, 0)).center()
    return table.viewport().rect().contains(center)


def click(table: RowsTable, number: int, qtbot: Any, *, double: bool = False) -> None:
    press = qtbot.mouseDClick if double else qtbot.mouseClick
    index = table.model().index(number, 0)
    press(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualRect(index).center())


def test_a_click_chooses_a_row(table, heard, qtbot) -> None:
    click(table, 2, qtbot)
    assert heard == [ROWS[2]]


def test_chosen_row_is_in_sight_if_the_table_is_cut_off(table, qtbot) -> None:
    area = QScrollArea()
    qtbot.addWidget(area)
    area.setWidget(table)
    table.resize(300, table.sizeHint().height())
    area.resize(320, round(0.7 * table.height()))
    area.show()
    qtbot.waitExposed(area)
    assert table.viewport().visibleRegion().boundingRect().height() < table.viewport().height()
    for number in (3, 20, 4, 1):
        table.choose_row(number)
        row = table.visualRect(table.model().index(number, 0))
        assert table.viewport().visibleRegion().boundingRect().contains(row.adjusted(0, 0, -9, 0))
    area.takeWidget()


def test_row_is_chosen_from_outside_without_signal(table, heard) -> None:
    table.choose_row(30)
    assert table.currentIndex().row() == 30
    assert [index.row() for index in table.selectionModel().selectedRows()] == [30]
    assert is_in_sight(table, 30)
    table.choose_row(None)
    assert not table.currentIndex().isValid()
    assert not table.selectionModel().hasSelection()
    assert heard == []


def test_nothing_is_chosen_by_tabbing_in(table, heard, qtbot) -> None:
    QApplication.sendEvent(table, QFocusEvent(QEvent.Type.FocusIn, Qt.FocusReason.TabFocusReason))
    assert heard == []
    assert not table.currentIndex().isValid()
    qtbot.keyClick(table, Qt.Key.Key_Down)
    assert heard == [ROWS[0]]


def test_a_double_click_and_return_open_a_row(table, qtbot) -> None:
    opened: list[Row] = []
    table.row_opened.connect(opened.append)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert opened == []
    click(table, 1, qtbot)
    click(table, 1, qtbot, double=True)
    qtbot.keyClick(table, Qt.Key.Key_Down)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert opened == [ROWS[1], ROWS[2]]


def test_double_click_copies_path_of_file(table, qtbot, qapp, monkeypatch) -> None:
    monkeypatch.setattr(QToolTip, "showText", lambda *_: None)
    table.set_rows([Row(("heart", ""), file=Path("data") / "heart.nii.gz")])
    click(table, 0, qtbot)
    click(table, 0, qtbot, double=True)
    assert qapp.clipboard().text() == str(Path("data") / "heart.nii.gz")


def test_only_given_number_of_rows_is_in_sight(table) -> None:
    assert is_in_sight(table, 3)
    assert not is_in_sight(table, 5)
    high = table.height()
    table.set_rows(ROWS[:2])
    assert table.height() < high


def test_model_returns_share_and_colour_of_a_row(table) -> None:
    table.set_rows([Row(("a", "b"), share=0.25, level="done"), Row(("c", "d"))])
    model = table.model()
    assert [model.index(number, 1).data(SHARE_ROLE) for number in (0, 1)] == [0.25, None]
    color = model.index(0, 0).data(Qt.ItemDataRole.ForegroundRole)
    assert color.name().upper() == ON_LIGHT["done"]
    assert model.index(1, 0).data(Qt.ItemDataRole.ForegroundRole) is None


def test_last_column_without_a_scroll_bar_is_cut(table, qtbot) -> None:
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.resize(200, table.height())
    table.set_rows([Row(("case", "long " * 20))])
    header = table.horizontalHeader()
    qtbot.waitUntil(lambda: header.length() == table.viewport().width())
