"""Tests of the numbers that stay in sight."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from napari.qt import get_stylesheet
from qtpy.QtWidgets import QLabel

from napari_bayes_nnunet.app.report.html import UNKNOWN
from napari_bayes_nnunet.core.heart.function import Measured
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.reading.key_numbers import (
    AMONG_HELP,
    AMONG_PHASES,
    BOTH_PHASES,
    ED_AND_ES_HELP,
    INDEXED_NUMBERS,
    NO_INDEX_HELP,
    NO_KEY_NUMBERS,
    KeyNumbers,
)
from napari_bayes_nnunet.widgets.reading.numbers import (
    BESIDE,
    CHANGED,
    INTERVAL,
    NAME,
    VALUE,
    VERDICT,
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


def widest(values: dict[str, Measured]) -> dict[str, Measured]:
    """Return numbers with an interval, a normal range and a verdict."""
    beside = replace(NORMAL, text="93–232", verdict="▲ high")
    return {n: replace(m, intervals={90: (167, 245)}, comparison=beside) for n, m in values.items()}


@pytest.fixture
def table(qtbot: Any) -> KeyNumbers:
    made = KeyNumbers()
    qtbot.addWidget(made)
    return made


def test_the_key_numbers_have_a_row_each(table: KeyNumbers) -> None:
    table.set_numbers(numbers(LV_EF=48.25), numbers(LV_EF=50.0), ed=1, es=9)
    assert table.table.texts("LV EF") == ("EF", "48.2", "%", "", "−1.8", "", "")
    assert table.table.texts("LV EDV") == ("EDV", "123.4", "mL", "", "", "", "")
    assert [table.table.texts(name)[NAME] for name in table.table.lines] == [
        *("EF", "EDV", "EDVi", "ESV", "ESVi", "SV", "Mass", "RV EF"),
    ]
    assert table.caption.text() == BOTH_PHASES.format(ed=1, es=9)


def test_ed_and_es_of_some_phases_are_said_to_be_the_largest_of_these(table: KeyNumbers) -> None:
    table.setFixedWidth(DOCK_WIDTH - MARGINS)
    table.set_numbers(numbers(), {}, ed=15, es=19, compared=12)
    assert table.caption.text() == AMONG_PHASES.format(ed=15, es=19, count=12)
    assert table.caption.toolTip() == AMONG_HELP
    assert table.minimumSizeHint().width() <= table.width()
    table.set_numbers(numbers(), {}, ed=15, es=19)
    assert table.caption.text() == BOTH_PHASES.format(ed=15, es=19)
    assert table.caption.toolTip() == ED_AND_ES_HELP


def test_spread_of_the_models_is_only_in_the_tooltip(table: KeyNumbers) -> None:
    table.set_numbers(numbers(), numbers(), {"LV EF": 0, "LV EDV": 9}, ed=1, es=9)
    texts = [label.text() for label in table.findChildren(QLabel)]
    assert not any("±" in text or "11.2" in text for text in texts)
    edv, ef = (table.table.lines[name][VALUE].toolTip() for name in ("LV EDV", "LV EF"))
    assert "11.2" in edv
    assert "11.2" not in ef  # it is reviewed


def test_indexed_numbers_have_rows_before_they_are_known(table: KeyNumbers) -> None:
    table.set_numbers(numbers(), {}, ed=1, es=9)
    height = table.sizeHint().height()
    for name in INDEXED_NUMBERS:
        assert table.table.texts(name)[VALUE] == UNKNOWN
        assert NO_INDEX_HELP in table.table.lines[name][VALUE].toolTip()
    index = {n: replace(numbers()["LV EDV"], name=n, value=82.4) for n in INDEXED_NUMBERS}
    table.set_numbers(numbers() | index, {}, ed=1, es=9)
    assert [table.table.texts(name)[VALUE] for name in INDEXED_NUMBERS] == ["82.4", "82.4"]
    assert table.sizeHint().height() == height


def test_outside_a_review_only_known_indexed_numbers_have_rows(qtbot: Any) -> None:
    table = KeyNumbers(in_review=False)
    qtbot.addWidget(table)
    table.set_numbers(numbers(), {}, ed=1, es=9)
    assert {*INDEXED_NUMBERS}.isdisjoint(table.table.lines)


def test_an_unknown_number_is_a_dash(table: KeyNumbers) -> None:
    table.set_numbers(numbers(LV_EF=math.nan), numbers(), ed=1, es=9)
    assert table.table.texts("LV EF") == ("EF", UNKNOWN, "%", "", "", "", "")


def test_without_numbers_the_reason_is_shown(table: KeyNumbers) -> None:
    table.set_numbers({}, {})
    assert table.caption.text() == NO_KEY_NUMBERS
    assert table.table.lines == {}


def test_the_reason_does_not_widen_the_dock(table: KeyNumbers) -> None:
    table.set_numbers({}, {})
    assert table.minimumSizeHint().width() <= DOCK_WIDTH - MARGINS
    narrow = table.heightForWidth(DOCK_WIDTH - MARGINS)
    assert narrow > table.heightForWidth(3 * DOCK_WIDTH)  # it wraps
    table.set_numbers(numbers(), numbers(), ed=1, es=9)
    assert not table.caption.wordWrap()


@pytest.mark.parametrize("points", [8, 12])
def test_a_change_moves_no_row_and_no_column(table: KeyNumbers, points: int) -> None:
    def places() -> list[tuple[int, int]]:
        table.grab()
        lines = table.table.lines.values()
        cells = [line[column] for line in lines for column in (INTERVAL, CHANGED, BESIDE)]
        return [(cell.geometry().right(), cell.y()) for cell in cells]

    style = get_stylesheet("dark", extra_variables={"font_size": f"{points}pt"})
    table.setStyleSheet(style)
    table.setFixedWidth(2 * DOCK_WIDTH)
    wide = widest(numbers())
    table.set_numbers(wide, wide, dict.fromkeys(HEART, 20), ed=20, es=10)
    before = places()
    changed = widest(numbers(LV_EF=88.8, LV_EDV=88.8, LV_ESV=9.9, LV_SV=0.0, LV_mass=88.8))
    predicted = {**wide, **widest(numbers(LV_SV=88.8))}
    table.set_numbers(changed, predicted, dict.fromkeys(HEART, 0), ed=20, es=10)
    assert places() == before
    at_ed = {name: changed[name] for name in ("LV EDV", "LV mass", "RV EDV")}
    table.set_numbers(at_ed, wide, ed=20, es=10)
    assert places() == before
    assert table.table.texts("LV EF")[:3] == ("EF", UNKNOWN, "")
    assert table.table.texts("LV EDV")[VALUE] == "88.8"


def test_the_widest_numbers_fit_the_dock(table: KeyNumbers) -> None:
    style = get_stylesheet("dark", extra_variables={"font_size": "9pt"})
    table.setStyleSheet(style)
    table.show()
    changed = numbers(LV_EF=12.3, LV_mass=300.0)
    table.set_numbers(widest(numbers(LV_EF=98.7)), changed, dict.fromkeys(HEART, 20), ed=20, es=10)
    assert table.minimumSizeHint().width() <= DOCK_WIDTH - MARGINS
    table.setFixedWidth(DOCK_WIDTH - MARGINS)
    for label in table.findChildren(QLabel):
        assert label.fontMetrics().horizontalAdvance(label.text()) <= label.width()


def test_a_normal_range_and_its_verdict_stand_beside_the_number(table: KeyNumbers) -> None:
    plain = numbers()
    high = replace(NORMAL, verdict="▲ high")
    table.set_numbers({**plain, "LV EDV": replace(plain["LV EDV"], comparison=high)}, plain)
    texts = table.table.texts("LV EDV")
    assert (texts[BESIDE], texts[VERDICT]) == ("93–232", "▲ high")
    help_text = table.table.lines["LV EDV"][VALUE].toolTip()
    assert {*NORMAL.lines, *NORMAL.notes} <= {*help_text.splitlines()}
    assert "Normal" in {label.text() for label in table.findChildren(QLabel)}


def test_ranges_of_both_sexes_stand_in_the_tooltip(table: KeyNumbers) -> None:
    table.set_numbers(numbers(), {}, ed=1, es=9)
    height = table.sizeHint().height()
    both = replace(NORMAL, title="Men\nWomen", text="93–232\n80–175", verdict="▲ high")
    table.set_numbers({n: replace(m, comparison=both) for n, m in numbers().items()}, {})
    assert table.table.texts("LV EDV")[BESIDE:] == ("", "▲ high")
    assert NORMAL.lines[0] in table.table.lines["LV EDV"][VERDICT].toolTip()
    assert table.sizeHint().height() == height
