"""Tests of the table of the queue."""

from __future__ import annotations

import re
from statistics import median
from time import process_time
from typing import Any

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.common.levels import ON_LIGHT
from napari_bayes_nnunet.widgets.reading.marks import ACCEPTED
from napari_bayes_nnunet.widgets.reading.queue_table import (
    BAR_COLOR,
    NOTHING_QUEUED,
    PHASE,
    QUEUE_COLUMNS,
    SCORE,
    QueueRow,
    QueueTable,
)

ITEMS = [
    QueueRow(phase, z, "RV" if z % 2 else "LV", 200.0 - 10 * z - phase, "")
    for z in range(12)
    for phase in (1, 10)
]
UNIT = "mm²·bit"
MARGINS = 33


@pytest.fixture
def table(qtbot: Any) -> QueueTable:
    made = QueueTable()
    qtbot.addWidget(made)
    made.resize(330, 220)
    made.set_items(ITEMS, UNIT)
    made.show()
    qtbot.waitExposed(made)
    return made


@pytest.fixture
def heard(table: QueueTable) -> list[tuple[int | None, int]]:
    cells: list[tuple[int | None, int]] = []
    table.row_chosen.connect(lambda phase, z: cells.append((phase, z)))
    return cells


def texts(table: QueueTable, row: int) -> tuple[str, ...]:
    return table.table.rows[row].cells


def click(table: QueueTable, row: int, qtbot: Any) -> None:
    rect = table.table.visualRect(table.table.model().index(row, 0))
    qtbot.mouseClick(table.table.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())


def test_a_row_has_all_columns(table: QueueTable) -> None:
    first = QueueRow(10, 2, "RV", 213.6, "edited", phase_name="phase 10")
    table.set_items([first, QueueRow(1, 0, "LV", 3.21, phase_name="ED")], UNIT)
    assert texts(table, 0) == ("3", "10", "RV", "", "edited")
    assert texts(table, 1) == ("1", "ED", "LV", "", "")
    place, state = table.table.rows[0].help.splitlines()
    assert re.findall(r"[\d.]+", place) == ["3", "10", "214"]
    assert place.endswith(f"RV: 214 {UNIT}")
    assert state == "edited"
    (place,) = table.table.rows[1].help.splitlines()
    assert re.findall(r"[\d.]+", place) == ["1", "3.21"]


def test_the_decision_hides_an_edit_in_the_column(table: QueueTable) -> None:
    states = ("edited, accepted", "edited, flagged", "edited")
    table.set_items([QueueRow(1, z, "LV", 1.0, state) for z, state in enumerate(states)])
    assert [texts(table, row)[-1] for row in range(3)] == ["accepted", "flagged", "edited"]
    assert table.table.rows[0].help.splitlines()[1] == states[0]


def test_a_click_and_the_arrow_keys_choose(table: QueueTable, heard: Any, qtbot: Any) -> None:
    click(table, 2, qtbot)
    qtbot.keyClick(table.table, Qt.Key.Key_Down)
    assert heard == [(1, 1), (10, 1)]


def test_the_current_row_is_visible_without_signal(table: QueueTable, heard: Any) -> None:
    table.set_current(10, 11)
    index = table.table.currentIndex()
    assert index.row() == 23
    assert table.table.viewport().rect().contains(table.table.visualRect(index).center())
    assert heard == []


def test_a_slice_outside_the_queue_has_no_row(table: QueueTable, heard: Any, qtbot: Any) -> None:
    click(table, 0, qtbot)
    table.set_current(5, 0)
    assert not table.table.currentIndex().isValid()
    click(table, 0, qtbot)
    assert heard == [(1, 0), (1, 0)]
    table.set_current(None, None)
    assert not table.table.currentIndex().isValid()


def test_new_items_keep_row_and_scroll_position(table: QueueTable, heard: Any) -> None:
    table.set_current(10, 8)
    scrolled = table.table.verticalScrollBar().value()
    assert scrolled > 0
    table.set_items([*ITEMS[:17], QueueRow(10, 8, "LV", 20.0, "accepted"), *ITEMS[18:]], UNIT)
    assert table.table.verticalScrollBar().value() == scrolled
    table.set_items(ITEMS[4:], UNIT)
    assert table.table.currentIndex().row() == 13
    assert heard == []


