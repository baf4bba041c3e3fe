"""The cases of a dataset as rows of a table, those with problems first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...app.training.preflight import LEFT_OUT, TRAINING, VALIDATION, Preflight, PreflightRow
from ...io.dataset.check import DatasetProblem
from ..common.rows_table import Column, Level, Row
from ..common.wording import in_the_window

PREFLIGHT_COLUMNS = (
    Column("Case", "Name of the case. A double click copies the path of the file in question."),
    Column("DatasetProblem", "Red ones stop the training, amber ones are worth a look."),
    Column("Shape", "Voxels: slices (z) × rows (y) × columns (x)."),
    Column("Spacing", "Distance between voxels in mm: slices (z) × rows (y) × columns (x)."),
    Column("Labels", "Label values found."),
    Column("Use", "Trained on, or held back to validate with, in the chosen fold."),
    Column("Patient", "The patient the case belongs to, by its name."),
)
PROBLEM = 1
"""The column of the problems."""
_ORDER: tuple[Level, ...] = ("blocking", "warning", "fine")


def case_rows(preflight: Preflight) -> list[Row]:
    """One row a case: those that stop the training, those to look at, and the rest."""
    rows = [_row(row) for row in preflight.rows]
    return sorted(rows, key=lambda row: _ORDER.index(row.level))


def level_of(problems: Sequence[DatasetProblem]) -> Level:
    """How bad the worst of them is."""
    if not problems:
        return "fine"
    return "blocking" if any(problem.blocks for problem in problems) else "warning"


def short_text(problem: DatasetProblem) -> str:
    """The sentence with the file's name instead of its path, which a dock has no room for."""
    text, file = in_the_window(problem.text), problem.file
    if file is not None and file.name:
        text = text.replace(str(file), file.name)
        if file.parent.name:
            text = text.replace(str(file.parent), file.parent.name)
    return text


def cases_text(preflight: Preflight) -> str:
    """How many cases and patients there are and what they are used for."""
    uses = Counter(row.use for row in preflight.rows)
    parts = [f"{uses[TRAINING]} to train on", f"{uses[VALIDATION]} to validate with"]
    if uses[LEFT_OUT]:
        parts.append(f"{uses[LEFT_OUT]} not used")
    count = _number(len(preflight.rows), "case")
    return f"{count} of {patients_text(preflight)}: {', '.join(parts)}."


def patients_text(preflight: Preflight) -> str:
    """How many patients there are."""
    return _number(len({row.patient for row in preflight.rows}), "patient")


def faults_text(rows: Sequence[Row]) -> str:
    """How many cases have problems, "" where none has."""
    levels = Counter(row.level for row in rows)
    parts = []
    if levels["blocking"]:
        parts.append(f"{_number(levels['blocking'], 'case')} to mend first (red)")
    if levels["warning"]:
        parts.append(f"{_number(levels['warning'], 'case')} to look at (amber)")
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


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
