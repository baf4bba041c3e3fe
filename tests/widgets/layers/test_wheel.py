"""The wheel over the canvas during a review, with the events that a window system sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.widgets.layers.wheel import ReviewWheel

from ...helpers.windows.canvas_mouse import CanvasMouse

NO_KEY, SHIFT, CONTROL, ALT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
)
NOTCH = 120
AT = (150.0, 120.0)


class Turned:
    """A wheel that steps through a cine, and what it asked for."""

    def __init__(self, viewer: Any) -> None:
        self.steps: list[tuple[str, int]] = []
        self.wheel = ReviewWheel(
            viewer,
            lambda step: self.steps.append(("slice", step)),
            lambda step: self.steps.append(("phase", step)),
        )


@pytest.fixture
def viewer(empty_window: Any) -> Any:
    empty_window.add_image(np.zeros((3, 6, 32, 40), np.uint8), name="cine")
    return empty_window


@pytest.fixture
def turned(viewer: Any) -> Iterator[Turned]:
    made = Turned(viewer)
    yield made
    made.wheel.close()


def turn(viewer: Any, qtbot: Any, delta: int, keys: Any = NO_KEY) -> None:
    """Turn the wheel; a positive ``delta`` is away from the user."""
    canvas = CanvasMouse(viewer, qtbot).canvas
    at = QPointF(*AT)
    event = QWheelEvent(
        at, QPointF(canvas.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, delta),
        Qt.MouseButton.NoButton, keys, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(canvas, event)


def view(viewer: Any) -> tuple[float, tuple[float, ...], tuple[int, ...]]:
    camera = viewer.scene.camera
    return camera.zoom, tuple(camera.center), tuple(viewer.dims.current_step)


def test_the_wheel_shows_slices_and_with_shift_phases(viewer, turned, qtbot) -> None:
    before = view(viewer)
    turn(viewer, qtbot, -NOTCH)
    turn(viewer, qtbot, NOTCH)
    turn(viewer, qtbot, -NOTCH, SHIFT)
    assert turned.steps == [("slice", 1), ("slice", -1), ("phase", 1)]
    assert view(viewer) == before


def test_parts_of_a_notch_add_up(viewer, turned, qtbot) -> None:
    for _ in range(8):
        turn(viewer, qtbot, -NOTCH // 4)
    assert turned.steps == [("slice", 1)] * 2


def test_control_zooms_where_the_mouse_is(viewer, turned, qtbot) -> None:
    mouse = CanvasMouse(viewer, qtbot)
    zoom = viewer.scene.camera.zoom
    cine = viewer.layers["cine"]
    index = (0, 3, 8.0, 12.0)
    near = mouse.place_of(cine, index)
    turn(viewer, qtbot, 2 * NOTCH, CONTROL)
    assert viewer.scene.camera.zoom > 1.2 * zoom
    after = mouse.place_of(cine, index)
    grown = viewer.scene.camera.zoom / zoom
    assert np.subtract(after, AT) == pytest.approx(np.subtract(near, AT) * grown, abs=1.5)
    turn(viewer, qtbot, -2 * NOTCH, CONTROL)
    assert viewer.scene.camera.zoom == pytest.approx(zoom)
    assert turned.steps == []


def test_the_wheel_of_napari_is_an_option_and_comes_back(viewer, qtbot) -> None:
    before = list(viewer.mouse_wheel_callbacks)
    turned = Turned(viewer)
    taken: list[bool] = []
    viewer.mouse_wheel_callbacks.append(later := (lambda _, event: taken.append(event.handled)))
    turn(viewer, qtbot, NOTCH)
    turned.wheel.is_napari = True
    turn(viewer, qtbot, NOTCH)
    place = viewer.dims.current_step
    turn(viewer, qtbot, -NOTCH, CONTROL)
    assert viewer.dims.current_step != place
    turned.wheel.is_napari = False
    viewer.dims.ndisplay = 3
    turn(viewer, qtbot, NOTCH)
    assert taken == [True, False, False, False]  # napari zooms by what nobody has taken
    assert turned.steps == [("slice", -1)]
    turned.wheel.close()
    assert viewer.mouse_wheel_callbacks == [*before, later]
