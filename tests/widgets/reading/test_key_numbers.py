"""Tests of the numbers that stay in sight."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from napari.qt import get_stylesheet
from qtpy.QtWidgets import QLabel

from napari_bayes_nnunet.core.heart.function import Measured
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.editing.correction_form import CorrectionForm
from napari_bayes_nnunet.widgets.reading.key_numbers import (
    AMONG_HELP,
    AMONG_PHASES,
    BESIDE,
    BOTH_PHASES,
    CHANGED,
    INDEXED,
    INTERVAL,
    LARGE,
    NO_KEY_NUMBERS,
    NO_VALUE,
    OPEN,
    ROW_TITLES,
    VALUE,
    VERDICT,
    KeyNumbers,
)

from ...helpers.data.reviews import NORMAL

UNITS = {"LV EF": "%", "LV mass": "g", "RV EF": "%"}
HEART = ("LV EDV", "LV ESV", "LV SV", "LV EF", "LV mass", "RV EDV", "RV EF", "LV CO")
MARGINS = 22


def numbers(**values: float) -> dict[str, Measured]:
    """Return all numbers as 123.4 ± 11.2, but for ``values``, whose names have no space."""
    return {
        name: Measured(
            name=name,
            title=name,
            value=values.get(name.replace(" ", "_"), 123.4),
            spread=11.2,
            unit=UNITS.get(name, "mL"),
            help="Help.",
        )
        for name in HEART
    }


@pytest.fixture
def table(qtbot: Any) -> KeyNumbers:
    made = KeyNumbers()
    qtbot.addWidget(made)
    return made


def test_value_and_change_are_shown(table: KeyNumbers) -> None:
    table.set_numbers(numbers(LV_EF=48.25), numbers(LV_EF=50.0), ed=1, es=9)
    assert table.texts("LV EF") == ("EF", "%", "48.2", "", "", "", "", "−1.8")
    assert table.texts("LV EDV") == ("EDV", "mL", "123", "", "", "", "", "")
    assert table.caption.text() == BOTH_PHASES.format(ed=1, es=9)
    table.set_numbers(numbers(LV_EF=62.04), numbers(LV_EF=62.0), ed=1, es=9)
    assert table.texts("LV EF")[-1] == ""


def test_ed_and_es_of_some_phases_are_said_to_be_the_largest_of_these(table: KeyNumbers) -> None:
    table.setFixedWidth(DOCK_WIDTH - MARGINS)
    table.set_numbers(numbers(), {}, ed=15, es=19, compared=12)
    assert table.caption.text() == AMONG_PHASES.format(ed=15, es=19, count=12)
    assert table.caption.toolTip() == AMONG_HELP
    assert table.minimumSizeHint().width() <= table.width()
    table.set_numbers(numbers(), {}, ed=15, es=19)
    assert table.caption.text() == BOTH_PHASES.format(ed=15, es=19)
    assert not table.caption.toolTip()


def test_open_slices_stand_below_the_interval(table: KeyNumbers) -> None:
    plain = numbers()
    known = {**plain, "LV EF": replace(plain["LV EF"], intervals={90: (8.1, 29.8)})}
    table.set_numbers(known, known, {"LV EF": 20, "LV EDV": 9}, ed=1, es=9)
    assert table.texts("LV EF")[3:7] == ("8–30", "", "", "20")
    assert table.texts("LV EDV")[3:7] == ("", "", "", "9")


def test_spread_of_the_models_is_only_in_the_tooltip(table: KeyNumbers) -> None:
    table.set_numbers(numbers(), numbers(), {"LV EF": 0, "LV EDV": 9}, ed=1, es=9)
    assert not any("±" in label.text() or "11.2" in label.text() for label in labels_of(table))
    edv, ef = (table._columns[name][VALUE].toolTip() for name in ("LV EDV", "LV EF"))
    assert "11.2" in edv
    assert "11.2" not in ef  # it is reviewed


def labels_of(table: KeyNumbers) -> list[QLabel]:
    return table.findChildren(QLabel)


def test_indexed_numbers_stand_below_without_moving_a_row(table: KeyNumbers) -> None:
    def shown() -> list[str]:
        return [label.text() for label in table.findChildren(QLabel)]

    table.set_numbers(numbers(), {}, ed=1, es=9)
    height = table.sizeHint().height()
    assert ROW_TITLES[INDEXED][0] not in shown()
    index = {
        n: replace(numbers()["LV EDV"], name=n, value=82.4) for n in ("LV EDVi", "LV mass index")
    }
    table.set_numbers(numbers() | index, {}, ed=1, es=9)
    assert ROW_TITLES[INDEXED][0] in shown()
    assert shown().count("82.4") == 2
    assert table.sizeHint().height() == height


def test_only_the_key_numbers_are_shown(table: KeyNumbers) -> None:
    table.set_numbers(numbers(), numbers(), ed=1, es=9)
    titles = [table.texts(name)[0] for name in table.names]
    assert titles == ["EF", "EDV", "ESV", "SV", "Mass", "RV EF"]


def test_a_negative_number_has_a_minus_sign(table: KeyNumbers) -> None:
    table.set_numbers(numbers(LV_EF=-7.3), numbers(LV_EF=24.0), ed=1, es=9)
    assert table.texts("LV EF")[2::5] == ("−7.3", "−31.3")


def test_an_unknown_number_is_a_dash(table: KeyNumbers) -> None:
    table.set_numbers(numbers(LV_EF=math.nan), numbers(), ed=1, es=9)
    assert table.texts("LV EF")[2:] == ("–", "", "", "", "", "")


def test_without_numbers_the_reason_is_shown(table: KeyNumbers) -> None:
    table.set_numbers({}, {})
    assert table.caption.text() == NO_KEY_NUMBERS
    assert list(table.names) == []


def test_the_reason_does_not_widen_the_dock(table: KeyNumbers) -> None:
    table.set_numbers({}, {})
    assert table.minimumSizeHint().width() <= DOCK_WIDTH - MARGINS
    narrow = table.heightForWidth(DOCK_WIDTH - MARGINS)
    assert narrow > table.heightForWidth(3 * DOCK_WIDTH)  # it wraps
    table.set_numbers(numbers(), numbers(), ed=1, es=9)
    assert not table.caption.wordWrap()


def test_a_change_keeps_the_height(table: KeyNumbers) -> None:
    table.set_numbers(numbers(), numbers(), ed=1, es=9)
    before = table.sizeHint().height()
    table.set_numbers(numbers(LV_EF=20.0, LV_SV=3.0), numbers(), ed=1, es=9)
    assert table.sizeHint().height() == before


@pytest.mark.parametrize("points", [8, 12])
def test_a_change_moves_no_column(table: KeyNumbers, points: int) -> None:
    def lefts() -> list[int]:
        table.grab()
        return [table._columns[name][VALUE].x() for name in table.names]

    style = get_stylesheet("dark", extra_variables={"font_size": f"{points}pt"})
    table.setStyleSheet(style)
    table.setFixedWidth(DOCK_WIDTH - MARGINS)
    wide = {
        name: replace(n, intervals={90: (112, 136) if name in LARGE else (42, 64)})
        for name, n in numbers().items()
    }
    table.set_numbers(wide, wide, dict.fromkeys(HEART, 20), ed=20, es=10)
    before = lefts()
    changed = numbers(LV_EF=88.8, LV_EDV=88.8, LV_ESV=9.9, LV_SV=0.0, LV_mass=88.8, RV_EF=88.8)
    predicted = {**wide, **numbers(LV_SV=88.8)} | {"LV EF": wide["LV EF"]}
    table.set_numbers(changed, predicted, dict.fromkeys(HEART, 0), ed=20, es=10)
    assert lefts() == before
    at_ed = {name: changed[name] for name in ("LV EDV", "LV mass", "RV EDV")}
    table.set_numbers(at_ed, wide, ed=20, es=10)
    assert lefts() == before
    assert table.texts("LV EF")[:3] == ("EF", "", NO_VALUE)
    assert table.texts("LV EDV")[2] == "88.8"


@pytest.mark.parametrize("points", [8, 12])
def test_the_table_is_no_wider_than_the_corrections(
    table: KeyNumbers, points: int, qtbot: Any
) -> None:
    form = CorrectionForm()
    qtbot.addWidget(form)
    style = get_stylesheet("dark", extra_variables={"font_size": f"{points}pt"})
    for part in (table, form):
        part.setStyleSheet(style)
        part.show()

    def wide(values: dict[str, Measured]) -> dict[str, Measured]:
        return {
            name: replace(n, intervals={90: (167, 245) if name in LARGE else (37, 45)})
            for name, n in values.items()
        }

    shown = wide(numbers(LV_EF=98.7))
    changed = wide(numbers(LV_EF=12.3, LV_mass=300.0))
    table.set_numbers(shown, changed, dict.fromkeys(HEART, 20), ed=20, es=10)
    width = max(form.minimumSizeHint().width(), DOCK_WIDTH - MARGINS)
    assert table.minimumSizeHint().width() <= width
    table.setFixedWidth(width)
    for label in table.findChildren(QLabel):
        assert label.fontMetrics().horizontalAdvance(label.text()) <= label.width()


def test_intervals_have_a_row_if_there_are_any(table: KeyNumbers) -> None:
    plain = numbers()
    ends = {80: (49.0, 58.0), 90: (47.6, 59.4)}
    predicted = {**plain, "LV EF": replace(plain["LV EF"], intervals=ends)}
    table.set_numbers(plain, plain)
    assert table._columns["LV EF"][INTERVAL].isHidden()
    table.set_numbers(predicted, predicted)
    assert not table._columns["LV EF"][INTERVAL].isHidden()
    assert (table.texts("LV EF")[INTERVAL], table.texts("LV EDV")[INTERVAL]) == ("48–59", "")
    help_text = table._columns["LV EF"][INTERVAL].toolTip()
    assert "47.6" in help_text
    assert "49.0" not in help_text  # a number has one interval
    height = table.sizeHint().height()
    table.set_numbers(plain, predicted)  # all are reviewed
    assert table.texts("LV EF")[INTERVAL] == ""
    assert table.sizeHint().height() == height


def test_every_row_title_is_explained(table: KeyNumbers) -> None:
    every = {"intervals": {90: (1.0, 2.0)}, "comparison": NORMAL}
    wide = {name: replace(n, **every) for name, n in numbers().items()}
    changed = {**numbers(LV_EF=40.0), "LV SV": wide["LV SV"]}
    table.set_numbers(wide | {"LV EDVi": wide["LV EDV"]}, changed, dict.fromkeys(HEART, 2))
    titles = {title.format(level=90) for title, _ in ROW_TITLES.values()}
    explained = {label.text() for label in table.findChildren(QLabel) if label.toolTip()}
    assert titles <= explained


def test_an_empty_row_has_no_title(table: KeyNumbers) -> None:
    def titles() -> set[str]:
        return {label.text() for label, _ in table._titles.values()} - {" "}

    wide = {name: replace(n, intervals={90: (1.0, 2.0)}) for name, n in numbers().items()}
    interval, opened, changed = (
        ROW_TITLES[row][0].format(level=90) for row in (INTERVAL, OPEN, CHANGED)
    )
    table.set_numbers(wide, wide, dict.fromkeys(HEART, 2))
    height = table.sizeHint().height()
    assert titles() == {interval, opened}
    table.set_numbers(numbers(LV_EF=40.0), wide, dict.fromkeys(HEART, 0))
    assert titles() == {opened, changed}
    assert table.sizeHint().height() == height


def test_few_patients_give_the_lower_level(table: KeyNumbers) -> None:
    few = {name: replace(n, intervals={80: (100.0, 140.0)}) for name, n in numbers().items()}
    table.set_numbers(few, few)
    assert table.texts("LV EF")[INTERVAL] == "100–140"
    texts = [label.text() for label in table.findChildren(QLabel)]
    assert ROW_TITLES[INTERVAL][0].format(level=80) in texts


def rows(table: KeyNumbers, name: str) -> dict[int, str]:
    """Return the shown texts of verdict and normal range in the column of ``name``."""
    labels = {row: table._columns[name][row] for row in (VERDICT, BESIDE)}
    return {row: label.text().strip() for row, label in labels.items() if not label.isHidden()}


def test_a_normal_range_and_its_verdict_have_rows(table: KeyNumbers) -> None:
    plain = numbers()
    table.set_numbers(plain, plain)
    assert rows(table, "LV EDV") == {}
    high = replace(NORMAL, verdict="▲ high")
    table.set_numbers({**plain, "LV EDV": replace(plain["LV EDV"], comparison=high)}, plain)
    assert rows(table, "LV EDV") == {VERDICT: "▲ high", BESIDE: "93–232"}
    assert rows(table, "LV EF") == {VERDICT: "", BESIDE: ""}
    assert {*NORMAL.lines, *NORMAL.notes} <= {
        *table._columns["LV EDV"][VALUE].toolTip().splitlines()
    }
    assert table._titles[BESIDE][0].text() == "Normal"


def test_ranges_of_both_sexes_stand_in_two_lines(table: KeyNumbers) -> None:
    both = replace(NORMAL, title="Men\nWomen", text="93–232\n80–175")
    table.set_numbers({n: replace(m, comparison=both) for n, m in numbers().items()}, {})
    assert rows(table, "LV EDV")[BESIDE] == "93–232\n80–175"
    assert table._titles[BESIDE][0].text() == "Men\nWomen"
