"""Height, weight and heart rate of the patient, for indexing and cardiac output."""

from __future__ import annotations

from dataclasses import asdict, replace

from psygnal import Signal

from ...core.heart.function import Patient
from ..common.form import DataForm


class PatientFields(DataForm):
    """Form of a Patient; a value that makes no sense counts as not known.

    It is explained when its field is left.
    """

    patient_changed = Signal(Patient)

    def __init__(self) -> None:
        self._patient = Patient()
        super().__init__(Patient)
        self.changed.connect(self._on_edited)
        for field in self:
            field.left.connect(self._on_left)

    @property
    def patient(self) -> Patient:
        """The patient as far as known."""
        return self._patient

    def set_patient(self, patient: Patient) -> None:
        """Show ``patient`` without a signal."""
        self._patient = patient
        with self.changed.blocked():
            self.update(asdict(patient))
        self.show_problems({})

    def _on_edited(self) -> None:
        """Keep the last valid value of a field while the user is typing."""
        known = asdict(self._patient)
        for field in self:
            if not self.find_problem(Patient, field.name):
                known[field.name] = field.value
                field.show_problem("")
        self._take(Patient(**known))

    def _on_left(self, name: str) -> None:
        problem = self.find_problem(Patient, name)
        self[name].show_problem(problem)
        if problem:
            self._take(replace(self._patient, **{name: None}))

    def _take(self, patient: Patient) -> None:
        if patient != self._patient:
            self._patient = patient
            self.patient_changed.emit(patient)
