"""The cases of a dataset as rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...app.training.preflight import LEFT_OUT, TRAINING, VALIDATION, Preflight, PreflightRow
from ...core.counts import format_count
from ...io.dataset.check import DatasetProblem
from ..common.levels import Level
from ..common.rows_table import Column, Row
from ..common.wording import in_the_window

PREFLIGHT_COLUMNS = (
    Column("Case", "Name of the case. Double-click to copy the path of the file."),
    Column("Problem", "Red problems prevent the training. Amber problems are warnings."),
    Column("Shape", "Voxels: slices (z) × rows (y) × columns (x)."),
    Column("Spacing", "Distance between voxels in mm: slices (z) × rows (y) × columns (x)."),
    Column("Labels", "Label values in the file."),
    Column("Use", "Use of the case in the chosen fold: training or validation."),
    Column("Patient", "Patient of the case, taken from its name."),
)
PROBLEM = 1
"""Index of the column of problems."""
_ORDER: tuple[Level, ...] = ("blocking", "warning", "fine")


def case_rows(preflight: Preflight) -> list[Row]:
    """Return a row per case: errors first, then warnings, then the rest."""
    rows = [_row(row) for row in preflight.rows]
    return sorted(rows, key=lambda row: _ORDER.index(row.level))


def level_of(problems: Sequence[DatasetProblem]) -> Level:
    """Return the level of the worst problem."""
    if not problems:
        return "fine"
    return "blocking" if any(problem.blocks for problem in problems) else "warning"


def short_text(problem: DatasetProblem) -> str:
    """Return the sentence with file names instead of paths, which are too long for a dock."""
    text, file = in_the_window(problem.text), problem.file
    if file is not None and file.name:
        text = text.replace(str(file), file.name)
        if file.parent.name:
            text = text.replace(str(file.parent), file.parent.name)
    return text


def cases_text(preflight: Preflight) -> str:
    """Return a sentence on the number of cases and patients and their use."""
    uses = Counter(row.use for row in preflight.rows)
    parts = [f"{uses[TRAINING]} for training", f"{uses[VALIDATION]} for validation"]
    if uses[LEFT_OUT]:
        parts.append(f"{uses[LEFT_OUT]} unused")
    count = format_count(len(preflight.rows), "case")
    return f"{count} of {patients_text(preflight)}: {', '.join(parts)}."


def patients_text(preflight: Preflight) -> str:
    """Return the number of patients with its noun."""
    return format_count(len({row.patient for row in preflight.rows}), "patient")


def faults_text(rows: Sequence[Row]) -> str:
    """Return a sentence on the number of cases with problems, "" if there are none."""
    levels = Counter(row.level for row in rows)
    parts = []
    if levels["blocking"]:
        parts.append(f"{format_count(levels['blocking'], 'case')} with errors (red)")
    if levels["warning"]:
        parts.append(f"{format_count(levels['warning'], 'case')} with warnings (amber)")
    return f"{', '.join(parts)}." if parts else ""


def _row(row: PreflightRow) -> Row:
    check = row.check
    problems = sorted(check.problems, key=lambda problem: not problem.blocks)
    more = f" (+{len(problems) - 1})" if len(problems) > 1 else ""
    cells = (
        check.name,
        short_text(problems[0]) + more if problems else "",
        " × ".join(map(str, check.shape)),
        " × ".join(f"{step:.3g}" for step in check.spacing or ()),
        " ".join(map(str, check.values)),
        row.use,
        row.patient,
    )
    help_text = "\n".join(in_the_window(problem.text) for problem in problems)
    file = problems[0].file if problems else None
    return Row(cells, help_text, level_of(problems), file)
