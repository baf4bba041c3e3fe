"""An evaluation as files: ``cases.csv``, ``summary.json`` and ``report.html`` in one folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...io.files.atomic import write_json, write_text
from ..report.output_folder import unwritable
from .example_cases import ShownCase
from .page import evaluation_page
from .paper_tables import Methods, dice_table, ece_table
from .summary import cases_csv, summary
from .tables import extent, text_table

CASES, SUMMARY, PAGE = "cases.csv", "summary.json", "report.html"


def write_report(methods: Methods, report: Path, *, shown: Iterable[ShownCase] = ()) -> Path:
    """Write the files into the folder ``report``, replacing those of before; returns the page.

    ``shown`` are the cases with pictures. Raises AppError where they cannot be written.
    """
    page = evaluation_page(methods, list(shown))
    try:
        write_text(report / CASES, cases_csv(methods))
        write_json(report / SUMMARY, summary(methods))
        write_text(report / PAGE, page)
    except OSError as error:
        raise unwritable(report, error) from error
    return report / PAGE


def report_text(methods: Methods) -> str:
    """Tables 1 and 2 for a terminal, and what was left out."""
    parts = [extent(methods), "Dice", text_table(dice_table(methods)), "Calibration error"]
    parts.append(text_table(ece_table(methods)))
    notes = [f"{method.name}: {note}" for method in methods for note in method.notes]
    return "\n".join([*parts, *notes])
