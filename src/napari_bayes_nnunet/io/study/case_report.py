"""Report of a case, ``<case>.json``, as read from its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeAlias

from annotated_types import Interval

from ...core.heart.function import Intervals, Measured
from ...core.heart.measurements import canonical_structure
from ...core.heart.plausibility import MassRange
from ...core.metrics.conformal import IntervalRule, NumberRule, RemainingChange
from ...core.metrics.expected_dice import DiceRule
from ...core.metrics.failure import FailureAssessment
from ..files.json_files import Count, Ordinal, parse_json, reading_json

REPORT_FORMAT: Final = 2
"""Number ``format`` of a report."""
ReportFormat: TypeAlias = Annotated[int, Interval(ge=REPORT_FORMAT, le=REPORT_FORMAT)]
MEMBER_NAMES: Final = ("training", "fold", "cycle", "epoch")
"""Keys of a member in a report that name the member, but not its weights."""
Milliliters: TypeAlias = Annotated[float, Interval(ge=0, le=1e7)]
_REPAIR: Final = "Delete it, and segment the case again."


@dataclass(frozen=True, kw_only=True)
class _Volume:
    ensemble: Milliliters
    members: list[Milliliters] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _UsedMember:
    training: str
    fold: str
    cycle: Count | None
    epoch: Count | None
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class CalibrationRules:
    """Rules of a calibration for the intervals of its results.

    ``volumes`` has the rule for the volume of each structure, ``function`` that of each measurement
    of the heart ("LV EF"), and ``dice`` those for the expected Dice of each structure, by phase
    ("ED", "ES", and "any" if it is unknown). ``review`` bounds the change of each measurement
    during the rest of a review, ``mass_range`` is the usual one of the training patients, None if
    unknown.
    """

    volumes: dict[str, IntervalRule] = field(default_factory=dict)
    function: dict[str, IntervalRule] = field(default_factory=dict)
    dice: dict[str, dict[str, DiceRule]] = field(default_factory=dict)
    review: dict[str, RemainingChange] = field(default_factory=dict)
    mass_range: MassRange | None = None

    def of_site(self, intervals: Mapping[str, Sequence[float]] | None) -> Self:
        """Return the rules of results with a profile that has these ``intervals``.

        Its numbers have those, and others none: the rules are not for labels that are drawn
        otherwise. None leaves the rules as they are.
        """
        if intervals is None:
            return self
        known = [name for name in self.review if name in intervals]
        review = {name: self.review[name].scaled(intervals[name]) for name in known}
        return replace(self, volumes={}, function={}, dice={}, review=review)


@dataclass(frozen=True, kw_only=True)
class _Profile:
    """Profile of a site; ``intervals`` are None if those of the calibration apply."""

    name: str = ""
    intervals: dict[str, tuple[float, float]] | None = None


@dataclass(frozen=True, kw_only=True)
class ExpectedDiceEntry:
    """Expected Dice of a structure, as it is read."""

    value: Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class FailureEntry:
    """Failure score of a case, the threshold above which it warns, and whether it did."""

    score: float
    threshold: float
    warned: bool


@dataclass(frozen=True, kw_only=True)
class ReportEntries:
    """Entries of a report that are read, each with the type it must have if present.

    They are only checked: reports stay dictionaries, which keep all other entries.
    """

    format: Ordinal = 1
    ensemble: str = ""
    ensemble_kind: str = ""
    method: str = ""
    mirroring: str = ""
    window: str = ""
    temperature: float = 1.0
    members: list[_UsedMember] = field(default_factory=list)
    members_by_slice: list[Count] | None = None
    plans_sha256: str = ""
    pairwise_dice: dict[str, float | None] = field(default_factory=dict)
    volumes_ml: dict[str, _Volume] = field(default_factory=dict)
    calibration: CalibrationRules | None = None
    profile: _Profile | None = None
    expected_dice: dict[str, ExpectedDiceEntry] = field(default_factory=dict)
    function_warnings: list[str] = field(default_factory=list)
    failure: FailureEntry | None = None
    unlike_training: bool | None = None
    no_cine: bool | None = None
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    phase: Ordinal | None = None
    ED: Ordinal | None = None
    ES: Ordinal | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for one of the two phases without the other."""
        if (self.ED is None) != (self.ES is None):
            raise ValueError("A phase is missing.")


@dataclass(frozen=True, kw_only=True)
class _FileEntries(ReportEntries):
    """Entries with those that every report of a case must have."""

    format: ReportFormat
    volumes_ml: dict[str, _Volume]
    seconds: float
    device: str


def read_report(file: Path) -> dict[str, Any]:
    """Return the report in ``file``.

    Raises DataError for a damaged one, and FileNotFoundError.
    """
    with reading_json(file, repair=_REPAIR, newest=REPORT_FORMAT) as text:
        parse_json(text, _FileEntries)
        report = parse_json(text, dict[str, Any])
    # Version 0.2.0 wrote what two images have together into both reports, where it can be outdated.
    return without_function(report) if report.get("phase") is None else report


