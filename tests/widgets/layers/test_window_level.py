"""Tests of window and level by mouse."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Qt

from napari_bayes_nnunet.widgets.layers.window_level import (
    PIXELS,
    WindowLevel,
    automatic_limits,
    drag_limits,
)

from ...helpers.windows.canvas_mouse import NO_KEY, RIGHT, CanvasMouse
from ..conftest import image_layer

VOXELS = np.arange(4 * 16 * 20, dtype=np.int16).reshape(4, 16, 20)
SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


def width(layer: Image) -> float:
    return layer.contrast_limits[1] - layer.contrast_limits[0]


def level(layer: Image) -> float:
    return sum(layer.contrast_limits) / 2


def test_dragging_right_widens_and_down_raises() -> None:
    assert drag_limits((100, 300), (0, 600), PIXELS, 0) == (-200, 600)
    assert drag_limits((100, 300), (0, 600), 0, PIXELS / 10) == (160, 360)
    assert drag_limits((100, 300), (0, 600), 0, 0) == (100, 300)


def test_window_and_level_have_limits() -> None:
    low, high = drag_limits((100, 300), (0, 600), -1e6, 0)
    assert 0 < high - low < 3
    assert drag_limits((100, 300), (0, 600), 1e6, 0) == (200 - 2400, 200 + 2400)
    assert sum(drag_limits((100, 300), (0, 600), 0, 1e6)) / 2 == 900


def test_automatic_limits_leave_out_the_brightest_voxels() -> None:
    voxels = VOXELS.copy()
    voxels[0, 0, :3] = 30000
    low, high = automatic_limits(Image(voxels))
    assert low == 3
    assert 1200 < high < 1280
    assert automatic_limits(Image(np.zeros((4, 5, 6)))) == (0, 1)


def test_automatic_limits_read_one_lazy_phase() -> None:
    read: list[int] = []

    def phase(block: Any, block_info: Any = None) -> Any:
        if block_info:
            read.append(block_info[0]["chunk-location"][0])
        return block

    cine = da.from_array(np.ones((5, *VOXELS.shape)) * VOXELS, chunks=(1, *VOXELS.shape))
    layer = Image(cine.map_blocks(phase, dtype=float), contrast_limits=(0, 1), cache=False)
    read.clear()
    assert automatic_limits(layer)[0] == 0
    assert set(read) == {2}


def test_a_file_is_opened_with_the_automatic_limits(tmp_path) -> None:
    layer = image_layer(tmp_path)
    assert tuple(layer.contrast_limits) == automatic_limits(layer)


@pytest.fixture
def viewer(empty_window) -> Any:
    empty_window.add_image(VOXELS, name="image", contrast_limits=(100, 900))
    empty_window.add_labels(np.zeros(VOXELS.shape, np.uint8), name="edited")
    return empty_window


def test_dragging_changes_the_image_and_not_the_camera(viewer, qtbot) -> None:
    image, edited = viewer.layers["image"], viewer.layers["edited"]
    control = WindowLevel(viewer, image)
    mouse = CanvasMouse(viewer, qtbot)
    mouse.settle()
    camera = viewer.scene.camera
    before = (camera.zoom, camera.center)
    other = edited.data.copy()
    for active, mode, keys in (
        (None, "", NO_KEY),
        (image, "pan_zoom", NO_KEY),
        (edited, "pan_zoom", NO_KEY),
        (edited, "erase", NO_KEY),
        (edited, "fill", NO_KEY),
        (edited, "paint", SHIFT),
        (edited, "polygon", SHIFT),
    ):
        viewer.layers.selection.active = active
        if active is not None:
            active.mode = mode
        image.contrast_limits = (100, 900)
        pan, callbacks = camera.mouse_pan, active and list(active.mouse_drag_callbacks)
        mouse.drag((200, 200), (260, 200), RIGHT, keys)
        assert width(image) > 1000, mode
        assert level(image) == pytest.approx(500)
        mouse.drag((200, 200), (200, 150), RIGHT, keys)
        assert level(image) < 450
        mouse.settle()
        assert (camera.zoom, camera.center) == before
        assert camera.mouse_pan == pan
        assert active is None or active.mode == mode
        assert (active and list(active.mouse_drag_callbacks)) == callbacks
    assert (edited.data == other).all()
    control.close()


def test_the_first_movement_counts(viewer, qtbot) -> None:
    image = viewer.layers["image"]
    control = WindowLevel(viewer, image)
    mouse = CanvasMouse(viewer, qtbot)
    mouse.drag((200, 200), (260, 230), RIGHT, steps=1)
    low, high = automatic_limits(image)
    assert width(image) == pytest.approx(800 + 60 * (high - low) / PIXELS)
    assert level(image) == pytest.approx(500 + 30 * (high - low) / PIXELS)
    control.close()


def test_the_brush_keeps_its_right_button(viewer, qtbot) -> None:
    image, edited = viewer.layers["image"], viewer.layers["edited"]
    control = WindowLevel(viewer, image)
    mouse = CanvasMouse(viewer, qtbot)
    viewer.layers.selection.active = edited
    edited.mode = "paint"
    centre = mouse.place_of(edited, (0, 8, 10))
    mouse.drag(centre, np.add(centre, (30, 0)), RIGHT)
    assert image.contrast_limits == [100, 900]
    assert edited.data.any()
    edited.mode = "pan_zoom"
    control.close()


def test_a_click_or_another_gesture_changes_nothing(viewer, qtbot) -> None:
    image = viewer.layers["image"]
    viewer.layers.selection.active = image
    control = WindowLevel(viewer, image)
    mouse = CanvasMouse(viewer, qtbot)
    mouse.drag((200, 200), (202, 201), RIGHT)
    mouse.drag((200, 200), (260, 200))
    mouse.drag((200, 200), (260, 200), RIGHT, CONTROL)
    mouse.drag((200, 200), (260, 200), RIGHT, SHIFT)
    image.visible = False
    mouse.drag((200, 200), (260, 200), RIGHT)
    assert image.contrast_limits == [100, 900]
    control.close()


def test_a_double_click_with_the_right_button_resets(viewer, qtbot) -> None:
    image = viewer.layers["image"]
    slider = image.contrast_limits_range
    control = WindowLevel(viewer, image)
    mouse = CanvasMouse(viewer, qtbot)
    mouse.drag((200, 200), (400, 0), RIGHT)
    assert image.contrast_limits_range[0] < slider[0]
    mouse.settle()
    zoom, centre = viewer.scene.camera.zoom, viewer.scene.camera.center
    mouse.double_click((200, 200))
    assert image.contrast_limits[0] < 0
    assert viewer.scene.camera.zoom == pytest.approx(2 * zoom)
    viewer.scene.camera.zoom, viewer.scene.camera.center = zoom, centre
    mouse.double_click((200, 200), RIGHT)
    mouse.settle()
    assert viewer.scene.camera.zoom == pytest.approx(zoom)
    assert viewer.scene.camera.center == pytest.approx(centre)
    low, high = automatic_limits(image)
    assert image.contrast_limits == [low, high]
    assert image.contrast_limits_range == [low, high]
    control.close()


def test_closing_removes_the_mouse_callbacks(viewer, qtbot) -> None:
    before = (list(viewer.mouse_drag_callbacks), list(viewer.mouse_double_click_callbacks))
    image = viewer.layers["image"]
    control = WindowLevel(viewer, image)
    assert len(viewer.mouse_drag_callbacks) > len(before[0])
    control.close()
    assert (list(viewer.mouse_drag_callbacks), list(viewer.mouse_double_click_callbacks)) == before
    mouse = CanvasMouse(viewer, qtbot)
    mouse.settle()
    zoom = viewer.scene.camera.zoom
    mouse.drag((200, 200), (200, 150), RIGHT)
    mouse.settle()
    assert image.contrast_limits == [100, 900]
    assert viewer.scene.camera.zoom > zoom


def test_closing_after_removing_the_image_works() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(VOXELS)
    control = WindowLevel(viewer, image)
    viewer.layers.remove(image)
    control.close()
