"""Tests of the numbers that stay in sight."""

from __future__ import annotations

import math
from typing import Any

import pytest
from napari.qt import get_stylesheet
from qtpy.QtWidgets import QLabel

from napari_bayes_nnunet.core.heart.function import Measured
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.reading.key_numbers import (
    BOTH_PHASES,
    NO_KEY_NUMBERS,
    KeyNumbers,
)

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


def test_value_spread_and_change_are_shown(table: KeyNumbers) -> None:
    table.set_numbers(numbers(LV_EF=48.25), numbers(LV_EF=50.0), ed=1, es=9)
    assert table.texts("LV EF") == ("EF", "%", "48.2", "±11.2", "−1.8")
    assert table.texts("LV EDV") == ("EDV", "mL", "123", "±11.2", "")
    assert table.caption.text() == BOTH_PHASES.format(ed=1, es=9)
    table.set_numbers(numbers(LV_EF=62.04), numbers(LV_EF=62.0), ed=1, es=9)
    assert table.texts("LV EF")[-1] == ""


def test_only_the_key_numbers_are_shown(table: KeyNumbers) -> None:
    table.set_numbers(numbers(), numbers(), ed=1, es=9)
    titles = [table.texts(name)[0] for name in table.names]
    assert titles == ["EF", "EDV", "ESV", "SV", "Mass", "RV EF"]


def test_an_unknown_number_is_a_dash(table: KeyNumbers) -> None:
    table.set_numbers(numbers(LV_EF=math.nan), numbers(), ed=1, es=9)
    assert table.texts("LV EF")[2:] == ("–", "±11.2", "")


def test_without_numbers_the_reason_is_shown(table: KeyNumbers) -> None:
    table.set_numbers({}, {})
    assert table.caption.text() == NO_KEY_NUMBERS
    assert list(table.names) == []


def test_a_change_keeps_the_height(table: KeyNumbers) -> None:
    table.set_numbers(numbers(), numbers(), ed=1, es=9)
    before = table.sizeHint().height()
    table.set_numbers(numbers(LV_EF=20.0, LV_SV=3.0), numbers(), ed=1, es=9)
    assert table.sizeHint().height() == before


@pytest.mark.parametrize("points", [8, 12])
def test_the_table_fits_a_narrow_dock(table: KeyNumbers, points: int) -> None:
    table.setStyleSheet(get_stylesheet("dark", extra_variables={"font_size": f"{points}pt"}))
    table.set_numbers(numbers(LV_EF=98.7), numbers(LV_EF=12.3, LV_mass=300.0), ed=20, es=10)
    table.show()
    assert table.minimumSizeHint().width() <= DOCK_WIDTH - MARGINS
    table.setFixedWidth(DOCK_WIDTH - MARGINS)
    for label in table.findChildren(QLabel):
        assert label.fontMetrics().horizontalAdvance(label.text()) <= label.width()
