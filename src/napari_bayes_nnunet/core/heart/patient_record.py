"""Whose heart an image shows."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import takewhile
from typing import Final, Literal

from .. import InputError
from .function import Patient


@dataclass(frozen=True, kw_only=True)
class PatientRecord:
    """Whose heart an image shows and when, as far as its DICOM header says; else "" or None.

    ``birth`` and ``date`` of the study are ISO dates, or only years. ``age`` at the study is in
    years. ``scanner`` is its maker and model. ``files`` are the names of NIfTI files, whose headers
    name no patient.
    """

    name: str = ""
    patient_id: str = ""
    birth: str = ""
    age: float | None = None
    sex: Literal["f", "m"] | None = None
    date: str = ""
    series: str = ""
    height_cm: float | None = None
    weight_kg: float | None = None
    heart_rate: float | None = None
    scanner: str = ""
    files: tuple[str, ...] = ()

    @property
    def written_name(self) -> str:
        """Name as it is written: "Doe, Jane" for DICOM's "Doe^Jane", without other scripts."""
        return ", ".join(filter(None, self.name.partition("=")[0].split("^")[:2]))

    @property
    def identity(self) -> str:
        """Name and ID, as in "Doe, Jane (4711)", or the names of the files."""
        name = self.written_name
        # A pseudonym may stand for both.
        other_id = self.patient_id if self.patient_id != self.name else ""
        known = f"{name} ({other_id})" if name and other_id else name or other_id
        # The names of ED and ES share their first words, which are not said twice.
        words = [re.split(r"(?<=[_.^-])", file) for file in self.files]
        same = takewhile(lambda column: len({*column}) == 1, zip(*words, strict=False))
        start = len("".join(column[0] for column in same))
        others = [f"…{file[start:]}" if start else file for file in self.files[1:]]
        return known or " + ".join([*self.files[:1], *others])

    @property
    def parts(self) -> tuple[str, ...]:
        """Identity, year of birth with sex and age, date and series, as far as they are known."""
        years = self.values.age
        age = "" if years is None else f"{years:.0f} y"
        sex = (self.sex or "").upper()
        born = " ".join(filter(None, (self.birth[:4], sex)))
        about = f"{born} ({age})" if born and age else born or age
        return tuple(filter(None, (self.identity, about, self.date, self.series)))

    @property
    def title(self) -> str:
        """One line such as "Doe, Jane · 1957 M (66 y) · 2024-03-12 · cine SAX"."""
        return " · ".join(self.parts)

    @property
    def values(self) -> Patient:
        """Values for indexing, without those outside the human range."""
        patient = Patient()
        for entry in fields(Patient):
            with suppress(InputError):  # such as a height of 0, as scanners write if they have none
                value = getattr(self, entry.name, None)
                patient = replace(patient, **{entry.name: value})
        return patient

    def or_named(self, name: str) -> PatientRecord:
        """Return the record, with the name of its file if its header names nobody."""
        return self if self.identity else replace(self, files=(name,))

    def joined_with(self, other: PatientRecord) -> PatientRecord:
        """Return the record of an image that was joined with one of the same patient."""
        return replace(self, files=(*self.files, *other.files))


NOBODY: Final = PatientRecord()
