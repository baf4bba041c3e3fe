"""Insertions of the RV, dragged in a real window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.review.walls import measure_walls
from napari_bayes_nnunet.core.types import Place
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.editing.insertion_points import NAMES
from napari_bayes_nnunet.widgets.layers.review_layers import find_layer
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.review.forms import WALL

from ...helpers.data.cines import ED
from ...helpers.windows.canvas_mouse import CanvasMouse
from ...helpers.windows.settling import settle

CONTROL = Qt.KeyboardModifier.ControlModifier
MIDDLE = (ED, 1)


class Bench:
    """Study in a real window, with the section of the wall open and a slice on screen."""

    def __init__(self, viewer: Any, dock: ReviewWidget, qtbot: Any) -> None:
        self.viewer, self.dock, self.qtbot = viewer, dock, qtbot
        self.mouse = CanvasMouse(viewer, qtbot)
        dock.forms.sections[WALL].expand()
        self.go_to(MIDDLE)

    @property
    def session(self) -> Any:
        return self.dock.controller.session

    @property
    def layer(self) -> Any:
        return find_layer(self.viewer, self.dock.controller.picture.image, "insertions")

    def go_to(self, place: Place) -> None:
        self.dock.controller.picture.show_slice(place)
        settle(self.qtbot, self.dock)

    def points(self) -> np.ndarray:
        """Return the points (t, z, y, x) on screen, the anterior one first."""
        assert self.layer.visible
        assert [*self.layer.text.values] == [*NAMES]
        return np.array(self.layer.data)

    def drag(self, number: int, by: tuple[float, float]) -> None:
        start = self.points()[number]
        ends = (start, np.add(start, (0, 0, *by)))
        self.mouse.drag(*(self.mouse.place_of(self.layer, end) for end in ends))
        settle(self.qtbot, self.dock)

    def press(self, key: Any, keys: Any) -> None:
        self.qtbot.keyClick(self.mouse.canvas, key, keys)
        settle(self.qtbot, self.dock)


@pytest.fixture
def bench(window: Any, opened_dock: ReviewWidget, qtbot: Any) -> Bench:
    return Bench(window, opened_dock, qtbot)


def test_found_points_are_shown_with_the_wall(bench: Bench) -> None:
    found = bench.session.wall_in(MIDDLE).insertions
    assert bench.points().tolist() == [
        [ED - 1, 1, *found.anterior],
        [ED - 1, 1, *found.inferior],
    ]
    assert found.anterior[0] < found.inferior[0]  # higher on the screen
    bench.dock.forms.corrections.buttons["scribble"].click()
    bench.drag(0, (2, 3))  # other tools keep the mouse
    assert bench.session.state.insertions == {}
    bench.dock.forms.sections[WALL].collapse()
    assert not bench.layer.visible


def test_dragged_point_turns_the_segments_of_its_slice(bench: Bench) -> None:
    labels, camera = bench.session.labels.copy(), bench.viewer.scene.camera.center
    before, found = measure_walls(bench.session).numbers, bench.points()
    other = bench.session.wall_in((ED, 2)).insertions
    bench.drag(0, (5, 8))
    moved = bench.session.state.insertions
    assert list(moved) == [MIDDLE]
    assert moved[MIDDLE].anterior == pytest.approx(found[0, 2:] + (5, 8), abs=0.3)
    assert moved[MIDDLE].inferior == tuple(found[1, 2:])
    assert bench.session.wall_in((ED, 2)).insertions == other
    after = measure_walls(bench.session).numbers
    changed = {name for name in after if after[name].value != before[name].value}
    assert changed
    assert all(7 <= int(name.split()[1]) <= 12 and "ES" not in name for name in changed)
    assert np.array_equal(bench.session.labels, labels)
    assert bench.viewer.scene.camera.center == camera


def test_drags_are_undone_one_by_one_and_kept(bench: Bench) -> None:
    found = bench.points()
    bench.drag(0, (2, 3))
    once = bench.points()
    bench.drag(0, (2, 3))
    twice = bench.points()
    bench.press(Qt.Key.Key_Z, CONTROL)
    assert bench.points() == pytest.approx(once)
    bench.press(Qt.Key.Key_Z, CONTROL)
    assert bench.points() == pytest.approx(found)
    assert bench.session.state.insertions == {}
    bench.press(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    bench.press(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    assert bench.points() == pytest.approx(twice)
    bench.dock.controller.saver.save_now()
    kept = read_study(bench.session.study.folder)
    assert kept.review.insertions[MIDDLE].anterior == tuple(twice[0, 2:])
    assert (
        ReviewSession(kept).wall_in(MIDDLE).insertions == bench.session.wall_in(MIDDLE).insertions
    )
