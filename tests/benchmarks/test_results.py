"""Tests of the benchmarks' Markdown tables."""

from benchmarks.results import markdown_table


def test_bars_in_cells_are_escaped() -> None:
    assert markdown_table(["a", "|b|"], [["x|y", 1.5]]).splitlines() == [
        r"| a | \|b\| |",
        "| --- | --- |",
        r"| x\|y | 1.5 |",
    ]
