"""The page of a run over many studies, OUT/cohort.html: failures first, then the worst first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from ...io.files.atomic import write_text
from ..report.html import RESEARCH_USE, Html, bullets, page, picture, section, tag
from ..review.report_numbers import UNKNOWN, number, with_spread
from .row import NUMBERS, StudyRow

PAGE: Final = "cohort.html"
MOST_ROWS: Final = 1000
"""More would make a page that no browser likes; all are in the table."""
MOST_PICTURES: Final = 200
PICTURED: Final = "Slice in the middle of the heart at end-diastole, with outlines"
_NOTES: Final = (
    "Quality is predicted: the mean Dice between the members of the ensemble.",
    "± is the spread of the models, the standard deviation over the members: it is not a clinical "
    "confidence interval, for models that agree can be wrong together.",
)
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
        write_text(self._file, page("Segmented studies", list(self._parts(rows))))

    def _parts(self, rows: Sequence[StudyRow]) -> Iterator[Html]:
        failed = sorted((row for row in rows if row.failure), key=lambda row: row.case)
        others = sorted((row for row in rows if not row.failure), key=lambda row: row.worst_first)
        yield tag("p", "Cardiac MRI, segmented studies", class_="kind")
        yield tag("h1", f"{len(rows)} of {self._total} studies")
        yield tag("p", RESEARCH_USE, class_="use")
        yield tag("div", *_tiles(rows, self._total, len(failed)), class_="tiles")
        if failed:
            yield section("Failed", _failures(failed[:MOST_ROWS]), *_more(failed))
        if others:
            yield section("Worst first", _table(others, self._picture_of), *_more(others))
            yield bullets(_NOTES, class_="notes")
        lines = [part for item in self._asked.items() for part in _line(*item)]
        yield section("How it was made", tag("dl", *lines))
        if self._left_out:
            yield section("Left out", bullets(f"{sentence}." for sentence in self._left_out))


def _tiles(rows: Sequence[StudyRow], total: int, failed: int) -> Iterator[Html]:
    before = sum(row.outcome == "finished before" for row in rows)
    warned = sum(bool(row.warnings) for row in rows)
    below = f"{before} of them finished before" if before else ""
    yield _tile("Segmented", len(rows) - failed, below)
    yield _tile("Failed", failed)
    yield _tile("With warnings", warned)
    yield _tile("Not done yet", total - len(rows))


def _tile(label: str, value: int, below: str = "") -> Html:
    parts = [tag("div", label, class_="label"), tag("div", str(value), class_="value")]
    return tag("div", *parts, tag("div", below, class_="below"), class_="tile")


def _failures(rows: Sequence[StudyRow]) -> Html:
    lines = (tag("tr", tag("td", row.case, class_="name"), tag("td", row.failure)) for row in rows)
    return tag("table", tag("tbody", *lines))


def _table(rows: Sequence[StudyRow], picture_of: Callable[[StudyRow], Path]) -> Html:
    shown = rows[:MOST_ROWS]
    columns = [name for name in NUMBERS if any(name in row.numbers for row in shown)]
    units = {name: row.numbers[name].unit for row in shown for name in row.numbers}
    head = [tag("th", ""), tag("th", "Study"), tag("th", "Quality", class_="number")]
    head += [tag("th", name, tag("div", units[name]), class_="number") for name in columns]
    lines = (
        line
        for place, row in enumerate(shown)
        for line in _study(row, columns, picture_of(row) if place < MOST_PICTURES else None)
    )
    return tag("table", tag("thead", tag("tr", *head)), tag("tbody", *lines), class_="studies")


def _study(row: StudyRow, columns: Sequence[str], file: Path | None) -> Iterator[Html]:
    """The numbers beside the picture, and below them phases and warnings."""
    quality = UNKNOWN if row.quality is None else f"{row.quality:.3f}"
    cells = (tag("td", row.case, class_="name"), tag("td", quality, class_="number"))
    numbers = (_number(row, name) for name in columns)
    yield tag("tr", _picture(file), *cells, *numbers, class_="first")
    phases = [f"{name} {phase}" for name, phase in (("ED", row.ed), ("ES", row.es)) if phase]
    warnings = tag("span", " ".join(row.warnings), class_="warned")
    below = f"Phases: {', '.join(phases)}. " if phases else ""
    yield tag("tr", tag("td", below, warnings, class_="notes", colspan=str(2 + len(columns))))


def _picture(file: Path | None) -> Html:
    try:
        image = () if file is None else (picture(file.read_bytes(), PICTURED),)
    except OSError:  # it could not be drawn
        image = ()
    return tag("td", *image, rowspan="2")


def _number(row: StudyRow, name: str) -> Html:
    measured = row.numbers.get(name)
    if measured is None:
        return tag("td", UNKNOWN, class_="number")
    spread = with_spread(measured)[1].removesuffix(measured.unit).strip()
    return tag("td", number(measured), tag("div", spread, class_="notes"), class_="number")


def _more(rows: Sequence[StudyRow]) -> Iterator[Html]:
    if len(rows) > MOST_ROWS:
        yield tag("p", f"{len(rows) - MOST_ROWS} more are in cohort.csv.", class_="muted")


def _line(name: str, value: str) -> tuple[Html, Html]:
    return tag("dt", name), tag("dd", value)
