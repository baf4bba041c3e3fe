"""Numbers before and after review with their interval, in the report and as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...core.heart.function import Comparison, Measured
from ...core.metrics.conformal import Coverage
from ...io.files.csv_text import csv_text
from ..report.html import UNKNOWN
from ..report.output_folder import write_or_refuse

_COLUMNS: Final = (
    "name", "title", "unit", "prediction", "value", "low", "high", "interval_percent",
    "state", "open_slices", "prediction_members_sd", "members_sd", "among_phases", "compared_with",
    "verdict", "papillary_as_muscle", "by_valve_plane", "interval_profile",
)  # fmt: skip
MUSCLE: Final = "Muscle"
VALVE: Final = "Valve"
OF_SITE: Final = "Intervals are those of the site profile “{site}”."
OTHER_RULES: Final = MUSCLE, VALVE
"""Titles of numbers by another rule, in the order of their columns."""
REVIEWED: Final = "reviewed"
"""Word for a number if no slice of its phases is open; it then has no interval."""


def all_names(before: Mapping[str, Measured], after: Mapping[str, Measured]) -> list[str]:
    """Return the names after review in order, then those that only the prediction has."""
    return [*after, *(name for name in before if name not in after)]


def format_number(measured: Measured | None) -> str:
    """Return the value without its unit."""
    return format_rounded(measured.value, measured.unit) if measured else UNKNOWN


def interval_level(numbers: Iterable[Measured]) -> Coverage | None:
    """Return the level of the intervals to show: the highest of any number; None without any."""
    return max((level for number in numbers for level in number.intervals), default=None)


def format_interval(measured: Measured | None, level: Coverage | None, to: str = " to ") -> str:
    """Return an interval such as "48.2 to 59.1", or "" if it is unknown."""
    ends = measured.intervals.get(level) if measured and level else None
    if measured is None or ends is None:
        return ""
    return to.join(format_rounded(end, measured.unit) for end in ends)


def format_large(measured: Measured, open_slices: int | None) -> tuple[str, str]:
    """Return the value, and its unit with interval or "reviewed": "18.6" and "%, 9 to 30"."""
    is_reviewed = open_slices == 0
    known = REVIEWED if is_reviewed else format_interval(measured, interval_level([measured]))
    return format_number(measured), ", ".join(filter(None, (measured.unit, known)))


def number_rows(
    before: Mapping[str, Measured],
    after: Mapping[str, Measured],
    open_slices: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return a row for each number that is known before or after the review.

    "LV EDV" is 120.0 ``before`` and 118.0 ``after``, a ``change`` of −2.0; ``open_slices`` is how
    many slices of its phases are still to accept.
    """
    level = interval_level(after.values())
    return [
        _row(before.get(name), after.get(name), open_slices.get(name), level)
        for name in all_names(before, after)
    ]


def describe_numbers(
    numbers: Mapping[str, Measured], open_slices: Mapping[str, int]
) -> dict[str, str]:
    """Return what the report says of each number next to its value and normal range."""
    level = interval_level(numbers.values())
    described = {}
    for row in number_rows({}, numbers, open_slices):
        interval, beside = row["interval"], row["comparison"]
        parts = [f"{level} % interval: {interval}."] if interval else []
        parts.append(f"Open slices: {row['open_slices']}.")
        parts += beside.lines if beside and not math.isnan(beside.value) else ()
        parts += [OF_SITE.format(site=row["site"])] if interval and row["site"] else []
        described[row["name"]] = " ".join(parts)
    return described


def _row(
    before: Measured | None,
    after: Measured | None,
    open_slices: int | None,
    level: Coverage | None,
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
        "after": format_number(after),
        "interval": format_interval(after, level),
        "open_slices": UNKNOWN if open_slices is None else str(open_slices or REVIEWED),
        "change": format_change(before, after),
        "comparison": after and after.comparison,
        "site": either.site,
    }


def format_change(before: Measured | None, after: Measured | None) -> str:
    """Return the difference of both numbers as they are shown, with its sign, or "0"."""
    texts = format_number(before), format_number(after)
    if UNKNOWN in texts or before is None:
        return UNKNOWN
    # Of the numbers as shown, so that a reader can check it.
    change = float(texts[1]) - float(texts[0])
    sign = "+" if change > 0 else "−"
    return sign + format_rounded(abs(change), before.unit) if texts[0] != texts[1] else "0"


def format_rounded(value: float, unit: str) -> str:
    """Return a value with the decimals of its unit: two for L/min, else one; a dash for NaN."""
    digits = 2 if unit.startswith("L/") else 1
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"


def write_numbers(
    file: Path,
    before: Mapping[str, Measured],
    after: Mapping[str, Measured],
    open_slices: Mapping[str, int],
    *,
    state: str,
    among: int = 0,
) -> None:
    """Write the numbers of the prediction and after review as CSV, one per row.

    An unknown number is an empty field. ``open_slices`` are the slices still to accept by the name
    of a number, ``state`` is that of the whole review, ``among`` the number of phases of which ED
    and ES have the largest and the smallest LV, 0 if of all. Raises DataError if the file cannot be
    written.
    """
    rows: list[Sequence[Any]] = [_COLUMNS]
    level = interval_level(after.values())
    for name in all_names(before, after):
        either = after.get(name) or before[name]
        # Some spreadsheets do not read CSV as UTF-8.
        texts = (name, either.title, either.unit.replace("²", "2"))
        values, spreads = zip(*map(_cells, (before.get(name), after.get(name))), strict=True)
        review = state, open_slices.get(name, "")
        beside = either.comparison or Comparison(title="", text="", lines=())
        lines = " ".join(beside.lines).replace("²", "2").replace("±", "+-")
        by_rule = (_number(beside.value) if beside.title == rule else "" for rule in OTHER_RULES)
        # The verdict without its arrow, for the same reason.
        compared = (lines, beside.verdict[2:], *by_rule, either.site)
        ends = _ends(after.get(name), level)
        rows.append((*texts, *values, *ends, *review, *spreads, among or "", *compared))
    write_or_refuse(file, csv_text(rows))


def _ends(measured: Measured | None, level: Coverage | None) -> list[str]:
    """Return the ends of the interval and its level, as fields that are empty if it is unknown."""
    if measured is None or level is None or level not in measured.intervals:
        return ["", "", ""]
    return [*map(_number, measured.intervals[level]), str(level)]


def _cells(measured: Measured | None) -> tuple[str, str]:
    values = (measured.value, measured.spread) if measured else (math.nan, math.nan)
    value, spread = map(_number, values)
    return value, spread


def _number(value: float) -> str:
    # Six digits are more than any measurement has, and hide the noise of binary fractions.
    return "" if math.isnan(value) else f"{value:.6g}"
