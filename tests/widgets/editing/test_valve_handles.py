"""Points of the valves, dragged over a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPixmap, QTransform
from qtpy.QtWidgets import QWidget

from napari_bayes_nnunet.app.review.valve_points import ValvePoints
from napari_bayes_nnunet.core.heart.structures import CARDIAC
from napari_bayes_nnunet.widgets.editing.valve_handles import ValveHandles

LIE = QTransform(4, 0, 0, 4, 20, 10)
"""Pixel (y, x) lies at px (4 x + 20, 4 y + 10)."""
MITRAL = ValvePoints(
    key=(1, "mitral", "4CH"), pixels=np.array([[10.0, 5.0], [12.0, 30.0]]), is_marked=False
)
TRICUSPID = ValvePoints(
    key=(1, "tricuspid", "4CH"), pixels=np.array([[30.0, 5.0], [32.0, 30.0]]), is_marked=True
)


class Picture(QWidget):
    """Picture that counts the clicks that it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.clicks = 0

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.clicks += 1


@pytest.fixture
def picture(qtbot: Any) -> Picture:
    made = Picture()
    qtbot.addWidget(made)
    made.handles = ValveHandles(made, lambda: LIE)
    made.handles.set_points([MITRAL, TRICUSPID])
    made.resize(200, 160)
    made.show()
    qtbot.waitExposed(made)
    return made


def place(y: float, x: float) -> QPoint:
    return QPoint(round(4 * x + 20), round(4 * y + 10))


def drag(qtbot: Any, picture: Picture, start: QPoint, end: QPoint) -> None:
    qtbot.mousePress(picture.handles, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(picture.handles, end)
    qtbot.mouseRelease(picture.handles, Qt.MouseButton.LeftButton, pos=end)


def test_drag_moves_one_point_of_one_valve(picture, qtbot) -> None:
    with qtbot.waitSignal(picture.handles.moved) as told:
        drag(qtbot, picture, place(12, 30), place(15, 33))
    key, pixels = told.args
    assert key == MITRAL.key
    assert pixels == pytest.approx(np.array([[10, 5], [15, 33]]))
    assert MITRAL.pixels[1].tolist() == [12, 30]
    assert picture.clicks == 0


def test_click_beside_the_points_is_the_pictures(picture, qtbot) -> None:
    with qtbot.assertNotEmitted(picture.handles.moved):
        drag(qtbot, picture, place(20, 20), place(22, 22))
        drag(qtbot, picture, place(12, 30), place(12, 30))  # a click on a point moves nothing
    assert picture.clicks == 1


def test_locked_points_stay(picture, qtbot) -> None:
    picture.handles.is_locked = True
    with qtbot.assertNotEmitted(picture.handles.moved):
        drag(qtbot, picture, place(12, 30), place(15, 33))
    assert picture.clicks == 1


def test_marked_points_are_full_and_others_hollow(picture) -> None:
    pixmap = QPixmap(picture.size())
    picture.render(pixmap)
    image = pixmap.toImage()
    names = [image.pixelColor(place(*valve.pixels[0])).name() for valve in (MITRAL, TRICUSPID)]
    assert names[1] == QColor(CARDIAC["RV"]).name()
    assert names[0] != QColor(CARDIAC["LV"]).name()


def test_points_follow_the_size_of_the_picture(picture, qtbot) -> None:
    picture.resize(300, 250)
    qtbot.waitUntil(lambda: picture.handles.size() == picture.size())
    picture.handles.set_points([])
    drag(qtbot, picture, place(12, 30), place(15, 33))
    assert picture.clicks == 1
