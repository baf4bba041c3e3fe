"""Content of an ensemble folder, as text for the terminal and as JSON for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...core.counts import format_count
from ...core.metrics.conformal import Coverage, IntervalRule
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member, find_ensemble
from ...io.files.json_files import excerpt
from ..text_table import align_columns
from .calibration import NOT_OF_REGIONS, UNCALIBRATED, find_image_rule, read_calibrations
from .member_predictions import MemberChecks
from .methods import DEFAULT_COUNT, METHODS, choose_members, refused_methods

_COLUMNS = ("training", "fold", "cycle", "epoch", "learning rate", "size", "file", "state")


def inspect_ensemble(path: Path) -> EnsembleFolder:
    """Find the ensemble at ``path`` and check every member and its weights.

    Raises DataError if there is no ensemble, ModelError if its network cannot be built.
    """
    folder = find_ensemble(path)
    return folder.with_refused(MemberChecks(folder).reasons)


def inspection_text(folder: EnsembleFolder) -> str:
    """Return a summary, the table of members, and the members that each method uses."""
    parts = [_summary(folder), _table(folder), _methods_text(folder), _calibrations_text(folder)]
    if folder.problems:
        parts.append("\n".join(["Left out", *(f"  {problem}" for problem in folder.problems)]))
    return "\n\n".join(parts) + "\n"


def inspection_json(folder: EnsembleFolder) -> dict[str, Any]:
    """Return the content as plain values. Epochs and cycles count from 0; sizes are in bytes."""
    record, (rule, _) = folder.record, find_image_rule(folder) or (None, None)
    return {
        "path": str(folder.path),
        "name": folder.name,
        "kind": folder.kind,
        "configuration": folder.configuration,
        "labels": folder.labels,
        "channels": folder.channels,
        "licence": record.licence if record else None,
        "schedule": asdict(record.schedule) if record else None,
        "members": [_member_json(member) for member in folder.members],
        "usable_members": len(folder.usable_members),
        "methods": _methods_json(folder),
        "calibrations": [asdict(calibration) for calibration in read_calibrations(folder.path)],
        "image_rule": rule and asdict(rule),
        "problems": list(folder.problems),
    }


def _member_json(member: Member) -> dict[str, Any]:
    return {
        "file": str(member.path),
        "training": member.training,
        "fold": member.fold,
        "cycle": member.cycle,
        "epoch": member.epoch,
        "learning_rate": member.learning_rate,
        "bytes": member.bytes,
        "usable": member.usable,
        "reason": member.refused,
    }


def _methods_json(folder: EnsembleFolder) -> dict[str, dict[str, Any]]:
    refused = refused_methods(folder)
    return {
        name: {
            "available": name not in refused,
            "reason": str(refused.get(name, "")),
            "members": 0 if name in refused else len(choose_members(folder, name)),
        }
        for name in METHODS
    }


def _summary(folder: EnsembleFolder) -> str:
    structures = [f"{name} {value}" for name, value in folder.labels.items() if value]
    size = sum(member.bytes for member in folder.members)
    members = f"{len(folder.usable_members)} of {len(folder.members)} usable, {_size(size)}"
    rows = {
        "Folder": str(folder.path),
        "Kind": folder.kind,
        "Configuration": folder.configuration,
        "Structures": ", ".join(structures),
        "Channels": ", ".join(folder.channels),
        "Members": members,
    }
    if folder.record:
        rows["Licence"] = folder.record.licence
    return "\n".join([folder.name, *(f"  {key:<14} {value}" for key, value in rows.items())])


def _table(folder: EnsembleFolder) -> str:
    """Return the table of members, without empty columns and without a single training's name."""
    rows = [_row(member) for member in folder.members]
    same = {c for i, c in enumerate(_COLUMNS) if len({row[i] for row in rows}) == 1}
    drop = {"training"} & same | {c for i, c in enumerate(_COLUMNS) if not any(r[i] for r in rows)}
    shown = [i for i, column in enumerate(_COLUMNS) if column not in drop]
    lines = [[row[i] for i in shown] for row in (_COLUMNS, *rows)]
    return "\n".join(["Epochs and cycles, from 0", *(f"  {line}" for line in align_columns(lines))])


def _row(member: Member) -> tuple[str, ...]:
    return (
        member.training,
        member.fold,
        "" if member.cycle is None else str(member.cycle),
        "" if member.epoch is None else str(member.epoch),
        "" if member.learning_rate is None else f"{member.learning_rate:.3g}",
        _size(member.bytes),
        member.path.name,
        "usable" if member.usable else f"refused: {member.refused}",
    )


def _methods_text(folder: EnsembleFolder) -> str:
    lines = [f"Methods, with {DEFAULT_COUNT} members or as many as there are"]
    refused = refused_methods(folder)
    rows = []
    for name, method in METHODS.items():
        members = refused.get(name) or _members_text(choose_members(folder, name))
        rows.append((f"{name} ({method.title})", str(members)))
    return "\n".join([*lines, *(f"  {line}" for line in align_columns(rows))])


def _calibrations_text(folder: EnsembleFolder) -> str:
    """Return temperature and 90 % half-widths for each calibrated combination of settings.

    `inspection_json` has the other rules, too.
    """
    lines = ["Calibrations, with the half-width of the 90 % interval"]
    for calibration in read_calibrations(folder.path):
        rules = {**calibration.volumes, **calibration.function}
        rows = [("temperature", f"{calibration.temperature:g}")]
        rows += [(excerpt(name), _rule_text(rule)) for name, rule in rules.items()]
        cases = format_count(len(calibration.cases), "case")
        lines.append(f"  {calibration.settings} ({cases})")
        lines += [f"    {line}" for line in align_columns(rows)]
    if len(lines) > 1:
        return "\n".join(lines)
    return NOT_OF_REGIONS if folder.class_order else UNCALIBRATED


def _rule_text(rule: IntervalRule) -> str:
    """Return bias and half-width, such as "-1.2 ± 9.8, 16 patients".

    With too few patients for 90 % it is that of 80 %, which is said.
    """
    level: Coverage = 80 if rule.half_width_90 is None else 90
    width = rule.half_width(level)
    patients = format_count(rule.patients, "patient")
    if width is None:
        return f"unknown, too few ({patients})"
    of_80 = "80 %: " if level == 80 else ""
    scale = "" if rule.difficulty_floor is None else f" × ({rule.difficulty_floor:.2f} + spread)"
    return f"{of_80}{rule.bias:+.1f} ± {width:.1f}{scale}, {patients}"


def _members_text(members: Sequence[Member]) -> str:
    """Return the number of members, and that of each cycle if there are cycles."""
    count = format_count(len(members), "member")
    cycles = Counter(member.cycle for member in members if member.cycle is not None)
    of_cycles = ", ".join(f"{cycles[cycle]} of cycle {cycle}" for cycle in sorted(cycles))
    return f"{count}: {of_cycles}" if of_cycles else count


def _size(count: int) -> str:
    """Return bytes as decimal MB or kB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
