"""Table and CSV file of the measured cines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from napari_bayes_nnunet.core.counts import format_count
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins

from ..command_line import write_csv
from ..markdown import markdown_table
from .cine_measure import MeasuredCine
from .rows import Row
from .tables import describe_row

HEADS = [
    *("", "seconds per cine", "× nnU-Net's default", "volume curve after, s"),
    *("members per slice", "peak MB", "differing labels, % of foreground", "Dice (Δ)"),
    "pooled ECE, % (Δ)",
]


def describe_cine_row(row: Row, precision: str) -> str:
    """Return a description of a row."""
    window = ", window" if row.window == "heart" else ""
    return describe_row(row, precision) + window


def cine_line(item: MeasuredCine) -> str:
    """Return a line on a measured cine, for a terminal."""
    row = describe_cine_row(item.task.row, item.precision)
    words = [f"{item.seconds:.1f} s{' (scaled)' if item.task.is_scaled else ''}"]
    if item.curve_seconds is not None:
        words.append(f"curve after {item.curve_seconds:.1f} s")
    words += [f"{item.asked:.1f} members per slice", f"{item.peak / 1e6:.0f} MB"]
    if item.dice:
        words.append(f"Dice {np.mean(item.dice):.4f}")
    if item.dice and not item.task.row.student:
        words.append(f"ECE {100 * item.bins.ece:.2f} %")
    return f"{row}, {item.task.cine}: {', '.join(words)}"


def cine_table(measured: Sequence[MeasuredCine]) -> str:
    """Return the means of each row over the cines, and differences from nnU-Net's default.

    The speed-up is the mean over the cines, with the lowest and the highest.
    """
    rows: dict[Row, list[MeasuredCine]] = {}
    for item in measured:
        rows.setdefault(item.task.row, []).append(item)
    default = next((items for row, items in rows.items() if row.stock), [])
    body = [_cells(items, default) for items in rows.values()]
    row, cines = measured[0].task.row, {item.task.cine for item in measured}
    title = f"{row.members} members, {row.phases} phases, {', '.join(sorted(cines))}, "
    text = f"{title}{measured[0].device}\n\n{markdown_table(HEADS, body)}"
    return f"{text}\n{_notes(rows)}" if _notes(rows) else text


def _cells(items: Sequence[MeasuredCine], default: Sequence[MeasuredCine]) -> list[str]:
    first = items[0]
    scaled = " (scaled)" if first.task.is_scaled else ""
    looks = [item.curve_seconds for item in items if item.curve_seconds is not None]
    of_cine = {item.task.cine: item for item in default}
    pairs = [(item, of_cine[item.task.cine]) for item in items if item.task.cine in of_cine]
    return [
        describe_cine_row(first.task.row, first.precision),
        f"{np.mean([item.seconds for item in items]):.1f}{scaled}",
        _speed_up(pairs),
        f"{np.mean(looks):.1f}" if looks else "",
        f"{np.mean([item.asked for item in items]):.1f}",
        f"{max(item.peak for item in items) / 1e6:.0f}",
        *_scores(items, pairs),
    ]


def _speed_up(pairs: Sequence[tuple[MeasuredCine, MeasuredCine]]) -> str:
    ratios = np.array([theirs.seconds / ours.seconds for ours, theirs in pairs])
    return f"{ratios.mean():.1f} ({ratios.min():.1f} to {ratios.max():.1f})" if len(ratios) else ""


def _scores(
    items: Sequence[MeasuredCine], pairs: Sequence[tuple[MeasuredCine, MeasuredCine]]
) -> list[str]:
    """Return the differing labels, Dice and ECE; "" for what is not known."""
    if not all(item.dice for item in items):
        return ["", "", ""]
    dice, ece = _dice(items), 100 * _ece(items)
    has_ece = not items[0].task.row.student
    if not pairs or not all(theirs.dice for _, theirs in pairs):
        return ["", f"{dice:.4f}", f"{ece:.2f}" if has_ece else ""]
    labels = [
        (mine, other)
        for ours, theirs in pairs
        for mine, other in zip(ours.labels, theirs.labels, strict=True)
    ]
    differing = sum(np.count_nonzero(mine != other) for mine, other in labels)
    foreground = sum(np.count_nonzero((mine > 0) | (other > 0)) for mine, other in labels)
    ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
    return [
        f"{100 * differing / max(1, foreground):.2f}",
        f"{dice:.4f} ({_dice(ours) - _dice(theirs):+.4f})",
        f"{ece:.2f} ({100 * (_ece(ours) - _ece(theirs)):+.2f})" if has_ece else "",
    ]


def _dice(items: Sequence[MeasuredCine]) -> float:
    return float(np.mean([item.dice for item in items]))


def _ece(items: Sequence[MeasuredCine]) -> float:
    return sum((item.bins for item in items), ReliabilityBins.empty()).ece


def _notes(rows: dict[Row, list[MeasuredCine]]) -> str:
    """Return sentences on what was not timed, and on scores that cannot be had."""
    sentences = []
    for row, (item, *_) in rows.items():
        task = item.task
        if task.is_scaled:
            parts = [format_count(task.timed_phases, "phase")]
            if task.timed_members < row.members:
                parts.append(format_count(task.timed_members, "member"))
            name = describe_cine_row(row, item.precision)
            sentences.append(f"{name}: scaled from {' and '.join(parts)}.")
    if any(items[0].task.made_answers for items in rows.values()):
        sentences.append(
            "The weights are random, so there is neither Dice nor ECE. The window is that of the "
            "reference, and stable slices were asked as few members as possible; a trained "
            "ensemble asks more."
        )
    return "".join(f"{sentence}\n" for sentence in sentences)


def write_cine_csv(file: Path, measured: Sequence[MeasuredCine]) -> None:
    """Write one line per row and cine."""
    lines: list[dict[str, Any]] = [
        {
            **asdict(item.task.row),
            "precision": item.precision,
            "device": item.device,
            "cine": item.task.cine,
            "timed_phases": item.task.timed_phases,
            "timed_members": item.task.timed_members,
            "seconds": round(item.seconds, 3),
            "curve_seconds": "" if item.curve_seconds is None else round(item.curve_seconds, 3),
            "members_per_slice": round(item.asked, 2),
            "peak_mb": round(item.peak / 1e6),
            "dice": round(float(np.mean(item.dice)), 5) if item.dice else "",
            "ece": round(item.bins.ece, 6) if item.dice and not item.task.row.student else "",
        }
        for item in measured
    ]
    write_csv(file, lines)