def without_function(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report without what needs both ED and ES, as of an image whose phase is unknown."""
    gone = report.get("function_warnings", ())
    kept = {k: v for k, v in report.items() if k not in ("function", "function_warnings")}
    # Those on the measurements are among the warnings, too.
    kept["warnings"] = [s for s in report.get("warnings", ()) if s not in gone]
    if "function" in report and (expected := expected_dice_of(report, "any")):
        kept["expected_dice"] = expected
    return kept


def interval_entries(intervals: Intervals) -> dict[str, list[float]]:
    """Return the entries ``interval_80`` and ``interval_90`` of a number, as far as known."""
    return {f"interval_{level}": list(interval) for level, interval in intervals.items()}


def expected_dice_entry(
    rules: Mapping[str, Mapping[str, DiceRule]],
    agreement: Mapping[str, float | None],
    volumes: Mapping[str, float],
    phase: str = "any",
) -> dict[str, dict[str, Any]]:
    """Return the entry ``expected_dice`` of a report: structure → value and intervals.

    ``agreement`` is the pairwise Dice of the members, ``volumes`` are those of the labels, and
    ``phase`` is "ED", "ES" or "any". The value is 0 for a part that every heart has, but that was
    not found.
    """
    entry: dict[str, dict[str, Any]] = {}
    for name, rule in rules.get(phase, {}).items():
        if volumes.get(name) == 0 and canonical_structure(name) is not None:
            entry[name] = {"value": 0.0}
            continue
        known = agreement.get(name)
        expected = None if known is None else rule.expect(known)
        if expected is not None:
            entry[name] = {"value": expected.value, **interval_entries(expected.intervals)}
    return entry


def failure_entry(assessment: FailureAssessment | None) -> dict[str, Any] | None:
    """Return the entry ``failure`` of a report, None if the score is unknown."""
    if assessment is None:
        return None
    return {**asdict(assessment), "warned": assessment.warned}


def expected_dice_of(report: Mapping[str, Any], phase: str) -> dict[str, dict[str, Any]]:
    """Return the entry ``expected_dice`` of a ``report`` whose phase is "ED" or "ES"."""
    calibration = _common_calibration([report])
    volumes = {name: volume["ensemble"] for name, volume in report["volumes_ml"].items()}
    return expected_dice_entry(calibration.dice, report.get("pairwise_dice", {}), volumes, phase)


def function_entry(measured: Mapping[str, Measured]) -> dict[str, dict[str, Any]]:
    """Return the entry ``function`` of the reports of ED and ES: name → value and intervals."""
    return {
        name: {"value": number.value, **interval_entries(number.intervals)}
        for name, number in measured.items()
    }


def interval_rules(reports: Iterable[Mapping[str, Any]]) -> dict[str, NumberRule]:
    """Return the rules for the heart's measurements ("LV EF", "LV volume") of a case.

    Empty unless all ``reports`` have the same, and for a case that has probably failed.
    """
    reports = list(reports)
    failure = worst_failure(reports)
    # No rule was fitted on cases like this one.
    if failure is not None and failure.warned:
        return {}
    calibration = _common_calibration(reports)
    volumes = {canonical_structure(name): rule for name, rule in calibration.volumes.items()}
    of_images = {f"{name} volume": rule for name, rule in volumes.items() if name is not None}
    # The rule for a review comes last: its interval is the one that narrows.
    return {**of_images, **calibration.function, **calibration.review}


def mass_range(reports: Iterable[Mapping[str, Any]]) -> MassRange | None:
    """Return the usual range of the mass; None unless all ``reports`` have the same."""
    return _common_calibration(reports).mass_range


def _common_calibration(reports: Iterable[Mapping[str, Any]]) -> CalibrationRules:
    """Return the calibration of all ``reports``, an empty one unless they have the same.

    It is also empty for a warned image, for which it was not validated.
    """
    reports = list(reports)
    if is_no_cine(reports) or is_unlike_training(reports):
        return CalibrationRules()
    contents = [(report.get("calibration"), report.get("profile")) for report in reports]
    if not contents or not contents[0][0] or any(content != contents[0] for content in contents):
        return CalibrationRules()
    calibration = parse_json(json.dumps(contents[0][0]), CalibrationRules)
    return calibration.of_site((contents[0][1] or {}).get("intervals"))


def predicted_quality(reports: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the mean expected Dice over structures and phases, 0 … 1, from the reports of a case.

    Reports without it give the pairwise Dice of the members. Return None for a single member,
    which has neither.
    """
    values = []
    for report in reports:
        expected = report.get("expected_dice") or {}
        values += [entry["value"] for entry in expected.values()] or [
            dice for dice in report.get("pairwise_dice", {}).values() if dice is not None
        ]
    return sum(values) / len(values) if values else None


def worst_failure(reports: Iterable[Mapping[str, Any]]) -> FailureEntry | None:
    """Return the failure score of the phase that exceeds its threshold most; None if unknown."""
    known = [FailureEntry(**entry) for report in reports if (entry := report.get("failure"))]
    return max(known, key=lambda entry: entry.score - entry.threshold, default=None)


def is_unlike_training(reports: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether an image of a case is unlike the training images."""
    return any(report.get("unlike_training") for report in reports)


def is_no_cine(reports: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether an image of a case may not be a short-axis cine."""
    return any(report.get("no_cine") for report in reports)


def warnings_in(reports: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the warnings in the reports of a case, each sentence once."""
    return tuple(dict.fromkeys(s for report in reports for s in report.get("warnings", ())))
