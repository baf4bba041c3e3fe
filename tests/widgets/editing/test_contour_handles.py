"""Handles of a contour, moved with mouse, keys and method calls."""

from __future__ import annotations

from time import thread_time
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLineEdit

from napari_bayes_nnunet.core.editing.closed_curve import BentCurve
from napari_bayes_nnunet.widgets.editing.contour_handles import ContourHandles
from napari_bayes_nnunet.widgets.layers.metadata import bayes_metadata
from napari_bayes_nnunet.widgets.layers.viewing import show_in_reading_orientation
from napari_bayes_nnunet.widgets.layers.window_level import WindowLevel

from ...helpers.data.slices import smooth_curve
from ...helpers.windows.canvas_mouse import RIGHT, CanvasMouse
from ...helpers.windows.handles import move_handle
from ...helpers.windows.settling import settle
from ..conftest import CINE, VOLUME, image_layer

RING = np.array([[4.0, 10], [6, 14], [10, 14], [12, 10], [10, 6], [6, 6]])
PLACE = (3, 2)
COLOR = "#F0E442"
YELLOW = [0xF0 / 255, 0xE4 / 255, 0x42 / 255, 1]


class Told:
    """Record of the signals of the handles."""

    def __init__(self, handles: ContourHandles) -> None:
        self.applied: list[np.ndarray] = []
        self.cancelled = 0
        handles.applied.connect(self.applied.append)
        handles.cancelled.connect(self._count)

    def _count(self) -> None:
        self.cancelled += 1


def bent(handles: np.ndarray) -> BentCurve:
    """Return a smooth curve through these handles."""
    base = smooth_curve(handles)
    at = np.linalg.norm(handles[:, None] - base, axis=-1).argmin(axis=1)
    return BentCurve(base, at, handles)


def begin(viewer: Any, image: Image, place: Any = PLACE) -> tuple[ContourHandles, Told]:
    handles = ContourHandles(PublicOnlyProxy(viewer), image)
    handles._later.setInterval(20)
    handles.start(bent(RING), place=place, color=COLOR)
    return handles, Told(handles)


def seen(viewer: Any) -> list[Any]:
    return [layer for layer in viewer.layers if layer.visible]


def layer_of(viewer: Any, role: str) -> Any:
    (layer,) = [layer for layer in viewer.layers if bayes_metadata(layer).get("role") == role]
    return layer


@pytest.fixture
def image(viewer, image) -> Image:
    show_in_reading_orientation(viewer, image)
    viewer.dims.set_point([0, 1], [46 * 2, 8 * 2])
    return image


def test_handles_and_curve_are_shown_in_their_slice(viewer, image) -> None:
    handles, _ = begin(viewer, image)
    points, curve = layer_of(viewer, "contour handles"), layer_of(viewer, "contour")
    np.testing.assert_array_equal(points.data[:, 2:], RING)
    np.testing.assert_allclose(curve.data[:, 0, 2:], handles.curve)
    for layer in (points, curve):
        assert (np.reshape(layer.data, (-1, 4))[::2, :2] == (2, 2)).all()
        assert layer.scale == pytest.approx(image.scale)
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
        assert bayes_metadata(layer)["image"] == image.unique_id
    assert curve.edge_color[0] == pytest.approx(YELLOW)
    assert len(points._view_data) == 6
    viewer.dims.set_point(1, 0)
    assert len(points._view_data) == len(curve._view_data) == 0
    assert viewer.layers.selection.active is points


def test_a_volume_has_contours_too(viewer, tmp_path) -> None:
    image = viewer.add_layer(image_layer(tmp_path, VOLUME))
    handles, _ = begin(viewer, image, place=(None, 1))
    assert (layer_of(viewer, "contour handles").data[:, 0] == 1).all()
    assert handles.place == (None, 1)


def test_handles_are_moved_added_removed_and_undone(viewer, image) -> None:
    handles, _ = begin(viewer, image)
    move_handle(handles, 0, (3, 11))
    assert handles.handles[0].tolist() == [3, 11]
    handles.add_handle((11, 13))
    assert len(handles.handles) == 7
    handles.remove_handle(1)
    assert len(handles.handles) == 6
    points, curve = layer_of(viewer, "contour handles"), layer_of(viewer, "contour")
    np.testing.assert_array_equal(points.data[:, 2:], handles.handles)
    np.testing.assert_allclose(curve.data[:, 0, 2:], handles.curve)
    for count in (7, 6, 6, 6):
        handles.undo()
        assert len(handles.handles) == count
    np.testing.assert_array_equal(handles.handles, RING)
    np.testing.assert_array_equal(points.data[:, 2:], RING)


