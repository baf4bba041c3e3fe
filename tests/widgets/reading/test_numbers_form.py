"""The numbers, the patient, and the slices that leave them open."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.core.heart.ef_contributions import Contribution
from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.widgets.reading.numbers_form import (
    NO_NUMBERS,
    NOT_CLINICAL,
    PAPILLARY,
    NumbersForm,
)

from .test_numbers_table import PREDICTED, measured, numbers

SLICES = [
    Contribution(phase=10, z=0, points=0.81),
    Contribution(phase=1, z=1, points=0.42),
    Contribution(phase=1, z=0, points=0.02),
]


@pytest.fixture
def form(qtbot: Any) -> NumbersForm:
    made = NumbersForm()
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


def click(form: NumbersForm, place: int, qtbot: Any) -> None:
    rect = form.slices.visualRect(form.slices.model().index(place, 0))
    qtbot.mouseClick(form.slices.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())


def test_what_the_numbers_are_not_is_said_plainly(form: NumbersForm) -> None:
    assert form.caveat.text() == NOT_CLINICAL
    assert form.papillary.text() == PAPILLARY
    form.set_papillary("Papillary muscles lie inside the LV cavity, as in ACDC's labels.")
    assert form.papillary.text().startswith("Papillary muscles lie inside")
    form.set_papillary("")
    assert form.papillary.text() == PAPILLARY


def test_numbers_are_shown_before_and_after_an_edit(form: NumbersForm) -> None:
    assert form.nothing.text() == NO_NUMBERS
    form.set_numbers(PREDICTED)
    assert form.nothing.isHidden()
    form.set_numbers(PREDICTED | numbers(measured("LV EDV", 150.0)), PREDICTED)
    assert form.numbers.texts("LV EDV")[1::3] == ("150.0", "142.3")
    form.set_numbers({})
    assert not form.nothing.isHidden()


def test_another_patient_is_told(form: NumbersForm, qtbot: Any) -> None:
    form.set_patient(Patient(height_cm=172))
    with qtbot.waitSignal(form.patient_changed, timeout=1000) as told:
        qtbot.keyClicks(form.patient.fields["weight_kg"], "64")
    assert told.args[0].height_cm == 172
    assert told.args[0].weight_kg in (6, 64)
    assert form.patient.patient == Patient(height_cm=172, weight_kg=64)


def test_the_slices_that_leave_the_ef_open_are_listed(form: NumbersForm, heard: Any) -> None:
    assert form.slices.isHidden()
    form.set_contributions(SLICES, ed=1, es=10)
    assert [row.cells for row in form.slices.rows] == [
        ("1", "10 (ES)", "0.8 points"),
        ("2", "1 (ED)", "0.4 points"),
        ("1", "1 (ED)", "less than 0.1 points"),
    ]
    form.set_contributions([])
    assert form.slices.isHidden()
    assert form.most.isHidden()
    assert heard == []


def test_a_click_and_the_arrow_keys_go_to_a_slice(
    form: NumbersForm, heard: Any, qtbot: Any
) -> None:
    form.set_contributions(SLICES, ed=1, es=10)
    click(form, 0, qtbot)
    qtbot.keyClick(form.slices, Qt.Key.Key_Down)
    assert heard == [(10, 0), (1, 1)]


def test_the_same_list_again_keeps_the_chosen_row(
    form: NumbersForm, heard: Any, qtbot: Any
) -> None:
    form.set_contributions(SLICES, ed=1, es=10)
    click(form, 1, qtbot)
    form.set_contributions(list(SLICES), ed=1, es=10)
    assert form.slices.currentIndex().row() == 1
    assert heard == [(1, 1)]
