"""Row of a cohort's table for one study, made from the reports of the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from ...core.heart.function import Measured
from ...core.problems import Statement
from ...core.types import Phase
from ...io.study.case_report import (
    FailureEntry,
    predicted_quality,
    read_report,
    warnings_in,
    worst_failure,
)
from ..prediction.function_entry import PhasePair, measure_reports

Outcome: TypeAlias = Literal["done", "finished before", "failed"]

NUMBERS: Final = (
    *("LV EF", "LV EDV", "LV ESV", "RV EF", "RV EDV", "RV ESV", "LV mass", "LV volume"),
    "RV volume",
)
"""Numbers of a study, if known; LV and RV volume are those of 3D images."""


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """Outcome and measurements of a study.

    ``case`` is the path of its results, relative to the output folder. ``numbers`` has the known
    ones of ``NUMBERS``. ``quality``, 0 to 1, is that of `predicted_quality`,
    None if unknown. ``failure_score`` is that of the phase that exceeds its threshold most, None if
    unknown. ``failure``, why the study could not be segmented, and ``notes`` are for the user.
    """

    case: str
    outcome: Outcome
    failure: Statement | str = ""
    numbers: Mapping[str, Measured] = field(default_factory=dict)
    ed: Phase = None
    es: Phase = None
    quality: float | None = None
    failure_score: FailureEntry | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    device: str = ""

    @property
    def worst_first(self) -> tuple[float, str]:
        """Sort key of the studies that did not fail; unknown quality comes last."""
        return 2.0 if self.quality is None else self.quality, self.case


def read_reports(files: Mapping[Phase, Path]) -> dict[Phase, dict[str, Any]]:
    """Return phase → report of a case. Raises DataError if one cannot be read."""
    return {phase: read_report(file) for phase, file in files.items()}


def study_row(
    case: str,
    outcome: Outcome,
    reports: Mapping[Phase, Mapping[str, Any]],
) -> StudyRow:
    """Return the row of a study with these reports, by phase."""
    function, ed, es = measure_reports(reports)
    every = reports.values()
    return StudyRow(
        case=case,
        outcome=outcome,
        numbers={name: function[name] for name in NUMBERS if name in function},
        ed=ed,
        es=es,
        quality=predicted_quality(every),
        failure_score=worst_failure(every),
        warnings=warnings_in(every),
        seconds=round(sum(float(report["seconds"]) for report in every), 2),
        device=", ".join(dict.fromkeys(str(report["device"]) for report in every)),
    )


def earlier_row(output: Path, case: str) -> StudyRow:
    """Return the row of a 3D image that an earlier run has segmented, from its report.

    Raises DataError for a damaged report, and FileNotFoundError.
    """
    return study_row(case, "done", {None: read_report(output / f"{case}.json")})


def paired_row(row: StudyRow, pair: PhasePair) -> StudyRow:
    """Return the row of ED or ES with what both have together, of which ED gets the numbers."""
    function = pair.measured if row.case == pair.ed else {}
    together = {name: function[name] for name in NUMBERS if name in function}
    report = pair.reports[row.case]
    quality, warnings = predicted_quality([report]), warnings_in([report])
    return replace(row, numbers={**row.numbers, **together}, quality=quality, warnings=warnings)


def failed_row(case: str, failure: Statement | str) -> StudyRow:
    """Return the row of a study that could not be segmented."""
    return StudyRow(case=case, outcome="failed", failure=failure)
