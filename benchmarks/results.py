"""Files of results: JSON Lines that outlast a kill, and CSV. Imports the standard library only."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any


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
