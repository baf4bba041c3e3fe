"""Texts that a spreadsheet would run as formulas are marked, and read back as they were."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from napari_bayes_nnunet.io.files.csv_text import csv_rows, csv_text

PACKAGE = Path(__file__).parents[3] / "src" / "napari_bayes_nnunet"


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://a.b", "c")',
        "=1+1",
        "@SUM(A1)",
        "+cmd|' /C calc'!A0",
        "+1",
        "-1+1",
        "-",
        "\t=1",
        "\r=1",
        "\n=1",
        "'=1",
        "''=1",
    ],
)
def test_formula_is_marked_and_read_back(text: str) -> None:
    written = csv_text([["a", text]])
    (row,) = csv.reader(io.StringIO(written, newline=""))
    assert row == ["a", "'" + text]
    assert csv_rows(io.StringIO(written, newline="")) == [["a", text]]


@pytest.mark.parametrize("text", ["", "a=1", "-1.5", "-1e-3", "-inf", "'", "'tis", "p1/=2", " - "])
def test_other_texts_are_written_as_they_are(text: str) -> None:
    written = csv_text([[text, 1]])
    assert next(csv.reader([written])) == [text, "1"]
    assert csv_rows([written]) == [[text, "1"]]


def test_numbers_and_missing_values_are_not_marked() -> None:
    assert csv_text([[-1, -0.5, None]]) == "-1,-0.5,\n"


def test_every_table_is_written_by_this_module() -> None:
    writers = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if re.search(r"csv\.(writer|DictWriter)", file.read_text(encoding="utf-8"))
    }
    # The table of a schedule has numbers only.
    assert writers == {"io/files/csv_text.py", "cli/train.py"}
