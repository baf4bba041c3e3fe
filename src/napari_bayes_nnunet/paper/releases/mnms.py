"""Reader of the M&Ms release (MICCAI 2020) as downloaded: a table, and two cines per patient.

The files are ``211230_M&Ms_Dataset_information_diagnosis_opendataset.csv`` and
``{Training/Labeled, Training/Unlabeled, Validation, Testing}/A0S9V9/{A0S9V9_sa.nii.gz,
A0S9V9_sa_gt.nii.gz}``. The labels are a cine too, empty except at ED and ES. The table counts these
frames from 0, our case names count them from 1.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from ...io import DataError
from ...io.dataset.raw_dataset import join_names
from ...io.files.access import reading
from ...io.files.given_path import check_folder
from ...io.files.limits import read_small_text
from .release import (
    OTHER_LAYOUT,
    SAME_FRAME,
    CardiacPhase,
    Release,
    ReleaseCase,
    describe_contents,
    note_left_out,
    require_file,
)

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
NO_SINGLE_TABLE = (
    "{folder} needs exactly one table, *M&Ms_Dataset_information*opendataset.csv, but has {found}. "
    "Restore the files of the release."
)
WRONG_TABLE = "{file} is not the table of the M&Ms release ({reason}). Restore the file."

CsvRow: TypeAlias = Mapping[str, str]


def read_mnms(folder: Path) -> Release:
    """Return the ED and ES frames of patients with a label file.

    Vendor (A to D), centre, pathology and subset are groups. Patients of ``Validation`` and
    ``Testing`` are held out. Patients without a label file, and all of ``Training/Unlabeled``, are
    left out and noted. Raises DataError for another layout, missing columns or patients in the
    table, or a missing image.
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
            reason = f"it has no line for {patient.name} of {subset}"
            raise DataError(WRONG_TABLE, file=table, reason=reason)
        row = rows[patient.name]
        phases = list(_cases(patient, subset, row, table))
        cases += phases
        facts[patient.name] = {case.phase: str(case.frame) for case in phases} | {
            fact: row.get(column, "") for fact, column in FACTS.items()
        }
    return Release(
        name="M&Ms",
        labels=_LABELS,
        licence=_LICENCE,
        reference=_REFERENCE,
        cases=tuple(cases),
        facts=facts,
        notes=tuple(
            note for subset, folders in without.items() for note in note_left_out(folders, subset)
        ),
    )


def _patient_folders(folder: Path) -> list[tuple[Path, str]]:
    """Return the folders of patients that should have labels, each with its subset's folder."""
    check_folder(folder, "M&Ms release")
    patients = [(patient, subset) for subset in SUBSETS for patient in _folders(folder / subset)]
    if not patients:
        raise DataError(
            OTHER_LAYOUT,
            folder=folder,
            release="M&Ms",
            expected=f"patients in {', '.join(SUBSETS)}",
            found=describe_contents(folder),
        )
    return patients


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _find_table(folder: Path) -> Path:
    # Copies made on macOS have a hidden file for each one, such as ._table.csv.
    tables = sorted(p for p in folder.glob("*.csv") if not p.name.startswith("."))
    if len(tables) != 1:
        found = join_names([table.name for table in tables]) or describe_contents(folder)
        raise DataError(NO_SINGLE_TABLE, folder=folder, found=found)
    return tables[0]


def _read_table(file: Path) -> dict[str, CsvRow]:
    """Return the line of every patient in the table."""
    try:
        with reading(file):
            # Spreadsheets put a byte order mark before the first column.
            text = read_small_text(file, encoding="utf-8-sig", errors="replace")
        reader = csv.DictReader(io.StringIO(text))
        columns, lines = list(reader.fieldnames or ()), list(reader)
    except csv.Error as error:
        raise DataError(WRONG_TABLE, file=file, reason=error) from error
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        found = ", ".join(filter(None, columns)) or "none"
        reason = f"it lacks the columns {', '.join(missing)}, found {found}"
        raise DataError(WRONG_TABLE, file=file, reason=reason)
    rows: dict[str, CsvRow] = {}
    for line in lines:
        # csv gives None for cells that a line lacks, and the key None to those beyond the columns.
        row = {key: (value or "").strip() for key, value in line.items() if key}
        if row[CODE] in rows:
            raise DataError(WRONG_TABLE, file=file, reason=f"it has two lines for {row[CODE]}")
        rows[row[CODE]] = row
    return rows


def _cases(patient: Path, folder: str, row: CsvRow, table: Path) -> Iterator[ReleaseCase]:
    ed, es = _frame(row, "ED", table), _frame(row, "ES", table)
    # ED and ES would be written to the same files.
    if ed == es:
        raise DataError(SAME_FRAME, file=table, frame=row["ED"], patient=patient.name)
    numbered: tuple[tuple[CardiacPhase, int], ...] = (("ED", ed), ("ES", es))
    image = patient / f"{patient.name}_sa.nii.gz"
    subset = SUBSETS[folder]
    groups = {name: row.get(column, "") for name, column in _GROUPS.items()} | {"subset": subset}
    for phase, frame in numbered:
        yield ReleaseCase(
            patient=patient.name,
            phase=phase,
            frame=frame,
            image=require_file(image, f"each patient of {folder} needs a cine"),
            label=patient / f"{patient.name}_sa_gt.nii.gz",
            in_cine=True,
            held_out=subset != "training",
            groups=groups,
        )


def _frame(row: CsvRow, phase: CardiacPhase, table: Path) -> int:
    """Return the frame of a phase, from 1; the table counts from 0."""
    # pandas writes whole numbers as 9.0 if a cell of their column is empty.
    if not re.fullmatch(r"\d{1,6}(\.0*)?", row[phase]):
        reason = f"the {phase} phase of {row[CODE]} is {row[phase]!r} instead of a number from 0"
        raise DataError(WRONG_TABLE, file=table, reason=reason)
    return int(float(row[phase])) + 1
