"""Measurements of the heart in the reports of end-diastole and end-systole."""

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
from ...io.study.case_report import function_entry, interval_rules, read_report
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
    reports = {phase: read_report(file) for phase, file in files.items()}
    measured, ed, es = measure_reports(reports)
    if ed is not None and es is not None:
        _add(measured, {files[phase]: reports[phase] for phase in (ed, es)})


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
            by_volume = sorted(reports.values(), key=_lv_volume, reverse=True)
            volumes: dict[Phase, PhaseVolumes] = {
                phase: _volumes(report) for phase, report in enumerate(by_volume, start=1)
            }
            rules = interval_rules(by_volume)
            _add(heart_function(volumes, ed=1, es=2, rules=rules), reports)


def _add(measured: Mapping[str, Measured], reports: Mapping[Path, Mapping[str, Any]]) -> None:
    """Write the measurements into those reports that this version wrote without them."""
    if not measured:
        return
    entry = null_for_nan(function_entry(measured))
    for file, report in reports.items():
        if "calibration" in report and report.get("function") != entry:
            write_json(file, {**report, "function": entry})


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
