"""Height, weight and heart rate."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.widgets.review.patient_fields import (
    NO_NUMBER,
    PATIENT_FIELDS,
    PatientFields,
    read,
)


@pytest.fixture
def fields(qtbot: Any) -> PatientFields:
    made = PatientFields()
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    return made


@pytest.fixture
def heard(fields: PatientFields) -> list[Patient]:
    patients: list[Patient] = []
    fields.changed.connect(patients.append)
    return patients


def write(fields: PatientFields, name: str, text: str, qtbot: Any) -> None:
    """Type into a field and leave it."""
    fields.fields[name].clear()
    qtbot.keyClicks(fields.fields[name], text)
    qtbot.keyClick(fields.fields[name], Qt.Key.Key_Return)


def test_a_patient_is_told_as_soon_as_it_makes_sense(
    fields: PatientFields, heard: Any, qtbot: Any
) -> None:
    qtbot.keyClicks(fields.fields["height_cm"], "172")
    assert heard == [Patient(height_cm=172)]
    write(fields, "weight_kg", "64,5", qtbot)
    assert heard[-1] == Patient(height_cm=172, weight_kg=64.5)
    write(fields, "heart_rate", " 61 ", qtbot)
    assert heard[-1] == fields.patient == Patient(height_cm=172, weight_kg=64.5, heart_rate=61)
    assert fields.problem.text() == ""


def test_an_emptied_field_is_not_known(fields: PatientFields, heard: Any, qtbot: Any) -> None:
    fields.set_patient(Patient(height_cm=172, weight_kg=64))
    qtbot.keyClick(fields.fields["height_cm"], Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(fields.fields["height_cm"], Qt.Key.Key_Delete)
    assert heard == [Patient(weight_kg=64)]


def test_half_a_number_is_no_nonsense_yet(fields: PatientFields, heard: Any, qtbot: Any) -> None:
    fields.set_patient(Patient(height_cm=160))
    edit = fields.fields["height_cm"]
    edit.selectAll()
    qtbot.keyClicks(edit, "17")
    assert fields.problem.text() == ""
    assert heard == []
    qtbot.keyClicks(edit, "2")
    assert heard == [Patient(height_cm=172)]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("height_cm", "1.72", "The height must be 20 to 280 cm, not 1.72."),
        ("weight_kg", "-3", "The weight must be 0.3 to 650 kg, not -3."),
        ("heart_rate", "9999", "The heart rate must be 10 to 400 beats per minute, not 9999."),
        ("heart_rate", "nan", "The heart rate must be 10 to 400 beats per minute, not nan."),
        ("heart_rate", "6o", NO_NUMBER.format(text="6o")),
    ],
)
def test_nonsense_is_explained_and_not_known(
    fields: PatientFields, heard: Any, name: str, text: str, sentence: str, qtbot: Any
) -> None:
    fields.set_patient(Patient(height_cm=172, weight_kg=64, heart_rate=61))
    write(fields, name, text, qtbot)
    assert fields.problem.text() == sentence
    assert getattr(heard[-1], name) is None
    assert len([value for value in vars(fields.patient).values() if value is None]) == 1


def test_a_mended_field_takes_its_sentence_with_it(fields: PatientFields, qtbot: Any) -> None:
    write(fields, "height_cm", "tall", qtbot)
    write(fields, "weight_kg", "heavy", qtbot)
    assert fields.problem.text() == NO_NUMBER.format(text="heavy")
    write(fields, "weight_kg", "64", qtbot)
    assert fields.problem.text() == NO_NUMBER.format(text="tall")
    write(fields, "height_cm", "172", qtbot)
    assert fields.problem.isHidden()
    assert fields.patient == Patient(height_cm=172, weight_kg=64)


def test_a_patient_is_shown_without_a_signal(fields: PatientFields, heard: Any) -> None:
    fields.set_patient(Patient(height_cm=172.25, heart_rate=61))
    assert [edit.text() for edit in fields.fields.values()] == ["172.25", "", "61"]
    fields.set_patient(Patient())
    assert [edit.text() for edit in fields.fields.values()] == ["", "", ""]
    assert heard == []


def test_the_fields_are_reached_by_keyboard_and_explained(
    fields: PatientFields, qtbot: Any
) -> None:
    fields.activateWindow()
    first, second, _ = fields.fields.values()
    first.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is first, timeout=2000)
    qtbot.keyClick(first, Qt.Key.Key_Tab)
    assert QApplication.focusWidget() is second
    assert all(help_text.endswith(".") for _, help_text in PATIENT_FIELDS.values())


@pytest.mark.parametrize(("text", "value"), [("", None), ("  ", None), ("1e2", 100.0)])
def test_what_a_field_says(text: str, value: float | None) -> None:
    assert read("height_cm", text) == (value, "")
