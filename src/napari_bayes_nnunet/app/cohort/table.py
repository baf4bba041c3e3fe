"""Table of a cohort, and the update of table and page after each study."""

from __future__ import annotations

import csv
import io
import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from ...core.counts import format_count
from ...core.heart.function import Measured
from ...core.metrics.conformal import COVERAGES
from ...core.problems import Statement
from ...core.types import Phase
from ...io import DataError
from ...io.dataset.phase_pairs import examination_of
from ...io.files.atomic import write_text
from ...io.files.csv_text import csv_rows, csv_text
from ...io.files.limits import read_small
from ...io.search.folder_walk import COHORT
from ...io.study.case_report import (
    FailureEntry,
    predicted_quality,
    read_report,
    warnings_in,
    worst_failure,
)
from .. import AppError
from ..prediction.function_entry import PhasePair, measure_reports, read_pairs
from ..report.html import UNKNOWN, Tile, render_page
from ..review.report_numbers import format_interval, format_number, interval_level

Outcome: TypeAlias = Literal["done", "finished before", "failed"]

NUMBERS: Final = (
    *("LV EF", "LV EDV", "LV ESV", "RV EF", "RV EDV", "RV ESV", "LV mass", "LV volume"),
    "RV volume",
)
"""Numbers of a study, if known; LV and RV volume are those of 3D images."""


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """Outcome and measurements of a study.

    ``case`` is the path of its results, relative to the output folder. ``numbers`` has the known
    ones of ``NUMBERS``. ``quality``, 0 to 1, is that of `predicted_quality`,
    None if unknown. ``failure_score`` is that of the phase that exceeds its threshold most, None if
    unknown. ``failure``, why the study could not be segmented, and ``notes`` are for the user.
    ``profile`` is the name of the site's profile, if one was used.
    """

    case: str
    outcome: Outcome
    failure: Statement | str = ""
    numbers: Mapping[str, Measured] = field(default_factory=dict)
    ed: Phase = None
    es: Phase = None
    quality: float | None = None
    failure_score: FailureEntry | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    device: str = ""
    profile: str = ""

    @property
    def worst_first(self) -> tuple[float, str]:
        """Sort key of the studies that did not fail; unknown quality comes last."""
        return 2.0 if self.quality is None else self.quality, self.case


def read_reports(files: Mapping[Phase, Path]) -> dict[Phase, dict[str, Any]]:
    """Return phase → report of a case. Raises DataError if one cannot be read."""
    return {phase: read_report(file) for phase, file in files.items()}


def study_row(
    case: str,
    outcome: Outcome,
    reports: Mapping[Phase, Mapping[str, Any]],
) -> StudyRow:
    """Return the row of a study with these reports, by phase."""
    function, ed, es = measure_reports(reports)
    every = reports.values()
    return StudyRow(
        case=case,
        outcome=outcome,
        numbers={name: function[name] for name in NUMBERS if name in function},
        ed=ed,
        es=es,
        quality=predicted_quality(every),
        failure_score=worst_failure(every),
        warnings=warnings_in(every),
        seconds=round(sum(float(report["seconds"]) for report in every), 2),
        device=", ".join(dict.fromkeys(str(report["device"]) for report in every)),
        profile=", ".join({report["profile"]["name"] for report in every if "profile" in report}),
    )


def paired_row(row: StudyRow, pair: PhasePair) -> StudyRow:
    """Return the row of ED or ES with what both have together, of which ED gets the numbers."""
    function = pair.measured if row.case == pair.ed else {}
    together = {name: function[name] for name in NUMBERS if name in function} or row.numbers
    report = pair.reports[row.case]
    quality, warnings = predicted_quality([report]), warnings_in([report])
    return replace(row, numbers=together, quality=quality, warnings=warnings)


def failed_row(case: str, failure: Statement | str) -> StudyRow:
    """Return the row of a study that could not be segmented."""
    return StudyRow(case=case, outcome="failed", failure=failure)


FOREIGN_TABLE: Final = (
    "{file} does not have the form that this program writes ({reason}), so it is not replaced. "
    "Rename it, or save it as UTF-8 with commas and its original columns."
)
NO_UTF8: Final = "it is not UTF-8"
OTHER_COLUMNS: Final = "it has other columns"


