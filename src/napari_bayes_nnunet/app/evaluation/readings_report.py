"""Report of a comparison of readings: a page and a CSV table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from ...core.metrics.agreement import Agreement, bland_altman
from ...io.files.csv_text import csv_text
from ...io.study.study import READINGS
from ..report.figures import INK, METHOD_COLORS, encode_png
from ..report.html import UNKNOWN, render_page
from ..report.output_folder import (
    check_writable,
    refuse_foreign_files,
    report_files,
    write_or_refuse,
)
from .readings import PARTS, ReadingDifference, ReadingsComparison, compare_readings

_PLOTTED: Final = ("LV EF", "LV EDV", "LV ESV", "LV mass", "RV EF", "RV EDV")


def write_comparison_report(comparison: ReadingsComparison, report: Path) -> Path:
    """Write ``report``.csv and the page ``report``.html, which is returned.

    Raises AppError or DataError if they cannot be written or would replace other files.
    """
    table, page = report_files(report, ".csv", ".html")
    check_writable(table.parent)
    refuse_foreign_files(table.parent, {table.name: "study,first,second"}, [page.name])
    rows = [
        [*d[:8], *("" if math.isnan(v) else f"{v:.6g}" for v in d[8:])]
        for d in comparison.differences
    ]
    studies = {difference.study for difference in comparison.differences}
    text = render_page(
        "readings.html.j2",
        heading=", ".join(studies) if len(studies) == 1 else f"{len(studies)} studies",
        facts=[],
        warnings=comparison.notes,
        tiles=[],
        parts=PARTS,
        unknown=UNKNOWN,
        sections=[_section(comparison, pair) for pair in comparison.pairs],
    )
    for file, content in ((table, csv_text([ReadingDifference._fields, *rows])), (page, text)):
        write_or_refuse(file, content)
    return page


def compare_study(study: Path) -> Path:
    """Compare the finished readings of a study; return the page, which lies next to them."""
    return write_comparison_report(compare_readings(study), study / READINGS / "comparison")


def _section(comparison: ReadingsComparison, pair: tuple[str, str]) -> dict[str, Any]:
    """Return what the page says about a pair of readings; all numbers are means over studies."""
    known, numbers = comparison.of(pair), dict[str, list[ReadingDifference]]()
    overlaps: dict[tuple[str, ...], list[float]] = {}
    for d in known:
        if d.measure == "number":
            numbers.setdefault(d.name, []).append(d)
        overlaps.setdefault((d.name, d.phase, d.part, d.measure), []).append(d.value)
    agreement = {name: bland_altman([d.value for d in ds]) for name, ds in numbers.items()}
    studies = dict.fromkeys(d.study for d in known)
    return {
        "pair": pair,
        "agreement": agreement,
        "numbers": numbers,
        "rows": dict.fromkeys((d.name, d.phase) for d in known if d.part),
        "overlaps": {key: fmean(values) for key, values in overlaps.items()},
        "studies": {s: {d.name: d.value for d in known if d.study == s} for s in studies},
        # One study is one point, which has neither bias nor limits.
        "png": _plots(numbers, agreement) if len(studies) > 1 else b"",
    }


def _plots(
    numbers: Mapping[str, list[ReadingDifference]], agreement: Mapping[str, Agreement]
) -> bytes:
    """Return the Bland–Altman plots as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.2), layout="constrained")
    for index, name in enumerate(filter(numbers.get, _PLOTTED), start=1):
        axes, known, found = figure.add_subplot(2, 3, index), numbers[name], agreement[name]
        for level, style in ((found.bias, "-"), (found.low, "--"), (found.high, "--")):
            axes.axhline(level, color=INK, linestyle=style)
        means = [(d.first_value + d.second_value) / 2 for d in known]
        axes.plot(means, [d.value for d in known], "o", color=METHOD_COLORS[0], alpha=0.7)
        axes.set(title=name, xlabel=f"mean, {known[0].unit}", ylabel=f"difference, {known[0].unit}")
    return encode_png(figure)
