"""Correction tools in a real window, with mouse and keys."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, QPointF, QRect, QSize, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.layers.review_layers import find_layer
from napari_bayes_nnunet.widgets.reading.other_phase import OtherPhase
from napari_bayes_nnunet.widgets.review.dock import FormsArea

from ...helpers.data.cines import ED, ES, LV, RV, WORST
from ...helpers.windows.canvas_mouse import NO_BUTTON, CanvasMouse
from ...helpers.windows.reviewing import plane, predicted, steps_of
from ...helpers.windows.settling import settle

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier


def test_a_review_with_keys_and_mouse(window, opened_dock, qtbot) -> None:
    controller, viewer = opened_dock.controller, window
    session, layer = controller.session, controller.picture.edited
    mouse = CanvasMouse(viewer, qtbot)
    key = partial(qtbot.keyClick, mouse.canvas)
    key(Qt.Key.Key_W)
    assert controller.corrections.is_preview
    key(Qt.Key.Key_Z, CONTROL)
    assert not controller.corrections.is_preview
    assert np.array_equal(plane(session, WORST), predicted(session, WORST))
    key(Qt.Key.Key_W)
    layer.mode = "paint"
    layer.selected_label = LV
    mouse.drag(*(mouse.place_of(layer, (0, 2, 3, x)) for x in (5, 12)))
    settle(qtbot, controller)
    assert not controller.corrections.is_preview  # painting accepts the preview
    assert steps_of(layer) == 2 or np.array_equal(
        session.alternatives_in(WORST)[0].labels, predicted(session, WORST)
    )
    painted = plane(session, WORST)
    assert painted[3, 8] == LV
    key(Qt.Key.Key_Z, CONTROL)
    assert session.labels_in(WORST)[3, 8] == 0
    key(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert np.array_equal(plane(session, WORST), painted)
    viewer.layers.selection.active = controller.picture.image
    key(Qt.Key.Key_A)  # whichever of our layers is active
    if WORST not in session.state.decisions:  # it has a finding
        key(Qt.Key.Key_Return)
    assert session.state.decisions[WORST].edited
    assert controller.picture.place != WORST
    key(Qt.Key.Key_T)
    assert {controller.picture.place[0]} <= {ED, ES}
    controller.saver.save_now()
    assert np.array_equal(read_study(session.study.folder).edited[ED - 1, WORST[1]], painted)


def test_mouse_and_keys_correct_and_undo(window, opened_dock, qtbot) -> None:
    viewer, dock = window, opened_dock
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
    for structure, place in (("RV", (ED, 0)), ("LV", (ED, 3))):  # fewer lines, another colour
        controller.choose_structure(structure)
        controller.picture.show_slice(place)
        press(Qt.Key.Key_P)
        assert find_layer(viewer, image, "brush region").visible
        press(Qt.Key.Key_Z)
        assert not find_layer(viewer, image, "brush region").visible
    form.brush.above.editor.check.native.click()
    settle(qtbot, dock)
    controller.saver.save_now()
    assert np.array_equal(read_study(session.study.folder).edited, session.labels)
    assert (session.labels != before).any(axis=(2, 3)).sum() == 2


def test_tools_have_keys_and_a_pan_never_paints(window, opened_dock, qtbot) -> None:
    viewer, dock = window, opened_dock
    controller, form = dock.controller, dock.forms.corrections
    session, edited, image = controller.session, controller.picture.edited, controller.picture.image
    before = session.labels.copy()
    mouse = CanvasMouse(viewer, qtbot)
    assert form.tools.isVisible()
    strip, canvas = form.tools, mouse.canvas
    assert strip.mapToGlobal(strip.rect().topRight()).x() < canvas.mapToGlobal(canvas.pos()).x()

    def drag() -> None:
        mouse.drag(*(mouse.place_of(image, (ED - 1, 2, y, 30)) for y in (26, 34)))

    def press(key: Any) -> None:
        qtbot.keyClick(canvas, key)

    for key, name in ((Qt.Key.Key_2, "MYO"), (Qt.Key.Key_3, "LV"), (Qt.Key.Key_1, "RV")):
        press(key)
        assert form.structure == name
        assert edited.selected_label == session.structures[name]
    for key in (Qt.Key.Key_4, Qt.Key.Key_F):  # napari's fill
        press(key)
        drag()
    assert form.buttons["move"].isChecked()
    assert np.array_equal(session.labels, before)
    zoom = viewer.scene.camera.zoom
    viewer.scene.camera.zoom = zoom / 3
    press(Qt.Key.Key_F)
    assert viewer.scene.camera.zoom > zoom / 2
    for key, tool in ((Qt.Key.Key_P, "brush"), (Qt.Key.Key_E, "eraser")):
        press(key)
        assert form.buttons[tool].isChecked()
        qtbot.keyPress(canvas, Qt.Key.Key_Space)  # napari: hold to pan
        drag()
        qtbot.keyRelease(canvas, Qt.Key.Key_Space)
        assert np.array_equal(session.labels, before)
        press(Qt.Key.Key_Z)
        drag()
        assert form.buttons["move"].isChecked()
    assert np.array_equal(session.labels, before)
    form.buttons["brush"].click()
    drag()
    assert not np.array_equal(session.labels, before)
    assert form.buttons["brush"].isChecked()


def test_keys_grow_and_shrink_by_undo_steps(window, opened_dock, qtbot) -> None:
    controller = opened_dock.controller
    controller.choose_structure("RV")
    place, session = controller.view.place, controller.session

    def size() -> int:
        return int((session.labels_in(place) == RV).sum())

    before = size()
    canvas = CanvasMouse(window, qtbot).canvas
    sizes = []
    for _ in range(4):
        qtbot.keyClick(canvas, Qt.Key.Key_Equal)
        sizes.append(size())
    assert sizes == sorted(sizes)
    assert sizes[-1] > before
    qtbot.keyClick(canvas, Qt.Key.Key_Minus)
    assert size() == sizes[-2]
    while controller.picture.edited._undo_history:
        qtbot.keyClick(canvas, Qt.Key.Key_Z, CONTROL)
    assert size() == before
    # A click in the dock leaves the keys to the slices
    area = opened_dock.findChild(FormsArea)
    controller.picture.show_slice((ED, 1))
    settle(qtbot, opened_dock)
    qtbot.keyClick(area, Qt.Key.Key_PageDown)
    assert controller.picture.place[1] != 1
    assert area.verticalScrollBar().value() == 0


def test_a_drag_of_push_is_one_step(window, opened_dock, qtbot) -> None:
    controller, form = opened_dock.controller, opened_dock.forms.corrections
    session, image = controller.session, controller.picture.image
    mouse = CanvasMouse(window, qtbot)
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_3)
    lv, place = session.structures["LV"], (ED, 1)
    controller.picture.go_to(place)
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_O)
    assert form.buttons["push"].isChecked()
    before = session.labels_in(place).copy()
    rows, columns = np.nonzero(before == lv)
    y, right = round(float(rows.mean())), int(columns.max())

    def drag(start: float, end: float) -> None:
        at = [mouse.place_of(image, (ED - 1, place[1], y, x)) for x in (start, end)]
        mouse.drag(*at, steps=6)

    said: list[str] = []
    controller.corrections.said.connect(said.append)
    steps = len(controller.picture.edited._undo_history)
    drag(right - 3, right + 1)
    assert any("MYO" in sentence for sentence in said)  # which gave way
    grown = session.labels_in(place).copy()
    assert (grown == lv)[y, right + 2]
    assert ((grown == lv) >= (before == lv)).all()  # pushed outwards
    assert len(controller.picture.edited._undo_history) == steps + 1
    drag(right + 8, right + 2)
    pushed = session.labels_in(place) == lv
    assert pushed.sum() < (grown == lv).sum()  # and inwards, from outside
    assert not pushed[y, right - 1 :].any()
    for _ in range(2):
        qtbot.keyClick(mouse.canvas, Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(session.labels_in(place), before)
    # A drag that Escape cuts off changes nothing
    at = [mouse.place_of(image, (ED - 1, place[1], y, x)) for x in (right - 3, right + 1)]
    mouse.press(at[0])
    mouse.move(at[1])
    assert not np.array_equal(session.labels_in(place), before)
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Escape)
    mouse.release(at[1])
    assert np.array_equal(session.labels_in(place), before)
    assert form.buttons["move"].isChecked()


def test_a_stroke_leaves_nothing_on_the_image(window, opened_dock, qtbot) -> None:
    controller, mouse = opened_dock.controller, CanvasMouse(window, qtbot)
    session, image, place = controller.session, controller.picture.image, (ED, 1)
    controller.picture.go_to(place)
    controller.choose_structure("LV")
    settle(qtbot, opened_dock)
    rows, columns = np.nonzero(session.labels_in(place) == session.structures["LV"])
    at = mouse.place_of(image, (ED - 1, 1, rows.mean(), columns.mean()))
    left, top = (round(end) - 8 for end in at)

    def around() -> QImage:
        mouse.settle()
        return opened_dock.window().grab(mouse_area()).toImage()

    def mouse_area() -> QRect:
        corner = mouse.canvas.mapTo(opened_dock.window(), QPoint(left, top))
        return QRect(corner, QSize(16, 16))

    before = around()
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_P)
    mouse.drag(np.subtract(at, 2), at)
    qtbot.keyClick(mouse.canvas, Qt.Key.Key_Z)
    mouse.move((5, 200), NO_BUTTON)
    qtbot.waitUntil(lambda: around() == before)


def wheel_event(turn: int) -> QWheelEvent:
    at, no_pixels = QPointF(9, 9), QPoint()
    return QWheelEvent(
        at, at, no_pixels, QPoint(0, turn), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip


def test_ed_and_es_side_by_side(window, opened_dock, qtbot) -> None:
    dock, other = opened_dock, opened_dock.forms.other

    def picture(view: OtherPhase) -> QImage:
        return view.grab().toImage()

    canvas, controller = CanvasMouse(window, qtbot).canvas, dock.controller
    assert other.isVisible()
    left = canvas.mapToGlobal(canvas.rect().topRight()).x()
    assert left < other.mapToGlobal(other.rect().topLeft()).x()
    state, (phase, z) = controller.session.state, controller.view.place
    assert {phase, other.place[0]} == {state.ed, state.es}
    qtbot.keyClick(canvas, Qt.Key.Key_PageUp if z else Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: other.place == (other.place[0], controller.view.place[1]))
    assert other.place[1] != z
    shown = {controller.view.place[1]}
    for turn in (-120, 120):  # the first may be at the last slice
        QApplication.sendEvent(other, wheel_event(turn))
        shown.add(controller.view.place[1])
    assert len(shown) == 2
    qtbot.mouseClick(other, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: other.place[0] == phase)
    assert controller.view.place[0] != phase
    settle(qtbot, dock)
    at_rest = picture(other)
    camera = window.scene.camera
    seen = {"zoom": camera.zoom, "center": camera.center}
    for change in ({"zoom": 2 * camera.zoom}, {"center": tuple(np.add(camera.center, 3))}):
        before = picture(other)
        camera.update(change)
        qtbot.waitUntil(lambda: picture(other) != before)  # noqa: B023
    camera.update(seen)
    qtbot.waitUntil(lambda: picture(other) == at_rest)
    image = controller.picture.image
    low, high = image.contrast_limits
    image.contrast_limits = low, low + (high - low) / 3
    qtbot.waitUntil(lambda: picture(other) != at_rest)
    dock.forms.volumes.phases_changed.emit(state.es, state.ed)
    qtbot.waitUntil(lambda: picture(other) != at_rest)
    before, place = picture(other), other.place
    cleared = np.zeros_like(controller.session.labels_in(place))
    controller.corrections.put_all({place: cleared}, "brush")
    qtbot.waitUntil(lambda: picture(other) != before)
    dock.phases_button.click()
    assert not other.isVisible()
    dock.phases_button.click()
    assert other.isVisible()
    image.contrast_limits = low, high
