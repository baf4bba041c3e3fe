"""Volumes over the phases as drawn."""

from __future__ import annotations

import math
from typing import Any

import pytest
from qtpy.QtGui import QColor, QPalette

from napari_bayes_nnunet.widgets.reading.curves_plot import CurvesPlot

from .test_volume_plot import PHASES, curve


@pytest.fixture
def plot(qtbot: Any) -> CurvesPlot:
    made = CurvesPlot()
    qtbot.addWidget(made)
    made.resize(330, made.height())
    made.draw([curve(), curve("RV", spread=math.nan)], PHASES, (1, 10))
    made.set_landmarks(1, 9)
    made.show()
    return made


def edges(plot: CurvesPlot, structure: Any) -> list[float]:
    """The lower and the upper end of the band in the first phase."""
    return [float(edge.getData()[1][0]) for edge in plot._drawn[structure]._edges]


def test_the_band_is_one_standard_deviation_wide(plot: CurvesPlot) -> None:
    volume = plot.curve("LV")[1]
    assert edges(plot, "LV") == pytest.approx([volume - 3, volume + 3])
    assert edges(plot, "RV") == [plot.curve("RV")[1]] * 2
    plot.grab()


def test_all_volumes_are_in_sight(plot: CurvesPlot) -> None:
    (left, right), (low, high) = plot.viewRange()
    assert left < 1 < 25 < right
    assert (low, high > max(plot.curve("LV").values())) == (0, True)


def test_chosen_and_proposed_phases_are_both_drawn(plot: CurvesPlot) -> None:
    assert plot.landmarks == (1, 9)
    assert plot.proposal == (1, 10)
    plot.draw([curve()], PHASES, None)
    assert plot.proposal == ()
    plot.set_landmarks(None, 21)
    assert plot.landmarks == (None, None)


def test_a_phase_is_read_out(plot: CurvesPlot) -> None:
    assert plot.reading(10) == "Phase 10: LV 60.0 ± 3.0 mL, RV 60.0 mL"
    assert plot.reading(21) == plot.reading(99) == ""


def test_lines_have_the_colour_of_the_text(plot: CurvesPlot) -> None:
    palette = plot.palette()
    palette.setColor(QPalette.ColorRole.WindowText, QColor("#123456"))
    plot.setPalette(palette)
    assert {line.pen.color().name() for line in plot._lines.values()} == {"#123456"}
    plot.grab()
