"""Tests of the numbers, the patient, and the slices that make the EF uncertain."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_bayes_nnunet.app.review.report_numbers import REVIEWED
from napari_bayes_nnunet.core.heart.ef_contributions import Contribution
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.core.heart.normal_ranges import NormalRanges
from napari_bayes_nnunet.io.heart.normal_ranges import NO_RANGES, PETERSEN
from napari_bayes_nnunet.widgets.common.dock import column_layout
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.reading import numbers as numbers_module
from napari_bayes_nnunet.widgets.reading.numbers import (
    BESIDE,
    CHANGED,
    HEADINGS,
    INTERVAL,
    INTERVAL_HELP,
    INTERVAL_TEXT,
    NO_CONTRIBUTIONS,
    NO_NUMBERS,
    OPEN_TEXT,
    RANGES,
    REVIEWED_TEXT,
    SPREAD_TEXT,
    VALUE,
    VERDICT,
    NumbersForm,
    NumbersTable,
)

from ...helpers.data.reviews import NORMAL, measured, numbers

SLICES = [
    Contribution(phase=10, z=0, points=0.81),
    Contribution(phase=1, z=1, points=0.42),
    Contribution(phase=1, z=0, points=0.02),
]


@pytest.fixture
def form(qtbot: Any, settings: Settings) -> NumbersForm:
    made = NumbersForm(settings)
    qtbot.addWidget(made)
    made.resize(330, 500)
    made.show()
    qtbot.waitExposed(made)
    return made


@pytest.fixture
def heard(form: NumbersForm) -> list[tuple[int, int]]:
    cells: list[tuple[int, int]] = []
    form.cell_chosen.connect(lambda phase, z: cells.append((phase, z)))
    return cells


def click(form: NumbersForm, row: int, qtbot: Any) -> None:
    rect = form.slices.visualRect(form.slices.model().index(row, 0))
    qtbot.mouseClick(form.slices.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())


def test_numbers_are_shown_before_and_after_an_edit(form) -> None:
    assert form.nothing.text() == NO_NUMBERS
    form.set_numbers(PREDICTED)
    assert form.nothing.isHidden()
    form.set_numbers(PREDICTED | numbers(measured("LV EDV", 150.0)), PREDICTED)
    assert form.numbers.texts("LV EDV")[VALUE::3] == ("150.0", "+7.7")
    form.set_numbers({})
    assert not form.nothing.isHidden()


def test_a_changed_patient_is_signalled(form, qtbot) -> None:
    heard: list[Patient] = []
    form.patient.patient_changed.connect(heard.append)
    form.patient.set_patient(Patient(height_cm=172))
    qtbot.keyClicks(form.patient.weight_kg.editor.native, "64")
    assert heard == [Patient(height_cm=172, weight_kg=kg) for kg in (6, 64)]
    assert form.patient.patient == heard[-1]


def test_indexed_numbers_do_not_move_the_fields(qtbot: Any, settings: Settings) -> None:
    dock, form = QWidget(), NumbersForm(settings)
    weight = form.patient.weight_kg.native
    qtbot.addWidget(dock)
    column_layout(dock, form).addStretch(1)
    dock.resize(330, 1500)
    dock.show()

    def top() -> int:
        QApplication.processEvents()
        return int(weight.mapTo(form, weight.rect().topLeft()).y())

    form.set_numbers(PREDICTED)
    before = top()
    form.set_numbers(PREDICTED | numbers(measured("LV EDVi", 80.0), measured("LV CI", 3.0)))
    assert top() == before


def test_contributing_slices_are_listed(form, heard) -> None:
    assert form.slices.isHidden()
    form.set_contributions(SLICES, ed=1, es=10)
    assert [row.cells for row in form.slices.rows] == [
        ("1", "ES", "0.8 points"),
        ("2", "ED", "0.4 points"),
    ]
    form.set_contributions([], ed=1, es=10)
    assert form.contributions_title.text() == NO_CONTRIBUTIONS
    form.set_contributions([])
    assert form.slices.isHidden()
    assert form.contributions_title.isHidden()
    assert heard == []


def test_click_and_arrow_keys_go_to_slice(form, heard, qtbot) -> None:
    form.set_contributions(SLICES, ed=1, es=10)
    click(form, 0, qtbot)
    qtbot.keyClick(form.slices, Qt.Key.Key_Down)
    assert heard == [(10, 0), (1, 1)]


def test_the_same_list_again_keeps_the_chosen_row(form, heard, qtbot) -> None:
    form.set_contributions(SLICES, ed=1, es=10)
    click(form, 1, qtbot)
    form.set_contributions(list(SLICES), ed=1, es=10)
    assert form.slices.currentIndex().row() == 1
    assert heard == [(1, 1)]


PREDICTED = numbers(
    measured("LV EDV", 142.34, 3.12),
    measured("LV EF", 57.0, 1.66, "%"),
    measured("LV CO", 5.2, 0.3),
)


@pytest.fixture
def table(qtbot: Any) -> NumbersTable:
    made = NumbersTable()
    qtbot.addWidget(made)
    made.set_numbers(PREDICTED, PREDICTED)
    return made


def test_a_row_has_name_value_unit_and_interval(table) -> None:
    assert table.texts("LV EDV") == ("LV EDV", "142.3", "mL", "", "", "", "")
    assert table.texts("LV CO") == ("LV CO", "5.2", "mL", "", "", "", "")
    known = replace(PREDICTED["LV EF"], intervals={80: (49, 56), 90: (47.6, 59.4)})
    table.set_numbers(PREDICTED | numbers(known), PREDICTED, {"LV EF": 9, "LV EDV": 0})
    assert table.texts("LV EF") == ("LV EF", "57.0", "%", "47.6–59.4", "", "", "")
    assert table.texts("LV EDV")[INTERVAL] == REVIEWED
    assert heading(table, INTERVAL) == "90 %"
    few = replace(PREDICTED["LV EF"], intervals={80: (49, 56)})
    table.set_numbers(PREDICTED | numbers(few), PREDICTED)
    assert (heading(table, INTERVAL), table.texts("LV EF")[INTERVAL]) == ("80 %", "49.0–56.0")
    table.set_numbers(PREDICTED, PREDICTED)
    assert heading(table, INTERVAL) == ""


def heading(table: NumbersTable, column: int) -> str:
    return table._grid.itemAtPosition(0, column).widget().text()


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [(55.16, 56.44, "+1.2"), (43.92, 43.84, "−0.1"), (10.54, 10.46, ""), (7.89, 7.72, "−0.2")],
)
def test_change_is_that_of_the_numbers_on_screen(table, before, now, change) -> None:
    predicted = replace(PREDICTED["LV EF"], value=before)
    table.set_numbers({"LV EF": replace(predicted, value=now)}, {"LV EF": predicted})
    assert table.texts("LV EF")[VALUE] == f"{now:.1f}"
    assert table.texts("LV EF")[CHANGED] == change


def test_intervals_and_open_slices_are_explained(table) -> None:
    interval = replace(PREDICTED["LV EF"], intervals={90: (47.6, 59.4)})
    table.set_numbers(PREDICTED | numbers(interval), PREDICTED, {"LV EF": 9, "LV EDV": 0})
    help_text = table.lines["LV EF"][VALUE].toolTip()
    ends = {"level": 90, "low": "47.6", "high": "59.4", "unit": "%"}
    assert INTERVAL_TEXT.format(**ends) in help_text
    assert INTERVAL_HELP.format(level=90) in help_text
    assert SPREAD_TEXT.format(spread="1.7", unit="%") in help_text
    assert OPEN_TEXT.format(9) in help_text
    assert REVIEWED_TEXT in table.lines["LV EDV"][VALUE].toolTip()


def test_a_changed_value_is_highlighted(table, qtbot) -> None:
    table._timer.setInterval(50)
    assert table.highlighted == set()
    table.set_numbers(PREDICTED | numbers(measured("LV EDV", 145.0, 3.1)), PREDICTED)
    assert table.highlighted == {"LV EDV"}
    assert table.texts("LV EDV") == ("LV EDV", "145.0", "mL", "", "+2.7", "", "")
    assert "142.3" in table.lines["LV EDV"][VALUE].toolTip()
    assert table.texts("LV EF")[CHANGED] == ""
    qtbot.waitUntil(lambda: not table.highlighted)
    assert table.texts("LV EDV")[CHANGED] == "+2.7"


def test_the_next_edit_highlights_its_own_change(table) -> None:
    changed = PREDICTED | numbers(measured("LV EDV", 145.0))
    table.set_numbers(changed, PREDICTED)
    table.set_numbers(changed | numbers(measured("LV EF", 58.0)), PREDICTED)
    assert table.highlighted == {"LV EF"}
    assert table.texts("LV EDV")[CHANGED] == "+2.7"


def test_an_undone_edit_hides_the_change(table) -> None:
    table.set_numbers(PREDICTED | numbers(measured("LV EDV", 145.0)), PREDICTED)
    table.set_numbers(PREDICTED, PREDICTED)
    assert table.texts("LV EDV")[CHANGED] == ""


def test_other_numbers_replace_the_previous(table, qtbot) -> None:
    table.set_numbers(numbers(measured("RV EDV", 150.0)), None)
    assert table.highlighted == set()
    with pytest.raises(KeyError):
        table.texts("LV EDV")
    table.set_numbers({})
    table.show()
    table.grab()


def test_names_and_headings_are_explained(table: NumbersTable) -> None:
    line, edv = table.lines["LV EDV"], PREDICTED["LV EDV"]
    assert line[0].toolTip().startswith(edv.title)
    assert line[0].toolTip().endswith(edv.help)
    assert all(help_text.endswith(".") for title, help_text in HEADINGS if title)


def test_a_range_stands_beside_its_verdict(table) -> None:
    number = measured("LV EDV", 240.0, math.nan)
    table.set_numbers(numbers(replace(number, comparison=replace(NORMAL, verdict="▲ high"))))
    texts = table.texts("LV EDV")
    assert (texts[VALUE], texts[BESIDE], texts[VERDICT]) == ("240.0", "93–232", "▲ high")
    assert heading(table, BESIDE) == "Normal"
    assert NORMAL.lines[0] in table.lines["LV EDV"][VALUE].toolTip()
    table.set_numbers(numbers(replace(number, comparison=replace(NORMAL, title="Muscle"))))
    assert heading(table, BESIDE) == "Muscle"
    both = replace(NORMAL, title="Men\nWomen", text="93–232\n80–175")
    table.set_numbers(numbers(replace(number, comparison=both)))
    assert (heading(table, BESIDE), table.texts("LV EDV")[BESIDE]) == (both.title, both.text)
    table.set_numbers(numbers(number))
    assert heading(table, BESIDE) == ""
    assert table.texts("LV EDV")[BESIDE] == ""


SITE = """source,Our hospital 2026
papillary muscles,blood
quantity,unit,sex,kind,low,high,mean,sd
LV EDV,mL,m,95 % interval,90,220,,
"""


@pytest.fixture
def chosen(qtbot: Any, tmp_path: Path, monkeypatch: Any) -> Any:
    """Return a function that chooses an entry of the box; the dialog gives ``site.csv``."""
    settings = Settings(tmp_path / "settings.json")
    chosen = str(tmp_path / "site.csv")
    monkeypatch.setattr(numbers_module, "choose_csv", lambda *_: chosen)
    form = NumbersForm(settings)
    qtbot.addWidget(form)
    heard: list[NormalRanges] = []
    form.ranges_chosen.connect(heard.append)

    def choose(text: str) -> tuple[str, str, list[NormalRanges]]:
        """Return what is kept, the problem on screen, and the sets that were chosen."""
        form.ranges.setCurrentIndex(form.ranges.findText(text))
        form.ranges.activated.emit(form.ranges.currentIndex())
        assert form.ranges.currentData() == settings.kept.normal_ranges
        return settings.kept.normal_ranges, form.problem.text(), heard

    return choose


def test_chosen_normal_ranges_are_kept(chosen, tmp_path) -> None:
    (tmp_path / "site.csv").write_text(SITE)
    kept, problem, heard = chosen(RANGES[""])
    assert (kept, problem) == (str(tmp_path / "site.csv"), "")
    assert heard[-1].source == "Our hospital 2026"
    assert chosen("site.csv")[0] == kept  # now an entry of its own
    assert chosen(RANGES[NO_RANGES]) == (NO_RANGES, "", heard)
    assert heard[-1].ranges == ()
    assert chosen(RANGES[PETERSEN])[0] == PETERSEN
    assert len(heard[-1].ranges) == 40


def test_refused_normal_ranges_change_nothing(chosen, tmp_path) -> None:
    (tmp_path / "site.csv").write_text(SITE.replace("blood", "muscle"))
    kept, problem, heard = chosen(RANGES[""])
    assert (kept, heard) == (PETERSEN, [])
    assert "site.csv" in problem
    assert chosen(RANGES[PETERSEN])[1] == ""
