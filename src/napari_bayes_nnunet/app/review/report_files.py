"""Files of a review: numbers as CSV and the report as one HTML file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...core.heart.function import Measured
from ...core.metrics.conformal import COVERAGES
from ...core.problems import Action
from ...io import DataError
from ...io.files.atomic import write_text
from ...io.files.csv_text import csv_text
from .outcome import ReviewOutcome, all_names
from .report_page import report_page

FILE_UNWRITABLE: Final = "{file} cannot be written ({reason})."
_COLUMNS: Final = (
    "name", "title", "unit", "prediction", "prediction_spread", "reviewed", "reviewed_spread",
    "open_slices", "prediction_low_80", "prediction_high_80", "prediction_low_90",
    "prediction_high_90", "among_phases",
)  # fmt: skip


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
        row = (*texts, *cells, open_slices.get(name, ""), *_ends(before.get(name)), among or "")
        rows.append(row)
    _write(file, csv_text(rows))


def write_review_report(file: Path, review: ReviewOutcome) -> None:
    """Write the report as one HTML file that contains its pictures.

    Raises DataError if the file cannot be written.
    """
    _write(file, report_page(review))


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


def _write(file: Path, text: str) -> None:
    try:
        write_text(file, text)
    except OSError as error:
        raise DataError(
            FILE_UNWRITABLE, Action.OTHER_OUTPUT, file=file, reason=error.strerror or error
        ) from error
