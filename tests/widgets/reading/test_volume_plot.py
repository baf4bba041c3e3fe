"""Tests of the volume curves and the choice of ED and ES."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.core.heart.measurements import Structure
from napari_bayes_nnunet.core.heart.volume_curve import VolumeCurve
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.reading.volume_plot import (
    PROPOSAL,
    PROPOSED_PHASES,
    PROVISIONAL,
    PhaseBox,
    VolumePlot,
)

from ...helpers.windows.curves import drawn_volumes, proposal, provisional

PHASES = tuple(phase for phase in range(1, 26) if phase != 21)


def curve(structure: Structure = "LV", *, ed: int | None = 1, es: int | None = 10) -> VolumeCurve:
    volumes = tuple(140 - 80 * math.exp(-(((phase - 10) / 5) ** 2)) for phase in PHASES)
    return VolumeCurve(structure=structure, phases=PHASES, volumes=volumes, ed=ed, es=es)


@pytest.fixture
def plot(qtbot: Any) -> VolumePlot:
    made = VolumePlot()
    qtbot.addWidget(made)
    made.resize(330, made.sizeHint().height())
    made.set_curves([curve()])
    made.set_landmarks(1, 10)
    made.show()
    qtbot.waitExposed(made)
    QApplication.processEvents()
    return made


@pytest.fixture
def heard(plot: VolumePlot) -> list[tuple[int, int]]:
    chosen: list[tuple[int, int]] = []
    plot.phases_changed.connect(lambda ed, es: chosen.append((ed, es)))
    return chosen


def point_of(plot: VolumePlot, phase: float) -> QPoint:
    """Return the position of a phase, at half the height of the axes."""
    box = plot.plot.getViewBox()
    return plot.plot.mapFromScene(box.mapViewToScene(QPointF(phase, 80)))


def mouse(plot: VolumePlot, kind: QEvent.Type, point: QPoint, *, held: bool) -> None:
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    viewport = plot.plot.viewport()
    button = none if kind == QEvent.Type.MouseMove else left
    event = QMouseEvent(
        kind,
        QPointF(point),
        QPointF(viewport.mapToGlobal(point)),
        button,
        left if held else none,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(viewport, event)
    QTest.qWait(12)  # pyqtgraph takes 100 moves a second


def drag(plot: VolumePlot, start: float, end: float) -> None:
    """Drag from one phase to another with the left button."""
    mouse(plot, QEvent.Type.MouseMove, point_of(plot, start), held=False)
    mouse(plot, QEvent.Type.MouseButtonPress, point_of(plot, start), held=True)
    for step in range(1, 6):
        point = point_of(plot, start + (end - start) * step / 5)
        mouse(plot, QEvent.Type.MouseMove, point, held=True)
    mouse(plot, QEvent.Type.MouseButtonRelease, point_of(plot, end), held=False)


def test_every_phase_with_a_volume_is_drawn(plot: VolumePlot) -> None:
    drawn = drawn_volumes(plot.plot)
    assert tuple(drawn) == PHASES
    assert drawn[10] == pytest.approx(60)


def test_a_dragged_line_snaps_to_a_phase(plot: VolumePlot, heard: Any) -> None:
    drag(plot, 10, 12.3)
    assert heard == [(1, 12)]
    assert plot.landmarks == (1, 12)
    assert plot.es_box.phase == 12
    drag(plot, 1, 2.6)
    assert heard[1:] == [(3, 12)]


def test_a_line_skips_unavailable_phases(plot: VolumePlot, heard: Any) -> None:
    drag(plot, 10, 21)
    assert plot.landmarks[1] in (20, 22)
    drag(plot, plot.landmarks[1], 1)
    assert plot.landmarks == (1, 2)
    assert len(heard) == 2


def test_a_line_that_is_put_back_signals_nothing(plot: VolumePlot, heard: Any) -> None:
    drag(plot, 10, 10.2)
    assert plot.landmarks == (1, 10)
    assert heard == []


def test_phases_can_be_chosen_with_the_keyboard(plot: VolumePlot, heard: Any, qtbot: Any) -> None:
    qtbot.keyClick(plot.es_box, Qt.Key.Key_Up)
    assert heard == [(1, 9)]
    assert plot.landmarks == (1, 9)


def test_ed_and_es_change_places_if_one_becomes_the_other(plot: VolumePlot, heard: Any) -> None:
    plot.es_box.setCurrentIndex(0)
    assert heard == [(10, 1)]
    assert (plot.ed_box.phase, plot.es_box.phase) == (10, 1)


def test_the_legend_fits_into_a_narrow_dock(plot: VolumePlot) -> None:
    plot.set_curves([curve(), curve("RV"), curve("MYO")])
    assert PROPOSAL in plot.legend.text()
    assert plot.legend.heightForWidth(DOCK_WIDTH - 40) < 2 * plot.legend.fontMetrics().height()
    assert PROPOSED_PHASES.format(1, 10) in plot.proposed_button.toolTip()


def test_the_proposal_is_shown_with_the_choice(plot: VolumePlot, heard: Any, qtbot: Any) -> None:
    assert not plot.proposed_button.isEnabled()
    plot.set_landmarks(1, 9)
    assert proposal(plot.plot) == (1, 10)
    assert heard == []
    qtbot.mouseClick(plot.proposed_button, Qt.MouseButton.LeftButton)
    assert heard == [(1, 10)]
    assert not plot.proposed_button.isEnabled()


def test_the_left_ventricle_proposes_if_possible(plot: VolumePlot) -> None:
    plot.set_curves([curve("RV", ed=25, es=9), curve("LV")])
    assert proposal(plot.plot) == (1, 10)
    plot.set_curves([curve("RV", ed=25, es=9), curve("LV", ed=None, es=None)])
    assert proposal(plot.plot) == (25, 9)
    plot.set_curves([curve("LV", ed=None, es=None)])
    assert proposal(plot.plot) == ()
    assert not plot.proposed_button.isEnabled()
    assert "proposed" not in plot.legend.text()


def test_an_edit_keeps_the_chosen_phases(plot: VolumePlot, heard: Any) -> None:
    plot.set_landmarks(2, 9)
    plot.set_curves([curve(es=11), curve("RV")])
    assert plot.landmarks == (2, 9)
    assert (plot.ed_box.phase, plot.es_box.phase) == (2, 9)
    assert list(drawn_volumes(plot.plot, "RV")) == list(PHASES)
    plot.set_curves([curve()])
    with pytest.raises(KeyError):
        drawn_volumes(plot.plot, "RV")
    assert heard == []


def test_provisional_phases_are_marked_and_never_chosen(plot: VolumePlot, heard: Any) -> None:
    assert PROVISIONAL not in plot.legend.text()
    assert "provisional" not in plot.plot.accessibleDescription()
    plot.set_curves([replace(curve(), provisional=frozenset({2, 3}))])
    assert provisional(plot.plot) == [2, 3]
    assert list(drawn_volumes(plot.plot)) == list(PHASES)
    assert PROVISIONAL in plot.legend.text()
    assert plot.plot.accessibleDescription().count("provisional") == 2
    offered = [plot.ed_box.itemData(index) for index in range(plot.ed_box.count())]
    assert offered == [phase for phase in PHASES if phase not in (2, 3)]
    plot.set_landmarks(1, 10)
    drag(plot, 1, 2.4)
    assert heard == []
    drag(plot, 1, 3.6)
    assert heard == [(4, 10)]


def test_unknown_phases_have_no_line(plot: VolumePlot, heard: Any) -> None:
    plot.set_landmarks(None, 21)
    assert plot.landmarks == (None, None)
    assert (plot.ed_box.phase, plot.es_box.phase) == (None, None)
    plot.ed_box.setCurrentIndex(0)
    assert heard == []
    assert plot.landmarks == (1, None)
    plot.es_box.setCurrentIndex(9)
    assert heard == [(1, 10)]


def test_a_volume_without_phases_has_no_curve(plot: VolumePlot) -> None:
    plot.set_curves([])
    assert plot.isHidden()
    single = VolumeCurve(structure="LV", phases=(3,), volumes=(80.0,), ed=None, es=None)
    plot.set_curves([single])
    assert plot.isHidden()
    plot.set_curves([curve()])
    assert not plot.isHidden()


def test_the_plot_fits_a_narrow_dock(plot: VolumePlot) -> None:
    assert plot.minimumSizeHint().width() <= 330


@pytest.fixture
def box(qtbot: Any) -> PhaseBox:
    made = PhaseBox()
    qtbot.addWidget(made)
    made.set_phases([1, 2, 4])
    return made


@pytest.fixture
def chosen_phases(box: PhaseBox) -> list[int | None]:
    phases: list[int | None] = []
    box.chosen.connect(lambda: phases.append(box.phase))
    return phases


def test_phases_are_offered_without_choice(box: PhaseBox) -> None:
    assert [box.itemText(index) for index in range(box.count())] == ["1", "2", "4"]
    assert box.phase is None


def test_only_the_user_emits_a_signal(box: PhaseBox, chosen_phases: Any) -> None:
    box.set_phase(4)
    assert (box.phase, chosen_phases) == (4, [])
    box.setCurrentIndex(1)
    assert chosen_phases == [2]


def test_a_phase_that_is_not_offered_is_none(box: PhaseBox) -> None:
    box.set_phase(3)
    assert box.phase is None
    box.set_phase(None)
    assert box.phase is None


def test_the_same_phases_again_keep_the_choice(box: PhaseBox, chosen_phases: Any) -> None:
    box.set_phase(2)
    box.set_phases([1, 2, 4])
    assert box.phase == 2
    box.set_phases([1, 2])
    assert box.phase is None
    assert chosen_phases == []
