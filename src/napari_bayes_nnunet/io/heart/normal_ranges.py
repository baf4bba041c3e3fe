"""Sets of normal ranges in CSV files: the one of this package, and those of a site."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...core.heart.normal_ranges import RANGE_KINDS, SDS, SEXES, UNITS, NormalRange, NormalRanges
from .. import DataError
from ..files.access import reading
from ..files.csv_text import csv_rows
from ..files.limits import read_small

PETERSEN: Final = "petersen2017"
NO_RANGES: Final = "none"
NO_CSV: Final = "{file} is not a CSV file in UTF-8. Save it as “CSV UTF-8” in your spreadsheet."
WRONG_LINE: Final = "Line {line} of {file} cannot be used. Write {expected}."
RULE: Final = "“papillary muscles,blood”; ranges by another rule do not fit these contours"
_COLUMNS: Final = ("quantity", "unit", "sex", "kind", "low", "high", "mean", "sd")


def read_normal_ranges(choice: str) -> NormalRanges:
    """Return the set `PETERSEN`, no ranges for `NO_RANGES`, or the set in the CSV file ``choice``.

    Raises DataError for a file that cannot be read, whose papillary muscles do not count as blood,
    or in which a line is wrong.
    """
    if choice == NO_RANGES:
        return NormalRanges()
    file = Path(__file__).with_name(f"{PETERSEN}.csv") if choice == PETERSEN else Path(choice)
    with reading(file):
        content = read_small(file, most=2**20)  # a set with groups of age has a hundredth of it
    try:
        # Excel begins a CSV file in UTF-8 with a byte order mark.
        rows = csv_rows(content.decode("utf-8-sig").splitlines(), strict=True)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(NO_CSV, file=file) from error
    rows = [[cell.strip() for cell in row] for row in rows]
    rows += [[]] * max(4 - len(rows), 1)
    ranges: list[NormalRange] = []
    try:
        for line, cells in enumerate(rows, start=1):
            if line <= 3:
                _check_head(line, [*cells, "", ""])
            elif any(cells) or (line == len(rows) and not ranges):
                ranges.append(_range_of(dict(zip(rows[2], cells, strict=False)), ranges))
    except ValueError as error:
        raise DataError(WRONG_LINE, file=file, line=line, expected=error) from error
    return NormalRanges(source=rows[0][1].rstrip("."), ranges=ranges)


def _check_head(line: int, cells: Sequence[str]) -> None:
    """Raise ValueError with what to write, unless the line of the head has it."""
    if line == 1 and (cells[0] != "source" or not cells[1]):
        raise ValueError("“source”, a comma and the publication")
    # Volumes with papillary muscles as muscle are smaller, so their ranges would mislead.
    if line == 2 and (*cells[:2],) != ("papillary muscles", "blood"):
        raise ValueError(RULE)
    if line == 3 and (missing := [name for name in _COLUMNS if name not in cells]):
        raise ValueError(f"the names of the columns, with {', '.join(missing)}")


def _range_of(cells: Mapping[str, str], earlier: Sequence[NormalRange]) -> NormalRange:
    """Return the range of a line. Raises ValueError with what to write if the line is wrong."""
    unit = UNITS.get(cells.get("quantity", ""), "")
    known = {"quantity": (*UNITS,), "unit": (unit,), "sex": (*SEXES,), "kind": RANGE_KINDS}
    for column, values in known.items():
        if cells.get(column) not in values:
            raise ValueError(f"{' or '.join(f'“{v}”' for v in values)} as its {column}")
    if cells["kind"] == RANGE_KINDS[-1]:
        mean, sd = _number(cells, "mean"), _number(cells, "sd")
        low, high = mean - SDS * sd, mean + SDS * sd
    else:
        low, high = _number(cells, "low"), _number(cells, "high")
    ages = 0.0, math.inf
    if cells.get("age_low") or cells.get("age_high"):
        ages = _number(cells, "age_low"), _number(cells, "age_high")
    if low >= high or ages[0] > ages[1]:
        raise ValueError("limits and ages from low to high, and an SD above 0")
    of = {name: cells[name] for name in ("quantity", "sex", "kind")}
    for other in earlier:
        is_same = all(getattr(other, name) == value for name, value in of.items())
        if is_same and ages[0] <= other.ages[1] and other.ages[0] <= ages[1]:
            raise ValueError("each quantity, sex, kind and age only once")
    return NormalRange(**of, low=low, high=high, ages=ages)


def _number(cells: Mapping[str, str], column: str) -> float:
    with suppress(ValueError):
        if math.isfinite(number := float(cells.get(column, ""))):
            return number
    raise ValueError(f"a number as its {column}, with a decimal point")