def test_three_handles_stay(viewer, image) -> None:
    handles, _ = begin(viewer, image)
    for _ in range(9):
        handles.remove_handle(0)
    assert len(handles.handles) == 3


def test_applying_gives_the_curve_and_leaves_nothing(qtbot, viewer, image) -> None:
    edited = viewer.add_labels(np.zeros(CINE.shape, np.uint8), scale=image.scale)
    edited.mode = "paint"
    layers = [*viewer.layers]
    handles, told = begin(viewer, image)
    move_handle(handles, 0, (3, 11))
    curve = handles.curve
    handles.apply()
    (given,) = told.applied
    np.testing.assert_array_equal(given, curve)
    assert np.linalg.norm(given - (3, 11), axis=1).min() == pytest.approx(0)
    assert seen(viewer) == layers
    assert viewer.layers.selection.active is edited
    assert edited.mode == "paint"
    assert not handles.is_active
    assert told.cancelled == 0
    handles.apply()
    handles.cancel()
    handles.undo()
    handles.add_handle((1, 1))
    handles.remove_handle(0)
    assert len(told.applied) == 1
    assert told.cancelled == 0
    qtbot.waitUntil(lambda: [*viewer.layers] == layers)
    assert viewer.layers.selection.active is edited


def test_cancelling_leaves_nothing(qtbot, viewer, image) -> None:
    viewer.layers.selection.clear()
    handles, told = begin(viewer, image)
    handles.cancel()
    assert told.cancelled == 1
    assert seen(viewer) == [image]
    assert viewer.layers.selection.active is None
    assert told.applied == []
    qtbot.waitUntil(lambda: [*viewer.layers] == [image])
    assert viewer.layers.selection.active is None


def test_the_next_contour_reuses_hidden_layers(qtbot, viewer, image) -> None:
    handles, _ = begin(viewer, image)
    before = [*viewer.layers]
    move_handle(handles, 0, (3, 11))
    handles.apply()
    handles.start(bent(RING[:4] + 1), place=(1, 0), color="red")
    settle(qtbot, handles)
    assert [*viewer.layers] == before == seen(viewer)
    points, curve = layer_of(viewer, "contour handles"), layer_of(viewer, "contour")
    np.testing.assert_array_equal(points.data, np.insert(RING[:4] + 1, [0, 0], 0, axis=1))
    np.testing.assert_allclose(curve.data[:, 0, 2:], handles.curve)
    assert curve.edge_color[0] == pytest.approx([1, 0, 0, 1])
    assert len({*map(tuple, points.face_color)}) == 1
    assert viewer.layers.selection.active is points
    handles.close()
    assert [*viewer.layers] == [image]


def test_hidden_layers_are_removed_together(viewer, image) -> None:
    handles, told = begin(viewer, image)
    points = layer_of(viewer, "contour handles")
    handles.cancel()
    points.add([2, 2, 3, 3])
    viewer.layers.remove(points)
    assert [*viewer.layers] == [image]
    assert told.cancelled == 1
    handles.start(bent(RING), place=PLACE, color=COLOR)
    assert len(viewer.layers) == 3


@pytest.mark.parametrize("role", ["contour handles", "contour", "image"])
def test_removing_a_layer_cancels(viewer, image, role) -> None:
    handles, told = begin(viewer, image)
    viewer.layers.remove(image if role == "image" else layer_of(viewer, role))
    assert told.cancelled == 1
    assert not handles.is_active
    assert [*viewer.layers] == ([] if role == "image" else [image])


def test_the_layer_that_was_active_may_be_gone(viewer, image) -> None:
    edited = viewer.add_labels(np.zeros(CINE.shape, np.uint8))
    handles, _ = begin(viewer, image)
    viewer.layers.remove(edited)
    handles.cancel()
    assert seen(viewer) == [image]