class CohortSummary:
    """Table and page of a run of ``studies``, updated soon after each study.

    ED and ES that are two studies get the numbers of both when the last of the two has ended; an
    earlier run may have segmented the other. Those of an earlier run leave the table at the start,
    so that a killed run leaves none of results that it has replaced.

    A failed update does not end the run, because on Windows a table that is open in Excel cannot
    be written. The next update includes its rows. The last one says which intervals are ``void``.
    """

    def __init__(
        self, table: CohortTable, page: CohortPage, *, studies: Collection[str] = ()
    ) -> None:
        self._table, self._page = table, page
        self.void: Sequence[str] = ()
        self._next: dict[float, float] = {}
        self._rows: dict[str, StudyRow] = {}
        self._single: dict[str, StudyRow] = {}
        self._examinations: dict[str, set[str]] = defaultdict(set)
        for case in filter(examination_of, table.segmented() - {*studies}):
            self._examinations[examination_of(case)].add(case)
        for examination in self._examinations.keys() & {*map(examination_of, studies)}:
            self._pair(self._examinations[examination])
        table.write(())

    def add(self, row: StudyRow) -> None:
        """Add the row of a study that has ended."""
        self._rows[row.case] = self._single[row.case] = row
        if examination := examination_of(row.case):
            cases = self._examinations[examination]
            (cases.discard if row.failure else cases.add)(row.case)
            self._pair(cases)
        if row.outcome == "done":  # which took longer than writing the table
            self._next.pop(0.0, None)
        for write, least in ((self._table.write, 0.0), (self._page.write, WRITES_EVERY)):
            start = time.monotonic()
            if start >= self._next.get(least, 0.0):
                with suppress(OSError):
                    write([*self._rows.values()])
                seconds = time.monotonic() - start
                pause = 10 * seconds if seconds > SLOW_WRITE else 0.0
                self._next[least] = start + max(least, pause)

    def _pair(self, cases: Collection[str]) -> None:
        """Update the rows of the studies of an examination, of which two may be ED and ES."""
        folder = self._table.folder
        pairs = read_pairs(folder, cases)
        for case in cases:
            with suppress(DataError, FileNotFoundError):
                row = self._single.get(case)
                if row is None:  # an earlier run has segmented it
                    row = study_row(case, "done", {None: read_report(folder / f"{case}.json")})
                row = paired_row(row, pairs[case]) if case in pairs else row
                if case in self._single:
                    self._rows[case] = row
                else:
                    self._table.correct(row)

    def close(self) -> None:
        """Write table and page completely. Raises OSError."""
        try:
            self._table.write([*self._rows.values()])
        finally:
            self._page.write([*self._rows.values()], void=self.void)


_UNITS: Final = {"EF": "percent", "mass": "g"}
_LARGEST: Final = 2**28
"""Largest table to continue, in bytes, enough for half a million studies."""
_BOUNDS: Final = tuple(f"_{end}_{level}" for level in COVERAGES for end in ("low", "high"))
_SPREAD: Final = "_members_sd"
ONLY_PREDICTED: Final = "prediction"
"""State of the numbers, of which no slice is accepted."""
_CORRECTED: Final = (slice(2, 4 + len(NUMBERS) * (2 + len(_BOUNDS))), slice(-3, -2))
"""Columns of a row that other phases of the examination may change."""
_FAILURE: Final = ("failure_score", "failure_threshold", "failure_warned")
_ENDS: Final = ("profile", "seconds", "device", "warnings", "notes", "failure")


class CohortTable:
    """The file cohort.csv, written whole, so that a kill leaves the old file or the new one.

    Rows of earlier runs stay until their studies end again, except those ``redone``. Raises
    AppError for another table of this name, and OSError if it cannot be written.
    """

    def __init__(self, folder: Path, *, redone: Collection[str] = ()) -> None:
        self.folder = folder
        self._file = folder / COHORT
        before = _rows_in(self._file)
        self._before = {case: row for case, row in before.items() if case not in redone}

    def segmented(self) -> set[str]:
        """Return the studies that an earlier run has segmented."""
        return {case for case, row in self._before.items() if row[1] != "failed"}

    def correct(self, row: StudyRow) -> None:
        """Replace quality, numbers and warnings of a study that an earlier run has segmented."""
        for columns in _CORRECTED:
            self._before[row.case][columns] = _values(row)[columns]

    def write(self, rows: Iterable[StudyRow]) -> None:
        """Write all rows: failures, then by predicted quality, worst first."""
        every = self._before | {row.case: _values(row) for row in rows}
        write_text(self._file, csv_text([_head(), *sorted(every.values(), key=_worst_first)]))


def listed_studies(table: Path) -> list[str]:
    """Return the studies in the table of an earlier run, without those that failed.

    Raises AppError for another table, and OSError if it cannot be read.
    """
    return [case for case, (_, outcome, *_) in _rows_in(table).items() if outcome != "failed"]


def forget_study(table: Path, case: str) -> None:
    """Remove the row of a study, which begins again. Raises AppError and OSError as above."""
    rows = _rows_in(table)
    if rows.pop(case, None):
        write_text(table, csv_text([_head(), *rows.values()]))


def ended_studies(table: Path) -> set[str]:
    """Return all studies in the table of an earlier run. Raises AppError and OSError as above."""
    return {*_rows_in(table)}


def _worst_first(values: Sequence[Any]) -> tuple[bool, float, str]:
    case, outcome, quality = values[:3]
    return outcome != "failed", _quality(quality), case


def _quality(text: str) -> float:
    """Return the number of a field, infinity if it has none."""
    try:
        number = float(text)
    except ValueError:
        return math.inf
    return math.inf if math.isnan(number) else number


