"""Height, weight and heart rate of the patient: what indexing and cardiac output need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Final

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QWidget

from ...core.heart.function import Patient
from ..common.dock import MessageLabel
from ..common.rows_table import LEVEL_COLORS

PATIENT_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "height_cm": (
        "Height (cm)",
        "With the weight: volumes and mass are also given per m² of body surface (Mosteller).",
    ),
    "weight_kg": (
        "Weight (kg)",
        "With the height: volumes and mass are also given per m² of body surface (Mosteller).",
    ),
    "heart_rate": (
        "Rate (1/min)",
        "Heart rate during the scan, beats per minute; the cardiac output is stroke volume × rate.",
    ),
}
NO_NUMBER = "“{text}” is not a number."


class PatientFields(QWidget):
    """``changed`` carries the Patient, as soon as what is written makes sense.

    What makes none counts as not known, and is explained when its field is left.
    """

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._patient = Patient()
        self.fields = {name: QLineEdit() for name in PATIENT_FIELDS}
        self.problem = MessageLabel(color=LEVEL_COLORS["blocking"])
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(2)
        for column, (name, field) in enumerate(self.fields.items()):
            title, help_text = PATIENT_FIELDS[name]
            label = QLabel(title)
            label.setBuddy(field)
            for part in (label, field):
                part.setToolTip(help_text)
            field.setAccessibleName(title)
            field.setPlaceholderText("not known")
            grid.addWidget(label, 0, column)
            grid.addWidget(field, 1, column)
            field.textEdited.connect(self._on_edited)
            field.editingFinished.connect(partial(self._on_left, name))
        grid.addWidget(self.problem, 2, 0, 1, len(PATIENT_FIELDS))

    @property
    def patient(self) -> Patient:
        """What is known of the patient."""
        return self._patient

    def set_patient(self, patient: Patient) -> None:
        """Show ``patient`` without a signal."""
        self._patient = patient
        self.problem.say("")
        for name, value in asdict(patient).items():
            self.fields[name].setText("" if value is None else f"{value:.10g}")

    def _on_edited(self) -> None:
        """Half a number is no nonsense yet: the one before holds on."""
        before = asdict(self._patient)
        read_now = {name: read(name, field.text()) for name, field in self.fields.items()}
        known = {n: before[n] if problem else value for n, (value, problem) in read_now.items()}
        self._take(Patient(**known))
        if self.problem.text():  # a mended field takes its sentence with it
            self.problem.say(next((text for _, text in read_now.values() if text), ""))

    def _on_left(self, name: str) -> None:
        _, problem = read(name, self.fields[name].text())
        if problem:
            self.problem.say(problem)
            self._take(replace(self._patient, **{name: None}))

    def _take(self, patient: Patient) -> None:
        if patient != self._patient:
            self._patient = patient
            self.changed.emit(patient)


def read(name: str, text: str) -> tuple[float | None, str]:
    """The number in a field, None for an empty one, and what is wrong with it."""
    text = text.strip()
    if not text:
        return None, ""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None, NO_NUMBER.format(text=text)
    try:
        Patient(**{name: value})
    except ValueError as error:
        return value, str(error)
    return value, ""