def test_another_contour_cancels_the_previous_one(viewer, image) -> None:
    handles, told = begin(viewer, image)
    handles.start(bent(RING + 1), place=(1, 0), color="red")
    assert told.cancelled == 1
    assert len(viewer.layers) == 3
    np.testing.assert_array_equal(handles.handles, RING + 1)


def test_closing_cancels(viewer, image) -> None:
    handles, told = begin(viewer, image)
    handles.close()
    assert told.cancelled == 1
    assert [*viewer.layers] == [image]


def test_mouse_callbacks_are_removed_at_the_end(viewer, image) -> None:
    before = list(viewer.mouse_double_click_callbacks), list(viewer.mouse_drag_callbacks)
    handles, _ = begin(viewer, image)
    handles.cancel()
    assert before == (viewer.mouse_double_click_callbacks, viewer.mouse_drag_callbacks)


def test_changes_by_naparis_tools_are_followed(viewer, image) -> None:
    handles, _ = begin(viewer, image)
    points = layer_of(viewer, "contour handles")
    points.add([2, 2, 11.5, 13])
    assert handles.handles[3].tolist() == [11.5, 13]
    np.testing.assert_array_equal(points.data[:, 2:], handles.handles)
    points.selected_data = {3}
    points.remove_selected()
    np.testing.assert_array_equal(handles.handles, RING)
    points.data = np.hstack([np.full((6, 2), 2), RING + 0.5])
    np.testing.assert_array_equal(handles.handles, RING + 0.5)
    points.selected_data = {0, 1, 2, 3}
    points.remove_selected()
    assert len(handles.handles) == 6
    assert len(points.data) == 6
    handles.undo()


@pytest.fixture
def shown_cine(empty_window, tmp_path) -> Any:
    layer = empty_window.add_layer(image_layer(tmp_path, CINE))
    show_in_reading_orientation(empty_window, layer)
    empty_window.dims.set_point([0, 1], [46 * 2, 8 * 2])
    return empty_window


@pytest.fixture
def mouse(shown_cine, qtbot) -> CanvasMouse:
    made = CanvasMouse(shown_cine, qtbot)
    made.settle()
    return made


@pytest.mark.parametrize("transposed", [False, True])
def test_a_handle_is_dragged_and_the_curve_follows(shown_cine, mouse, transposed) -> None:
    image = shown_cine.layers[0]
    if transposed:
        shown_cine.dims.order = (0, 1, 3, 2)
        shown_cine.reset_view()
    handles, _ = begin(shown_cine, image)
    curve = layer_of(shown_cine, "contour")
    camera = shown_cine.scene.camera
    before = (camera.zoom, camera.center)
    start, end = (mouse.place_of(image, (2, 2, *place)) for place in (RING[1], (3, 15)))
    mouse.press(start)
    mouse.move(np.add(start, np.subtract(end, start) / 2))
    np.testing.assert_allclose(curve.data[:, 0, 2:], handles.curve)
    assert handles.handles[1] == pytest.approx((4.5, 14.5), abs=0.1)
    mouse.move(end)
    mouse.release(end)
    assert handles.handles[1] == pytest.approx((3, 15), abs=0.1)
    np.testing.assert_array_equal(np.delete(handles.handles, 1, 0), np.delete(RING, 1, 0))
    assert (camera.zoom, camera.center) == before
    assert camera.mouse_pan
    handles.undo()
    np.testing.assert_array_equal(handles.handles, RING)
    handles.close()


def test_a_drag_without_a_release_is_kept(shown_cine, mouse) -> None:
    image = shown_cine.layers[0]
    handles, _ = begin(shown_cine, image)
    start = mouse.place_of(image, (2, 2, *RING[1]))
    mouse.press(start)
    assert not handles.is_moved
    mouse.move(np.add(start, (10, 10)))
    assert handles.is_moved
    handles.undo()
    np.testing.assert_array_equal(handles.handles, RING)
    mouse.move(np.add(start, (20, 20)))
    assert handles.is_moved
    mouse.move(start)
    mouse.release(start)
    np.testing.assert_allclose(handles.handles, RING)
    handles.close()


