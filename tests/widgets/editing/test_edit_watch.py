"""Watch on the edited labels: every change is reported once."""

from __future__ import annotations

from time import thread_time
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_bayes_nnunet.widgets.editing.edit_watch import EditWatch, SliceChange
from napari_bayes_nnunet.widgets.layers.review_layers import edited_layer, put_on_top, set_slices

from ...helpers.windows.canvas_mouse import LEFT, NO_BUTTON, RIGHT, CanvasMouse
from ...helpers.windows.settling import settle
from ..conftest import CINE, VOLUME, image_layer


class Told:
    """Record of the reports of a watch."""

    def __init__(self, watch: EditWatch) -> None:
        self.all: list[tuple[list[SliceChange], bool]] = []
        watch.changed.connect(lambda changes, painted: self.all.append((changes, painted)))

    def take(self) -> tuple[list[SliceChange], bool]:
        """Return the only report since the last call."""
        (told,) = self.all
        self.all.clear()
        return told


@pytest.fixture
def layer(viewer, image) -> Labels:
    made = edited_layer(image, np.zeros(CINE.shape, np.uint8), {"MYO": 2, "LV": 3}, CINE)
    put_on_top(viewer, made, active=True)
    viewer.dims.set_point([0, 1], [46, 24])
    return made


@pytest.fixture
def watch(viewer, layer) -> EditWatch:
    made = EditWatch(viewer, layer, everywhere)
    yield made
    made.close()


@pytest.fixture
def told(watch) -> Told:
    return Told(watch)


def square(label: int = 3) -> np.ndarray:
    labels = np.zeros(CINE.shape[-2:], np.uint8)
    labels[4:8, 5:9] = label
    return labels


def test_set_undo_and_redo_are_reported(layer, told) -> None:
    set_slices(layer, {(2, 3): square()})
    changes, painted = told.take()
    (change,) = changes
    assert not painted
    assert change.place == (2, 3)
    assert len(change.rows) == 16
    assert (square()[change.rows, change.columns] == 3).all()
    assert set(change.before) == {0}
    assert set(change.after) == {3}
    layer.undo()
    ((change,), painted) = told.take()
    assert (change.place, painted) == ((2, 3), False)
    assert set(change.before) == {3}
    layer.redo()
    ((change,), _) = told.take()
    assert set(change.after) == {3}


def test_undo_in_a_hidden_slice_is_reported(viewer, layer, told) -> None:
    set_slices(layer, {(2, 3): square()})
    told.take()
    viewer.dims.set_point([0, 1], [0, 0])
    assert told.all == []
    layer.undo()
    ((change,), _) = told.take()
    assert change.place == (2, 3)


def test_naparis_tools_are_reported_at_their_end(qtbot, layer, told) -> None:
    layer.selected_label = 3
    layer.paint((1, 3, 8, 10), 3)
    assert told.all == []
    qtbot.waitUntil(lambda: bool(told.all))
    ((change,), painted) = told.take()
    assert painted
    assert change.place == (2, 3)
    count = len(change.rows)
    layer.fill((1, 3, 0, 0), 2)
    qtbot.waitUntil(lambda: bool(told.all))
    ((change,), painted) = told.take()
    assert painted
    assert len(change.rows) == 16 * 20 - count
    layer.paint_polygon([[1, 3, 0, 0], [1, 3, 0, 5], [1, 3, 5, 5]], 0)
    qtbot.waitUntil(lambda: bool(told.all))
    ((change,), painted) = told.take()
    assert painted
    assert set(change.after) == {0}
    layer.undo()
    ((change,), painted) = told.take()
    assert not painted
    assert set(change.before) == {0}


def test_several_slices_are_reported_together(qtbot, layer, told) -> None:
    layer.n_edit_dimensions = 3
    layer.brush_size = 16
    layer.paint((1, 2, 8, 10), 3)
    qtbot.waitUntil(lambda: bool(told.all))
    changes, _ = told.take()
    assert [change.place for change in changes] == [(2, 1), (2, 2), (2, 3)]


def test_moving_through_slices_reports_nothing(qtbot, viewer, layer, told) -> None:
    for phase in range(5):
        viewer.dims.set_point(0, 46 * phase)
    layer.contour = 0
    layer.refresh()
    settle(qtbot)
    assert told.all == []


