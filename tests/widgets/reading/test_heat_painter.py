"""What stands around the cells of a heat grid."""

from __future__ import annotations

import math
from typing import Any

import pytest
from qtpy.QtCore import QRect
from qtpy.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter

from napari_bayes_nnunet.widgets.reading.heat_painter import (
    Frame,
    HeatPainter,
    arranged,
    height_of,
    small_font,
)
from napari_bayes_nnunet.widgets.reading.heat_scale import HeatScale

CINE = Frame(phases=tuple(range(1, 26)))
GROUND = QColor("#262930")


@pytest.fixture
def metrics(qapp: Any) -> QFontMetrics:
    return QFontMetrics(QFont())


def drawn(frame: Frame, slices: int, room: QRect, metrics: QFontMetrics) -> bool:
    """Whether the frame of a grid draws anything in a part of the widget."""
    plan = arranged(frame, slices, width=340, metrics=metrics)
    picture = QImage(340, height_of(plan, metrics), QImage.Format.Format_RGB32)
    picture.fill(GROUND)
    painter = QPainter(picture)
    painter.setFont(QFont())
    HeatPainter(painter, plan, frame, HeatScale(1, ""), QColor("white")).draw_frame()
    painter.end()
    part = picture.copy(room)
    places = ((x, y) for x in range(part.width()) for y in range(part.height()))
    return any(part.pixelColor(x, y) != GROUND for x, y in places)


def test_there_is_room_for_numbers_and_a_legend(metrics: QFontMetrics) -> None:
    plan = arranged(CINE, 12, width=340, metrics=metrics)
    assert plan.left >= metrics.horizontalAdvance("12")
    assert plan.top >= 2 * metrics.height()
    assert plan.area.right() < 340
    assert height_of(plan, metrics) >= plan.area.bottom() + 2 * metrics.height()


def test_a_volume_needs_no_line_of_phases(metrics: QFontMetrics) -> None:
    volume = arranged(Frame(phases=(None,)), 12, width=340, metrics=metrics)
    assert volume.top < arranged(CINE, 12, width=340, metrics=metrics).top
    assert not Frame(phases=(None,)).has_phases


def test_base_and_apex_are_named_where_they_are_known(metrics: QFontMetrics) -> None:
    known = Frame(phases=CINE.phases, base_first=True)
    plan = arranged(known, 12, width=340, metrics=metrics)
    below = QRect(0, plan.area.bottom() + 2, plan.left, metrics.height())
    assert drawn(known, 12, below, metrics)
    assert not drawn(CINE, 12, below, metrics)


def test_ed_and_es_stand_above_even_where_they_are_neighbours(metrics: QFontMetrics) -> None:
    plan = arranged(CINE, 12, width=340, metrics=metrics)
    line = QRect(0, 0, 340, plan.top - metrics.height() - 2)
    assert not drawn(CINE, 12, line, metrics)
    frame = Frame(phases=CINE.phases, landmarks={"ED": 1, "ES": 2})
    beyond = line.adjusted(plan.left + metrics.horizontalAdvance("ED"), 0, 0, 0)
    assert drawn(frame, 12, beyond, metrics)
    elsewhere = Frame(phases=CINE.phases, landmarks={"ED": 40})
    assert not drawn(elsewhere, 12, line, metrics)


def test_letters_are_a_little_smaller_than_in_the_dock(qapp: Any) -> None:
    points, pixels = QFont(), QFont()
    points.setPointSizeF(10)
    pixels.setPixelSize(20)
    assert small_font(points).pointSizeF() == pytest.approx(8.5)
    assert small_font(pixels).pixelSize() == 17


def test_what_is_not_known_is_hatched(metrics: QFontMetrics) -> None:
    plan = arranged(CINE, 12, width=340, metrics=metrics)
    picture = QImage(40, 40, QImage.Format.Format_RGB32)
    picture.fill(GROUND)
    painter = QPainter(picture)
    drawing = HeatPainter(painter, plan, CINE, HeatScale(1, ""), QColor("white"))
    drawing.draw_cell(QRect(0, 0, 40, 40), math.nan, {"reviewed"})
    painter.end()
    colors = {picture.pixelColor(x, 20).name() for x in range(38)}
    assert GROUND.name() in colors
    assert len(colors) > 1
