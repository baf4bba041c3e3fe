"""Numbers before and after review with their spread, in the report and as CSV."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...core.heart.function import Measured
from ...core.heart.normal_ranges import Comparison
from ...core.metrics.conformal import COVERAGES
from ...core.problems import Action
from ...io.files.access import writing
from ...io.files.atomic import write_text
from ...io.files.csv_text import csv_text
from ..report.html import UNKNOWN

_COLUMNS: Final = (
    "name", "title", "unit", "prediction", "prediction_spread", "reviewed", "reviewed_spread",
    "open_slices", "prediction_low_80", "prediction_high_80", "prediction_low_90",
    "prediction_high_90", "among_phases", "compared_with", "verdict", "papillary_as_muscle",
)  # fmt: skip
REVIEWED: Final = "reviewed"
"""Word for a number if no slice of its phases is open; its spread is then no longer one."""


def all_names(before: Mapping[str, Measured], after: Mapping[str, Measured]) -> list[str]:
    """Return the names after review in order, then those that only the prediction has."""
    return [*after, *(name for name in before if name not in after)]


def format_number(measured: Measured | None) -> str:
    """Return the value without its unit."""
    return _rounded(measured.value, measured.unit) if measured else UNKNOWN


def format_spread(measured: Measured | None) -> str:
    """Return the standard deviation without its unit, such as "± 1.3"."""
    if measured is None or math.isnan(measured.spread):
        return UNKNOWN
    return f"± {_rounded(measured.spread, measured.unit)}"


def format_interval(measured: Measured | None) -> str:
    """Return the widest known interval, such as "90 %: 48.1 to 59.0", "" if none is known."""
    if measured is None or not measured.intervals:
        return ""
    level = max(measured.intervals)
    low, high = (_rounded(end, measured.unit) for end in measured.intervals[level])
    return f"{level} %: {low} to {high}"


def format_with_spread(measured: Measured, open_slices: int | None) -> tuple[str, str]:
    """Return the value, and its spread with the unit, such as "54.2" and "± 1.3 %, 9 open"."""
    spread = format_spread(measured)
    if open_slices == 0:
        return format_number(measured), f"{measured.unit}, {REVIEWED}"
    unit = f"{spread} {measured.unit}" if spread != UNKNOWN else measured.unit
    return format_number(measured), unit if open_slices is None else f"{unit}, {open_slices} open"


def number_rows(
    before: Mapping[str, Measured],
    after: Mapping[str, Measured],
    open_slices: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return a row for each number that is known before or after the review.

    "LV EDV" is 120.0 ``before`` and 118.0 ``after``, a ``change`` of −2.0; ``open_slices`` is how
    many slices of its phases are still to accept.
    """
    return [
        _row(before.get(name), after.get(name), open_slices.get(name))
        for name in all_names(before, after)
    ]


def _row(
    before: Measured | None, after: Measured | None, open_slices: int | None
) -> dict[str, Any]:
    either = after or before
    assert either is not None
    ventricle, _, title = either.title.partition(", ")
    return {
        "ventricle": ventricle,
        "title": title.capitalize(),
        "name": either.name,
        "help": either.help,
        "unit": either.unit,
        "before": format_number(before),
        "spread_before": format_spread(before),
        "interval_before": format_interval(before),
        "after": format_number(after),
        "spread_after": format_spread(after) if open_slices != 0 else "",
        "open_slices": UNKNOWN if open_slices is None else str(open_slices or REVIEWED),
        "change": _change(before, after),
        "comparison": after and after.comparison,
    }


def _change(before: Measured | None, after: Measured | None) -> str:
    if before is None or after is None:
        return UNKNOWN
    size = _rounded(abs(after.value - before.value), after.unit)
    if not size.strip("0."):
        return "0"
    return f"{'+' if after.value > before.value else '−'}{size}"


def _rounded(value: float, unit: str) -> str:
    digits = 2 if unit.startswith("L/") else 1
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"


def write_numbers(
    file: Path,
    before: Mapping[str, Measured],
    after: Mapping[str, Measured],
    open_slices: Mapping[str, int],
    *,
    among: int = 0,
) -> None:
    """Write the numbers of the prediction and after review as CSV, one per row.

    An unknown number is an empty field; spreads are sample SDs over the members. ``open_slices``
    are the slices still to accept by the name of a number, ``among`` the number of phases of which
    ED and ES have the largest and the smallest LV, 0 if of all. Raises DataError if the file cannot
    be written.
    """
    rows: list[Sequence[Any]] = [_COLUMNS]
    for name in all_names(before, after):
        either = after.get(name) or before[name]
        # Some spreadsheets do not read CSV as UTF-8.
        texts = (name, either.title, either.unit.replace("²", "2"))
        cells = (*_cells(before.get(name)), *_cells(after.get(name)))
        ends = (open_slices.get(name, ""), *_ends(before.get(name)), among or "")
        beside = either.comparison or Comparison(title="", text="", lines=())
        lines = " ".join(beside.lines).replace("²", "2").replace("±", "+-")
        compared = (lines, beside.verdict[2:], _number(beside.value))
        rows.append((*texts, *cells, *ends, *compared))
    write_or_refuse(file, csv_text(rows))


def _ends(measured: Measured | None) -> list[str]:
    """Return the lower and the upper end of each prediction interval."""
    unknown = (math.nan, math.nan)
    found = measured.intervals if measured else {}
    return [_number(end) for level in COVERAGES for end in found.get(level, unknown)]


def _cells(measured: Measured | None) -> tuple[str, str]:
    values = (measured.value, measured.spread) if measured else (math.nan, math.nan)
    value, spread = map(_number, values)
    return value, spread


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def write_or_refuse(file: Path, text: str) -> None:
    """Write a file of an export. Raises DataError if it cannot be written."""
    with writing(file, Action.OTHER_OUTPUT):
        write_text(file, text)
