"""Report of a simulated review: four CSV tables, a figure and a summary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from ...core.counts import format_count
from ...core.review.queue_yield import SHARE
from ...io.files.csv_text import csv_text
from .queue import SLICES
from .reader import ACTIONS, ERRORS, MOST_FIRST, QUEUE, ReaderEvaluation
from .stopping import StopResult
from .study_reports import (
    bounded,
    bounded_values,
    check_report,
    percent_text,
    share_text,
    write_report,
)

ORACLE: Final = (
    "The reader is simulated and knows the reference, so this is what the tools allow, not what "
    "readers do."
)
_TABLES: Final = (".csv", "_tools.csv", "_stop.csv", "_intervals.csv")
_STYLES: Final[dict[str, dict[str, Any]]] = {
    QUEUE: {"color": "#0072b2", "linewidth": 2.4},
    SLICES: {"color": "grey", "linestyle": ":", "linewidth": 1.6},
    MOST_FIRST: {"color": "black", "linewidth": 1.2},
}
_TITLES: Final = {
    QUEUE: "Order of the queue",
    SLICES: "Slice by slice",
    MOST_FIRST: "Most gross errors first",
}


def check_reader_report(report: Path) -> None:
    """Raise AppError, before long work, if the report cannot be written or replaces other files."""
    begins = ("order,actions", "tool,corrections", "number,target", "number,slices")
    check_report(report, dict(zip(_TABLES, begins, strict=True)))


def write_reader_report(evaluation: ReaderEvaluation, report: Path) -> tuple[Path, ...]:
    """Write ``report``.csv, its tables _tools, _stop and _intervals, and its figure; return them.

    ``report`` may end in .csv or .png. Raises AppError if the files cannot be written.
    """
    makers = curves_csv, tools_csv, stop_csv, intervals_csv
    texts = [make(evaluation) for make in makers]
    return write_report(report, dict(zip(_TABLES, texts, strict=True)), partial(_draw, evaluation))


def curves_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each order and number of actions per patient.

    ``gross_left`` is a share of all gross errors, Dice a fraction, errors are mean absolute ones in
    the unit of their heading. ``_low`` and ``_high`` bound the 95 % interval over patients.
    """
    rows: list[Sequence[Any]] = [
        ("order", "actions", *bounded(("gross_left", "dice", *ERRORS.values())))
    ]
    for order, curves in evaluation.curves.items():
        for actions, *estimates in zip(ACTIONS, *curves.values(), strict=True):
            rows.append((order, actions, *bounded_values(estimates)))
    return csv_text(rows)


def tools_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each tool, used in the order of the queue.

    ``one_action`` is the share of all gross errors that the tool alone removes by one action in
    each of the first 30 % of the slices; empty for a tool that takes more than one.
    """
    rows: list[Sequence[Any]] = [
        ("tool", "corrections", "actions", "gross_removed", *bounded(["one_action"]))
    ]
    for use in evaluation.tools:
        shares = ("",) * 3 if use.alone is None else bounded_values([use.alone])
        rows.append((use.tool.value, use.corrections, use.actions, use.removed, *shares))
    return csv_text(rows)


def stop_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each number, target, level and reader of the stop rule.

    The rule was fitted on the other patients. ``slices`` are the mean ones until it said stop, of
    ``of_slices`` in the queue; ``covered`` of ``patients`` changed by no more than the ``target``
    later, and none by more than ``largest``.
    """
    columns = ("number", "target", "level", "reader", "slices", "of_slices", "covered", "patients")
    rows: list[Sequence[Any]] = [(*columns, "low", "high", "largest")]
    for result in evaluation.stopping:
        values = [f"{v:.3f}" for v in (*result.interval, result.largest)]
        means = f"{result.slices:.2f}", f"{result.of_slices:.2f}"
        start = result.number, f"{result.target:g}", result.level, result.reader, *means
        rows.append((*start, result.covered, result.patients, *values))
    return csv_text(rows)


def intervals_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each number, count of accepted slices and level.

    The rule was fitted on the other patients; ``held`` of ``patients`` had their number after all
    slices in the interval, ``low`` and ``high`` bound this share. ``half_width`` is the mean one.
    """
    columns = ("number", "slices", "level", "held", "patients", "low", "high", "half_width")
    rows: list[Sequence[Any]] = [columns]
    for r in evaluation.intervals:
        values = [f"{v:.3f}" for v in (*r.interval, r.half_width)]
        rows.append((r.number, r.slices, r.level, r.held, r.patients, *values))
    return csv_text(rows)


def reader_text(evaluation: ReaderEvaluation) -> str:
    """Return the extent of the evaluation and its main results."""
    lines = [
        f"{format_count(evaluation.patients, 'patient')}, "
        f"{format_count(evaluation.volumes, 'volume')}, "
        f"{format_count(evaluation.slices, 'slice')}, "
        f"{format_count(evaluation.gross, 'gross error')} (more than 3 mm from the reference "
        "contour).",
        ORACLE,
        f"A whole review takes {evaluation.actions.value:.0f} actions per patient.",
    ]
    if evaluation.gross:
        lines += _shares_of_errors(evaluation)
    lines += map(_stop_line, evaluation.stopping[:4])
    return "\n".join([*lines, *evaluation.notes])


def _stop_line(result: StopResult) -> str:
    """Return what the rule gave for a target and a reader."""
    low, high = map(percent_text, result.interval)
    return (
        f"{result.number} to ± {result.target:g} in {result.level} % (reader who {result.reader}): "
        f"{result.slices:.1f} of {result.of_slices:.1f} slices, then within the target in "
        f"{result.covered} of {result.patients} patients ({low} to {high})."
    )


def _shares_of_errors(evaluation: ReaderEvaluation) -> list[str]:
    """Return the gross errors left by one action in the first slices, and by more actions."""
    queue = evaluation.curves[QUEUE]
    lines = [
        f"One action in each of the first {percent_text(SHARE)} of the slices removes "
        f"{share_text(evaluation.one_action)} of the gross errors; with alternatives and level "
        f"only, {share_text(evaluation.one_action_first)}.",
    ]
    for actions in (20, 40):
        n = ACTIONS.index(actions)
        left = (
            f"After {actions} actions in the order of the queue, "
            f"{percent_text(queue['gross_left'][n].value)} of the gross errors are left"
        )
        before, now = (queue[ERRORS["LV EF"]][number].value for number in (0, n))
        wrong = f", and the LV EF is wrong by {now:.1f} points (before: {before:.1f})"
        lines.append(f"{left}{'' if math.isnan(now) else wrong}.")  # without ED and ES no EF
    return lines


def _draw(evaluation: ReaderEvaluation, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    panels = gross, dice, ejection = figure.subplots(1, 3)
    for order, curves in evaluation.curves.items():
        for panel, column in zip(panels, ("gross_left", "dice", ERRORS["LV EF"]), strict=True):
            factor = 100 if panel is gross else 1
            values = [factor * estimate.value for estimate in curves[column]]
            panel.plot(ACTIONS, values, label=_TITLES[order], marker=".", **_STYLES[order])
    gross.set(title="Gross errors left, %", ylim=(0, 101))
    dice.set(title="Mean Dice")
    ejection.set(title="Mean absolute error of the LV EF, points")
    ejection.set_ylim(bottom=0)
    for panel in panels:
        panel.set(xlabel="actions per patient", xlim=(0, ACTIONS[-1]))
    figure.legend(*gross.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=120)
