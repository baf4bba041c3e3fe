"""Form of sex, age, height, weight and heart rate."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.core.heart.function import Patient
from napari_bayes_nnunet.widgets.common.form import NO_NUMBER
from napari_bayes_nnunet.widgets.reading.patient_fields import FROM_HEADER, PatientFields


@pytest.fixture
def fields(qtbot: Any) -> PatientFields:
    made = PatientFields()
    qtbot.addWidget(made.native)
    with qtbot.waitExposed(made.native):
        made.show()
    return made


@pytest.fixture
def heard(fields: PatientFields) -> list[Patient]:
    patients: list[Patient] = []
    fields.patient_changed.connect(patients.append)
    return patients


def write(fields: PatientFields, name: str, text: str, qtbot: Any) -> None:
    """Type into a field and leave it."""
    edit = fields[name].editor.native
    edit.clear()
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, Qt.Key.Key_Return)


def shown_problems(fields: PatientFields) -> dict[str, str]:
    return {field.name: field.problem.text() for field in fields if not field.problem.isHidden()}


def test_valid_values_are_emitted_at_once(fields, heard, qtbot) -> None:
    qtbot.keyClicks(fields.height_cm.editor.native, "172")
    assert heard == [Patient(height_cm=172)]
    write(fields, "weight_kg", "64,5", qtbot)
    assert heard[-1] == Patient(height_cm=172, weight_kg=64.5)
    write(fields, "heart_rate", " 61 ", qtbot)
    assert heard[-1] == fields.patient == Patient(height_cm=172, weight_kg=64.5, heart_rate=61)
    assert shown_problems(fields) == {}


def test_fields_say_what_came_from_the_header(fields, qtbot) -> None:
    def from_header() -> set[str]:
        tips = {field.name: field.editor.native.toolTip() for field in fields}
        return {name for name, tip in tips.items() if tip.startswith(FROM_HEADER)}

    header = Patient(height_cm=172, heart_rate=61)
    fields.set_patient(Patient(height_cm=172, weight_kg=64, heart_rate=61), header)
    assert from_header() == {"height_cm", "heart_rate"}
    write(fields, "heart_rate", "70", qtbot)
    assert from_header() == {"height_cm"}
    fields.set_patient(Patient(height_cm=180), header)
    assert from_header() == set()


def test_an_emptied_field_is_unknown(fields, heard, qtbot) -> None:
    fields.set_patient(Patient(height_cm=172, weight_kg=64))
    qtbot.keyClick(
        fields.height_cm.editor.native, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier
    )
    qtbot.keyClick(fields.height_cm.editor.native, Qt.Key.Key_Delete)
    assert heard == [Patient(weight_kg=64)]


def test_half_a_number_is_unknown(fields, heard, qtbot) -> None:
    fields.set_patient(Patient(height_cm=160))
    edit = fields.height_cm.editor.native
    edit.selectAll()
    qtbot.keyClicks(edit, "17")
    assert shown_problems(fields) == {}
    assert heard[-1] == Patient()
    qtbot.keyClicks(edit, "2")
    assert heard[-1] == Patient(height_cm=172)
    qtbot.keyClicks(edit, "5")
    assert heard[-1] == Patient()


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("age", "131", ["0", "120 years", "131"]),
        ("height_cm", "1.72", ["20", "280 cm", "1.72"]),
        ("weight_kg", "-3", ["0.3", "650 kg", "-3"]),
        ("heart_rate", "9999", ["10", "400 beats/min", "9999"]),
        ("heart_rate", "nan", ["10", "400 beats/min", "nan"]),
        ("heart_rate", "6o", [NO_NUMBER.format(text="6o")]),
    ],
)
def test_an_invalid_value_is_explained_and_unknown(fields, heard, name, text, shown, qtbot) -> None:
    fields.set_patient(Patient(sex="f", age=61, height_cm=172, weight_kg=64, heart_rate=61))
    write(fields, name, text, qtbot)
    (problem,) = shown_problems(fields).items()
    assert problem[0] == name
    assert all(value in problem[1] for value in shown)
    assert getattr(heard[-1], name) is None
    assert len([value for value in vars(fields.patient).values() if value is None]) == 1


def test_a_corrected_field_hides_its_problem(fields, qtbot) -> None:
    write(fields, "height_cm", "tall", qtbot)
    write(fields, "weight_kg", "heavy", qtbot)
    assert set(shown_problems(fields)) == {"height_cm", "weight_kg"}
    write(fields, "weight_kg", "64", qtbot)
    assert shown_problems(fields) == {"height_cm": NO_NUMBER.format(text="tall")}
    write(fields, "height_cm", "172", qtbot)
    assert shown_problems(fields) == {}
    assert fields.patient == Patient(height_cm=172, weight_kg=64)


def test_a_patient_is_shown_without_a_signal(fields, heard) -> None:
    def shown() -> list[str]:
        return [field.editor.native.text() for field in fields if field.name != "sex"]

    fields.set_patient(Patient(sex="m", age=50, height_cm=172.25, heart_rate=61))
    assert shown() == ["50", "172.25", "", "61"]
    assert fields.sex.editor.native.currentText() == "male"
    fields.set_patient(Patient())
    assert shown() == ["", "", "", ""]
    assert fields.sex.editor.native.currentText() == "not known"
    assert heard == []


def test_a_chosen_sex_is_emitted(fields, heard, qtbot) -> None:
    box = fields.sex.editor.native
    for key, sex in ((Qt.Key.Key_Down, "f"), (Qt.Key.Key_Down, "m"), (Qt.Key.Key_Home, None)):
        qtbot.keyClick(box, key)
        assert heard[-1] == fields.patient == Patient(sex=sex)


def test_fields_have_tab_order_and_tooltips(fields, qtbot) -> None:
    fields.native.activateWindow()
    first, second, *_ = (field.editor.native for field in fields)
    first.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is first)
    qtbot.keyClick(first, Qt.Key.Key_Tab)
    assert QApplication.focusWidget() is second
    assert all(field.tooltip.endswith(".") for field in fields)