def test_a_changed_array_is_found_by_check(layer, watch, told) -> None:
    layer.data[0, 0, 5, 5] = 2
    watch.check()
    ((change,), painted) = told.take()
    assert (change.place, painted) == ((1, 0), False)
    watch.check()
    assert told.all == []


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_a_foreign_array_is_copied_into_ours(layer, told, kind) -> None:
    saved = layer.data
    new = saved.astype(kind)  # like napari's menu
    new[3, 1] = square()
    layer.data = new
    ((change,), _) = told.take()
    assert change.place == (4, 1)
    assert layer.data is saved
    assert np.array_equal(saved[3, 1], square())
    set_slices(layer, {(1, 0): square()})
    assert told.take()[0][0].place == (1, 0)
    assert np.array_equal(saved[0, 0], square())


def test_an_array_of_another_grid_is_rejected(layer, told) -> None:
    saved = layer.data
    layer.data = np.zeros((2, 4, 16, 20), np.uint8)
    assert layer.data is saved
    assert told.all == []


def test_pending_changes_are_reported_with_a_stroke(layer, watch, told) -> None:
    layer.data[0, 0] = square()
    assert told.all == []
    watch.end_stroke()
    assert told.take()[0][0].place == (1, 0)
    layer.paint((1, 3, 8, 6), 3)
    watch.end_stroke()
    assert told.take()[1]


def test_changes_of_a_volume_are_reported(qapp, tmp_path) -> None:
    viewer = ViewerModel()
    image = viewer.add_layer(image_layer(tmp_path, VOLUME))
    layer = edited_layer(image, np.zeros(VOLUME.shape, np.uint8), {"LV": 3}, VOLUME)
    put_on_top(viewer, layer)
    watch = EditWatch(viewer, layer, everywhere)
    told = Told(watch)
    set_slices(layer, {(None, 2): square()})
    ((change,), _) = told.take()
    assert change.place == (None, 2)
    watch.close()
    layer.undo()
    assert told.all == []


def everywhere(change: SliceChange) -> Any:
    return np.ones(len(change.rows), np.bool_)


def only_right(change: SliceChange) -> Any:
    return change.columns >= 10


def test_painting_is_limited_and_stays_one_step(qtbot, layer, watch, told) -> None:
    set_slices(layer, {(2, 3): square(2)})
    told.take()
    watch.limit = only_right
    layer.brush_size = 6
    with layer.block_history():
        for column in range(6, 14):
            layer.paint((1, 3, 8, column), 3)
    qtbot.waitUntil(lambda: bool(told.all))
    ((change,), painted) = told.take()
    assert painted
    assert (change.columns >= 10).all()
    _, columns = np.nonzero(layer.data[1, 3] == 3)
    assert columns.min() == 10
    assert len(change.rows) == len(columns)
    painted_labels = layer.data.copy()
    layer.undo()
    assert (layer.data[1, 3] == square(2)).all()
    ((change,), _) = told.take()
    assert len(change.rows) == len(columns)
    layer.redo()
    assert (layer.data == painted_labels).all()
    layer.undo()
    layer.undo()
    assert not layer.data.any()


def test_painting_within_the_limit_is_kept(qtbot, layer, watch, told) -> None:
    watch.limit = only_right
    layer.paint((1, 3, 8, 14), 3)
    qtbot.waitUntil(lambda: bool(told.all))
    told.take()
    layer.undo()
    assert not layer.data.any()


def test_painting_outside_the_limit_changes_nothing(qtbot, layer, watch, told) -> None:
    watch.limit = only_right
    layer.brush_size = 3
    layer.paint((1, 3, 8, 3), 3)
    layer.paint((1, 3, 8, 6), 3)
    settle(qtbot)
    assert told.all == []
    assert not layer.data.any()
    layer.undo()
    assert not layer.data.any()
    layer.redo()
    assert not layer.data.any()


def begin_stroke(layer: Labels) -> None:
    """Paint the LV in slice (2, 3) as after a right click: without an end, and no button held."""
    layer.mode = "paint"
    layer._begin_stroke()
    layer._overlays["brush_stroke"].active = True
    layer.paint((1, 3, 8, 6), 3)


def is_painting(layer: Labels) -> bool:
    return bool(layer._overlays["brush_stroke"].active or layer._block_history)


def test_a_stroke_ends_with_its_slice(viewer, layer, watch, told) -> None:
    watch.limit = lambda change: change.rows >= 8
    begin_stroke(layer)
    layer.refresh()
    assert told.all == []
    viewer.dims.set_point(0, 0)
    ((change,), painted) = told.take()
    assert painted
    assert change.place == (2, 3)
    assert change.rows.min() == 8
    assert not is_painting(layer)


