"""Long axis next to the slices: it lies in the patient as the slices do, in step with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QColor

from napari_bayes_nnunet.core.heart.long_axis import LongAxis
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.reading.second_view import (
    LINE_COLOR,
    LongAxisView,
    SecondView,
    ShortAxisStack,
)

ACROSS = np.array([[2.0, 0, 0, -90], [0, 0, 6, 12], [0, -2, 0, 100], [0, 0, 0, 1.0]])
"""Coronal plane with 2 mm pixels, its first row at S = 100 mm, its columns to the right."""
SLICES = np.array([[1.5, 0, 0, -75], [0, 1.5, 0, -60], [0, 0, 8, 20], [0, 0, 0, 1.0]])
HEART = np.array([[-40.0, 0, 20], [40, 0, 60]])
STACK = ShortAxisStack(affine=SLICES, slices=6, phases=20, heart=HEART)


def made_plane(kind: Any = "4CH") -> LongAxis:
    """Return 10 phases, dark at first and bright in the last."""
    voxels = np.tile(np.arange(10, dtype=np.int16)[:, None, None] * 100, (1, 60, 90))
    return LongAxis(kind=kind, voxels=voxels, affine=ACROSS)


@pytest.fixture
def view(qtbot: Any) -> LongAxisView:
    made = LongAxisView()
    qtbot.addWidget(made)
    made.resize(300, 300)
    made.set_plane(made_plane(), STACK)
    made.show_slice((1, 2), "4CH, slice 3, ED")
    made.show()
    return made


def row_of(view: LongAxisView, z: int) -> QPoint:
    """Return the middle of the line of a slice: pixel row 40 is slice 0, 8 mm are 4 rows."""
    return view.lie().map(QPointF(45, 40 - 4 * z)).toPoint()


def test_left_is_right_and_the_heart_is_seen(view: LongAxisView) -> None:
    to_patients_left, down = (view.lie().map(QPointF(x, y)) for x, y in ((30, 40), (31, 41)))
    assert down.x() < to_patients_left.x()  # the columns run to the right of the patient
    assert down.y() > to_patients_left.y()
    inside = view.rect()
    for place in HEART:
        y, x = made_plane().from_patient(place)
        assert inside.contains(view.lie().map(QPointF(x, y)).toPoint())


def test_a_click_asks_for_the_nearest_slice(view: LongAxisView, qtbot: Any) -> None:
    chosen: list[int] = []
    view.slice_chosen.connect(chosen.append)
    for z in range(6):
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=row_of(view, z))
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(150, 299))  # below the stack
    assert chosen == [0, 1, 2, 3, 4, 5, 0]


def test_the_slice_on_screen_is_bold(view: LongAxisView) -> None:
    def colored(z: int) -> int:
        picture, at = view.grab().toImage(), row_of(view, z)
        column = (picture.pixelColor(at.x(), at.y() + dy) for dy in range(-4, 5))
        return sum(color.red() - color.green() for color in column)

    assert QColor(LINE_COLOR).red() > QColor(LINE_COLOR).green()
    assert colored(2) > 2 * colored(1) > 0
    view.show_slice((1, 1), "4CH, slice 2, ED")
    assert colored(1) > 2 * colored(2) > 0


def test_the_cine_is_in_step_with_the_phase(view: LongAxisView) -> None:
    def grey(phase: int) -> int:
        view.show_slice((phase, 2), "")
        at = view.lie().map(QPointF(45, 34)).toPoint()
        return int(view.grab().toImage().pixelColor(at).green())

    # 20 phases of the short axis are 10 of the long axis.
    assert [grey(phase) for phase in (1, 2, 11, 19)] == [0, 0, 141, 255]


def test_the_choice_is_kept_for_the_next_study(qtbot: Any, settings: Settings) -> None:
    second = SecondView(settings)
    qtbot.addWidget(second)
    second.show()
    second.set_long_axes((), STACK, has_other=True)
    assert second.choice.isHidden()
    assert second.plane is None
    second.set_long_axes([made_plane("2CH"), made_plane()], STACK, has_other=True)
    assert second.other.isVisible()
    with qtbot.waitSignal(second.chosen):
        qtbot.keyClick(second.choice, Qt.Key.Key_End)
    assert second.plane is not None
    assert second.plane.kind == "4CH"
    assert second.long_axis.isVisible()
    again = SecondView(settings)
    qtbot.addWidget(again)
    again.show()
    again.set_long_axes([made_plane()], STACK, has_other=False)
    assert again.plane is not None
    again.set_long_axes([made_plane("RVOT")], STACK, has_other=True)
    assert again.plane is None
    again.set_long_axes([made_plane("RVOT")], STACK, has_other=False)
    assert again.plane is not None
    again.hide()
    assert again.plane is None
