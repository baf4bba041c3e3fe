"""Long axes and valve planes in the window: line, finding, key, strip and numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt

from napari_bayes_nnunet.app.review.findings import describe_finding
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.app.review.valve_points import points_on
from napari_bayes_nnunet.core.heart.long_axis import slice_numbers
from napari_bayes_nnunet.core.types import Place
from napari_bayes_nnunet.io.study.long_axes import write_long_axes
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.layers.review_layers import find_layer
from napari_bayes_nnunet.widgets.reading.numbers import BESIDE, INTERVAL, VALUE
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

from ...helpers.data.cines import ED, ES, LV
from ...helpers.data.valves import long_axis, mark
from ...helpers.windows.canvas_mouse import CanvasMouse
from ...helpers.windows.settling import settle

ROW = 18
"""Row of the short axis in which the long axis lies."""


@pytest.fixture(scope="module")
def shared_study(shared_study: Path) -> Path:
    """Return a study with a long axis."""
    write_long_axes(shared_study, [long_axis(ReviewSession(read_study(shared_study)))])
    return shared_study


def test_switch_of_the_valve_plane_is_saved_and_ends_the_papillary_one(review) -> None:
    form, session = review.forms.numbers, review.session
    for phase, z in ((ED, -0.2), (ES, 0.4)):
        mark(session, phase, z)
    form.as_muscle.click()
    form.by_valve.click()
    review.settle()
    assert not form.as_muscle.isChecked()
    value = review.forms.key_numbers.table.texts("LV EF")
    assert float(value[BESIDE]) > float(value[VALUE]) + 1  # without the atrium at ES
    assert value[INTERVAL] == ""
    review.controller.saver.save_now()
    kept = read_study(review.session.study.folder).review
    assert (kept.by_valve_plane, kept.papillary_as_muscle) == (True, False)
    assert kept.hinges == session.state.hinges


def test_key_removes_what_lies_in_the_atrium(review) -> None:
    form, button = review.forms.corrections, review.forms.corrections.buttons["valve plane"]
    review.controller.choose_structure("LV")
    review.controller.picture.show_slice((ES, 0))
    review.settle()
    assert not button.isEnabled()
    mark(review.session, ES, 0.4)
    review.controller.refresh_queue()
    review.settle()
    assert review.forms.finding.text() == str(
        describe_finding(review.session, review.session.findings()[0])
    )
    assert button.isEnabled()
    assert form.strip.presence.beyond[0] > 0.5
    review.controller.act("valve plane")
    review.settle()
    assert not (review.now((ES, 0)) == LV).any()
    assert review.forms.finding.text() == ""
    assert not button.isEnabled()


class Bench:
    """Study with a long axis in a real window, which shows this long axis at ES."""

    def __init__(self, dock: ReviewWidget, qtbot: Any) -> None:
        self.dock, self.qtbot = dock, qtbot
        qtbot.keyClick(dock.forms.second.choice, Qt.Key.Key_End)
        self.go_to((ES, 0))

    @property
    def session(self) -> ReviewSession:
        return self.dock.controller.session

    def go_to(self, place: Place) -> None:
        self.dock.controller.picture.show_slice(place)
        settle(self.qtbot, self.dock)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag with the mouse from a pixel (y, x) of the long axis to another one."""
        handles, lie = self.dock.forms.valves, self.dock.forms.long_axis.lie()
        first, last = (lie.map(QPointF(x, y)).toPoint() for y, x in (start, end))
        self.qtbot.mousePress(handles, Qt.MouseButton.LeftButton, pos=first)
        self.qtbot.mouseMove(handles, last)
        self.qtbot.mouseRelease(handles, Qt.MouseButton.LeftButton, pos=last)
        settle(self.qtbot, self.dock)


@pytest.fixture
def bench(opened_dock: ReviewWidget, qtbot: Any) -> Bench:
    return Bench(opened_dock, qtbot)


def test_a_long_axis_next_to_the_slices(window: Any, opened_dock: ReviewWidget, qtbot: Any) -> None:
    controller, second = opened_dock.controller, opened_dock.forms.second
    image, view = controller.picture.image, second.long_axis

    def line() -> Any:
        return find_layer(window, image, "long axis")

    assert line() is None or not line().visible
    assert second.other.isVisible()
    qtbot.keyClick(second.choice, Qt.Key.Key_End)
    assert view.isVisible()
    assert view.place == controller.view.place
    phase, z = controller.view.place
    start, direction = line().data[0]
    np.testing.assert_allclose(start, [phase - 1, z, ROW, start[-1]], atol=1e-6)
    np.testing.assert_allclose(np.abs(direction[-1]), image.data.shape[-1])
    numbers = slice_numbers(view.plane.affine, controller.session.study.info.geometry.affine)
    for chosen in (0, 2, 1):
        row = (chosen - numbers[2]) / numbers[0]
        at = view.lie().map(QPointF(20, row)).toPoint()
        qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=at)
        qtbot.waitUntil(lambda chosen=chosen: controller.view.place == (phase, chosen))
        qtbot.waitUntil(lambda: view.place == controller.view.place)
        assert line().data[0][0][1] == chosen
    qtbot.keyClick(CanvasMouse(window, qtbot).canvas, Qt.Key.Key_L)
    qtbot.waitUntil(lambda: view.place[0] != phase)  # the cine plays there, too
    controller.player.stop()
    settle(qtbot, opened_dock)
    assert view.place == (phase, 1)
    opened_dock.phases_button.click()
    assert not line().visible
    opened_dock.phases_button.click()
    assert line().visible


def test_dragged_points_make_the_slice_a_finding_and_undo_takes_them_back(bench) -> None:
    mitral, _ = points_on(bench.session, ES, bench.dock.forms.second.plane)
    for start in mitral.pixels.tolist():  # two slices towards the apex, each 8 px
        bench.drag(start, (start[0] + 6, start[1]))
    key = (ES, "mitral", "4CH")
    assert bench.session.state.hinges.keys() == {key}
    moved, _ = points_on(bench.session, ES, bench.dock.forms.second.plane)
    # The mouse stops at whole pixels of the window.
    assert moved.pixels == pytest.approx(mitral.pixels + np.array([6, 0]), abs=0.6)
    assert bench.dock.forms.finding.text() == str(
        describe_finding(bench.session, bench.session.findings()[0])
    )
    bench.dock.controller.saver.save_now()
    assert read_study(bench.session.study.folder).review.hinges == bench.session.state.hinges
    for _ in mitral.pixels:
        bench.dock.controller.act("undo")
        settle(bench.qtbot, bench.dock)
    assert bench.session.state.hinges == {}
    assert bench.dock.forms.finding.text() == ""
    shown = bench.dock.forms.valves._points[0]
    assert not shown.is_marked
    assert shown.pixels == pytest.approx(mitral.pixels)


def test_click_beside_the_points_still_goes_to_a_slice(bench) -> None:
    bench.drag((34, 55), (34, 55))  # slice 3 is in row 10 + 3 * 8
    assert bench.dock.controller.view.place == (ES, 3)
    assert bench.session.state.hinges == {}
