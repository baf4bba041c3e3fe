"""The plot of a schedule."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import qtpy
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor, QPalette, QWheelEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_bayes_nnunet.core.ensemble.schedule import MemberSelection, RestartSchedule
from napari_bayes_nnunet.widgets.training.schedule_plot import SchedulePlot, make_schedule_curve

from .test_watch_form import numbers

PAPER = RestartSchedule()
SMALL = RestartSchedule(epochs=30, gamma=0.5)
FEW = MemberSelection(per_cycle=2, step=2)


@pytest.fixture
def plot(qtbot: Any) -> SchedulePlot:
    made = SchedulePlot()
    qtbot.addWidget(made)
    made.resize(340, made.height())
    return made


def points(item: Any) -> list[int]:
    return [int(x) for x in item.getData()[0]]


def test_curve_has_the_rates_of_the_schedule() -> None:
    curve = make_schedule_curve(PAPER, MemberSelection())
    assert curve.rates.tolist() == [PAPER.learning_rate(t) for t in range(1200)]
    assert curve.members.size == 90
    assert curve.members[-1] == 1199
    assert curve.borders.tolist() == [400, 800]
    assert curve.restarts.tolist() == [0, 400, 800]
    assert curve.is_cut
    assert curve.top == pytest.approx(1.25 * 0.01, rel=0.01)


@pytest.mark.parametrize(
    "schedule",
    [
        RestartSchedule(epochs=30, restart_lr=0.011),
        RestartSchedule(epochs=3),
        RestartSchedule(epochs=1, cycles=1, restart_first_cycle=False),
    ],
    ids=["low restarts", "only restarts", "one epoch"],
)
def test_low_restarts_are_shown_whole(schedule: RestartSchedule) -> None:
    curve = make_schedule_curve(schedule, FEW)
    assert not curve.is_cut
    assert curve.top > curve.rates.max()


def test_done_epochs_are_solid_with_filled_members(plot: SchedulePlot) -> None:
    plot.set_schedule(RestartSchedule(epochs=30, restart_lr=0.011), FEW)
    assert points(plot._cut) == []
    assert not plot._restart.isVisible()
    plot.set_schedule(SMALL, FEW)
    assert points(plot._cut) == [0, 10, 20]
    assert plot._restart.isVisible()
    assert plot._restart.toPlainText() == "0.1"
    epochs, rates = plot._hollow.getData()
    assert epochs.tolist() == [7, 9, 17, 19, 27, 29]
    assert rates.tolist() == [SMALL.learning_rate(int(t)) for t in epochs]
    assert points(plot._filled) == []
    plot.show()
    assert plot._planned.opts["pen"].style() == Qt.PenStyle.SolidLine
    plot.set_done(18)
    assert plot._planned.opts["pen"].style() == Qt.PenStyle.DashLine
    assert points(plot._past) == list(range(18))
    assert points(plot._planned) == list(range(17, 30))
    assert points(plot._filled) == [7, 9, 17]
    assert points(plot._hollow) == [19, 27, 29]
    plot.set_done(18, kept=[7, 17])
    assert points(plot._filled) == [7, 17]
    assert plot.reading(7).endswith(", member")
    assert "member" not in plot.reading(9)
    plot.set_done(99)
    assert points(plot._past) == list(range(30))


def test_invalid_schedule_greys_the_last_curve(plot: SchedulePlot) -> None:
    plot.set_schedule(None)
    assert plot.curve is None
    plot.set_schedule(SMALL, FEW)
    assert plot._past.opacity() == 1
    plot.set_schedule(None)
    assert plot._past.opacity() < 1
    assert plot.curve is not None
    plot.set_schedule(PAPER, MemberSelection())
    assert plot._past.opacity() == 1


@pytest.mark.parametrize(
    "schedule",
    [
        *(RestartSchedule(initial_lr=r, restart_lr=r, epochs=30) for r in (1e-300, 1e300)),
        RestartSchedule(epochs=20_000, cycles=1),
    ],
)
def test_extreme_schedules_can_be_drawn(plot: SchedulePlot, schedule: RestartSchedule) -> None:
    plot.set_schedule(schedule, FEW)
    assert plot.curve is not None
    assert plot.curve.rates.size == schedule.epochs
    plot.grab()


def test_mouse_over_epoch_shows_reading(plot: SchedulePlot, monkeypatch: Any, qtbot: Any) -> None:
    shown: list[str] = []
    monkeypatch.setattr(
        "napari_bayes_nnunet.widgets.common.plotting.QToolTip.showText",
        lambda _point, text, _widget: shown.append(text),
    )
    plot.set_schedule(PAPER, MemberSelection())
    plot.show()
    qtbot.waitExposed(plot)
    QApplication.processEvents()
    box = plot.getViewBox()
    point = plot.mapFromScene(box.mapViewToScene(QPointF(399, 0.005)))
    assert plot.epoch_at(point.x(), point.y()) == pytest.approx(399, abs=3)
    qtbot.mouseMove(plot.viewport(), point)
    qtbot.waitUntil(lambda: any(text.startswith("Epoch ") for text in shown))
    assert plot.epoch_at(1, 1) is None


def test_reading_has_rate_restart_and_member(plot: SchedulePlot) -> None:
    assert plot.reading(0) == ""
    plot.set_schedule(PAPER, MemberSelection())
    parts = [plot.reading(epoch).split(", ") for epoch in (0, 100, 399)]
    assert [numbers(first) for first, *_ in parts] == [[0, 0.1], [100, 0.00925], [399, 0.00756]]
    assert [others for _, *others in parts] == [["restart"], [], ["member"]]
    assert plot.reading(-1) == plot.reading(1200) == ""


def test_wheel_and_dragging_do_not_move_the_plot(plot: SchedulePlot, qtbot: Any) -> None:
    plot.set_schedule(PAPER, MemberSelection())
    plot.show()
    QApplication.processEvents()
    before = np.array(plot.viewRange())
    for name in ("left", "bottom"):
        axis = plot.getAxis(name).sceneBoundingRect().center()
        assert not turn(plot.viewport(), plot.mapFromScene(axis))
    assert not turn(plot.viewport())
    middle = plot.viewport().rect().center()
    qtbot.mousePress(plot.viewport(), Qt.MouseButton.LeftButton, pos=middle)
    qtbot.mouseMove(plot.viewport(), middle + QPoint(60, 20))
    qtbot.mouseRelease(plot.viewport(), Qt.MouseButton.LeftButton, pos=middle + QPoint(60, 20))
    qtbot.mouseClick(plot.viewport(), Qt.MouseButton.RightButton, pos=middle)
    assert np.array_equal(plot.viewRange(), before)


def turn(widget: QWidget, point: QPoint | None = None) -> bool:
    """Turn the wheel over a widget, one notch down, and return whether it accepts that."""
    point = widget.rect().center() if point is None else point
    event = QWheelEvent(
        QPointF(point),
        QPointF(widget.mapToGlobal(point)),
        QPoint(0, 0),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    event.ignore()
    QApplication.sendEvent(widget, event)
    return bool(event.isAccepted())


def test_plot_has_the_colours_of_the_theme(plot: SchedulePlot) -> None:
    plot.set_schedule(SMALL, FEW)
    plot.show()
    for color in ("#f0f1f2", "#3b3a39"):
        palette = plot.palette()
        palette.setColor(QPalette.ColorRole.WindowText, QColor(color))
        plot.setPalette(palette)
        assert plot._past.opts["pen"].color().name() == color
        assert plot.getAxis("left").textPen().color().name() == color


def test_environment_does_not_change_the_qt() -> None:
    script = (
        "import os\n"
        "from napari_bayes_nnunet.widgets.common.plotting import pg\n"
        "import qtpy\n"
        "assert pg.Qt.QT_LIB == qtpy.API_NAME, pg.Qt.QT_LIB\n"
        "assert os.environ['PYQTGRAPH_QT_LIB'] == 'PySide2'\n"
    )
    environment = os.environ | {"PYQTGRAPH_QT_LIB": "PySide2", "QT_API": qtpy.API}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_plot_background_follows_the_theme(plot: SchedulePlot) -> None:
    plot.set_schedule(PAPER, MemberSelection())
    plot.show()
    for background, foreground in (("#101010", "#f0f0f0"), ("#f0f0f0", "#101010")):
        plot.setStyleSheet(f"QWidget {{ background: {background}; color: {foreground}; }}")
        QApplication.processEvents()
        assert plot.grab().toImage().pixelColor(2, 2).name() == background
