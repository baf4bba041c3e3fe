"""What a plot of volume curves shows."""

from __future__ import annotations

from napari_bayes_nnunet.widgets.reading.volume_plot import CurvesPlot


def drawn_volumes(plot: CurvesPlot, structure: str = "LV") -> dict[int, float]:
    """Return the drawn volumes, mL, by phase."""
    phases, volumes = plot._drawn[structure].line.getData()
    return dict(zip(phases.tolist(), volumes.tolist(), strict=True))


def provisional(plot: CurvesPlot) -> list[int]:
    """Return the phases of the LV whose dots are open."""
    return [round(phase) for phase in plot._drawn["LV"]._circles.getData()[0]]


def proposal(plot: CurvesPlot) -> tuple[int, ...]:
    """Return the phases with a dotted line."""
    return tuple(round(line.value()) for line in plot._proposed if line.isVisible())
