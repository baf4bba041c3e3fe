"""Whose heart a study shows, STUDY/patient.json, which only its owner can read.

It stays in the study: nothing of it is in reports, exports for research, settings or logs.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

from ...core.heart.patient_record import PatientRecord
from .. import DataError
from ..files.atomic import write_json
from ..files.json_files import read_json

PATIENT_FILE: Final = "patient.json"
_FORMAT: Final = 1
_REPAIR: Final = "Delete it to open the study without the data of its patient."
_OWNER_ONLY: Final = 0o600


def write_patient(folder: Path, record: PatientRecord) -> None:
    """Write ``patient.json`` atomically, for its owner only. Raises OSError if that fails."""
    file = folder / PATIENT_FILE
    # Before anything is in it, so that nobody else can read it for a moment.
    file.touch(_OWNER_ONLY)
    file.chmod(_OWNER_ONLY)  # which passes on to what replaces it
    write_json(file, {"format": _FORMAT, **asdict(record)})


def read_patient(folder: Path, *, case: str, problems: list[str]) -> PatientRecord:
    """Return whose study it is; the ``case`` if the file is missing, as in studies of 0.2.0.

    The case also stands for a file that cannot be read, which is appended to ``problems``.
    """
    try:
        record = read_json(folder / PATIENT_FILE, PatientRecord, newest=_FORMAT, repair=_REPAIR)
    except FileNotFoundError:
        return PatientRecord(files=(case,))
    except DataError as error:
        problems.append(str(error))
        return PatientRecord(files=(case,))
    return record.or_named(case)
