"""The numbers of a report: prediction beside reviewed, each with the spread of the models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from ...core.heart.function import Measured
from ..report.html import Html, tag
from .outcome import all_names

UNKNOWN: Final = "–"
_HEAD: Final = (
    ("", ""),
    ("Prediction", "number"),
    ("± models", "spread"),
    ("After review", "number"),
    ("± left", "spread"),
    ("Change", "number"),
    ("Unit", ""),
)


def number(measured: Measured | None) -> str:
    """The value without its unit."""
    return _rounded(measured.value, measured.unit) if measured else UNKNOWN


def with_spread(measured: Measured) -> tuple[str, str]:
    """The value, and its spread with the unit, such as "54.2" and "± 1.3 %"."""
    spread = _spread(measured)
    return number(measured), f"{spread} {measured.unit}" if spread != UNKNOWN else measured.unit


def numbers_table(before: Mapping[str, Measured], after: Mapping[str, Measured]) -> Html:
    """A row for each number, under its ventricle."""
    rows = []
    ventricle = ""
    for name in all_names(before, after):
        either = after.get(name) or before[name]
        side, _, title = either.title.partition(", ")
        if side != ventricle:
            ventricle = side
            rows.append(tag("tr", tag("th", side, colspan="7", class_="group")))
        rows.append(_row(title, either, before.get(name), after.get(name)))
    head = tag("tr", *(tag("th", title, class_=kind) for title, kind in _HEAD))
    return tag("table", tag("thead", head), tag("tbody", *rows))


def _row(title: str, either: Measured, before: Measured | None, after: Measured | None) -> Html:
    return tag(
        "tr",
        tag("td", title.capitalize(), tag("small", either.name), title=either.help),
        tag("td", number(before), class_="number"),
        tag("td", _spread(before), class_="spread"),
        tag("td", number(after), class_="number after"),
        tag("td", _spread(after), class_="spread"),
        tag("td", _change(before, after), class_="number"),
        tag("td", either.unit),
    )


def _spread(measured: Measured | None) -> str:
    if measured is None or math.isnan(measured.spread):
        return UNKNOWN
    return f"± {_rounded(measured.spread, measured.unit)}"


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
