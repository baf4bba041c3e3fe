"""Correction tools in a real window, with mouse and keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt

from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.layers.review_layers import find_layer
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

from ...helpers.data.cines import ED, RV, WORST, make_cine
from ...helpers.windows.canvas_mouse import CanvasMouse
from ...helpers.windows.settling import settle

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def test_mouse_and_keys_correct_and_undo(
    make_napari_viewer: Any, tmp_path: Path, settings: Settings, qtbot: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    dock = ReviewWidget(viewer, every_ms=1_000_000, settings=settings)
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    folder = make_cine(tmp_path / "heart")
    dock.open(folder)
    qtbot.waitUntil(lambda: dock.controller is not None and not dock.is_opening)
    settle(qtbot, dock)
    controller, form = dock.controller, dock.forms.corrections
    session, image = controller.session, controller.picture.image
    before = session.labels.copy()
    mouse = CanvasMouse(viewer, qtbot)

    def press(key: Any, keys: Any = Qt.KeyboardModifier.NoModifier) -> None:
        qtbot.keyClick(mouse.canvas, key, keys)

    # One of five models draws a stray piece of RV, which one stroke brings in.
    form.structures.chips["RV"].click()
    press(Qt.Key.Key_J)
    assert form.buttons["scribble"].isChecked()
    ends = (mouse.place_of(image, (ED - 1, WORST[1], y, 43)) for y in (31, 34))
    mouse.drag(*ends)
    stray = session.posterior_in(WORST).members[4][30:, 40:] == RV
    assert np.array_equal(session.labels_in(WORST)[30:, 40:] == RV, stray)
    press(Qt.Key.Key_Escape)
    assert not form.buttons["scribble"].isChecked()
    press(Qt.Key.Key_W, SHIFT)  # the base
    assert controller.picture.place == (ED, 0)
    assert not (session.labels_in((ED, 0)) == RV).any()
    assert not form.buttons["bring back"].isEnabled()
    press(Qt.Key.Key_R, SHIFT)  # the apex is at the last slice
    assert controller.picture.place == (ED, 0)
    form.brush.above.editor.check.native.click()
    press(Qt.Key.Key_P)
    assert find_layer(viewer, image, "brush region").visible
    press(Qt.Key.Key_Z)
    assert not find_layer(viewer, image, "brush region").visible
    settle(qtbot, dock)
    after = session.labels.copy()
    dock.close_study()
    assert np.array_equal(read_study(folder).edited, after)
    dock.open(folder)
    qtbot.waitUntil(lambda: dock.controller is not None and not dock.is_opening)
    assert np.array_equal(dock.controller.session.labels, after)
    assert (after != before).any(axis=(2, 3)).sum() == 2
    dock.close_study()
    settle(qtbot)


def test_key_brings_back_what_was_removed(
    make_napari_viewer: Any, tmp_path: Path, settings: Settings, qtbot: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    dock = ReviewWidget(viewer, every_ms=1_000_000, settings=settings)
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    dock.open(make_cine(tmp_path / "heart", removed=[2, 3]))
    qtbot.waitUntil(lambda: dock.controller is not None and not dock.is_opening)
    settle(qtbot, dock)
    session, button = dock.controller.session, dock.forms.corrections.buttons["bring back"]
    phase = dock.controller.picture.place[0]
    removed = session.removed_in(phase)
    assert button.isEnabled()
    qtbot.keyClick(CanvasMouse(viewer, qtbot).canvas, Qt.Key.Key_B)
    assert np.array_equal(session.labels[phase - 1][2:], removed[2:])
    assert removed.any()
    settle(qtbot, dock)
    assert not button.isEnabled()
    dock.close_study()
    settle(qtbot)
