"""Page of a cohort, OUT/cohort.html: failures first, then by predicted quality, worst first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from ...core.counts import format_count
from ...io.files.atomic import write_text
from ..report.html import UNKNOWN, Tile, render_page
from ..review.report_numbers import format_interval, format_number, format_spread
from .row import NUMBERS, StudyRow

PAGE: Final = "cohort.html"
MOST_ROWS: Final = 1000
"""Rows at most, so that browsers can open the page; cohort.csv has all."""
MOST_PICTURES: Final = 200
WRITES_EVERY: Final = 5.0
"""Minimum number of seconds between two updates, because a page of many pictures takes long."""


class CohortPage:
    """Page that is updated during the run. Raises OSError if it cannot be written.

    ``settings`` are those to show, ``total`` is the number of studies, and ``picture_of``
    returns the file of a study's picture.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str],
        total: int,
        left_out: Sequence[str],
        picture_of: Callable[[StudyRow], Path],
    ) -> None:
        self._file = folder / PAGE
        self._settings = settings
        self._total = total
        self._left_out = left_out
        self._picture_of = picture_of
        self._next = 0.0

    def update(self, rows: Sequence[StudyRow]) -> None:
        """Write the page, unless it was written a moment ago."""
        if time.monotonic() >= self._next:
            start = time.monotonic()
            self.write(rows)
            seconds = time.monotonic() - start
            self._next = time.monotonic() + max(WRITES_EVERY, 10 * seconds)

    def write(self, rows: Sequence[StudyRow]) -> None:
        """Write the page now."""
        write_text(self._file, self._page(rows))

    def _page(self, rows: Sequence[StudyRow]) -> str:
        failed = sorted((row for row in rows if row.failure), key=lambda row: row.case)
        others = sorted((row for row in rows if not row.failure), key=lambda row: row.worst_first)
        shown = others[:MOST_ROWS]
        units = {name: n.unit for row in shown for name, n in row.numbers.items()}
        measured = [row.numbers[name] for row in shown for name in NUMBERS if name in row.numbers]
        return render_page(
            "cohort.html.j2",
            heading=f"{len(rows)} of {format_count(self._total, 'study', 'studies')}",
            facts=[],
            warnings=[],
            tiles=list(_tiles(rows, self._total, len(failed))),
            failed=failed,
            segmented=others,
            most_rows=MOST_ROWS,
            pictures=[_picture(self._picture_of(row)) for row in shown[:MOST_PICTURES]],
            units={name: units[name] for name in NUMBERS if name in units},
            number=format_number,
            spread=format_spread,
            interval=format_interval,
            has_intervals=any(number.intervals for number in measured),
            has_spreads=not all(number.intervals for number in measured),
            unknown=UNKNOWN,
            settings=self._settings,
            left_out=[f"{sentence}." for sentence in self._left_out],
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
