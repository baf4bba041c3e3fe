"""Measurements of the heart and expected Dice in the reports of end-diastole and end-systole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...core.heart.function import Measured, heart_function
from ...core.heart.measurements import canonical_structure
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.heart.volume_curve import volume_curve
from ...core.types import Phase
from ...io.dataset.patients import patient_of
from ...io.files.atomic import null_for_nan, write_json
from ...io.study.case_report import (
    expected_dice_of,
    function_entry,
    interval_rules,
    read_report,
)
from .output_files import case_files, frame_name


def measure_reports(
    reports: Mapping[Phase, Mapping[str, Any]],
) -> tuple[dict[str, Measured], Phase, Phase]:
    """Return the heart's measurements by name, ED and ES, from the reports of a case's phases.

    ED and ES are those of the reports, or those of the largest and smallest LV if all phases have a
    report; None if unknown.
    """
    volumes = {phase: _volumes(report) for phase, report in reports.items()}
    ed, es = _end_phases(volumes, reports)
    rules = interval_rules(reports.values())
    return heart_function(volumes, ed=ed, es=es, rules=rules), ed, es


def add_function(folder: Path, case: str, phases: Iterable[Phase]) -> None:
    """Write the measurements of a cine into the reports of its ED and ES, if both are known."""
    files = {phase: _report_file(folder, frame_name(case, phase)) for phase in phases}
    if len(files) < 2:
        return
    measured, ed, es = measure_reports({phase: read_report(f) for phase, f in files.items()})
    if ed is not None and es is not None:
        _add(measured, {"ED": files[ed], "ES": files[es]})


def add_function_of_pairs(folder: Path, cases: Iterable[str]) -> None:
    """Write the measurements of patients with exactly two 3D images into both reports.

    The image with the larger LV is taken as end-diastole.
    """
    of_patient: dict[str, list[str]] = {}
    for case in cases:
        of_patient.setdefault(patient_of(case), []).append(case)
    for pair in of_patient.values():
        if len(pair) == 2:
            reports = {file: read_report(file) for file in (_report_file(folder, c) for c in pair)}
            ed, es = sorted(reports, key=lambda file: _lv_volume(reports[file]), reverse=True)
            volumes: dict[Phase, PhaseVolumes] = {
                phase: _volumes(reports[file]) for phase, file in enumerate((ed, es), start=1)
            }
            rules = interval_rules(reports.values())
            _add(heart_function(volumes, ed=1, es=2, rules=rules), {"ED": ed, "ES": es})


def _add(measured: Mapping[str, Measured], files: Mapping[str, Path]) -> None:
    """Write the measurements, and the Dice expected at ED and ES, into their reports.

    Reports of earlier versions stay as they are.
    """
    if not measured:
        return
    function = null_for_nan(function_entry(measured))
    for phase, file in files.items():
        report = read_report(file)
        entries = {"function": function}
        if expected := expected_dice_of(report, phase):
            entries["expected_dice"] = expected
        if "calibration" in report and any(report.get(key) != entries[key] for key in entries):
            write_json(file, {**report, **entries})


def _report_file(folder: Path, name: str) -> Path:
    return folder / case_files(name, ())["report"]


def _volumes(report: Mapping[str, Any]) -> PhaseVolumes:
    volumes = report["volumes_ml"]
    return PhaseVolumes.from_totals(
        {name: volume["ensemble"] for name, volume in volumes.items()},
        {name: volume.get("members", ()) for name, volume in volumes.items()},
    )


def _lv_volume(report: Mapping[str, Any]) -> float:
    volumes = report["volumes_ml"].items()
    return next((v["ensemble"] for name, v in volumes if canonical_structure(name) == "LV"), 0.0)


def _end_phases(
    volumes: Mapping[Phase, PhaseVolumes], reports: Mapping[Phase, Mapping[str, Any]]
) -> tuple[Phase, Phase]:
    for report in reports.values():
        if "ED" in report:
            ends = report["ED"], report["ES"]
            return ends if set(ends) <= set(volumes) else (None, None)
        if report.get("phases") != len(volumes):
            return None, None
    curve = volume_curve(volumes)
    return curve.ed, curve.es
