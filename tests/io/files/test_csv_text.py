"""Texts that a spreadsheet would run as formulas are marked, and read back as they were."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_bayes_nnunet.io.files.csv_text import csv_rows, csv_text

PACKAGE = Path(__file__).parents[3] / "src" / "napari_bayes_nnunet"


FORMULAS = ['=HYPERLINK("http://a.b", "c")', "@SUM(A1)", "+cmd|' /C calc'!A0", "-1+1", "-", "''=1"]
NO_FORMULAS = ["", "a=1", "-1.5", "-1e-3", "-inf", "'", "'tis", "p1/=2", " - "]


@pytest.mark.parametrize(
    ("text", "is_marked"),
    [*((text, True) for text in FORMULAS), *((text, False) for text in NO_FORMULAS)],
)
def test_only_formulas_are_marked(text, is_marked):
    (row,) = csv.reader(io.StringIO(csv_text([["a", text, 1]]), newline=""))
    assert row == ["a", "'" * is_marked + text, "1"]


@given(st.text(st.sampled_from("=+-@\t\r\n'\",; 1ä")) | st.text())
def test_no_text_is_a_formula_and_all_are_read_back(text):
    written = csv_text([["a", text]])
    (row,) = csv.reader(io.StringIO(written, newline=""))
    assert row[1][:1] not in {"=", "+", "@", "\t", "\r", "\n"}
    assert row[1][:1] != "-" or float(row[1]) <= 0
    assert csv_rows(io.StringIO(written, newline="")) == [["a", text]]


def test_every_table_is_written_by_this_module():
    writers = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if re.search(r"csv\.(writer|DictWriter)", file.read_text(encoding="utf-8"))
    }
    # The table of a schedule has numbers only.
    assert writers == {"io/files/csv_text.py", "cli/train.py"}
