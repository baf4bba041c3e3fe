"""The page of a run over many studies, OUT/cohort.html: failures first, then the worst first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from ...io.files.atomic import write_text
from ..report.html import UNKNOWN, Tile, render_page
from ..review.report_numbers import format_number, format_spread
from .row import NUMBERS, StudyRow

PAGE: Final = "cohort.html"
MOST_ROWS: Final = 1000
"""More would make a page that no browser likes; all are in the table."""
MOST_PICTURES: Final = 200
WRITES_EVERY: Final = 5.0
"""Seconds; at least, for a page of many pictures takes a while."""


class CohortPage:
    """The file while the run goes on. Raises OSError where it cannot be written.

    ``asked`` tells how the ensemble is asked, ``total`` how many studies there are; ``picture_of``
    is the file of a study's picture.
    """

    def __init__(
        self,
        folder: Path,
        *,
        asked: Mapping[str, str],
        total: int,
        left_out: Sequence[str],
        picture_of: Callable[[StudyRow], Path],
    ) -> None:
        self._file = folder / PAGE
        self._asked = asked
        self._total = total
        self._left_out = left_out
        self._picture_of = picture_of
        self._next = 0.0

    def update(self, rows: Sequence[StudyRow]) -> None:
        """Write the page, unless that was done a moment ago."""
        if time.monotonic() >= self._next:
            began = time.monotonic()
            self.write(rows)
            taken = time.monotonic() - began
            self._next = time.monotonic() + max(WRITES_EVERY, 10 * taken)

    def write(self, rows: Sequence[StudyRow]) -> None:
        """Write the page now."""
        write_text(self._file, self._page(rows))

    def _page(self, rows: Sequence[StudyRow]) -> str:
        failed = sorted((row for row in rows if row.failure), key=lambda row: row.case)
        others = sorted((row for row in rows if not row.failure), key=lambda row: row.worst_first)
        shown = others[:MOST_ROWS]
        of_name = {name: n.unit for row in shown for name, n in row.numbers.items()}
        return render_page(
            "cohort.html.j2",
            heading=f"{len(rows)} of {self._total} studies",
            facts=[],
            warnings=[],
            tiles=list(_tiles(rows, self._total, len(failed))),
            failed=failed,
            segmented=others,
            most_rows=MOST_ROWS,
            pictures=[_picture(self._picture_of(row)) for row in shown[:MOST_PICTURES]],
            units={name: of_name[name] for name in NUMBERS if name in of_name},
            number=format_number,
            spread=format_spread,
            unknown=UNKNOWN,
            asked=self._asked,
            left_out=[f"{sentence}." for sentence in self._left_out],
        )


def _tiles(rows: Sequence[StudyRow], total: int, failed: int) -> Iterator[Tile]:
    before = sum(row.outcome == "finished before" for row in rows)
    warned = sum(bool(row.warnings) for row in rows)
    below = f"{before} of them in an earlier run" if before else ""
    yield Tile("Segmented", str(len(rows) - failed), below=below)
    yield Tile("Failed", str(failed))
    yield Tile("With warnings", str(warned))
    yield Tile("Not done yet", str(total - len(rows)))


def _picture(file: Path) -> bytes:
    """Return the PNG file, or nothing if it could not be drawn."""
    try:
        return file.read_bytes()
    except OSError:
        return b""
