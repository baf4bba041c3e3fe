"""Every measured number in the text on the paper stands in the tables that the command wrote."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "explanation"
MEASURED = (
    ("## What was found", "## What the command trains"),
    ("## The averages of nnU-Net v1 and v2", "## On several GPUs"),
)
"""First headings of the parts with measured numbers, and of what follows them."""
NUMBER = r"[+−-]?\d+\.\d+"
WITH_INTERVAL = re.compile(rf"({NUMBER})(?: \(|; )({NUMBER}) to ({NUMBER})\)")
FEWEST = 100
OF_THE_PAPER = "2.56 2.18 2.39 1.70 1.63 1.25"
"""ECE on ACDC in Table 2 of the paper."""


def magnitude(number: str) -> float:
    """Return a number without its sign: the text says by how much a value is *lower*."""
    return abs(float(number.replace("−", "-")))


def measured_text() -> str:
    text = (PAGES / "paper.md").read_text(encoding="utf-8")
    return "\n".join(text[text.index(start) : text.index(end)] for start, end in MEASURED)


def tables() -> str:
    """Return the tables as text; shares of the CSV files are also given in percent."""
    parts = [OF_THE_PAPER, (PAGES / "paper_tables.md").read_text(encoding="utf-8")]
    for file in sorted(PAGES.glob("paper_*.csv")):
        parts += table_lines(file)
    return "\n".join(parts)


def table_lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if "change" in row:  # the averages, rounded as printed
                yield f"{row['value']}\n{row['change']} ({row['low']} to {row['high']})"
            elif {"value", "low", "high"} <= row.keys():
                found = [float(row[name]) for name in ("value", "low", "high")]
                for scale in (1, 100):
                    value, low, high = (f"{scale * number:.7f}" for number in found)
                    yield f"{value} ({low} to {high})"


def is_rounded(number: str, value: float) -> bool:
    """Return whether a number of the text is a value, rounded to its digits."""
    digits = len(number.split(".")[1])
    return abs(magnitude(number) - value) < 0.5001 * 10**-digits


def without_source(text: str, source: str) -> list[str]:
    """Return the numbers of a text that no table has."""
    values = [magnitude(number) for number in re.findall(NUMBER, source)]
    return [n for n in re.findall(NUMBER, text) if not any(is_rounded(n, v) for v in values)]


def intervals_without_source(text: str, source: str) -> list[tuple[str, ...]]:
    """Return the values with intervals of a text that no cell of a table has."""
    rows = [sorted(map(magnitude, row)) for row in WITH_INTERVAL.findall(source)]

    def is_written(found: tuple[str, ...]) -> bool:
        ordered = sorted(found, key=magnitude)
        return any(all(map(is_rounded, ordered, row)) for row in rows)

    return [found for found in WITH_INTERVAL.findall(text) if not is_written(found)]


def test_numbers_in_the_text_stand_in_the_tables() -> None:
    text = measured_text()
    assert len(re.findall(NUMBER, text)) > FEWEST
    assert without_source(text, tables()) == []
    assert intervals_without_source(text, tables()) == []


@pytest.mark.parametrize(
    ("text", "alone", "together"),
    [
        ("+0.035 (0.020 to 0.050)", [], []),
        ("lower by 0.035 (0.020 to 0.050)", [], []),
        ("0.04", [], []),
        ("0.036 (0.020 to 0.050)", ["0.036"], [("0.036", "0.020", "0.050")]),
        ("0.035 (0.011 to 0.050)", [], [("0.035", "0.011", "0.050")]),
    ],
)
def test_another_number_is_found(
    text: str, alone: list[str], together: list[tuple[str, ...]]
) -> None:
    source = "| −0.035 (−0.0502 to −0.0199) |\n| 0.011 |"
    assert without_source(text, source) == alone
    assert intervals_without_source(text, source) == together
