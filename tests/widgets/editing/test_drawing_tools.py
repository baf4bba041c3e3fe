"""Strokes with the mouse in a real window: buttons, keys, camera and cleaning up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.widgets.editing.drawing_tools import CURSOR, OUTSIDE, ScribbleTool
from napari_bayes_nnunet.widgets.layers.line_layer import line_color
from napari_bayes_nnunet.widgets.layers.metadata import bayes_metadata
from napari_bayes_nnunet.widgets.layers.review_layers import edited_layer, put_on_top
from napari_bayes_nnunet.widgets.layers.viewing import show_in_reading_orientation
from napari_bayes_nnunet.widgets.layers.window_level import WindowLevel

from ...helpers.data.cines import STRUCTURES
from ...helpers.windows.canvas_mouse import LEFT, RIGHT, CanvasMouse
from ..conftest import CINE, image_layer

COLOR = "#56B4E9"
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
STROKE = ((8, 5), (8, 12))


class Bench:
    """Test bench with the tool in a shown viewer, and what it emitted."""

    def __init__(self, viewer: Any, folder: Any, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.image = viewer.add_layer(image_layer(folder, CINE))
        show_in_reading_orientation(viewer, self.image)
        self.edited = edited_layer(self.image, np.zeros(CINE.shape, np.uint8), STRUCTURES, CINE)
        put_on_top(viewer, self.edited, active=True)
        viewer.dims.set_point([0, 1], [46 * 2, 8 * 2])
        self.tool = ScribbleTool(viewer, self.image, self.edited)
        self.tool.set_color(COLOR)
        self.drawn: list[tuple[np.ndarray, bool]] = []
        self.active: list[bool] = []
        self.tool.drawn.connect(lambda mask, inside: self.drawn.append((mask, inside)))
        self.tool.active_changed.connect(self.active.append)
        self.mouse = CanvasMouse(viewer, qtbot)
        self.mouse.settle()

    def at(self, voxel: Any) -> tuple[float, float]:
        return self.mouse.place_of(self.image, (2, 2, *voxel))

    def stroke(self, button: Any = LEFT, **keys: Any) -> None:
        self.mouse.drag(*map(self.at, STROKE), button, **keys)

    @property
    def layer(self) -> Any:
        """The layer of the stroke, or None."""
        found = [la for la in self.viewer.layers if bayes_metadata(la).get("role") == "stroke"]
        return found[0] if found else None


@pytest.fixture
def bench(empty_window, tmp_path, qtbot) -> Any:
    made = Bench(empty_window, tmp_path, qtbot)
    yield made
    made.tool.close()


def test_buttons_draw_inside_and_outside(bench) -> None:
    camera = bench.viewer.scene.camera
    before = camera.zoom, camera.center
    bench.stroke()
    assert bench.drawn == []  # the tool is off: the image was moved
    camera.zoom, camera.center = before
    bench.tool.start()
    assert bench.edited.cursor == CURSOR
    bench.stroke()
    bench.stroke(RIGHT)
    bench.stroke(keys=CONTROL)
    assert [inside for _, inside in bench.drawn] == [True, False, False]
    wanted = np.zeros(CINE.shape[-2:], bool)
    wanted[8, 5:13] = True
    for mask, _ in bench.drawn:
        np.testing.assert_array_equal(mask, wanted)
    bench.mouse.settle()
    assert (camera.zoom, camera.center) == before
    assert camera.mouse_pan
    bench.stroke(keys=SHIFT)
    assert len(bench.drawn) == 3


def test_a_stroke_is_shown_while_it_is_drawn(bench) -> None:
    bench.tool.start()
    for button, color in ((LEFT, COLOR), (RIGHT, OUTSIDE)):
        start, end = map(bench.at, STROKE)
        bench.mouse.press(start, button)
        bench.mouse.move(np.add(start, np.subtract(end, start) / 2), button)
        bench.mouse.move(end, button)
        assert bench.layer.visible
        np.testing.assert_allclose(bench.layer.edge_color, [line_color(color)] * 2, atol=1e-6)
        assert bench.viewer.layers.selection.active is bench.edited
        bench.mouse.release(end, button)
        assert not bench.layer.visible
    bench.viewer.layers.remove(bench.layer)  # by the user
    bench.stroke()
    assert len(bench.drawn) == 3


def test_clicks_are_strokes_and_do_not_zoom(bench) -> None:
    camera = bench.viewer.scene.camera
    before = camera.zoom, camera.center
    bench.tool.start()
    bench.mouse.double_click(bench.at((8, 5)))
    bench.mouse.settle()
    assert (camera.zoom, camera.center) == before
    assert [np.argwhere(mask).tolist() for mask, _ in bench.drawn[:1]] == [[[8, 5]]]
    bench.mouse.click(bench.at((-30, 5)))
    assert not bench.drawn[-1][0].any()


def test_tool_ends_by_escape_and_by_other_tools(bench) -> None:
    bench.tool.start()
    bench.tool.start()
    assert bench.active == [True]
    bench.qtbot.keyClick(bench.mouse.canvas, Qt.Key.Key_Escape)
    assert (bench.active, bench.edited.cursor) == ([True, False], "standard")
    assert not [key for key in bench.edited.keymap if str(key) == "Escape"]
    bench.tool.start()
    bench.edited.mode = "paint"
    assert bench.active == [True, False, True, False]
    assert bench.edited.mode == "paint"
    bench.tool.start()
    assert bench.edited.mode == "pan_zoom"
    other = bench.viewer.add_layer(
        edited_layer(bench.image, bench.edited.data + 0, STRUCTURES, CINE)
    )
    other.mode = "paint"
    bench.stroke()
    assert bench.drawn == []  # the brush of another layer paints
    assert other.data.any()


def test_a_stroke_is_discarded_if_it_is_interrupted(bench) -> None:
    bench.tool.start()
    start, end = map(bench.at, STROKE)
    bench.mouse.press(start)
    bench.mouse.move(end)
    bench.qtbot.keyClick(bench.mouse.canvas, Qt.Key.Key_Escape)
    bench.mouse.release(end)
    bench.tool.start()
    bench.mouse.press(start)
    bench.mouse.move(end)
    bench.viewer.dims.set_point([0, 1], [46 * 2, 8])
    bench.mouse.release(end)
    assert bench.drawn == []
    assert bench.viewer.scene.camera.mouse_pan


def test_the_window_is_set_with_shift_meanwhile(bench) -> None:
    control = WindowLevel(bench.viewer, bench.image)
    control.needs_shift = True
    bench.tool.start()
    before = bench.image.contrast_limits
    bench.stroke(RIGHT)
    assert bench.image.contrast_limits == before
    bench.stroke(RIGHT, keys=SHIFT)
    assert bench.image.contrast_limits != before
    assert len(bench.drawn) == 1
    control.close()


def test_closing_leaves_nothing_behind(bench) -> None:
    callbacks = len(bench.viewer.mouse_drag_callbacks)
    bench.tool.start()
    bench.stroke()
    bench.tool.close()
    assert bench.layer is None
    assert len(bench.viewer.mouse_drag_callbacks) == callbacks - 1
    bench.tool = ScribbleTool(bench.viewer, bench.image, bench.edited)
