"""Figures of a training's way through the space of weights, as in Fig. 2 of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.heart.structures import structure_colors
from ..report.figures import DPI, GRID, INK, METHOD_COLORS, MUTED
from .analysis import FEWEST_EPOCHS, LayerDistances, LayerMaps, TrajectoryAnalysis, WeightMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH: Final = 11.0
_FRAME: Final = "#aab4c0"
_BAND: Final = 0.10
_FAINTEST: Final = 0.25
"""How much of its colour the first epoch of a cycle has; the last has all of it."""


def draw(analysis: TrajectoryAnalysis) -> Figure:
    """Fig. 2 of the first layer: (a) all epochs, (b) the members; beside them rate and Dice."""
    figure = new_figure(height=4.1)
    maps = analysis.maps[analysis.first.name]
    ratios = [1, 1, 0.95] if analysis.is_whole else [1, 0.95]
    grid = figure.add_gridspec(2, len(ratios), width_ratios=ratios)
    letters = iter("abcd")
    if analysis.is_whole:
        _draw_epochs(titled(figure.add_subplot(grid[:, 0]), next(letters), "All epochs"),
                     maps, analysis)  # fmt: skip
    _draw_members(titled(figure.add_subplot(grid[:, -2]), next(letters), "Members"),
                  maps, analysis)  # fmt: skip
    rates = titled(figure.add_subplot(grid[0, -1]), next(letters), "Learning rate")
    dice = titled(figure.add_subplot(grid[1, -1], sharex=rates), next(letters), "Pseudo Dice")
    _draw_rates(rates, analysis)
    _draw_dice(dice, analysis)
    figure.legend(
        handles=_cycle_marks(analysis), loc="outside lower left", fontsize=9, frameon=False,
        ncols=8, handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip
    return figure


def draw_layers(analysis: TrajectoryAnalysis) -> Figure:
    """Maps of all layers that were asked for, a column each: all epochs above, members below."""
    names = list(analysis.maps)
    rows = 2 if analysis.is_whole else 1
    figure = new_figure(height=3.1 * rows + 0.4, width=max(2, len(names)) * 3.1)
    panels = figure.subplots(rows, max(2, len(names)), squeeze=False)
    for column, name in enumerate(names):
        for row, draws in enumerate([_draw_epochs, _draw_members][-rows:]):
            panel = panels[row, column]
            draws(panel, analysis.maps[name], analysis)
            if row == 0:
                panel.set_title(name, fontsize=8, color=INK, loc="left")
    for panel in panels[:, len(names) :].flat:
        panel.set_visible(False)
    for row, words in enumerate(["All epochs", "Members"][-rows:]):
        panels[row, 0].set_ylabel(words, fontsize=9, color=INK)
    figure.legend(
        handles=_cycle_marks(analysis), loc="outside lower left", fontsize=9, frameon=False, ncols=8
    )
    return figure


def cycle_colors(analysis: TrajectoryAnalysis) -> list[Any]:
    """A colour for each cycle; colour-blind readers tell the first eight apart."""
    from matplotlib import colormaps

    count = analysis.schedule.all_cycles
    return list(METHOD_COLORS[:count]) if count <= len(METHOD_COLORS) else list(
        colormaps["viridis"](np.linspace(0, 0.95, count))
    )  # fmt: skip


def _draw_epochs(panel: Axes, maps: LayerMaps, analysis: TrajectoryAnalysis) -> None:
    """Consecutive epochs are joined; within a cycle the colours grow stronger."""
    found = maps.epochs
    if found is None:
        _say(panel, "Only the members were kept.")
        return
    x, y = found.places.T
    panel.plot(x, y, color=INK, lw=0.8, ls=(0, (1, 1.6)), zorder=2)
    colors = _strengthening(analysis)
    kept = analysis.is_member
    panel.scatter(x[~kept], y[~kept], s=16, color=colors[~kept], lw=0, zorder=3)
    panel.scatter(x[kept], y[kept], s=24, color=colors[kept], lw=0.7, ec=INK, zorder=4)
    _finish_map(panel, found)
    _name(panel, "first", found.places[:FEWEST_EPOCHS][::-1])
    _name(panel, "last", found.places[-FEWEST_EPOCHS:])


def _draw_members(panel: Axes, maps: LayerMaps, analysis: TrajectoryAnalysis) -> None:
    found = maps.members
    if found is None:
        count = len(analysis.members)
        _say(panel, f"{count} {'member' if count == 1 else 'members'}: too few for a t-SNE")
        return
    cycles = analysis.cycles[analysis.is_member]
    for cycle in np.unique(cycles):
        x, y = found.places[cycles == cycle].T
        color = cycle_colors(analysis)[cycle]
        panel.plot(x, y, color=color, lw=0.8, ls=(0, (1, 1.6)), zorder=2)
        panel.scatter(x, y, s=30, color=[color], lw=0.7, ec=INK, zorder=3)
    _finish_map(panel, found)


def _strengthening(analysis: TrajectoryAnalysis) -> NDArray[np.float64]:
    """(E, 3) colours of the epochs: nearly white at the beginning of a cycle."""
    from matplotlib.colors import to_rgb

    colors = np.array([to_rgb(color) for color in cycle_colors(analysis)])[analysis.cycles]
    length = analysis.schedule.cycle_length
    done = (analysis.epochs % length) / max(1, length - 1)
    strength = (_FAINTEST + (1 - _FAINTEST) * done)[:, None]
    return np.asarray(1 - strength * (1 - colors))


def _finish_map(panel: Axes, found: WeightMap) -> None:
    """The same scale along both axes, a square panel, and no ticks: t-SNE has no unit."""
    low, high = found.places.min(axis=0), found.places.max(axis=0)
    middle, half = (low + high) / 2, 0.68 * float((high - low).max()) + 1e-9
    panel.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half))
    panel.set_box_aspect(1)
    panel.set(xticks=[], yticks=[])
    panel.spines[:].set(visible=True, color=_FRAME)
    panel.grid(visible=False)
    panel.set_xlabel(f"t-SNE, perplexity {found.perplexity:.3g}", fontsize=8.5, color=MUTED)


def _name(panel: Axes, text: str, way: NDArray[np.float64]) -> None:
    """Write ``text`` beyond the end of a ``way`` (n, 2), where none of it is covered."""
    onwards = way[-1] - way[0]
    beyond = 15 * onwards / max(float(np.linalg.norm(onwards)), 1e-9)
    panel.annotate(
        text, tuple(way[-1]), xytext=tuple(beyond), textcoords="offset points", fontsize=8,
        color=INK, ha="center", va="center", zorder=5,
    )  # fmt: skip


def _say(panel: Axes, text: str) -> None:
    panel.set(xticks=[], yticks=[])
    panel.set_box_aspect(1)
    panel.text(
        0.5, 0.5, text, transform=panel.transAxes, ha="center", fontsize=9, color=MUTED, wrap=True
    )


def _draw_rates(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    schedule = analysis.schedule
    rates = [schedule.learning_rate(epoch) for epoch in range(schedule.all_epochs)]
    panel.step(range(len(rates)), rates, where="mid", color=INK, lw=1.2)
    plain_log(panel)
    panel.tick_params(labelbottom=False)
    bands(panel, analysis)


def _draw_dice(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    from matplotlib.patheffects import withStroke

    edge = withStroke(linewidth=2.1, foreground=INK, alpha=0.5)  # LV's yellow is hardly seen alone
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
        _say(panel, "not known")
    panel.set_ylim(0, 1)
    panel.set_xlabel("epoch", fontsize=9)
    bands(panel, analysis)


def plain_log(panel: Axes) -> None:
    """A logarithmic axis with the numbers 1, 2, 5, 10 …, as people write them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_locator(NullLocator())


