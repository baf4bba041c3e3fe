"""Formatted numbers of a report, before and after review, with their spread."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...core.heart.function import Measured
from ..report.html import UNKNOWN
from .outcome import all_names

REVIEWED: Final = "reviewed"
"""Word for a number if no slice of its phases is open; its spread is then no longer one."""


@dataclass(frozen=True, kw_only=True)
class NumberRow:
    """A formatted number of the report: "LV EDV", 120.0 before, 118.0 after, change −2.0.

    ``open_slices`` is how many slices of its phases are still to accept.
    """

    ventricle: str
    title: str
    name: str
    help: str
    unit: str
    before: str
    spread_before: str
    interval_before: str
    after: str
    spread_after: str
    open_slices: str
    change: str


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
) -> list[NumberRow]:
    """Return a row for each number that is known before or after the review."""
    return [
        _row(before.get(name), after.get(name), open_slices.get(name))
        for name in all_names(before, after)
    ]


def _row(before: Measured | None, after: Measured | None, open_slices: int | None) -> NumberRow:
    either = after or before
    assert either is not None
    ventricle, _, title = either.title.partition(", ")
    return NumberRow(
        ventricle=ventricle,
        title=title.capitalize(),
        name=either.name,
        help=either.help,
        unit=either.unit,
        before=format_number(before),
        spread_before=format_spread(before),
        interval_before=format_interval(before),
        after=format_number(after),
        spread_after=format_spread(after) if open_slices != 0 else "",
        open_slices=UNKNOWN if open_slices is None else str(open_slices or REVIEWED),
        change=_change(before, after),
    )


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
