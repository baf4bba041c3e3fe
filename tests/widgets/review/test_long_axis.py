"""Long axis of a study in a real window, with mouse and keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QPointF, Qt

from napari_bayes_nnunet.core.heart.long_axis import LongAxis, slice_numbers
from napari_bayes_nnunet.io.study.info import read_study_info
from napari_bayes_nnunet.io.study.long_axes import write_long_axes
from napari_bayes_nnunet.widgets.layers.review_layers import find_layer
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

from ...helpers.data.cines import make_cine
from ...helpers.windows.canvas_mouse import CanvasMouse
from ...helpers.windows.settling import settle

ROW = 15
"""Row of the short axis in which the long axis lies."""
IN_STACK = np.array([[1, 0, 0, 0], [0, 0, 1, ROW], [0, 0.25, 0, -1], [0, 0, 0, 1.0]])
"""From the long axis to voxels (x, y, z) of the short axis: four pixels for each slice."""


def make_study(folder: Path) -> Path:
    make_cine(folder)
    affine = read_study_info(folder).geometry.affine
    voxels = np.random.default_rng(1).integers(0, 400, (10, 40, 48), dtype=np.int16)
    plane = LongAxis(kind="4CH", voxels=voxels, affine=affine @ IN_STACK)
    write_long_axes(folder, [plane])
    return folder


def test_a_long_axis_next_to_the_slices(
    window: Any, window_dock: ReviewWidget, tmp_path: Path, qtbot: Any
) -> None:
    dock = window_dock
    dock.open(make_study(tmp_path / "heart"))
    qtbot.waitUntil(lambda: dock.controller is not None and not dock.is_opening)
    settle(qtbot, dock)
    controller, second = dock.controller, dock.forms.second
    assert controller is not None
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
    settle(qtbot, dock)
    assert view.place == (phase, 1)
    dock.phases_button.click()
    assert not line().visible
    dock.phases_button.click()
    assert line().visible
    dock.close_study()
    assert "long axis" not in {layer.name for layer in window.layers}
    assert line() is None
