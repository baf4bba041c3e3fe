"""Form of height, weight and heart rate, for indexed values and cardiac output."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from psygnal import Signal

from ...core.heart.function import Patient
from ..common.form import DataForm

FROM_HEADER: Final = "From the DICOM header."


class PatientFields(DataForm):
    """Form of a Patient; an invalid value counts as unknown.

    The problem is shown when the reader leaves the field.
    """

    patient_changed = Signal(Patient)

    def __init__(self) -> None:
        self.patient = Patient()
        """Patient with the valid values."""
        self._header: dict[str, Any] = {}
        super().__init__(Patient)
        self.changed.connect(self._on_edited)
        for field in self:
            field.left.connect(self._on_left)

    def set_patient(self, patient: Patient, header: Patient = Patient()) -> None:  # noqa: B008
        """Show ``patient`` without a signal, and which of the values the DICOM ``header`` has."""
        self.patient, self._header = patient, asdict(header)
        with self.changed.blocked():
            self.update(asdict(patient))
        self.show_problems({})
        self._show_sources()

    def _show_sources(self) -> None:
        """Say of the fields with a value of the header where it comes from."""
        for field in self:
            from_header = field.value is not None and field.value == self._header.get(field.name)
            source = f"{FROM_HEADER} " if from_header else ""
            field.editor.native.setToolTip(f"{source}{field.tooltip}")

    def _on_edited(self) -> None:
        values: dict[str, Any] = {}
        for field in self:
            # A number that is half typed is unknown, so that 80 of 805 kg is never saved.
            is_valid = not self.find_problem(Patient, field.name)
            values[field.name] = field.value if is_valid else None
            if is_valid:
                field.show_problem("")
        patient = Patient(**values)
        if patient != self.patient:
            self.patient = patient
            self._show_sources()
            self.patient_changed.emit(patient)

    def _on_left(self, name: str) -> None:
        self[name].show_problem(self.find_problem(Patient, name))