def enter_and_escape(shown_cine, mouse, qtbot, monkeypatch, handles, told) -> None:
    """Check that both keys end the contour, unless they are typed into a field."""
    field = QLineEdit()
    monkeypatch.setattr(QApplication, "focusWidget", staticmethod(lambda: field))
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Return)
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Escape)
    assert handles.is_active
    monkeypatch.undo()
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Return)
    assert len(told.applied) == 1
    handles.start(bent(RING), place=PLACE, color=COLOR)
    shown_cine.layers.selection.active = layer_of(shown_cine, "contour")
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Escape)
    assert told.cancelled == 1


def test_gestures_and_keys(shown_cine, mouse, qtbot, monkeypatch) -> None:
    image = shown_cine.layers[0]
    windowing = WindowLevel(shown_cine, image)
    limits = image.contrast_limits
    handles, told = begin(shown_cine, image)
    camera = shown_cine.scene.camera
    before = (camera.zoom, camera.center)

    def at(place: Any) -> tuple[float, float]:
        return mouse.place_of(image, (2, 2, *place))

    # A click moves nothing and adds no undo step.
    mouse.click(at(RING[0]))
    np.testing.assert_array_equal(handles.handles, RING)
    # A double click on the curve adds a handle there; on a handle it does nothing.
    on_curve = smooth_curve(RING)[17]
    mouse.double_click(at(on_curve))
    assert len(handles.handles) == 7
    assert handles.handles[1] == pytest.approx(on_curve, abs=0.2)
    mouse.double_click(at(RING[3]))
    assert len(handles.handles) == 7
    mouse.settle()
    assert camera.zoom == pytest.approx(before[0])
    assert camera.center == pytest.approx(before[1])
    # A right click removes; a right drag from a handle changes the shown_cine level.
    mouse.click(at(on_curve), RIGHT)
    np.testing.assert_array_equal(handles.handles, RING)
    mouse.drag(at(RING[0]), np.add(at(RING[0]), (80, 0)), RIGHT)
    assert len(handles.handles) == 6
    assert image.contrast_limits != limits
    # Delete removes the handle clicked or moved last, once.
    mouse.click(at(RING[0]))
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Delete)
    assert len(handles.handles) == 5
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Delete)
    assert len(handles.handles) == 5
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(handles.handles, RING)
    mouse.drag(at(RING[2]), at((11, 15)))
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Backspace)
    assert len(handles.handles) == 5
    # Next to the contour, and in another slice, the camera is dragged.
    mouse.drag(at((1, 1)), np.add(at((1, 1)), (20, 0)))
    mouse.settle()
    assert camera.center != before[1]
    shown_cine.dims.set_point(1, 0)
    mouse.drag(at(RING[0]), at((1, 1)))
    mouse.double_click(at(on_curve))
    assert len(handles.handles) == 5
    enter_and_escape(shown_cine, mouse, qtbot, monkeypatch, handles, told)
    windowing.close()
    handles.close()


def test_escape_in_the_middle_of_a_drag(shown_cine, mouse, qtbot) -> None:
    image = shown_cine.layers[0]
    handles, told = begin(shown_cine, image)
    start = mouse.place_of(image, (2, 2, *RING[0]))
    mouse.press(start)
    mouse.move(np.add(start, (10, 10)))
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Escape)
    mouse.move(np.add(start, (20, 20)))
    mouse.release(np.add(start, (20, 20)))
    assert told.cancelled == 1
    assert seen(shown_cine) == [image]
    assert shown_cine.scene.camera.mouse_pan
    # Deleting one layer removes the other, in a real shown_cine too.
    handles.start(bent(RING), place=PLACE, color=COLOR)
    shown_cine.layers.remove(layer_of(shown_cine, "contour"))
    assert told.cancelled == 2
    assert [*shown_cine.layers] == [image]
    mouse.settle()
    handles.start(bent(RING), place=PLACE, color=COLOR)
    shown_cine.layers.clear()
    assert told.cancelled == 3
    mouse.settle()
    handles.close()


def test_a_move_is_drawn_at_once(viewer, image) -> None:
    """Check the time of one move: under 20 ms; the limit leaves room for a slow machine."""
    handles, _ = begin(viewer, image)
    move_handle(handles, 0, (3, 10))
    times = []
    for step in range(20):
        start = thread_time()
        move_handle(handles, 0, (3, 10 + step / 10))
        times.append(thread_time() - start)
    assert np.median(times) < 0.1
