"""Figures of distances in the space of weights: what t-SNE cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.figures import INK, MUTED
from .analysis import LayerDistances, TrajectoryAnalysis
from .figures import bands, new_figure, plain_log, titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
        for words, power, dashes in (("straight on", 1, "--"), ("random walk", 0.5, "-."),
                                     ("about one place", 0, ":")):  # fmt: skip
            panel.plot(found.lags, first * growth**power, color=MUTED, lw=1, ls=dashes, label=words)
        panel.legend(fontsize=8, frameon=False, loc="upper left")
    panel.set_ylim(bottom=0)
    panel.set_ylabel("mean distance", fontsize=9)
    panel.set_xlabel("epochs between two members", fontsize=9)
