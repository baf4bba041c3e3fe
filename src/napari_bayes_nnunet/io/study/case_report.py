"""Report of a case, ``<case>.json``, as read from its file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from annotated_types import Interval

from ...core.ensemble.pass_order import interleaved
from ..files.json_files import Count, Ordinal, parse_json, reading_json

REPORT_FORMAT: Final = 2
"""Number ``format`` of a report; those of version 0.1.0 have none and count as 1."""
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
class ReportEntries:
    """Entries of a report that are read, each with the type it must have if present.

    They are only checked: reports stay dictionaries, which keep all other entries.
    """

    format: Ordinal = 1
    ensemble: str = ""
    ensemble_kind: str = ""
    method: str = ""
    mirroring: str = ""
    temperature: float = 1.0
    members: list[_UsedMember] = field(default_factory=list)
    plans_sha256: str = ""
    pairwise_dice: dict[str, float | None] = field(default_factory=dict)
    volumes_ml: dict[str, _Volume] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ED: Ordinal | None = None
    ES: Ordinal | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for one of the two phases without the other."""
        if (self.ED is None) != (self.ES is None):
            raise ValueError("A phase is missing.")


@dataclass(frozen=True, kw_only=True)
class _FileEntries(ReportEntries):
    """Entries with those that every report of a case must have."""

    volumes_ml: dict[str, _Volume]
    seconds: float
    device: str


def read_report(file: Path) -> dict[str, Any]:
    """Return the report in ``file``, see `in_order_of_members`.

    Raises DataError for a missing or damaged one.
    """
    with reading_json(file, repair=_REPAIR) as text:
        parse_json(text, _FileEntries)
        return in_order_of_members(parse_json(text, dict[str, Any]))


def in_order_of_members(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report whose volumes of the members are in the order of ``members``.

    Version 0.1.0 listed them in the order of the passes, which follows from the members.
    """
    members, volumes_ml = report.get("members"), report.get("volumes_ml")
    if report.get("format", 1) >= REPORT_FORMAT or not members or not volumes_ml:
        return report
    order = interleaved([(m["training"], m["fold"], m["cycle"]) for m in members])
    volumes = {
        name: volume | {"members": _in_order(volume["members"], order)}
        if len(volume.get("members", ())) == len(order)  # mean weights have one volume
        else volume
        for name, volume in volumes_ml.items()
    }
    return {**report, "volumes_ml": volumes}


def _in_order(values: Sequence[float], order: Sequence[int]) -> list[float]:
    return [value for _, value in sorted(zip(order, values, strict=True))]


def predicted_quality(reports: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the mean pairwise Dice over structures and phases, 0 … 1, from the reports of a case.

    Return None for a single member, which has no agreement.
    """
    values = [
        dice
        for report in reports
        for dice in report.get("pairwise_dice", {}).values()
        if dice is not None
    ]
    return sum(values) / len(values) if values else None


def warnings_in(reports: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the warnings in the reports of a case, each sentence once."""
    return tuple(dict.fromkeys(s for report in reports for s in report.get("warnings", ())))