def test_a_polygon_ends_with_its_slice(viewer, layer, watch) -> None:
    layer.mode = "polygon"
    layer._overlays["polygon"].points = [[1, 3, 2.5, 2.5], [1, 3, 2.5, 9.5]]
    viewer.dims.set_point(1, 0)
    assert layer._overlays["polygon"].points == []


def test_what_is_drawn_now_is_taken_back(layer, watch, told) -> None:
    assert not watch.take_back()
    set_slices(layer, {(2, 0): square()})
    told.take()
    begin_stroke(layer)
    assert watch.take_back()
    assert not layer.data[1, 3].any()
    assert not is_painting(layer)
    assert told.all == []
    polygon = layer._overlays["polygon"]
    polygon.points = corners = [[1, 3, 2.5, 2.5], [1, 3, 2.5, 9.5], [1, 3, 9.0, 9.0]]
    assert not watch.take_back()  # the polygon is not being drawn
    layer.mode = "polygon"
    assert watch.take_back()
    assert polygon.points == [corners[0], corners[2]]
    assert watch.take_back()
    assert polygon.points == []
    assert not watch.take_back()
    assert np.array_equal(layer.data[1, 0], square())


@pytest.fixture
def brush(empty_window, tmp_path) -> tuple[Any, Labels]:
    """A real window, and its labels to paint on."""
    viewer = empty_window
    image = viewer.add_layer(image_layer(tmp_path, CINE))
    layer = edited_layer(image, np.zeros(CINE.shape, np.uint8), {"LV": 3}, CINE)
    put_on_top(viewer, layer, active=True)
    layer.mode = "paint"
    layer.brush_size = 3
    return viewer, layer


def test_the_mouse_paints_in_one_slice_only(qtbot, brush) -> None:
    viewer, layer = brush
    watch = EditWatch(viewer, layer, everywhere)
    mouse = CanvasMouse(viewer, qtbot)
    for phase, button in enumerate((LEFT, RIGHT)):
        viewer.dims.set_point([0, 1], layer.data_to_world((phase, 0, 0, 0))[:2])
        start, middle, end = (mouse.place_of(layer, (phase, 0, 8, x)) for x in (5, 10, 15))
        if button == LEFT:
            mouse.press(start)
        else:  # napari's brush encircles an area without a button held
            mouse.click(start, RIGHT)
        held = button if button == LEFT else NO_BUTTON
        mouse.move(middle, held)
        assert layer.data[phase, 0].any()
        viewer.dims.set_point([0, 1], layer.data_to_world((phase + 2, 2, 0, 0))[:2])
        mouse.move(end, held)
        mouse.release(end, held)
        painted = {(int(t), int(z)) for t, z in np.argwhere(layer.data.any(axis=(2, 3)))}
        assert painted == {(number, 0) for number in range(phase + 1)}
    watch.close()


def test_a_mouse_stroke_is_reported_and_limited(qtbot, brush) -> None:
    viewer, layer = brush
    watch = EditWatch(viewer, layer, only_right)
    told = Told(watch)
    mouse = CanvasMouse(viewer, qtbot)
    mouse.settle()
    before = viewer.dims.point
    phase, z = (int(i) for i in np.round(layer.world_to_data(before))[:2])
    start, end = (mouse.place_of(layer, (phase, z, 8, column)) for column in (5, 15))
    mouse.press(start)
    mouse.move(np.add(start, np.subtract(end, start) / 2))
    assert told.all == []
    mouse.move(end)
    mouse.release(end)
    qtbot.waitUntil(lambda: bool(told.all))
    ((change,), painted) = told.take()
    assert painted
    assert change.place == (phase + 1, z)
    _, columns = np.nonzero(layer.data[phase, z])
    assert (columns.min(), columns.max()) == (10, 16)
    layer.undo()
    assert not layer.data.any()
    watch.close()


def test_a_whole_cine_is_compared_quickly(qapp) -> None:
    """Check the time of one comparison: about 1 ms; the limit allows for a slow machine."""
    viewer = ViewerModel()
    layer = viewer.add_labels(np.zeros((25, 12, 256, 256), np.uint8))
    watch = EditWatch(viewer, layer, everywhere)
    start = thread_time()
    for _ in range(5):
        watch.check()
    assert (thread_time() - start) / 5 < 0.05
    watch.close()


def test_foreign_labels_that_do_not_fit_are_rejected(watch, layer) -> None:
    before = layer.data.copy()
    foreign = before.astype(np.int64)
    foreign[0, 0, 0, :2] = -1, 259
    layer.data = foreign
    watch.check()
    assert np.array_equal(layer.data, before)
