"""The table of a run over many studies, OUT/cohort.csv: a row for each, written as it ends."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from ..io.atomic import write_text
from ..io.folder_tree import COHORT
from .study_row import NUMBERS, StudyRow

_UNITS: Final = {"EF": "percent", "mass": "g"}
_ENDS: Final = ("seconds", "device", "warnings", "failure")


class CohortTable:
    """The file while it is written: a kill leaves whole rows, and none twice.

    It begins anew with every run; studies that were finished before give their rows again. Raises
    OSError where it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / COHORT
        self.finish(())

    def append(self, row: StudyRow) -> None:
        """Write a row at the end, at once."""
        with self._file.open("ab", buffering=0) as file:
            file.write(_lines([_values(row)]).encode())

    def finish(self, rows: Iterable[StudyRow]) -> None:
        """Write all rows in the order of the studies' names, whichever ended first."""
        in_order = sorted(rows, key=lambda row: row.case)
        write_text(self._file, _lines([_head(), *map(_values, in_order)]))


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
    about = (row.seconds, row.device, " ".join(row.warnings), row.failure)
    return [row.case, row.outcome, quality, *numbers, row.ed, row.es, *about]


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()