def bands(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    """The cycles as backgrounds, stronger where members are taken."""
    length = analysis.schedule.cycle_length
    for cycle, color in enumerate(cycle_colors(analysis)):
        start = cycle * length - 0.5
        panel.axvspan(start, start + length, color=color, alpha=_BAND, lw=0, zorder=0)
        plateau = start + analysis.schedule.plateau_start
        panel.axvspan(plateau, start + length, color=color, alpha=2 * _BAND, lw=0, zorder=0)
    panel.set_xlim(-0.5, analysis.schedule.all_epochs - 0.5)
    panel.grid(visible=False)


def _cycle_marks(analysis: TrajectoryAnalysis) -> Sequence[Any]:
    from matplotlib.lines import Line2D

    style: dict[str, Any] = {"ls": "", "marker": "o", "ms": 6.5, "mew": 0}
    marks = [Line2D([], [], color=color, label=f"cycle {number}", **style)
             for number, color in enumerate(cycle_colors(analysis), start=1)]  # fmt: skip
    member = {**style, "mew": 0.9, "mec": INK, "mfc": "white"}
    return [*marks, Line2D([], [], label="member", **member)]


def new_figure(*, height: float, width: float = _WIDTH) -> Figure:
    """An empty figure; inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    return Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")


def titled(panel: Axes, letter: str, title: str) -> Axes:
    """The panel with its title and plain axes."""
    panel.set_title(f"({letter}) {title}", fontsize=10, color=INK, loc="left", fontweight="bold")
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(_FRAME)
    panel.grid(color=GRID, lw=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8.5, colors=MUTED, labelcolor=INK)
    return panel


def draw_distances(analysis: TrajectoryAnalysis) -> Figure:
    """Distances as they are: between all epochs, from epoch to epoch, and within the cycles."""
    figure = new_figure(height=3.5)
    everywhere, stepwise, apart = figure.subplots(1, 3)
    layer = analysis.first
    _draw_matrix(titled(everywhere, "a", "Distance of all epochs"), analysis)
    _draw_steps(titled(stepwise, "b", "From epoch to epoch"), analysis)
    _draw_spreading(titled(apart, "c", "Members of a cycle"), layer)
    return figure


def _draw_matrix(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    distances, epochs = analysis.first.distances, analysis.epochs
    # The random weights of the beginning are so far away that all else would look alike.
    highest = float(np.percentile(distances, 95))
    shown = panel.imshow(distances, cmap="magma_r", vmin=0, vmax=highest, interpolation="nearest")
    starts = np.flatnonzero(np.diff(analysis.cycles)) + 0.5
    for start in starts:
        panel.axhline(start, color="white", lw=1)
        panel.axvline(start, color="white", lw=1)
    places = [0, *(int(start + 0.5) for start in starts), len(epochs) - 1]
    labels = [str(epochs[place]) for place in places]
    panel.set_xticks(places, labels)
    panel.set_yticks(places, labels)
    panel.grid(visible=False)
    panel.set_xlabel("epoch", fontsize=9)
    bar = panel.figure.colorbar(shown, ax=panel, fraction=0.046, pad=0.03, extend="max")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=MUTED, labelcolor=INK)


def _draw_steps(panel: Axes, analysis: TrajectoryAnalysis) -> None:
    panel.plot(analysis.epochs, analysis.first.steps, color=INK, lw=1.1)
    if np.isfinite(analysis.first.steps).any():
        plain_log(panel)
    panel.set_ylabel("distance", fontsize=9)
    panel.set_xlabel("epoch", fontsize=9)
    bands(panel, analysis)


def _draw_spreading(panel: Axes, layer: LayerDistances) -> None:
    """Against how many epochs are between them, with what a walk and a straight way would give."""
    found = layer.spreading
    panel.plot(found.lags, found.distances, color=INK, marker="o", ms=4, lw=1.2, label="measured")
    if len(found.lags) > 1:
        first, growth = found.distances[0], found.lags / found.lags[0]
        for words, power, dashes in (("straight line", 1, "--"), ("random walk", 0.5, "-."),
                                     ("around one point", 0, ":")):  # fmt: skip
            panel.plot(found.lags, first * growth**power, color=MUTED, lw=1, ls=dashes, label=words)
        panel.legend(fontsize=8, frameon=False, loc="upper left")
    panel.set_ylim(bottom=0)
    panel.set_ylabel("mean distance", fontsize=9)
    panel.set_xlabel("epochs between two members", fontsize=9)