def test_states_are_coloured(table: QueueTable) -> None:
    states = ("flagged", "accepted", "accepted, flagged", "edited", "")
    table.set_items([QueueRow(1, z, "LV", 1.0, state) for z, state in enumerate(states)])
    levels = [row.level for row in table.table.rows]
    assert levels == ["warning", "done", "warning", "fine", "fine"]
    assert set(levels) - set(ON_LIGHT) == {"fine"}


def test_the_bar_is_proportional_to_the_score(table: QueueTable) -> None:
    table.set_items([QueueRow(1, 0, "LV", 200.0), QueueRow(1, 1, "LV", 100.0)])
    picture = table.table.viewport().grab().toImage()
    lengths = []
    for row in range(2):
        rect = table.table.visualRect(table.table.model().index(row, SCORE))
        y = rect.center().y()
        line = [picture.pixelColor(x, y) for x in range(rect.left(), rect.right())]
        lengths.append(sum(color == QColor(BAR_COLOR) for color in line))
    assert lengths[0] > 25
    assert abs(lengths[0] - 2 * lengths[1]) <= 2


def test_scores_of_zero_have_no_bar(table: QueueTable) -> None:
    table.set_items([QueueRow(1, 0, "LV", 0.0)])
    assert table.table.rows[0].share == 0
    table.table.grab()


def test_a_volume_has_no_column_of_phases(table: QueueTable, heard: Any, qtbot: Any) -> None:
    assert not table.table.isColumnHidden(PHASE)
    table.set_items([QueueRow(None, 3, "LV", 0.2)])
    assert table.table.isColumnHidden(PHASE)
    assert table.table.rows[0].help == "Slice 4, LV: 0.200"
    click(table, 0, qtbot)
    assert heard == [(None, 3)]


def test_an_empty_queue_shows_a_sentence(table: QueueTable) -> None:
    table.set_items([])
    assert table.table.isHidden()
    assert table.nothing.text() == NOTHING_QUEUED
    table.set_items(ITEMS)
    assert not table.table.isHidden()
    assert table.nothing.isHidden()


@pytest.mark.parametrize("key", [Qt.Key.Key_N, Qt.Key.Key_A, Qt.Key.Key_K, Qt.Key.Key_T])
def test_letters_are_left_to_the_window(table: QueueTable, heard: Any, key: Qt.Key) -> None:
    table.set_current(1, 0)
    event = QKeyEvent(QEvent.Type.KeyPress, key, Qt.KeyboardModifier.NoModifier, chr(key).lower())
    QApplication.sendEvent(table.table, event)
    assert not event.isAccepted()
    assert heard == []


def test_every_heading_fits_and_is_explained(table: QueueTable) -> None:
    header = table.table.horizontalHeader()
    for section, column in enumerate(QUEUE_COLUMNS):
        assert column.help.endswith(".")
        width = header.fontMetrics().horizontalAdvance(column.title)
        assert header.sectionSize(section) > width, column.title


def test_the_state_fits_a_narrow_dock(table: QueueTable) -> None:
    table.resize(DOCK_WIDTH - MARGINS, 300)
    table.set_items([QueueRow(20, z, "MYO", 805 - z, ACCEPTED) for z in range(20)])
    QApplication.processEvents()
    rows = table.table
    room = rows.visualRect(rows.model().index(0, len(QUEUE_COLUMNS) - 1)).width()
    assert room >= rows.fontMetrics().horizontalAdvance(ACCEPTED) + 6


def test_a_whole_cine_is_shown_at_once(table: QueueTable) -> None:
    items = [QueueRow(phase, z, "LV", 1.0) for phase in range(1, 26) for z in range(12)]
    times = []
    for step in range(11):
        start = process_time()
        table.set_items(items[step:], UNIT)
        table.set_current(20, step)
        QApplication.processEvents()
        times.append(process_time() - start)
    assert median(times) < 0.05
