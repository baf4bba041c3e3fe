"""A line that stands at phases only."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QPointF

from napari_bayes_nnunet.widgets.common.plotting import pg
from napari_bayes_nnunet.widgets.reading.phase_line import PhaseLine


@pytest.fixture
def line(qapp: Any) -> PhaseLine:
    made = PhaseLine("ED")
    made.put(3, [1, 2, 3, 7, 8])
    return made


def test_it_is_hidden_until_it_is_put_somewhere(qapp: Any) -> None:
    made = PhaseLine("ES")
    assert not made.isVisible()
    assert made.phase is None


@pytest.mark.parametrize(
    ("where", "phase"), [(2.4, 2), (QPointF(2.6, 50), 3), (4.9, 3), (5.1, 7), (99, 8), (-5, 1)]
)
def test_it_snaps_to_the_nearest_phase(line: PhaseLine, where: Any, phase: int) -> None:
    line.setPos(where)
    assert line.phase == phase
    assert line.value() == phase


def test_it_knows_whether_it_was_moved(line: PhaseLine) -> None:
    assert not line.has_moved
    line.setPos(7)
    assert line.has_moved
    line.put(7, [7, 8])
    assert not line.has_moved
    line.put(None, [7, 8])
    assert line.phase is None
    assert not line.has_moved


def test_the_name_is_not_cut_off_at_either_end(qtbot: Any) -> None:
    plot = pg.PlotWidget()
    qtbot.addWidget(plot)
    plot.resize(300, 140)
    plot.setXRange(7, 18, padding=0.03)
    plot.show()
    for name, phase in (("ES", 7), ("ED", 18)):
        line = PhaseLine(name)
        plot.addItem(line)
        line.put(phase, range(7, 19))
        qtbot.wait(20)
        shown = plot.getViewBox().sceneBoundingRect()
        text = line.label.mapRectToScene(line.label.boundingRect())
        assert shown.left() <= text.left() + 1
        assert text.right() - 1 <= shown.right()
