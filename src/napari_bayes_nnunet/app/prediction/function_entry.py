"""Measurements of the heart and expected Dice in the reports of end-diastole and end-systole."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ...core.heart.function import Measured, heart_function
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.heart.volume_curve import volume_curve
from ...core.types import Phase
from ...io import DataError
from ...io.dataset.phase_pairs import examination_of, phase_pairs
from ...io.files.atomic import null_for_nan, write_json
from ...io.files.case_names import same_file_key
from ...io.study.case_report import (
    expected_dice_of,
    function_entry,
    interval_rules,
    read_report,
)
from ..report.number_warnings import number_warnings
from .output_files import case_files, frame_name
from .resume_check import may_be_of_one_ensemble

_IMAGE: Final = ("image_sha256", "channels_sha256", "spacing_mm", "phase", "phases", "ED", "ES")
_SETTINGS: Final = (
    *("ensemble", "method", "members_asked", "until_stable", "temperature"),
    *("mirroring", "window", "largest_component"),
)
_OUTDATED: Final = "outdated"
"""Entry of a report that should have been replaced, but its image failed."""


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


def add_function(folder: Path, case: str, phases: Iterable[Phase]) -> tuple[str, ...]:
    """Write the measurements of a cine into the reports of its ED and ES, if both are known.

    One of the two may be of an earlier run. Return the warnings about the measurements, which the
    reports then have too.
    """
    reports = {phase: read_report(_phase_file(folder, case, phase)) for phase in phases}
    reports |= _earlier_ends(folder, case, reports)
    measured, ed, es = measure_reports(reports)
    if ed is None or es is None:
        return ()
    ends = {"any": ed} if ed == es else {"ED": ed, "ES": es}
    return _add(measured, {end: _phase_file(folder, case, phase) for end, phase in ends.items()})


def _earlier_ends(
    folder: Path, case: str, reports: Mapping[Phase, Mapping[str, Any]]
) -> dict[Phase, dict[str, Any]]:
    """Return the reports of ED and ES that are missing in those of this run, but go with them."""
    first = next(iter(reports.values()), {})
    found: dict[Phase, dict[str, Any]] = {}
    for phase in {first.get("ED"), first.get("ES")} - {None, *reports}:
        with suppress(DataError, FileNotFoundError):
            report = read_report(_phase_file(folder, case, phase))
            expected = {**first, "phase": phase}
            is_of_image = all(expected.get(key) == report.get(key) for key in _IMAGE)
            if is_of_image and _are_of_one_kind([first, report]):
                found[phase] = report
    return found


def remove_function(folder: Path, case: str, phases: int, *, replaced: Collection[Phase]) -> None:
    """Remove the measurements of a cine of so many ``phases`` from the reports that have them.

    They stay if they are known to be of ED and ES, and neither is to be ``replaced``.
    """
    for phase in range(1, phases + 1) if replaced else ():
        file = _phase_file(folder, case, phase)
        with suppress(DataError, FileNotFoundError):
            report = read_report(file)
            ends = {report.get("ED"), report.get("ES")} - {None}
            if report.get("phase") == phase and (not ends or not ends.isdisjoint(replaced)):
                _write(file, _without_function(report))


class PairedReports:
    """Reports of the 3D images in ``folder``, with measurements in those of ED and ES.

    An examination whose reports are not two, or not of one ensemble and the same settings, has no
    measurements. Outdated reports form no pair, even in later runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cases: dict[str, set[str]] | None = None
        self._updated: dict[str, str] = {}
        self._made: set[str] = set()
        self.warnings: tuple[str, ...] = ()
        """Warnings about the measurements of the examination that was last updated."""

    @contextmanager
    def updated(self, case: str) -> Iterator[None]:
        """Update the examination of a ``case`` after a block that writes or removes its results."""
        try:
            yield
            self.note(made=[case])
        finally:
            self.update(case)

    def note(self, *, made: Iterable[str] = (), failed: Iterable[str] = ()) -> None:
        """Mark the reports of cases that should have been replaced, but ``failed``, as outdated.

        Those that were ``made`` or found unchanged in this run are not. The next update takes the
        marks into account.
        """
        made = [*made]
        self._made.update(map(same_file_key, made))
        failed = [case for case in failed if same_file_key(case) not in self._made]
        for case, report in self._read([*made, *failed]).items():
            kept = {key: value for key, value in report.items() if key != _OUTDATED}
            if case in failed:
                kept = {**_without_function(kept), _OUTDATED: True}
            _write(_report_file(self._folder, case), kept)

    def update(self, *changed: str) -> dict[str, Mapping[str, Measured]]:
        """Measure the examination of the cases whose results have ``changed``.

        Return the cases of the examination, ED with the measurements, the others with {}.
        """
        examination, self.warnings = examination_of(changed[0]), ()
        if not examination:
            return {}
        cases = self._listed().setdefault(examination, set())
        cases.update(changed)
        self._updated[examination] = changed[0]
        every = self._read(sorted(cases))
        reports = {case: report for case, report in every.items() if _OUTDATED not in report}
        volumes = {case: _volumes_ml(report) for case, report in reports.items()}
        pairs = phase_pairs(volumes) if _are_of_one_kind(list(reports.values())) else []
        if not pairs:
            for name, report in reports.items():
                _write(_report_file(self._folder, name), _without_function(report))
            return {name: {} for name in reports}
        (pair,) = pairs
        phases: dict[Phase, PhaseVolumes] = {
            phase: _volumes(reports[case]) for phase, case in enumerate(pair, start=1)
        }
        measured = heart_function(phases, ed=1, es=2, rules=interval_rules(reports.values()))
        files = (_report_file(self._folder, case) for case in pair)
        self.warnings = _add(measured, dict(zip(("ED", "ES"), files, strict=True)))
        ed, es = pair
        return {ed: measured, es: {}}

    def update_again(self) -> None:
        """Measure the examinations once more to which another run has added cases meanwhile."""
        before, self._cases = self._listed(), None
        for examination, case in self._updated.items():
            if self._listed().get(examination) != before[examination]:
                self.update(case)

    def _listed(self) -> dict[str, set[str]]:
        """Return the cases of each examination; those of other runs are listed once."""
        if self._cases is None:
            self._cases = {}
            for file in self._folder.glob("*.json"):
                if examination := examination_of(file.stem):
                    self._cases.setdefault(examination, set()).add(file.stem)
        return self._cases

    def _read(self, cases: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the reports of 3D images that can be read."""
        reports = {}
        for case in cases:
            with suppress(DataError, FileNotFoundError):
                report = read_report(_report_file(self._folder, case))
                if report.get("phase") is None:
                    reports[case] = report
        return reports


def _are_of_one_kind(reports: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the reports have the same settings, and may be of one ensemble."""
    first = reports[0] if reports else {}
    return all(
        may_be_of_one_ensemble(first, report)
        # Reports of version 0.2.0 do not name the largest component, which was off.
        and all(first.get(key, "off") == report.get(key, "off") for key in _SETTINGS)
        for report in reports
    )


def _add(measured: Mapping[str, Measured], files: Mapping[str, Path]) -> tuple[str, ...]:
    """Write the measurements, and the Dice expected at ED and ES, into their reports.

    Return the warnings about the measurements, which are written too.
    """
    if not measured:
        return ()
    values = {name: number.value for name, number in measured.items()}
    reports = {phase: read_report(file) for phase, file in files.items()}
    grids = [report["grid"] for report in reports.values() if "grid" in report]
    warnings = (*number_warnings(values, same_phase=len(files) == 1, grids=grids),)
    function = null_for_nan(function_entry(measured))
    for phase, report in reports.items():
        entries = _without_function(report)
        entries |= {"function": function, "function_warnings": [*warnings]}
        entries["warnings"] += warnings
        if expected := expected_dice_of(report, phase):
            entries["expected_dice"] = expected
        _write(files[phase], entries)
    return warnings


def _without_function(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the report of an image whose phase is unknown."""
    gone = report.get("function_warnings", ())
    kept = {k: v for k, v in report.items() if k not in ("function", "function_warnings")}
    kept["warnings"] = [s for s in report.get("warnings", ()) if s not in gone]
    if "function" in report and (expected := expected_dice_of(report, "any")):
        kept["expected_dice"] = expected
    return kept


def _write(file: Path, report: Mapping[str, Any]) -> None:
    """Write a report unless the file has this content."""
    if report != read_report(file):
        write_json(file, report)


def _report_file(folder: Path, name: str) -> Path:
    return folder / case_files(name, ())["report"]


def _phase_file(folder: Path, case: str, phase: Phase) -> Path:
    return _report_file(folder, frame_name(case, phase))


def _volumes(report: Mapping[str, Any]) -> PhaseVolumes:
    volumes = report["volumes_ml"]
    return PhaseVolumes.from_totals(
        _volumes_ml(report),
        {name: volume.get("members", ()) for name, volume in volumes.items()},
    )


def _volumes_ml(report: Mapping[str, Any]) -> dict[str, float]:
    return {name: volume["ensemble"] for name, volume in report["volumes_ml"].items()}


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
