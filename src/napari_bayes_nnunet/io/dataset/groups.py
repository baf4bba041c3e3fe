"""Groups of cases (vendor, pathology, phase), by which results are listed: ``groups.csv``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from .. import DataError
from ..files.access import reading
from ..files.atomic import write_text
from ..files.csv_text import csv_rows, csv_text
from ..files.limits import read_small_text
from .patients import DEFAULT_PATIENT, patient_of

GROUPS_FILE = "groups.csv"
CASE, PATIENT = "case", "patient"
"""Columns that are not groups."""
NO_GROUPS_TABLE = (
    "{file} is not a table of groups ({reason}). Write a header line with distinct column "
    "names, one of them case, and one line per case, with commas."
)


def read_groups(path: Path) -> dict[str, dict[str, str]]:
    """Return case → group → value, such as ``{"p1_frame01": {"phase": "ED", "vendor": "A"}}``.

    ``path`` is a table, or a folder with ``groups.csv`` in it or next to it, so that ``labelsTs``
    finds that of its dataset; {} if there is none. A group without a value is left out. Raises
    DataError for a damaged table.
    """
    file = _find(path)
    rows = _rows(file) if file else ()
    return {case: {k: v for k, v in row.items() if k != PATIENT} for case, row in rows}


def patients_of(
    cases: Sequence[str], path: Path, *, pattern: str = DEFAULT_PATIENT
) -> dict[str, str]:
    """Return case → patient, from the column ``patient`` of the table, else by `patient_of`.

    ``path`` as for `read_groups`; cases may be in the table as `names_in_tables`. With another
    ``pattern`` than the default the table is not used.
    """
    file = _find(path) if pattern == DEFAULT_PATIENT else None
    listed = {case: row.get(PATIENT) for case, row in _rows(file)} if file else {}
    names = names_in_tables(cases)
    return {
        case: listed.get(case) or listed.get(names[case]) or patient_of(case, pattern)
        for case in cases
    }


def names_in_tables(cases: Sequence[str]) -> dict[str, str]:
    """Return case → its name without folders, such as "heart" for "p1/heart", if that is unique."""
    names = {case: PurePosixPath(case).name for case in cases}
    counts = Counter(names.values())
    return {case: name if counts[name] == 1 else case for case, name in names.items()}


def write_groups(
    folder: Path, groups: Mapping[str, Mapping[str, str]], *, patients: Mapping[str, str]
) -> None:
    """Write ``groups.csv`` into ``folder``, one row per case, with its patient and its groups."""
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    rows = (
        [case, patients[case], *(values.get(name, "") for name in names)]
        for case, values in groups.items()
    )
    write_text(folder / GROUPS_FILE, csv_text([[CASE, PATIENT, *names], *rows]))


def _find(path: Path) -> Path | None:
    candidates = (path, path / GROUPS_FILE, path.absolute().parent / GROUPS_FILE)
    return next((file for file in candidates if file.is_file()), None)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with reading(file):
            # Excel begins a CSV file in UTF-8 with a byte order mark.
            text = read_small_text(file, encoding="utf-8-sig")
        # An empty file has no header.
        header, *lines = csv_rows(io.StringIO(text), strict=True) or [[]]
        if CASE not in header or len(set(header)) < len(header):
            raise ValueError(f"its columns are {', '.join(header) or 'missing'}")
        seen: dict[str, int] = {}
        for number, line in enumerate(lines, start=2):
            if not line:
                continue
            # A line of another length is refused below.
            row = dict(zip(header, line, strict=False))
            case = row.get(CASE, "")
            if len(line) != len(header) or not case:
                raise ValueError(f"line {number} is {','.join(line)!r}")
            if case in seen:
                raise ValueError(f"lines {seen[case]} and {number} are both for {case}")
            seen[case] = number
            yield case, {k: v for k, v in row.items() if v and k and k != CASE}
    except (ValueError, csv.Error) as error:
        raise DataError(NO_GROUPS_TABLE, file=file, reason=error) from error
