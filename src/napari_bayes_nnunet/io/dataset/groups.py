"""By what the results of cases are listed apart (vendor, pathology, phase): ``groups.csv``."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .. import DataError
from ..files.atomic import write_text
from .raw_dataset import DEFAULT_PATIENT, patient_of

GROUPS_FILE = "groups.csv"
CASE, PATIENT = "case", "patient"
"""Columns that are no groups: who it is, not of what kind."""


def read_groups(path: Path) -> dict[str, dict[str, str]]:
    """Case → group → value, as in ``{"p1_frame01": {"phase": "ED", "vendor": "A"}}``.

    ``path`` is a table, or a folder that has ``groups.csv`` in it or beside it: ``labelsTs`` of a
    dataset finds the dataset's. Gives {} where there is none. A group that a case leaves empty is
    not among its groups. Raises DataError for a damaged table.
    """
    file = _find(path)
    rows = _rows(file) if file else ()
    return {case: {k: v for k, v in row.items() if k != PATIENT} for case, row in rows}


def patients_of(
    cases: Sequence[str], path: Path, *, pattern: str = DEFAULT_PATIENT
) -> dict[str, str]:
    """Case → patient: what the column ``patient`` of the table says, else by `patient_of`.

    ``path`` as for `read_groups`; the column is not asked where ``pattern`` is not the usual one.
    """
    file = _find(path) if pattern == DEFAULT_PATIENT else None
    said = {case: row.get(PATIENT) for case, row in _rows(file)} if file else {}
    return {case: said.get(case) or patient_of(case, pattern) for case in cases}


def write_groups(
    folder: Path, groups: Mapping[str, Mapping[str, str]], *, patients: Mapping[str, str]
) -> None:
    """Write ``groups.csv`` into ``folder``: a row a case, with its patient and its groups."""
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([CASE, PATIENT, *names])
    for case, values in groups.items():
        table.writerow([case, patients[case], *(values.get(name, "") for name in names)])
    write_text(folder / GROUPS_FILE, text.getvalue())


def _find(path: Path) -> Path | None:
    candidates = (path, path / GROUPS_FILE, path.absolute().parent / GROUPS_FILE)
    return next((file for file in candidates if file.is_file()), None)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        header, *lines = list(csv.reader(io.StringIO(text), strict=True)) or [[]]
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, csv.Error) as error:
        raise DataError(
            f"{file} is no table of groups: expected a line of column names and a line a case, as "
            f"text with commas ({error})."
        ) from error
    if CASE not in header or len(set(header)) < len(header):
        raise DataError(
            f"{file} should have the column {CASE!r} and one for every group, all of other names; "
            f"found {', '.join(header) or 'none'}."
        )
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        row = dict(zip(header, line, strict=False))
        case = row.get(CASE, "")
        if len(line) != len(header) or not case:
            raise DataError(
                f"Line {number} of {file} should name a case and fill {len(header)} columns; found "
                f"{','.join(line)!r}."
            )
        if case in seen:
            raise DataError(f"Lines {seen[case]} and {number} of {file} are both of {case}.")
        seen[case] = number
        yield case, {k: v for k, v in row.items() if v and k and k != CASE}