def _rows_in(file: Path) -> dict[str, list[Any]]:
    """Return study → row of the table of an earlier run; {} without one.

    Raises AppError for another table, and OSError if the file cannot be read.
    """
    try:
        text = read_small(file, most=_LARGEST).decode("utf-8-sig")
        lines = csv_rows(io.StringIO(text, newline=""))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise AppError(FOREIGN_TABLE, file=file, reason=NO_UTF8) from error
    except csv.Error as error:
        raise AppError(FOREIGN_TABLE, file=file, reason=error) from error
    if not lines:
        return {}
    (found, *rows), head = lines, _head()
    # Earlier versions had other names for the spread of the members.
    found = [re.sub("(_models|_members)?_sd$", _SPREAD, name) for name in found]
    known = found[:3] == head[:3] and set(found) <= set(head)
    if not known or any(len(row) > len(found) for row in rows):
        raise AppError(FOREIGN_TABLE, file=file, reason=OTHER_COLUMNS)
    if rows and len(rows[-1]) < len(found) and not text.endswith("\n"):  # cut by a kill
        rows.pop()
    # Tables of earlier versions lack some columns, and Excel leaves out empty fields at the end.
    contents = [dict(zip(found, row, strict=False)) for row in rows if any(row)]
    every = [[content.get(name, "") for name in head] for content in contents]
    return {row[0]: row for row in every}


def _head() -> list[str]:
    columns = [f"{name.lower().replace(' ', '_')}_{_unit(name)}" for name in NUMBERS]
    numbers = [f"{column}{ending}" for column in columns for ending in ("", _SPREAD, *_BOUNDS)]
    phases = ("state", "ed_phase", "es_phase")
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
    ends = (row.profile, row.seconds, row.device, *texts)
    phases = ONLY_PREDICTED if row.numbers else "", row.ed, row.es
    return [row.case, row.outcome, quality, *numbers, *phases, *_failure_of(row), *ends]


def _failure_of(row: StudyRow) -> tuple[str, str, str]:
    entry = row.failure_score
    if entry is None:
        return "", "", ""
    return f"{entry.score:.3f}", f"{entry.threshold:.3f}", "yes" if entry.warned else "no"


PAGE: Final = "cohort.html"
MOST_ROWS: Final = 1000
"""Rows at most, so that browsers can open the page; cohort.csv has all."""
MOST_PICTURES: Final = 200
WRITES_EVERY: Final = 5.0
"""Minimum number of seconds between two pages, because one of many pictures takes long."""
SLOW_WRITE: Final = 0.1
"""Seconds of writing after which ten times as many pass before the next, as of a huge table."""


@dataclass(frozen=True, kw_only=True)
class CohortPage:
    """Page of a run in ``folder``. Raises OSError if it cannot be written.

    ``settings`` are those to show, ``total`` is the number of studies, and ``picture_of``
    returns the file of a study's picture.
    """

    folder: Path
    settings: Mapping[str, str]
    total: int
    left_out: Sequence[str]
    picture_of: Callable[[StudyRow], Path]

    def write(self, rows: Sequence[StudyRow], *, void: Sequence[str] = ()) -> None:
        """Write the page; ``void`` says which intervals do not hold."""
        write_text(self.folder / PAGE, self._page(rows, void))

    def _page(self, rows: Sequence[StudyRow], void: Sequence[str]) -> str:
        failed = sorted((row for row in rows if row.failure), key=lambda row: row.case)
        others = sorted((row for row in rows if not row.failure), key=lambda row: row.worst_first)
        shown = others[:MOST_ROWS]
        units = {name: n.unit for row in shown for name, n in row.numbers.items()}
        measured = [row.numbers[name] for row in shown for name in NUMBERS if name in row.numbers]
        return render_page(
            "cohort.html.j2",
            heading=f"{len(rows)} of {format_count(self.total, 'study', 'studies')}",
            facts=[],
            warnings=[*void],
            tiles=list(_tiles(rows, self.total, len(failed))),
            failed=failed,
            segmented=others,
            most_rows=MOST_ROWS,
            pictures=[_picture(self.picture_of(row)) for row in shown[:MOST_PICTURES]],
            units={name: units[name] for name in NUMBERS if name in units},
            number=format_number,
            interval=format_interval,
            level=interval_level(measured),
            unknown=UNKNOWN,
            settings=self.settings,
            left_out=[f"{sentence}." for sentence in self.left_out],
        )


def _tiles(rows: Sequence[StudyRow], total: int, failed: int) -> Iterator[Tile]:
    before = sum(row.outcome == "finished before" for row in rows)
    warned = sum(bool(row.warnings) for row in rows)
    below = f"{before} in an earlier run" if before else ""
    yield Tile("Segmented", str(len(rows) - failed), below=below)
    yield Tile("Failed", str(failed))
    yield Tile("With warnings", str(warned))
    yield Tile("Not done yet", str(total - len(rows)))


def _picture(file: Path) -> bytes:
    """Return the content of the PNG file, or b"" if there is none."""
    try:
        return file.read_bytes()
    except OSError:
        return b""
