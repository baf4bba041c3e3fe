"""The table of a run over many studies, OUT/cohort.csv: a row for each, written as it ends."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from ..io.atomic import write_text
from ..io.folder_tree import COHORT
from .study_row import NUMBERS, StudyRow

_UNITS: Final = {"EF": "percent", "mass": "g"}
_ENDS: Final = ("seconds", "device", "warnings", "notes", "failure")


class CohortTable:
    """The file while it is written: a kill leaves whole rows, and none twice.

    Rows of the run before stay until the ``studies`` (their names) of this one have given theirs.
    Raises OSError where it cannot be written.
    """

    def __init__(self, folder: Path, studies: Collection[str]) -> None:
        self._file = folder / COHORT
        self._before = _rows_in(self._file, studies)
        self.finish(())

    def append(self, row: StudyRow) -> None:
        """Write a row at the end, at once; one that is there from before is renewed at the end."""
        if row.case not in self._before:
            with self._file.open("ab", buffering=0) as file:
                file.write(_lines([_values(row)]).encode())

    def finish(self, rows: Iterable[StudyRow]) -> None:
        """Write all rows in the order of the studies' names, whichever ended first."""
        in_order = sorted((self._before | {row.case: _values(row) for row in rows}).items())
        write_text(self._file, _lines([_head(), *(values for _, values in in_order)]))


def _rows_in(file: Path, studies: Collection[str]) -> dict[str, list[Any]]:
    """The rows of ``studies`` in a table that an earlier run has left."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    if not rows or rows[0] != _head():
        return {}
    known = set(studies)
    return {row[0]: row for row in rows if len(row) == len(rows[0]) and row[0] in known}


def _head() -> list[str]:
    columns = [f"{name.lower().replace(' ', '_')}_{_unit(name)}" for name in NUMBERS]
    numbers = [name for column in columns for name in (column, f"{column}_sd")]
    return ["study", "outcome", "predicted_quality", *numbers, "ed_phase", "es_phase", *_ENDS]


def _unit(name: str) -> str:
    return _UNITS.get(name.split()[-1], "ml")


def _values(row: StudyRow) -> list[Any]:
    numbers = []
    for name in NUMBERS:
        measured = row.numbers.get(name)
        both = (measured.value, measured.spread) if measured else (math.nan, math.nan)
        numbers += ["" if math.isnan(value) else f"{value:.2f}" for value in both]
    quality = "" if row.quality is None else f"{row.quality:.4f}"
    said = (" ".join(row.warnings), " ".join(row.notes), row.failure)
    about = (row.seconds, row.device, *said)
    return [row.case, row.outcome, quality, *numbers, row.ed, row.es, *about]


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()
