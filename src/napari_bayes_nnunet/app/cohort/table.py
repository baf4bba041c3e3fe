"""Table of a cohort, and the update of table and page after each study."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ...core.heart.function import Measured
from ...core.metrics.conformal import COVERAGES
from ...io.files.atomic import ESCAPED, write_text
from ...io.files.csv_text import csv_rows, csv_text
from ...io.files.limits import read_small
from ...io.search.folder_walk import COHORT
from .page import CohortPage
from .row import NUMBERS, StudyRow


class CohortSummary:
    """Table and page of a run, updated after each study.

    A failed update does not end the run, because on Windows a table that is open in Excel cannot
    be written. The next update includes its rows.
    """

    def __init__(self, table: CohortTable, page: CohortPage) -> None:
        self._table, self._page = table, page
        self._rows: list[StudyRow] = []

    def add(self, row: StudyRow) -> None:
        """Add the row of a study."""
        self._rows.append(row)
        with suppress(OSError):
            self._table.append(row)
        with suppress(OSError):
            self._page.update(self._rows)

    def close(self) -> None:
        """Write table and page completely. Raises OSError."""
        try:
            self._table.finish(self._rows)
        finally:
            self._page.write(self._rows)


_UNITS: Final = {"EF": "percent", "mass": "g"}
_LARGEST: Final = 2**28
"""Largest table to continue, in bytes, enough for half a million studies."""
_BOUNDS: Final = tuple(f"_{end}_{level}" for level in COVERAGES for end in ("low", "high"))
_FAILURE: Final = ("failure_score", "failure_threshold", "failure_warned")
_ENDS: Final = ("seconds", "device", "warnings", "notes", "failure")


class CohortTable:
    """The file cohort.csv, which has only complete rows and each once, even after a kill.

    Rows of earlier runs stay until their studies end again, except those ``redone``. Raises
    OSError if it cannot be written.
    """

    def __init__(self, folder: Path, *, redone: Collection[str] = ()) -> None:
        self._file = folder / COHORT
        before = _rows_in(self._file)
        self._before = {case: row for case, row in before.items() if case not in redone}
        self.finish(())

    def append(self, row: StudyRow) -> None:
        """Append a row at once, unless an earlier row has to be replaced at the end."""
        if row.case in self._before:
            return
        line = csv_text([_values(row)]).encode(errors=ESCAPED)
        with self._file.open("ab", buffering=0) as file:
            size = file.tell()
            if file.write(line) < len(line):  # the disk is full
                file.truncate(size)

    def finish(self, rows: Iterable[StudyRow]) -> None:
        """Write all rows: failures, then by predicted quality, worst first."""
        every = self._before | {row.case: _values(row) for row in rows}
        write_text(self._file, csv_text([_head(), *sorted(every.values(), key=_worst_first)]))


def listed_studies(table: Path) -> list[str]:
    """Return the studies in the table of an earlier run, without those that failed."""
    return [case for case, (_, outcome, *_) in _rows_in(table).items() if outcome != "failed"]


def _worst_first(values: Sequence[Any]) -> tuple[bool, float, str]:
    case, outcome, quality = values[:3]
    return outcome != "failed", float(quality or math.inf), case


def _rows_in(file: Path) -> dict[str, list[Any]]:
    """Return study → row of the table of an earlier run."""
    try:
        rows = csv_rows(io.StringIO(read_small(file, most=_LARGEST).decode(), newline=""))
    except (FileNotFoundError, UnicodeDecodeError, csv.Error):
        return {}
    head = _head()
    if not rows or rows[0][:3] != head[:3] or not set(rows[0]) <= set(head):
        return {}
    # Tables of earlier versions lack some columns.
    contents = [
        dict(zip(rows[0], row, strict=True)) for row in rows[1:] if len(row) == len(rows[0])
    ]
    every = [[content.get(name, "") for name in head] for content in contents]
    return {row[0]: row for row in every if _is_number(row[2])}


def _is_number(text: str) -> bool:
    try:
        return not text or math.isfinite(float(text))
    except ValueError:
        return False


def _head() -> list[str]:
    columns = [f"{name.lower().replace(' ', '_')}_{_unit(name)}" for name in NUMBERS]
    numbers = [f"{column}{ending}" for column in columns for ending in ("", "_sd", *_BOUNDS)]
    phases = ("ed_phase", "es_phase")
    return ["study", "outcome", "predicted_quality", *numbers, *phases, *_FAILURE, *_ENDS]


def _unit(name: str) -> str:
    return _UNITS.get(name.split()[-1], "ml")


def _number_values(measured: Measured) -> list[float]:
    """Return the value, its spread, and the ends of its intervals."""
    unknown = (math.nan, math.nan)
    ends = (measured.intervals.get(level, unknown) for level in COVERAGES)
    return [measured.value, measured.spread, *(end for interval in ends for end in interval)]


def _values(row: StudyRow) -> list[Any]:
    numbers = []
    for name in NUMBERS:
        measured = row.numbers.get(name)
        every = _number_values(measured) if measured else [math.nan] * (2 + len(_BOUNDS))
        numbers += ["" if math.isnan(value) else f"{value:.2f}" for value in every]
    quality = "" if row.quality is None else f"{row.quality:.4f}"
    texts = (" ".join(row.warnings), " ".join(row.notes), str(row.failure))
    ends = (row.seconds, row.device, *texts)
    return [row.case, row.outcome, quality, *numbers, row.ed, row.es, *_failure_of(row), *ends]


def _failure_of(row: StudyRow) -> tuple[str, str, str]:
    entry = row.failure_score
    if entry is None:
        return "", "", ""
    return f"{entry.score:.3f}", f"{entry.threshold:.3f}", "yes" if entry.warned else "no"
