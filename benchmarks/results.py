"""Results as JSON Lines that outlast a kill, as CSV and Markdown, by the standard library only."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_bayes_nnunet.core.metrics.bootstrap import Estimate


def append_row(file: Path, row: Mapping[str, Any]) -> None:
    """Append a JSON line, after ending a last line that a kill has cut short."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
        stream.write(json.dumps(row).encode() + b"\n")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Return the JSON lines of a file, without damaged ones; none if it is missing."""
    rows = []
    for line in file.read_bytes().splitlines() if file.exists() else ():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def write_csv(file: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """Write a table with the columns of all lines; without lines the file is empty."""
    names = dict.fromkeys(name for line in lines for name in line)
    with file.open("w", encoding="utf-8", newline="") as stream:
        if lines:
            writer = csv.DictWriter(stream, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


def with_interval(estimate: Estimate, factor: float = 1, digits: int = 3, sign: str = "") -> str:
    """Return "0.912 (0.901 to 0.920)", a value and its 95 % interval, both times ``factor``."""
    numbers = (estimate.value, *estimate.interval)
    value, low, high = (f"{factor * number:{sign}.{digits}f}" for number in numbers)
    return f"{value} ({low} to {high})"


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table, with bars in cells escaped."""
    lines = [[str(cell).replace("|", r"\|") for cell in line] for line in (heads, *rows)]
    lines.insert(1, ["---"] * len(heads))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
