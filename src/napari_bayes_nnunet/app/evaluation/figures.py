"""Figures of an evaluation, as PNG: reliability, risk–coverage curves, entropy against error."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.metrics.calibration import ReliabilityBins
from ...core.metrics.detection import rank_correlation, risk_coverage
from ..report.figures import DPI, GRID, INK, METHOD_COLORS, MUTED, encode_png, keep_dollars
from .aggregates import CaseScore, pooled_bins
from .evaluate import MethodEvaluation
from .measures import CASE_SCORES, MEAN_ENTROPY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

DASHES: Final = ("-", "--", ":")
BARS: Final = 20
"""Bins of a reliability diagram; the calibration error has 100."""
OVERCONFIDENT: Final = "#c0392b"
FIGURE_WIDTH: Final = 9.6
TITLE_SIZE: Final = 10.0
LETTERS_PER_INCH: Final = 8.5
"""Letters of a title of that size, in points."""
TITLE_LINES: Final = 3
LEGEND_LETTERS: Final = 60
"""Letters of a name in a line of a legend; so many fit on the figure."""
_SCORES_PER_ROW = 3
_PER_ROW: Final = 4


def reliability_picture(
    methods: Sequence[MethodEvaluation], *, columns: int | None = None
) -> bytes | None:
    """Return accuracy against confidence of all voxels pooled; None without probabilities.

    Up to ``columns`` methods are side by side, by default as many as fit on a page.
    """
    # A method without probabilities keeps its number, so each has one colour in all figures.
    known = [(n, m, pooled_bins(m.table)) for n, m in enumerate(methods)]
    known = [(n, m, bins) for n, m, bins in known if bins.voxel_count]
    if not known:
        return None
    columns = columns and min(columns, len(known))
    figure, panels = _grid(len(known), height=3.1, columns=columns)
    for index, (panel, (n, method, bins)) in enumerate(zip(panels, known, strict=True)):
        _reliability(panel, bins, METHOD_COLORS[n % len(METHOD_COLORS)])
        _title(panel, method.name)
        panel.set_xlabel(f"confidence, %\n{_calibration_text(bins)}", fontsize=9)
        if index % (columns or _PER_ROW) == 0:
            panel.set_ylabel("correct, %", fontsize=9)
    return encode_png(figure)


def _reliability(panel: Axes, bins: ReliabilityBins, color: str) -> None:
    # Only bins that divide evenly into the bars can be joined.
    shown = bins if len(bins.voxels) % BARS else _coarser(bins)
    filled = np.flatnonzero(shown.voxels)
    correct = 100 * shown.correct[filled] / shown.voxels[filled]
    confidence = 100 * shown.confidence_sum[filled] / shown.voxels[filled]
    width = 100 / len(shown.voxels)
    sides: dict[str, Any] = {"x": filled * width, "width": 0.92 * width, "align": "edge", "lw": 0}
    panel.bar(height=correct, color=color, alpha=0.85, **sides)
    excess = np.maximum(confidence - correct, 0)
    panel.bar(height=excess, bottom=correct, color=OVERCONFIDENT, alpha=0.35, **sides)
    lack = np.maximum(correct - confidence, 0)
    panel.bar(height=lack, bottom=confidence, color="white", alpha=0.5, **sides)
    panel.plot([0, 100], [0, 100], color=INK, lw=0.9, ls=(0, (4, 3)))
    panel.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xticks=range(0, 101, 25),
              yticks=range(0, 101, 25))  # fmt: skip


def _calibration_text(bins: ReliabilityBins) -> str:
    """Return the calibration error and the share of voxels in the last bin, in two lines.

    They stand below the diagram, where no bar can hide them.
    """
    share = 100 * bins.voxels[-1] / bins.voxel_count
    edge = 100 * (1 - 1 / len(bins.voxels))
    return f"ECE {100 * bins.ece:.2f} %\n{share:.0f} % of voxels above {edge:g} %"


def _coarser(bins: ReliabilityBins) -> ReliabilityBins:
    every = {name: values.reshape(BARS, -1).sum(axis=1) for name, values in vars(bins).items()}
    return ReliabilityBins(**every)


def risk_coverage_picture(methods: Sequence[MethodEvaluation]) -> bytes | None:
    """Return the error of the cases kept when those with the worst scores are set aside.

    None without scores.
    """
    scores = [s for s in CASE_SCORES if any(len(_pairs(method, s)) for method in methods)]
    if not scores:
        return None
    figure, panels = _grid(len(scores), height=3.5, per_row=_SCORES_PER_ROW, share=True)
    lines: dict[int, Line2D] = {}
    for panel, score in zip(panels, scores, strict=True):
        for n, method in enumerate(methods):
            if len(pairs := _pairs(method, score)):
                lines[n] = _risk_curve(panel, pairs, n)
        _title(panel, score.description, per_row=_SCORES_PER_ROW)
        panel.set_xlabel("cases kept, %", fontsize=9)
        panel.set_xlim(0, 100)
    # All panels share this axis.
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("1 − Dice of the cases kept", fontsize=9)
    _legend(figure, {methods[n].name: line for n, line in sorted(lines.items())})
    return encode_png(figure)


def _legend(figure: Figure, lines: Mapping[str, Line2D]) -> None:
    """Name the lines below the panels, in as many columns as fit, and make room for them."""
    names = ["\n".join(textwrap.wrap(name, LEGEND_LETTERS)) for name in lines]
    letters = 5 + max(min(len(name), LEGEND_LETTERS) for name in lines)  # with its line
    columns = int(FIGURE_WIDTH * LETTERS_PER_INCH / letters)
    legend = figure.legend(
        [*lines.values()], names, loc="outside lower center", ncols=min(columns, _PER_ROW),
        fontsize=9, frameon=False,
    )  # fmt: skip
    keep_dollars(figure)
    # The layout would otherwise take the room of the legend from the panels.
    extent: Any = legend.get_window_extent()
    figure.set_figheight(figure.get_figheight() + extent.height / DPI)


def _risk_curve(panel: Axes, pairs: NDArray[np.float64], n: int) -> Line2D:
    """Draw and return the curve of the n-th method, and the best possible one below it."""
    color, dashes = (
        METHOD_COLORS[n % len(METHOD_COLORS)],
        DASHES[n // len(METHOD_COLORS) % len(DASHES)],
    )
    confidence, risks = pairs.T
    curve = risk_coverage(confidence, risks)
    (line,) = panel.plot(100 * curve.coverage, curve.risk, lw=1.8, color=color, ls=dashes)
    # The best possible score is the error itself.
    best = risk_coverage(-risks, risks)
    panel.plot(100 * best.coverage, best.risk, lw=0.9, alpha=0.55, color=color, ls=(0, (1, 2)))
    return line


def entropy_picture(methods: Sequence[MethodEvaluation]) -> bytes | None:
    """Return the error of each case against its mean entropy, one panel per method.

    None without entropy.
    """
    known = [(n, m, _pairs(m, MEAN_ENTROPY)) for n, m in enumerate(methods)]
    known = [(n, method, pairs) for n, method, pairs in known if len(pairs)]
    if not known:
        return None
    figure, panels = _grid(len(known), height=2.9, share=True)
    for index, (panel, (n, method, pairs)) in enumerate(zip(panels, known, strict=True)):
        scores, risks = pairs.T
        entropy = -scores
        panel.scatter(
            entropy, risks, s=22, color=METHOD_COLORS[n % len(METHOD_COLORS)], alpha=0.75, lw=0
        )
        _title(panel, method.name)
        # It stands below the panel, where no point can hide it.
        correlation = rank_correlation(entropy, risks)
        text = "" if math.isnan(correlation) else f"Spearman {correlation:.2f}"
        panel.set_xlabel(f"mean entropy, bit\n{text}", fontsize=9)
        if index % _PER_ROW == 0:
            panel.set_ylabel("1 − Dice", fontsize=9)
    return encode_png(figure)


def _title(panel: Axes, text: str, *, per_row: int = _PER_ROW) -> None:
    """Write the title, in several lines if it is too long for its panel."""
    room = int(LETTERS_PER_INCH * FIGURE_WIDTH / per_row)
    lines = textwrap.wrap(text, room, max_lines=TITLE_LINES, placeholder="…")
    title = "\n".join(lines)
    panel.set_title(title, fontsize=TITLE_SIZE, loc="left", fontweight="bold", color=INK)


def _pairs(method: MethodEvaluation, score: CaseScore) -> NDArray[np.float64]:
    """Return the (n, 2) scores and risks of every case that has both."""
    pairs = score.pairs(method.table)
    return pairs[~np.isnan(pairs).any(axis=1)]


def _grid(
    count: int,
    *,
    height: float,
    per_row: int = _PER_ROW,
    columns: int | None = None,
    share: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels in rows of ``columns``, by default as many as fit."""
    from matplotlib.figure import Figure

    columns = columns or min(max(count, 2), per_row)
    rows = math.ceil(count / columns)
    figure = Figure(
        figsize=(FIGURE_WIDTH * columns / per_row, rows * height), dpi=DPI, layout="constrained",
        facecolor="white",
    )  # fmt: skip
    panels = list(figure.subplots(rows, columns, sharex=share, sharey=share, squeeze=False).flat)
    for panel in panels[count:]:
        panel.set_visible(False)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color("#aab4c0")
        panel.grid(color=GRID, lw=0.8)
        panel.set_axisbelow(True)
        # Shared axes have numbers in the last row only, where some columns have no panel.
        panel.tick_params(labelsize=8.5, colors=MUTED, labelcolor=INK, labelbottom=True)
    return figure, panels[:count]
