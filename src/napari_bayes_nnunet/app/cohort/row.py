"""One study of a run over many, as a row of its table: rebuilt from its reports at any time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from ...core.heart.function import Measured, heart_function
from ...core.heart.measurements import Structure, canonical_structure
from ...core.heart.slice_volumes import PhaseVolumes, Values
from ...core.heart.volume_curve import volume_curve
from ...core.types import Phase
from ...io.study.case_report import predicted_quality, read_report, warnings_in

Outcome: TypeAlias = Literal["done", "finished before", "failed"]

NUMBERS: Final = (
    *("LV EF", "LV EDV", "LV ESV", "RV EF", "RV EDV", "RV ESV", "LV mass", "LV volume"),
    "RV volume",
)
"""What is told of every study, where it is known; the volumes are those of 3D images."""


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """How one study ended, and what was measured in it.

    ``case`` is where its results lie, seen from the output folder. ``numbers`` are those of
    ``NUMBERS`` that are known. ``quality``, 0 … 1, is predicted: the mean pairwise Dice of the
    members, None where it is unknown. ``failure`` and ``notes`` are sentences for the user.
    """

    case: str
    outcome: Outcome
    failure: str = ""
    numbers: Mapping[str, Measured] = field(default_factory=dict)
    ed: Phase = None
    es: Phase = None
    quality: float | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    device: str = ""

    @property
    def worst_first(self) -> tuple[float, str]:
        """What sorts the studies that did not fail; those of unknown quality are last."""
        return 2.0 if self.quality is None else self.quality, self.case


def read_reports(files: Mapping[Phase, Path]) -> dict[Phase, dict[str, Any]]:
    """Return the reports of a case by phase. Raises DataError where one cannot be read."""
    return {phase: read_report(file) for phase, file in files.items()}


def study_row(
    case: str,
    outcome: Outcome,
    reports: Mapping[Phase, Mapping[str, Any]],
) -> StudyRow:
    """The row of a study with these reports, by phase."""
    volumes = {phase: _volumes(report) for phase, report in reports.items()}
    ed, es = _end_phases(volumes, reports)
    found = heart_function(volumes, ed=ed, es=es)
    of_all = reports.values()
    return StudyRow(
        case=case,
        outcome=outcome,
        numbers={name: found[name] for name in NUMBERS if name in found},
        ed=ed,
        es=es,
        quality=predicted_quality(of_all),
        warnings=warnings_in(of_all),
        seconds=round(sum(float(report["seconds"]) for report in of_all), 2),
        device=", ".join(dict.fromkeys(str(report["device"]) for report in of_all)),
    )


def _volumes(report: Mapping[str, Any]) -> PhaseVolumes:
    """The whole heart as if it were one slice: the report has no volumes of single ones."""
    labels: dict[Structure, Values] = {}
    members: dict[Structure, Values] = {}
    for name, volume in report["volumes_ml"].items():
        structure = canonical_structure(name)
        if structure is not None and structure not in labels:
            labels[structure] = np.array([volume["ensemble"]])
            members[structure] = np.array(volume.get("members", ()), np.float64).reshape(-1, 1)
    return PhaseVolumes(labels=labels, members=members, reviewed=np.zeros(1, np.bool_))


def _end_phases(
    volumes: Mapping[Phase, PhaseVolumes], reports: Mapping[Phase, Mapping[str, Any]]
) -> tuple[Phase, Phase]:
    """ED and ES: as the reports tell, else of the largest and smallest LV in all phases."""
    for report in reports.values():
        if "ED" in report:
            told = report["ED"], report["ES"]
            return told if set(told) <= set(volumes) else (None, None)
        if report.get("phases") != len(volumes):
            return None, None
    curve = volume_curve(volumes)
    return curve.ed, curve.es


def failed_row(case: str, failure: str) -> StudyRow:
    """The row of a study that could not be segmented."""
    return StudyRow(case=case, outcome="failed", failure=failure)
