"""Tests of the plot of volume curves."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from qtpy.QtCore import QPointF
from qtpy.QtGui import QColor, QPalette

from napari_bayes_nnunet.core.heart.structures import CARDIAC
from napari_bayes_nnunet.widgets.common.plotting import pg, readable
from napari_bayes_nnunet.widgets.reading.volume_plot import CurvesPlot, PhaseLine

from ...helpers.windows.curves import drawn_volumes, proposal, provisional
from .test_volume_plot import PHASES, curve


@pytest.fixture
def plot(qtbot: Any) -> CurvesPlot:
    made = CurvesPlot()
    qtbot.addWidget(made)
    made.resize(330, made.height())
    made.draw([curve(), curve("RV")], PHASES, (1, 10))
    made.set_landmarks(1, 9)
    made.show()
    return made


def test_dots_of_provisional_phases_are_open(plot: CurvesPlot) -> None:
    first, second = PHASES[:2]
    plot.draw([replace(curve(), provisional=frozenset({first}))], PHASES, None)
    assert provisional(plot) == [first]
    assert "(provisional)" in plot.reading(first)
    assert "(provisional)" not in plot.reading(second)
    plot.draw([curve()], PHASES, None)
    assert provisional(plot) == []


def test_curves_are_darker_on_a_light_window(plot: CurvesPlot) -> None:
    for text, is_yellow in (("#FFFFFF", True), ("#202020", False)):
        palette = plot.palette()
        palette.setColor(QPalette.ColorRole.WindowText, QColor(text))
        plot.setPalette(palette)
        plot.draw([curve(), curve("MYO")], PHASES, None)
        for structure, drawn in plot._drawn.items():
            line = drawn.line.opts["pen"].color()
            assert line == readable(CARDIAC[structure], QColor(text))
        line = plot._drawn["LV"].line.opts["pen"].color()
        assert (line == QColor(CARDIAC["LV"])) == is_yellow


def test_all_volumes_are_in_view(plot: CurvesPlot) -> None:
    (left, right), (low, high) = plot.viewRange()
    assert left < 1 < 25 < right
    assert (low, high > max(drawn_volumes(plot).values())) == (0, True)


def test_chosen_and_proposed_phases_are_both_drawn(plot: CurvesPlot) -> None:
    assert plot.landmarks == (1, 9)
    assert proposal(plot) == (1, 10)
    plot.draw([curve()], PHASES, None)
    assert proposal(plot) == ()
    plot.set_landmarks(None, 21)
    assert plot.landmarks == (None, None)


def test_a_phase_reads_its_volumes(plot: CurvesPlot) -> None:
    text = plot.reading(10)
    assert "10" in text
    assert "LV 60.0 mL" in text
    assert text.endswith("RV 60.0 mL")
    assert plot.reading(21) == plot.reading(99) == ""


def test_lines_have_the_text_colour(plot: CurvesPlot) -> None:
    palette = plot.palette()
    palette.setColor(QPalette.ColorRole.WindowText, QColor("#123456"))
    plot.setPalette(palette)
    assert {line.pen.color().name() for line in plot._lines.values()} == {"#123456"}
    plot.grab()


@pytest.fixture
def line(qapp: Any) -> PhaseLine:
    made = PhaseLine("ED")
    made.put_at(3, [1, 2, 3, 7, 8])
    return made


def test_a_new_line_is_hidden(qapp: Any) -> None:
    made = PhaseLine("ES")
    assert not made.isVisible()
    assert made.phase is None


@pytest.mark.parametrize(
    ("x", "phase"), [(2.4, 2), (QPointF(2.6, 50), 3), (4.9, 3), (5.1, 7), (99, 8), (-5, 1)]
)
def test_a_line_snaps_to_the_nearest_phase(line: PhaseLine, x: Any, phase: int) -> None:
    line.setPos(x)
    assert line.phase == phase
    assert line.value() == phase


def test_a_line_knows_whether_it_was_moved(line: PhaseLine) -> None:
    assert not line.has_moved
    line.setPos(7)
    assert line.has_moved
    line.put_at(7, [7, 8])
    assert not line.has_moved
    line.put_at(None, [7, 8])
    assert line.phase is None
    assert not line.has_moved


def test_name_is_not_cut_off_at_either_end(qtbot: Any) -> None:
    plot = pg.PlotWidget()
    qtbot.addWidget(plot)
    plot.resize(300, 140)
    plot.setXRange(7, 18, padding=0.03)
    plot.show()
    for name, phase in (("ES", 7), ("ED", 18)):
        line = PhaseLine(name)
        plot.addItem(line)
        line.put_at(phase, range(7, 19))
        qtbot.waitUntil(partial(_is_whole, line, plot))  # the axis takes its width when painted


def _is_whole(line: PhaseLine, plot: pg.PlotWidget) -> bool:
    shown = plot.getViewBox().sceneBoundingRect()
    text = line.label.mapRectToScene(line.label.boundingRect())
    return bool(shown.left() <= text.left() + 1 and text.right() - 1 <= shown.right())
