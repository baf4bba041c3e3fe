"""Report of a simulated review: three CSV tables, a figure and a summary."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...core.counts import format_count
from ...core.metrics.bootstrap import Estimate
from ...core.review.queue_yield import SHARE
from ...io.files.atomic import replacing, write_text
from ...io.files.csv_text import csv_text
from ..report.output_folder import (
    check_writable,
    refuse_folder_of_inputs,
    refuse_foreign_files,
    refuse_foreign_settings,
    report_files,
    writing_report,
)
from .queue import SLICES
from .queue_report import percent_text, share_text
from .reader import ACTIONS, MOST_FIRST, QUEUE, REVIEWED_NUMBERS, ReaderEvaluation, ReviewCurves
from .stopping import StopResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ORACLE: Final = (
    "The reader is simulated and knows the reference, so this is what the tools allow, not what "
    "readers do."
)
_ENDINGS: Final = (".csv", "_tools.csv", "_stop.csv", ".png")
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
    table, tools, stop, picture = report_files(report, *_ENDINGS)
    refuse_foreign_settings()
    check_writable(table.parent)
    refuse_folder_of_inputs(table.parent, {})
    tables = {
        table.name: "order,actions",
        tools.name: "tool,corrections",
        stop.name: "number,target",
    }
    refuse_foreign_files(table.parent, tables, [picture.name])


def write_reader_report(evaluation: ReaderEvaluation, report: Path) -> tuple[Path, ...]:
    """Write ``report``.csv, its tables _tools.csv and _stop.csv, and its figure; return them.

    ``report`` may end in .csv or .png. Raises AppError if the files cannot be written.
    """
    table, tools, stop, picture = report_files(report, *_ENDINGS)
    tables = {table: curves_csv, tools: tools_csv, stop: stop_csv}
    for file, text in tables.items():
        with writing_report(file):
            write_text(file, text(evaluation))
    with writing_report(picture), replacing(picture) as temporary:
        _draw(evaluation, temporary)
    return table, tools, stop, picture


def curves_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each order and number of actions per patient.

    ``gross_left`` is a share of all gross errors, Dice a fraction, errors are mean absolute ones in
    the unit of their heading. ``_low`` and ``_high`` bound the 95 % interval over patients.
    """
    errors = [f"{name} error, {unit}" for name, unit in REVIEWED_NUMBERS.items()]
    columns = ("gross_left", "dice", *errors)
    heading = [f"{name}{end}" for name in columns for end in ("", "_low", "_high")]
    rows: list[Sequence[Any]] = [("order", "actions", *heading)]
    for curves in evaluation.curves:
        for n, actions in enumerate(ACTIONS):
            estimates = [series[n] for series in _series(curves)]
            values = [v for e in estimates for v in (e.value, *e.interval)]
            rows.append((curves.order, actions, *(f"{value:.4f}" for value in values)))
    return csv_text(rows)


def tools_csv(evaluation: ReaderEvaluation) -> str:
    """Return CSV text with a row for each tool, used in the order of the queue.

    ``one_action`` is the share of all gross errors that the tool alone removes by one action in
    each of the first 30 % of the slices; empty for a tool that takes more than one.
    """
    rows: list[Sequence[Any]] = [
        ("tool", "corrections", "actions", "gross_removed", *_bounded("one_action"))
    ]
    for use in evaluation.tools:
        alone = use.alone
        shares = ("",) * 3 if alone is None else [f"{v:.4f}" for v in _values(alone)]
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


def reader_text(evaluation: ReaderEvaluation) -> str:
    """Return the extent of the evaluation and its main results."""
    queue = next(curves for curves in evaluation.curves if curves.order == QUEUE)
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
        lines += _shares_of_errors(evaluation, queue)
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


def _shares_of_errors(evaluation: ReaderEvaluation, queue: ReviewCurves) -> list[str]:
    """Return the gross errors left by one action in the first slices, and by more actions."""
    lines = [
        f"One action in each of the first {percent_text(SHARE)} of the slices removes "
        f"{share_text(evaluation.one_action)} of the gross errors; with alternatives and level "
        f"only, {share_text(evaluation.one_action_first)}.",
    ]
    for actions in (20, 40):
        n = ACTIONS.index(actions)
        left = (
            f"After {actions} actions in the order of the queue, "
            f"{percent_text(queue.gross_left[n].value)} of the gross errors are left"
        )
        before, now = (queue.errors["LV EF"][number].value for number in (0, n))
        wrong = f", and the LV EF is wrong by {now:.1f} points (before: {before:.1f})"
        lines.append(f"{left}{'' if math.isnan(now) else wrong}.")  # without ED and ES no EF
    return lines


def _series(curves: ReviewCurves) -> Iterator[Sequence[Estimate]]:
    yield curves.gross_left
    yield curves.dice
    yield from curves.errors.values()


def _values(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, *estimate.interval


def _bounded(name: str) -> tuple[str, ...]:
    return tuple(f"{name}{end}" for end in ("", "_low", "_high"))


def _draw(evaluation: ReaderEvaluation, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), layout="constrained")
    gross, dice, ejection = figure.subplots(1, 3)
    for curves in evaluation.curves:
        _draw_line(gross, curves, curves.gross_left, factor=100)
        _draw_line(dice, curves, curves.dice)
        _draw_line(ejection, curves, curves.errors["LV EF"])
    gross.set(title="Gross errors left, %", ylim=(0, 101))
    dice.set(title="Mean Dice")
    ejection.set(title="Mean absolute error of the LV EF, points")
    ejection.set_ylim(bottom=0)
    for panel in (gross, dice, ejection):
        panel.set(xlabel="actions per patient", xlim=(0, ACTIONS[-1]))
    figure.legend(*gross.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(file, dpi=120)


def _draw_line(
    panel: Axes, curves: ReviewCurves, series: Sequence[Estimate], *, factor: float = 1
) -> None:
    values = [factor * estimate.value for estimate in series]
    panel.plot(ACTIONS, values, label=_TITLES[curves.order], marker=".", **_STYLES[curves.order])
