"""The tables of the report: a CSV file for each, and a page that lists them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

PAGE_OF_TABLES = "paper_tables.md"
FOLDER = "paper_tables"
_TABLE = re.compile(r"^#+ (?P<heading>.+)\n\n(?P<table>(?:\|.*\n)+)", re.M)
LINK = re.compile(rf"^- \[(.+)\]\(({FOLDER}/\w+\.csv)\)\n", re.M)


def write_tables(report: Path, markdown: str) -> None:
    """Write the tables of a text into CSV files, and the text with a link for each."""
    (report / FOLDER).mkdir(exist_ok=True)
    for old in (report / FOLDER).glob("*.csv"):
        old.unlink()

    def written(found: re.Match[str]) -> str:
        heads, _, *lines = map(_cells, found["table"].splitlines())
        name = re.sub(r"\W+", "_", found["heading"]).strip("_").lower()
        with (report / FOLDER / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([heads, *lines])
        return f"- [{found['heading']}]({FOLDER}/{name}.csv)\n"

    text = re.sub(r"(?m)^(- \[.*\n)\n+(?=- \[)", r"\1", _TABLE.sub(written, markdown))
    (report / PAGE_OF_TABLES).write_text(text, encoding="utf-8")


def read_tables(report: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the heading and the lines of each listed table, the first with the heads."""
    page = (report / PAGE_OF_TABLES).read_text(encoding="utf-8")
    for heading, file in LINK.findall(page):
        with (report / file).open(encoding="utf-8", newline="") as stream:
            yield heading, list(csv.reader(stream))


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip("\n")[1:-1])
    return [cell.strip().replace(r"\|", "|").replace("**", "") for cell in cells]
