"""What is known of a run over many studies, beside the results: its table and its page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ...io.files.atomic import write_text
from ...io.search.folder_walk import COHORT
from .page import CohortPage
from .row import NUMBERS, StudyRow


class CohortSummary:
    """Both, as the studies end. What cannot be written meanwhile is written with what follows.

    On Windows a table that is open in Excel cannot be written: that ends no run.
    """

    def __init__(self, table: CohortTable, page: CohortPage) -> None:
        self._table, self._page = table, page
        self._rows: list[StudyRow] = []

    def add(self, row: StudyRow) -> None:
        """Another study ended."""
        self._rows.append(row)
        with suppress(OSError):
            self._table.append(row)
        with suppress(OSError):
            self._page.update(self._rows)

    def close(self) -> None:
        """Write both as a whole. Raises OSError where that is not possible now either."""
        try:
            self._table.finish(self._rows)
        finally:
            self._page.write(self._rows)


_UNITS: Final = {"EF": "percent", "mass": "g"}
_ENDS: Final = ("seconds", "device", "warnings", "notes", "failure")


class CohortTable:
    """The file while it is written: a kill leaves whole rows, and none twice.

    Rows of runs before stay until their studies give others, but for those that are ``redone``.
    Raises OSError where it cannot be written.
    """

    def __init__(self, folder: Path, *, redone: Collection[str] = ()) -> None:
        self._file = folder / COHORT
        before = _rows_in(self._file)
        self._before = {case: row for case, row in before.items() if case not in redone}
        self.finish(())

    def append(self, row: StudyRow) -> None:
        """Write a row at the end, at once; one that is there from before is renewed at the end."""
        if row.case not in self._before:
            with self._file.open("ab", buffering=0) as file:
                file.write(_lines([_values(row)]).encode())

    def finish(self, rows: Iterable[StudyRow]) -> None:
        """Write all rows: those that failed, then the worst first, whichever ended first."""
        every = self._before | {row.case: _values(row) for row in rows}
        write_text(self._file, _lines([_head(), *sorted(every.values(), key=_worst_first)]))


def _worst_first(values: Sequence[Any]) -> tuple[bool, float, str]:
    case, outcome, quality = values[:3]
    return outcome != "failed", float(quality or math.inf), case


def _rows_in(file: Path) -> dict[str, list[Any]]:
    """The rows by study, of a table that an earlier run has left."""
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    if not rows or rows[0] != _head():
        return {}
    return {row[0]: row for row in rows[1:] if len(row) == len(rows[0])}


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
