"""Figures of a training's trajectory, as in Fig. 2 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...app.report.figures import DPI, GRID, INK, METHOD_COLORS, MUTED
from ...core.heart.structures import structure_colors
from .analysis import FEWEST_EPOCHS, TrajectoryAnalysis, WeightMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH: Final = 11.0
_FRAME: Final = "#aab4c0"
_BAND: Final = 0.10
_FAINTEST: Final = 0.25
"""Colour strength of the first epoch of a cycle; that of the last epoch is 1."""
_ALL_EPOCHS: Final = "All epochs"
_CONTROL: Final = "Without restarts"
_MEMBERS: Final = "Members"
TOO_FEW_MEMBERS: Final = "Too few members for a t-SNE ({count})"
NO_DICE: Final = "Not known"


def draw_trajectory(analysis: TrajectoryAnalysis) -> Figure:
    """Return Fig. 2: all epochs, the members, learning rate and Dice.

    A control has a map beside them.
    """
    drawn = _maps_of(analysis)
    figure = make_figure(height=4.1, width=_WIDTH * (len(drawn) + 1) / 3)
    grid = figure.add_gridspec(2, len(drawn) + 1, width_ratios=[*([1] * len(drawn)), 0.95])
    letters = iter("abcde")
    for column, (title, draw) in enumerate(drawn.items()):
        panel = style_panel(figure.add_subplot(grid[:, column]), next(letters), title)
        draw(panel, analysis)
    rates = style_panel(figure.add_subplot(grid[0, -1]), next(letters), "Learning rate")
    dice = style_panel(figure.add_subplot(grid[1, -1], sharex=rates), next(letters), "Pseudo Dice")
    _draw_rates(rates, analysis)
    _draw_dice(dice, analysis)
    figure.legend(
        handles=_legend_marks(analysis), loc="outside lower left", fontsize=9, frameon=False,
        ncols=8, handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip
    return figure


def _maps_of(analysis: TrajectoryAnalysis) -> dict[str, Callable[[Axes, TrajectoryAnalysis], None]]:
    """Return title → function that draws a map, for the maps that the analysis has."""
    known = {_ALL_EPOCHS: analysis.maps.epochs, _CONTROL: analysis.maps.control}
    lines = {title: partial(_draw_line, of_all) for title, of_all in known.items() if of_all}
    return {**lines, _MEMBERS: _draw_members}


def cycle_colors(analysis: TrajectoryAnalysis) -> list[Any]:
    """Return a colour for each cycle; the first eight are safe for colour-blind readers."""
    from matplotlib import colormaps

    count = analysis.schedule.all_cycles
    return list(METHOD_COLORS[:count]) if count <= len(METHOD_COLORS) else list(
        colormaps["viridis"](np.linspace(0, 0.95, count))
    )  # fmt: skip


def _draw_line(weight_map: WeightMap, panel: Axes, analysis: TrajectoryAnalysis) -> None:
    """Draw epochs in a line; the colours grow stronger within a cycle."""
    x, y = weight_map.points.T
    panel.plot(x, y, color=INK, lw=0.8, ls=(0, (1, 1.6)), zorder=2)
    colors = _epoch_colors(analysis)
    member = analysis.is_member
    panel.scatter(x[~member], y[~member], s=16, color=colors[~member], lw=0, zorder=3)
    panel.scatter(x[member], y[member], s=24, color=colors[member], lw=0.7, ec=INK, zorder=4)
    _finish_map(panel, weight_map)
    _label_end(panel, "first", weight_map.points[:FEWEST_EPOCHS][::-1])
    _label_end(panel, "last", weight_map.points[-FEWEST_EPOCHS:])


def _draw_members(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    weight_map = analysis.maps.members
    if weight_map is None:
        _write(panel, TOO_FEW_MEMBERS.format(count=len(analysis.members)))
        return
    cycles = analysis.cycles[analysis.is_member]
    for cycle in np.unique(cycles):
        x, y = weight_map.points[cycles == cycle].T
        color = cycle_colors(analysis)[cycle]
        panel.plot(x, y, color=color, lw=0.8, ls=(0, (1, 1.6)), zorder=2)
        panel.scatter(x, y, s=30, color=[color], lw=0.7, ec=INK, zorder=3)
    _finish_map(panel, weight_map)


def _epoch_colors(analysis: TrajectoryAnalysis) -> NDArray[np.float64]:
    """Return (E, 3) colours of the epochs, nearly white at the beginning of a cycle."""
    from matplotlib.colors import to_rgb

    colors = np.array([to_rgb(color) for color in cycle_colors(analysis)])[analysis.cycles]
    length = analysis.schedule.cycle_length
    done = (analysis.epochs % length) / max(1, length - 1)
    strength = (_FAINTEST + (1 - _FAINTEST) * done)[:, None]
    return np.asarray(1 - strength * (1 - colors))


def _finish_map(panel: Axes, weight_map: WeightMap) -> None:
    """Set equal scales in a square panel without ticks, because t-SNE has no unit."""
    low, high = weight_map.points.min(axis=0), weight_map.points.max(axis=0)
    # With room for the names of the ends; all points of a map may be one.
    middle, half = (low + high) / 2, 0.68 * float((high - low).max()) + 1e-9
    panel.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    panel.set_box_aspect(1)
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set(visible=True, color=_FRAME)
    panel.grid(visible=False)
    panel.set_xlabel(f"t-SNE, perplexity {weight_map.perplexity:.3g}", fontsize=8.5, color=MUTED)


def _label_end(panel: Axes, text: str, path: NDArray[np.float64]) -> None:
    """Write ``text`` beyond the end of a ``path`` (n, 2), so that it covers no point."""
    direction = path[-1] - path[0]
    offset = 15 * direction / max(float(np.linalg.norm(direction)), 1e-9)
    panel.annotate(
        text, tuple(path[-1]), xytext=tuple(offset), textcoords="offset points", fontsize=8,
        color=INK, ha="center", va="center", zorder=5,
    )  # fmt: skip


def _write(panel: Axes, text: str) -> None:
    panel.set(xticks=[], yticks=[])
    panel.set_box_aspect(1)
    panel.text(
        0.5, 0.5, text, transform=panel.transAxes, ha="center", fontsize=9, color=MUTED, wrap=True
    )


def _draw_rates(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    schedule = analysis.schedule
    rates = [schedule.learning_rate(epoch) for epoch in range(schedule.all_epochs)]
    panel.step(range(len(rates)), rates, where="mid", color=INK, lw=1.2)
    set_log_scale(panel)
    panel.tick_params(labelbottom=False)
    draw_cycles(panel, analysis)


def _draw_dice(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    from matplotlib.patheffects import withStroke

    edge = withStroke(linewidth=2.1, foreground=INK, alpha=0.5)  # makes the yellow of LV visible
    structures = list(analysis.reports[-1].pseudo_dice) if analysis.reports else []
    colors = structure_colors({name: n for n, name in enumerate(structures, start=1)})
    for number, name in enumerate(structures, start=1):
        epochs = [report.epoch for report in analysis.reports]
        values = [report.pseudo_dice.get(name) for report in analysis.reports]
        heights = np.array([np.nan if value is None else value for value in values])
        panel.plot(epochs, heights, color=colors[number], lw=1.4, label=name, path_effects=[edge])
    if structures:
        panel.legend(fontsize=8, frameon=False, loc="lower right", ncols=3, handlelength=1.2)
    else:
        _write(panel, NO_DICE)
    panel.set_ylim(0, 1)
    panel.set_xlabel("epoch", fontsize=9)
    draw_cycles(panel, analysis)


def set_log_scale(panel: Axes) -> None:
    """Set a logarithmic axis with the plain numbers 1, 2, 5, 10 …."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_locator(NullLocator())


