"""Measurements of the heart, and expected Dice, that end-diastole and end-systole have together.

Those of a cine are written into the reports of its ED and ES. Those of two images are made whenever
they are needed, because either image may be segmented again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...core.heart.function import Measured, heart_function
from ...core.heart.slice_volumes import PhaseVolumes
from ...core.heart.volume_curve import volume_curve
from ...core.types import Phase
from ...io import DataError
from ...io.dataset.phase_pairs import examination_of, phase_pairs
from ...io.files.atomic import null_for_nan, write_json
from ...io.study.case_report import (
    expected_dice_of,
    function_entry,
    interval_rules,
    read_report,
    without_function,
)
from ..report.number_warnings import number_warnings
from ..segmentation.recipe import are_of_one_examination
from .output_files import case_files, frame_name

_OF_THE_CINE: Final = ("image_sha256", "channels_sha256", "spacing_mm", "phases", "ED", "ES")
OUTDATED: Final = "outdated"
"""Entry that version 0.2.0 gave a report whose image has failed since."""


@dataclass(frozen=True, kw_only=True)
class PhasePair:
    """ED and ES that are two images, with what they have together.

    ``reports`` has the report of each by its case, with the measurements and the expected Dice of
    its phase.
    """

    ed: str
    es: str
    reports: Mapping[str, Mapping[str, Any]]
    measured: Mapping[str, Measured]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the measurements, which both reports have too."""
        return tuple(self.reports[self.ed].get("function_warnings", ()))


def read_pairs(folder: Path, cases: Iterable[str]) -> dict[str, PhasePair]:
    """Return case → pair of ED and ES that it belongs to, of ``cases`` with a report in ``folder``.

    Two images form a pair if no third has a name that differs only in the phase, and if one recipe
    made them, so that a report of another ensemble or other settings never forms one.
    """
    pairs: dict[str, PhasePair] = {}
    named = filter(examination_of, cases)
    found = {case: r for case in named for r in _read_reports(folder, case, [None]).values()}
    for ed, es in phase_pairs({case: _volumes_ml(report) for case, report in found.items()}):
        ends = {"ED": found[ed], "ES": found[es]}
        is_outdated = any(OUTDATED in report for report in ends.values())
        if not is_outdated and are_of_one_examination(found[ed], found[es]):
            volumes: dict[Phase, PhaseVolumes] = {1: _volumes(found[ed]), 2: _volumes(found[es])}
            rules = interval_rules(ends.values())
            measured = heart_function(volumes, ed=1, es=2, rules=rules)
            together = with_function(ends, measured)
            reports = {ed: together["ED"], es: together["ES"]}
            pair = PhasePair(ed=ed, es=es, reports=reports, measured=measured)
            pairs |= {ed: pair, es: pair}
    return pairs


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


def update_function(
    folder: Path, case: str, phases: Iterable[Phase], *, replaced: Collection[Phase] = ()
) -> tuple[str, ...]:
    """Write the measurements of a cine into the reports of its ED and ES, if both are known.

    They are removed from the other ``phases``. A phase to be ``replaced`` counts as missing; ED or
    ES may be of an earlier run. Return the warnings about the measurements, which the two reports
    then have too.
    """
    every = _read_reports(folder, case, phases)
    first = next(iter(every.values()), {})
    every |= _read_reports(folder, case, {first.get("ED"), first.get("ES")} - {None, *every})
    reports = {phase: report for phase, report in every.items() if phase not in replaced}
    measured, ed, es = measure_reports(reports)
    ends: dict[Phase, dict[str, Any]] = {}
    if ed is not None and es is not None and _are_of_one_cine(reports[ed], reports[es]):
        names = {"any": ed} if ed == es else {"ED": ed, "ES": es}
        together = with_function({name: reports[end] for name, end in names.items()}, measured)
        ends = {names[name]: report for name, report in together.items()}
    for phase, report in every.items():
        wanted = ends.get(phase) or without_function(report)
        if wanted != report:
            write_json(_report_file(folder, frame_name(case, phase)), wanted)
    return tuple(s for report in ends.values() for s in report.get("function_warnings", ()))


def _read_reports(folder: Path, case: str, phases: Iterable[Phase]) -> dict[Phase, dict[str, Any]]:
    """Return the reports of a cine's ``phases`` that can be read; an image has the phase None."""
    reports = {}
    for phase in phases:
        with suppress(DataError, FileNotFoundError):
            report = read_report(_report_file(folder, frame_name(case, phase)))
            # A volume that is called like a phase has its report in a file of the same name.
            if report.get("phase") == phase:
                reports[phase] = report
    return reports


def _are_of_one_cine(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    is_same = all(first.get(key) == second.get(key) for key in _OF_THE_CINE)
    return is_same and are_of_one_examination(first, second)


def with_function(
    reports: Mapping[str, Mapping[str, Any]], measured: Mapping[str, Measured]
) -> dict[str, dict[str, Any]]:
    """Return "ED" and "ES" (or "any" for both) → report with what they have together.

    These are the measurements, warnings about them, and the Dice expected at each phase.
    """
    if not measured:
        return {end: without_function(report) for end, report in reports.items()}
    values = {name: number.value for name, number in measured.items()}
    grids = [report["grid"] for report in reports.values() if "grid" in report]
    warnings = [*number_warnings(values, same_phase=len(reports) == 1, grids=grids)]
    function = null_for_nan(function_entry(measured))
    together = {}
    for end, report in reports.items():
        entries = without_function(report) | {"function": function, "function_warnings": warnings}
        entries["warnings"] = [*entries["warnings"], *warnings]
        if expected := expected_dice_of(report, end):
            entries["expected_dice"] = expected
        together[end] = entries
    return together


def _report_file(folder: Path, name: str) -> Path:
    return folder / case_files(name, ())["report"]


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
