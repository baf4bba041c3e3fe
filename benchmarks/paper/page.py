"""The page on the paper, with every measured number taken from the tables of the report.

python -m benchmarks.paper.page REPORT

Writes REPORT/paper.md from page.md, beside this file, and from the tables that
`benchmarks.paper` wrote to REPORT. page.md begins with short names
of rows, and its numbers are written as

    [[Dice single - nnU-Net, ACDC]]             a finding of paper_claims.csv with its interval
    [[Dice single - nnU-Net, ACDC; by seed]]    its value for each training
    [[Dice single - nnU-Net, ACDC; trainings]]  its interval over trainings
    [[Dice single - nnU-Net, ACDC; verdict]]    its verdict, "–" if no claim predicts its sign
    {{Table 1a. Dice; single; Mean}}            a cell of paper_tables/ without its interval
    {{Table 1a. Dice; single; Mean; interval}}  with it
    {{paper_trainings.csv; training=restarts, seed=1, last_epoch=199; pseudo_dice}}
    {{paper_averages.csv}}                      the whole table
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from ..command_line import run
from ..results import markdown_table
from .tables import read_tables

AVERAGES = "paper_averages.csv"
PAGE = Path(__file__).with_name("page.md")
FINDING = re.compile(r"\[\[(.+?)\]\]")
CELL = re.compile(r"\{\{(.+?)\}\}")
NAMES = re.compile(r"<!--\n(.+?)\n-->\n+", re.DOTALL)
DIGITS = {"ECE": 2, "escaping": 0, "Spearman": 2}
"""Decimals of a finding by its measure, otherwise 3."""


class UnknownNumberError(Exception):
    """A number of the page that no table has."""


def main(report: Path) -> None:
    """Write the page."""
    text = filled(PAGE.read_text(encoding="utf-8"), report)
    (report / "paper.md").write_text(text, encoding="utf-8")


def filled(template: str, report: Path) -> str:
    """Return the page of a template. Raises UnknownNumberError for a number without a source."""
    match = NAMES.match(template)
    lines = match[1].splitlines() if match else []
    names = {name: title for name, _, title in (line.partition(": ") for line in lines)}
    tables = Tables(report, names)
    text = template[match.end() :] if match else template
    text = FINDING.sub(lambda found: tables.finding(found[1]), text)
    return CELL.sub(lambda found: tables.cell(found[1]), text)


class Tables:
    """Numbers of a report; rows also go by their short ``names``."""

    def __init__(self, report: Path, names: Mapping[str, str]) -> None:
        self._report = report
        self._names = names
        self._findings = {
            _key_of_finding(row["measured"]): row for row in _read(report / "paper_claims.csv")
        }
        self._cells = {
            (heading, line[0], column): cell
            for heading, (heads, *lines) in read_tables(report)
            for line in lines
            for column, cell in zip(heads[1:], line[1:], strict=False)
        }

    def finding(self, wanted: str) -> str:
        """Return a finding with its interval over patients, or what else of it is asked for."""
        text, _, how = wanted.partition("; ")
        measure, _, sides = text.partition(" ")
        sides, _, dataset = (sides, "", "") if measure == "escaping" else sides.rpartition(", ")
        titles = tuple(map(self._title, sides.split(" - ")))
        found = self._findings.get((measure, *titles, dataset))
        if found is None:
            raise UnknownNumberError(f"paper_claims.csv has no {text}")
        if how == "verdict":
            return found["verdict"]
        sign, digits = "+" if len(titles) > 1 else "", DIGITS.get(measure, 3)
        if how == "by seed" and found["by_training"]:
            return ", ".join(_rounded(n, digits, sign) for n in found["by_training"].split())
        over = "_over_trainings" if how == "trainings" else ""
        if how and not over:
            raise UnknownNumberError(f"paper_claims.csv has no single trainings of {text}")
        interval = " to ".join(_rounded(found[f"{end}{over}"], digits) for end in ("low", "high"))
        return interval if over else f"{_rounded(found['value'], digits, sign)} ({interval})"

    def cell(self, wanted: str) -> str:
        """Return a cell of the listed tables, or of another CSV file."""
        if wanted == AVERAGES:
            return _typeset(averages_table(_read(self._report / wanted)).strip())
        table, row, column, *how = wanted.split("; ")
        if table.endswith(".csv"):
            return self._of_csv(table, dict(part.split("=") for part in row.split(", ")), column)
        cell = self._cells.get((table, self._title(row), column))
        match = re.fullmatch(r"\**([+−-]?\d+(?:\.\d+)?)\**(?: SD [\d.]+)?( \(.+\))?", cell or "")
        if match is None:
            raise UnknownNumberError(f"{wanted} is {cell}")
        return _typeset(match[1] + ((match[2] or "") if how else ""))

    def _of_csv(self, file: str, wanted: Mapping[str, str], column: str) -> str:
        named = {**wanted, **({"row": self._title(wanted["row"])} if "row" in wanted else {})}
        rows = [row for row in _read(self._report / file) if named.items() <= row.items()]
        if len(rows) != 1:
            raise UnknownNumberError(f"{file} has {len(rows)} lines for {wanted}")
        is_ece = rows[0].get("measure") == "ECE"
        number = 100 * float(rows[0][column]) if is_ece else float(rows[0][column])
        return _rounded(number, 2 if is_ece or "%" in rows[0].get("measure", "") else 3)

    def _title(self, name: str) -> str:
        """Return the title of a row, from its short name and what follows a comma."""
        start, comma, rest = name.partition(", ")
        return self._names.get(name) or f"{self._names.get(start, start)}{comma}{rest}"


def averages_table(lines: Sequence[Mapping[str, str]]) -> str:
    """Return the table of paper_averages.csv, with a row for each method and average.

    The change is that from the average of logits, the gain that from nnU-Net with the same average,
    both with their 95 % interval over patients. `benchmarks.paper.averages` of commit 191bebab
    measured them.
    """
    measures = dict.fromkeys(line["measure"] for line in lines)
    rows: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        cells = rows.setdefault((line["method"], line["average"]), [])
        cells.append(line["value"])
        for value, low, high in (("change", "low", "high"), ("gain", "gain_low", "gain_high")):
            interval = f" ({line[low]} to {line[high]})"
            cells.append(f"{line[value]}{interval}" if line[value] else "")
    heads = ["Method", "Average of"]
    heads += [f"{measure}{end}" for measure in measures for end in ("", ": change", ": gain")]
    return markdown_table(heads, [[*key, *cells] for key, cells in rows.items()])


def _key_of_finding(measured: str) -> tuple[str, ...]:
    """Return measure, rows and dataset of a finding, "" if it is about slices."""
    text = re.sub(r" \(mean of \d trainings\)", "", measured)
    if match := re.fullmatch(r"([\w-]+) of (.+) minus that of (.+), ([\w&]+(?: shifts)?)", text):
        return match[1], match[2], match[3], match[4]
    if match := re.fullmatch(r"(.+): share of failed slices .+ minus that of (.+)", text):
        return "escaping", match[1], match[2], ""
    if match := re.fullmatch(r"(.+): share of \d+ failed slices that escape", text):
        return "escaping", match[1], ""
    if match := re.fullmatch(r"(.+): Spearman .+, area uncertain of (?:the )?(\w+)", text):
        return "Spearman", match[1], match[2]
    return ("", text)


@cache
def _read(file: Path) -> tuple[dict[str, str], ...]:
    with file.open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


def _rounded(number: float | str, digits: int, sign: str = "") -> str:
    if not math.isfinite(float(number)):
        raise UnknownNumberError(f"{number} in the tables is not a number")
    return _typeset(f"{float(number):{sign}.{digits}f}")


def _typeset(text: str) -> str:
    """Return a text whose negative numbers have a minus sign."""
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


if __name__ == "__main__":
    run(__doc__, main)
