"""The M&Ms release (MICCAI 2020) as it is downloaded: a table, and two cines a patient.

``211230_M&Ms_Dataset_information_diagnosis_opendataset.csv`` and
``{Training/Labeled, Training/Unlabeled, Validation, Testing}/A0S9V9/{A0S9V9_sa.nii.gz,
A0S9V9_sa_gt.nii.gz}``; the labels are a cine too, empty but at ED and ES. The table counts these
frames from 0, the names of our cases from 1.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from .. import DataError
from .raw_dataset import named
from .release import CardiacPhase, Release, ReleaseCase, contents, left_out, require_file

_LABELS = {"background": 0, "LV": 1, "MYO": 2, "RV": 3}
_LICENCE = "see the terms of M&Ms, https://www.ub.edu/mnms/"
_REFERENCE = (
    "V. M. Campello, P. Gkontra, C. Izquierdo, C. Martín-Isla, et al.: Multi-Centre, Multi-Vendor "
    "and Multi-Disease Cardiac Segmentation: The M&Ms Challenge. IEEE Transactions on Medical "
    "Imaging 40(12), 3543-3554, 2021, doi:10.1109/TMI.2021.3090082"
)
SUBSETS = {"Training/Labeled": "training", "Validation": "validation", "Testing": "testing"}
UNLABELLED = "Training/Unlabeled"
CODE = "External code"
NEEDED = (CODE, "Vendor", "Centre", "ED", "ES")
_GROUPS = {"vendor": "Vendor", "centre": "Centre", "pathology": "Pathology"}
FACTS = {"vendor_name": "VendorName", **{k.lower(): k for k in ("Age", "Sex", "Height", "Weight")}}

CsvRow: TypeAlias = Mapping[str, str]


def read_mnms(folder: Path) -> Release:
    """The ED and ES frames of patients that have a label file.

    Vendor (A to D), centre, pathology and subset are groups.
    Patients of ``Validation`` and ``Testing`` are held out. Those without a label file, and all of
    ``Training/Unlabeled``, are left out and noted. Raises DataError, one sentence, for another
    layout, a table that lacks columns or patients, and image files that are missing.
    """
    patients = _patient_folders(folder)
    table = _find_table(folder)
    rows = _read_table(table)
    cases: list[ReleaseCase] = []
    facts: dict[str, dict[str, str]] = {}
    without = {UNLABELLED: _folders(folder / UNLABELLED)}
    for patient, subset in patients:
        if not (patient / f"{patient.name}_sa_gt.nii.gz").is_file():
            without.setdefault(subset, []).append(patient)
            continue
        if patient.name not in rows:
            raise DataError(f"{table} has no line for {patient.name}, a patient of {subset}.")
        row = rows[patient.name]
        found = list(_cases(patient, subset, row, table))
        cases += found
        facts[patient.name] = {case.phase: str(case.frame) for case in found} | {
            fact: row.get(column, "") for fact, column in FACTS.items()
        }
    return Release(
        name="M&Ms",
        labels=_LABELS,
        licence=_LICENCE,
        reference=_REFERENCE,
        cases=tuple(cases),
        facts=facts,
        notes=tuple(note for place, of in without.items() for note in left_out(of, place)),
    )


def _patient_folders(folder: Path) -> list[tuple[Path, str]]:
    """Folders of patients that should be labelled, each with the folder of its subset."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: it should hold the M&Ms release.")
    found = [(patient, place) for place in SUBSETS for patient in _folders(folder / place)]
    if not found:
        raise DataError(
            f"{folder} is not laid out as M&Ms is: expected patients in {', '.join(SUBSETS)}, "
            f"found {contents(folder)}."
        )
    return found


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _find_table(folder: Path) -> Path:
    tables = sorted(p for p in folder.glob("*.csv") if not p.name.startswith("."))
    if len(tables) != 1:
        raise DataError(
            f"{folder} should hold one table, *M&Ms_Dataset_information*opendataset.csv; found "
            f"{named([table.name for table in tables]) or contents(folder)}."
        )
    return tables[0]


def _read_table(file: Path) -> dict[str, CsvRow]:
    """A line of the table for every patient."""
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        reader = csv.DictReader(io.StringIO(text))
        columns, lines = list(reader.fieldnames or ()), list(reader)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    except csv.Error as error:
        raise DataError(f"{file} is no table with commas: {error}.") from error
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        raise DataError(
            f"{file} lacks the columns {', '.join(missing)}: expected {', '.join(NEEDED)}, found "
            f"{', '.join(filter(None, columns)) or 'none'}."
        )
    rows: dict[str, CsvRow] = {}
    for line in lines:
        row = {key: (value or "").strip() for key, value in line.items() if key}
        if row[CODE] in rows:
            raise DataError(f"{file} has two lines for {row[CODE]}; expected one a patient.")
        rows[row[CODE]] = row
    return rows


def _cases(patient: Path, place: str, row: CsvRow, table: Path) -> Iterator[ReleaseCase]:
    ed, es = _frame(row, "ED", table), _frame(row, "ES", table)
    if ed == es:
        raise DataError(
            f"{table} calls frame {row['ED']} of {patient.name} both ED and ES; they should differ."
        )
    numbered: tuple[tuple[CardiacPhase, int], ...] = (("ED", ed), ("ES", es))
    image = patient / f"{patient.name}_sa.nii.gz"
    subset = SUBSETS[place]
    groups = {name: row.get(column, "") for name, column in _GROUPS.items()} | {"subset": subset}
    for phase, frame in numbered:
        yield ReleaseCase(
            patient=patient.name,
            phase=phase,
            frame=frame,
            image=require_file(image, f"{patient.name} of {place} should have a cine"),
            label=patient / f"{patient.name}_sa_gt.nii.gz",
            in_cine=True,
            held_out=subset != "training",
            groups=groups,
        )


def _frame(row: CsvRow, phase: CardiacPhase, table: Path) -> int:
    """Frame from 1 of a phase that the table counts from 0."""
    if not re.fullmatch(r"\d{1,6}(\.0*)?", row[phase]):
        raise DataError(
            f"{table} should give the {phase} of {row[CODE]} as a frame counted from 0; found "
            f"{row[phase]!r}."
        )
    return int(float(row[phase])) + 1
