"""Report of a queue evaluation: CSV table, figure and summary."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...core.counts import format_count
from ...core.review.queue import DEFAULT_SCORE
from ...core.review.queue_yield import SHARE
from ...io.files.csv_text import csv_text
from .queue import BEST, KINDS, RANDOM, SLICES, Errors, OrderResult, QueueEvaluation
from .study_reports import (
    bounded,
    bounded_values,
    check_report,
    percent_text,
    share_text,
    write_report,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES: Final[dict[Errors, str]] = {
    "gross": "Gross errors (more than 3 mm from the contour)",
    "all": "All wrong voxels",
}
_FIRST_COLUMNS: Final = ("errors", "order", "title", "border")
STYLES: Final[dict[str, dict[str, Any]]] = {
    BEST: {"color": "black", "linestyle": "-", "linewidth": 1.2},
    "gross-errors": {"color": "#d55e00"},
    "mutual-information": {"color": "#0072b2"},
    "disagreement": {"color": "#009e73"},
    "area-spread": {"color": "#56b4e9"},
    "entropy": {"color": "#cc79a7"},
    SLICES: {"color": "grey", "linestyle": ":", "linewidth": 1.5},
    RANDOM: {"color": "grey", "linestyle": "--", "linewidth": 1.2},
}
"""Lines of the figure, in colours for colour-blind readers (Okabe and Ito)."""


def check_queue_report(report: Path) -> None:
    """Raise AppError, before long work, if the report cannot be written or replaces other files."""
    check_report(report, {".csv": ",".join(_FIRST_COLUMNS)})


def write_queue_report(evaluation: QueueEvaluation, report: Path) -> tuple[Path, ...]:
    """Write the table ``report``.csv and the figure ``report``.png, and return both.

    ``report`` may end in .csv or .png. Raises AppError if the files cannot be written.
    """
    return write_report(report, {".csv": report_csv(evaluation)}, partial(_draw, evaluation))


def report_csv(evaluation: QueueEvaluation) -> str:
    """Return a row for each order: errors found at 30 % of the slices, the curve and its area.

    Shares are fractions; ``_low`` and ``_high`` bound the 95 % interval over patients.
    """
    numbers = ("found_at_30_percent", "times_random", "of_best_possible", "area_under_curve")
    steps = range(0, 101, 10)
    rows = [[*_FIRST_COLUMNS, *bounded(numbers), *(f"found_at_{step}" for step in steps)]]
    for result in evaluation.results:
        found = result.queue_yield
        estimates = (found.at_share, result.times_random, result.of_best, found.area)
        border = "left out" if result.leaves_out_border else "counted"
        curve = (f"{found.curve[step]:.4f}" for step in steps)
        start = result.errors, result.order, result.title, border
        rows.append([*start, *bounded_values(estimates), *curve])
    return csv_text(rows)


def queue_text(evaluation: QueueEvaluation) -> str:
    """Return the extent of the evaluation and the errors found by the default score."""
    lines = [
        f"{format_count(evaluation.studies, 'study', 'studies')} of "
        f"{format_count(evaluation.patients, 'patient')}, "
        f"{format_count(evaluation.slices, 'slice')}, {evaluation.errors['all']} wrong voxels, "
        f"{evaluation.errors['gross']} of them gross (more than 3 mm from the reference contour)."
    ]
    for kind in filter(evaluation.errors.get, KINDS):
        default = evaluation.find_result(kind, DEFAULT_SCORE)
        best = evaluation.find_result(kind, BEST)
        lines.append(
            f"{_TITLES[kind]} in the first {percent_text(SHARE)} of the slices by "
            f"“{default.title}”: {share_text(default.queue_yield.at_share)}. Best possible: "
            f"{percent_text(best.queue_yield.at_share.value)}. Random order: {percent_text(SHARE)}."
        )
    return "\n".join([*lines, *evaluation.notes])


def _draw(evaluation: QueueEvaluation, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, kind in zip(panels, KINDS, strict=True):
        _draw_panel(panel, [r for r in evaluation.results if r.errors == kind], _TITLES[kind])
    panels[0].set_ylabel("errors found, %")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(file, dpi=120)


def _draw_panel(panel: Axes, results: list[OrderResult], title: str) -> None:
    for result in results:
        if result.leaves_out_border:
            continue
        is_default = result.order == DEFAULT_SCORE
        style = {"linewidth": 2.6 if is_default else 1.3, **STYLES.get(result.order, {})}
        curve = 100 * result.queue_yield.curve
        percent = np.linspace(0, 100, len(curve))
        panel.plot(percent, curve, label=result.title, zorder=3 if is_default else 2, **style)
    panel.axvline(100 * SHARE, color="lightgrey", linewidth=1, zorder=1)
    panel.set(title=title, xlabel="slices reviewed, % of each study", xlim=(0, 100), ylim=(0, 101))