def draw_cycles(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    """Draw the cycles as backgrounds, stronger on the plateaus."""
    length = analysis.schedule.cycle_length
    for cycle, color in enumerate(cycle_colors(analysis)):
        start = cycle * length - 0.5
        panel.axvspan(start, start + length, color=color, alpha=_BAND, lw=0, zorder=0)
        plateau = start + analysis.schedule.plateau_start
        panel.axvspan(plateau, start + length, color=color, alpha=2 * _BAND, lw=0, zorder=0)
    panel.set_xlim(-0.5, analysis.schedule.all_epochs - 0.5)
    panel.grid(visible=False)


def _legend_marks(analysis: TrajectoryAnalysis) -> Sequence[Any]:
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"ls": "", "marker": "o", "ms": 6.5, "mew": 0}
    marks = [Line2D([], [], color=color, label=f"cycle {number}", **style)
             for number, color in enumerate(cycle_colors(analysis), start=1)]  # fmt: skip
    member = {**style, "mew": 0.9, "mec": INK, "mfc": "white"}
    return [*marks, Line2D([], [], label="member", **member)]


def make_figure(*, height: float, width: float = _WIDTH) -> Figure:
    """Return an empty figure; sizes in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    return Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")


def style_panel(panel: Axes, letter: str, title: str) -> Axes:
    """Set the title and plain axes; return the panel."""
    panel.set_title(f"({letter}) {title}", fontsize=10, color=INK, loc="left", fontweight="bold")
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(_FRAME)
    panel.grid(color=GRID, lw=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8.5, colors=MUTED, labelcolor=INK)
    return panel


def draw_distances(analysis: TrajectoryAnalysis) -> Figure:
    """Return distances between all epochs, and from epoch to epoch."""
    figure = make_figure(height=3.5)
    matrix, stepwise = figure.subplots(1, 2)
    _draw_matrix(style_panel(matrix, "a", "Distance of all epochs"), analysis)
    _draw_steps(style_panel(stepwise, "b", "From epoch to epoch"), analysis)
    return figure


def _draw_matrix(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    distances, epochs = analysis.drawn.distances, analysis.epochs
    # The random weights of the first epochs are so far away that all others would look equal.
    highest = float(np.percentile(distances, 95))
    shown = panel.imshow(distances, cmap="magma_r", vmin=0, vmax=highest, interpolation="nearest")
    starts = np.flatnonzero(np.diff(analysis.cycles)) + 0.5
    for start in starts:
        panel.axhline(start, color="white", lw=1)
        panel.axvline(start, color="white", lw=1)
    ticks = [0, *(int(start + 0.5) for start in starts), len(epochs) - 1]
    labels = [str(epochs[tick]) for tick in ticks]
    panel.set_xticks(ticks, labels)
    panel.set_yticks(ticks, labels)
    panel.grid(visible=False)
    panel.set_xlabel("epoch", fontsize=9)
    bar = panel.figure.colorbar(shown, ax=panel, fraction=0.046, pad=0.03, extend="max")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=MUTED, labelcolor=INK)


def _draw_steps(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    panel.plot(analysis.epochs, analysis.drawn.steps, color=INK, lw=1.1)
    if np.isfinite(analysis.drawn.steps).any():
        set_log_scale(panel)
    panel.set_ylabel("distance", fontsize=9)
    panel.set_xlabel("epoch", fontsize=9)
    draw_cycles(panel, analysis)
