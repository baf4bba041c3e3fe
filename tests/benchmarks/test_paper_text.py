"""Every measured number in the text on the paper is taken from the tables of its commands."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from benchmarks.paper.page import CELL, FINDING, PAGE, UnknownNumberError, filled
from benchmarks.paper.tables import write_tables

REPORT = Path(__file__).parents[2] / "docs" / "explanation"
MEASURED = (
    ("## What was found", "## What the command trains"),
    ("## The averages of nnU-Net v1 and v2", "## On several GPUs"),
)
"""First headings of the parts with measured numbers, and of what follows them."""
NUMBER = r"(?<![\d.])\d+\.\d+(?![\d.])"
FEWEST = 200
OF_THE_PAPER = {"2.56", "2.18", "2.39", "1.70", "1.63", "1.25"}
"""ECE on ACDC in Table 2 of the paper."""
SETTINGS = {"0.01", "0.1", "0.5", "1.5"}
"""Posterior temperature, dropout, limits of Dice and entropy, and τ of the paper."""
VERDICTS = ("does not hold", "holds", "these trainings", "cannot be told", "undecided")
CLAIMS = (
    *("measured", "value", "low", "high"),
    *("low_over_trainings", "high_over_trainings", "by_training"),
)
NO_INTERVAL = ("nan", "nan")
TEMPLATE = """<!--
net: Vanilla
one: Ensemble, n 30
-->

# Page
"""


def measured_parts() -> str:
    text = PAGE.read_text(encoding="utf-8")
    return "\n".join(text[text.index(start) : text.index(end)] for start, end in MEASURED)


def test_the_page_has_the_numbers_of_the_tables() -> None:
    page = (REPORT / "paper.md").read_text(encoding="utf-8")
    assert page == filled(PAGE.read_text(encoding="utf-8"), REPORT)


def test_measured_numbers_are_not_written_by_hand() -> None:
    text = measured_parts()
    assert len(FINDING.findall(text)) + len(CELL.findall(text)) > FEWEST
    written = set(re.findall(NUMBER, CELL.sub("", FINDING.sub("", text))))
    assert written <= OF_THE_PAPER | SETTINGS


def verdicts_in(text: str) -> set[str]:
    """Return the verdicts that a text names; "undecided" is one that cannot be told by itself."""
    text = text.lower()
    return {verdict for verdict in VERDICTS if verdict in text}


def claims() -> list[list[str]]:
    """Return claim, verdict and findings of each row of the page."""
    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index("| Claim | Verdict | Measured |") :].partition("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


@pytest.mark.parametrize(("claim", "verdict", "measured"), claims())
def test_verdicts_are_those_of_the_findings_beside_them(claim, verdict, measured) -> None:
    """The row names each verdict that one of its findings has, and no other.

    Which method has which verdict is not tested, nor a claim on other numbers than findings. The
    NLL is an addition to the ECE, and told in other words.
    """
    wanted = {text.partition(";")[0] for text in FINDING.findall(measured)}
    ask = "\n".join(f"[[{text}; verdict]]" for text in wanted if not text.startswith("NLL"))
    names = PAGE.read_text(encoding="utf-8").partition("# ")[0]
    found = filled(f"{names}{ask}", REPORT)
    found = re.sub("cannot be told$", "undecided", found, flags=re.MULTILINE)
    assert not wanted or verdicts_in(verdict) == verdicts_in(found)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Return a folder with small tables."""
    with (tmp_path / "paper_claims.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(CLAIMS)
        difference = "of Ensemble, n 30 minus that of Vanilla"
        writer.writerows(
            [
                (
                    f"Dice {difference} (mean of 3 trainings), ACDC",
                    0.0126,
                    -0.0004,
                    0.02,
                    *NO_INTERVAL,
                    "",
                ),
                (f"ECE {difference}, all shifts", -1.005, -1.5, -0.5, -2.1, 0.1, "-1.11 0.004"),
                (f"ECE {difference}, seed 2, ACDC", -2, -3, -1, *NO_INTERVAL, ""),
                ("Vanilla: share of 12 failed slices that escape", 56.4, 30, 70, *NO_INTERVAL, ""),
                (
                    "Ensemble, n 30: share of failed slices that escape minus that of Vanilla",
                    *(-20.6, -30, 3, *NO_INTERVAL, ""),
                ),
                (
                    "Vanilla: Spearman over 9 failed slices, area uncertain of the RV",
                    *(0.5, 0, 1, *NO_INTERVAL, ""),
                ),
            ]
        )
    write_tables(
        tmp_path,
        "## Dice\n\n| Method | RV | Mean |\n| --- | --- | --- |\n"
        "| Vanilla | 0.876 SD 0.040 (0.860 to 0.890) | –0 |\n"
        "| Ensemble, n 30 | **0.911** (0.9 to 0.92) | -0.02 (-0.03 to -0.01) |\n",
    )
    (tmp_path / "old.csv").write_text(
        "row,measure,value\nVanilla,ECE,0.03346\nVanilla,Dice,0.8549\n", encoding="utf-8"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[[Dice one - net, ACDC]]", "+0.013 (−0.000 to 0.020)"),
        ("[[ECE one - net, all shifts; by seed]]", "−1.11, +0.00"),
        ("[[ECE one - net, all shifts; trainings]]", "−2.10 to 0.10"),
        ("[[ECE one - net, seed 2, ACDC]]", "−2.00 (−3.00 to −1.00)"),
        ("[[escaping net]]", "56 (30 to 70)"),
        ("[[escaping one - net]]", "−21 (−30 to 3)"),
        ("[[Spearman net, RV]]", "0.50 (0.00 to 1.00)"),
        ("{{Dice; net; RV}}", "0.876"),
        ("{{Dice; net; RV; interval}}", "0.876 (0.860 to 0.890)"),
        ("{{Dice; one; RV}} and {{Dice; one; Mean; interval}}", "0.911 and −0.02 (−0.03 to −0.01)"),
        ("{{old.csv; row=net, measure=ECE; value}}", "3.35"),
        ("{{old.csv; row=net, measure=Dice; value}}", "0.855"),
    ],
)
def test_numbers_are_looked_up_by_their_place(written: str, expected: str, report: Path) -> None:
    assert filled(f"{TEMPLATE}{written}\n", report) == f"# Page\n{expected}\n"


@pytest.mark.parametrize(
    "written",
    [
        "[[Dice net - one, ACDC]]",
        "[[Dice one - net, Sunnybrook]]",
        "[[escaping one]]",
        "[[Dice one - net, ACDC; by seed]]",
        "[[Dice one - net, ACDC; trainings]]",
        "{{Dice; net; LV}}",
        "{{Dice; net; Mean}}",
        "{{Other; net; RV}}",
        "{{old.csv; row=net; value}}",
    ],
)
def test_a_number_without_a_source_is_refused(written: str, report: Path) -> None:
    with pytest.raises(UnknownNumberError):
        filled(f"{TEMPLATE}{written}\n", report)
