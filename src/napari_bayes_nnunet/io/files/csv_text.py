"""CSV tables whose texts a spreadsheet cannot take for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, Final

FORMULA_STARTS: Final = ("=", "+", "@", "-", "\t", "\r", "\n")
_MARK: Final = "'"
"""Character that makes a spreadsheet take what follows for text."""


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows as CSV, one per line; None becomes an empty field.

    A text that a spreadsheet would run as a formula begins with an apostrophe; see `csv_rows`.
    """
    return "".join(map(_line, rows))


def csv_rows(lines: Iterable[str], *, strict: bool = False) -> list[list[str]]:
    """Return the rows that `csv_text` wrote. Raises csv.Error for damaged ones."""
    return [[_unmarked(text) for text in row] for row in csv.reader(lines, strict=strict)]


def _line(row: Iterable[Any]) -> str:
    file = io.StringIO(newline="")
    # The default line ending makes the writer quote any text with \r or \n in it.
    csv.writer(file).writerow(_marked(v) if isinstance(v, str) else v for v in row)
    return file.getvalue().removesuffix("\r\n") + "\n"


def _marked(text: str) -> str:
    """Mark formulas, and texts that look marked, so that `_unmarked` restores both."""
    return _MARK + text if _is_formula(text.lstrip(_MARK)) else text


def _unmarked(text: str) -> str:
    marked = text.startswith(_MARK) and _is_formula(text.lstrip(_MARK))
    return text.removeprefix(_MARK) if marked else text


def _is_formula(text: str) -> bool:
    if not text.startswith(FORMULA_STARTS):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return not text.startswith("-")
