"""Reader at work in a separate window, which a test starts as a script and kills.

    python -m tests.helpers.windows.review_driver IMAGE

opens the image, segments it with the built-in ensemble, reviews the worst slice with keys and
mouse, prints a line of JSON when everything is saved, and waits to be killed.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

import napari_bayes_nnunet
from napari_bayes_nnunet.widgets.review.controller import ReviewController
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.segment.dock import SegmentWidget

from .canvas_mouse import CanvasMouse

PATIENCE_S = 240
CONTROL = Qt.KeyboardModifier.ControlModifier


class Clock:
    """Waiting as with pytest-qt's bot."""

    def wait(self, milliseconds: int) -> None:
        QTest.qWait(milliseconds)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"timed out after {PATIENCE_S} s"
            QTest.qWait(20)


class Reader:
    """Reader with keyboard and mouse."""

    def __init__(self, viewer: Any, controller: ReviewController, clock: Clock) -> None:
        self._clock = clock
        self.controller = controller
        self.mouse = CanvasMouse(viewer, clock)

    def press(self, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.mouse.canvas, key, modifier)
        self._clock.wait(50)

    def undo(self) -> None:
        self.press(Qt.Key.Key_Z, CONTROL)

    def redo(self) -> None:
        self.press(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)

    def labels(self) -> np.ndarray:
        return self.controller.session.labels_in(self.controller.picture.place).copy()


def segmented(viewer: Any, image: Path, clock: Clock) -> SegmentWidget:
    """Segment ED and ES with three members of the built-in ensemble."""
    viewer.open(image, plugin="napari-bayes-nnunet")
    _, dock = viewer.window.add_plugin_dock_widget("napari-bayes-nnunet", "Segment")
    dock.ensemble.choose_demo()
    clock.until(lambda: dock.ensemble.folder is not None)
    dock.method.members.value = 3
    dock.method.mirroring.value = "none"
    dock.segment()
    clock.until(lambda: not dock.is_running)
    assert dock.run.status.text().startswith("Finished"), dock.run.status.text()
    return dock


def reviewed(viewer: Any, segment: SegmentWidget, clock: Clock) -> ReviewController:
    """Open the new study in the Review dock."""
    segment.run.review_button.click()
    docks: list[ReviewWidget] = []

    def is_open() -> bool:
        docks[:] = [w for w in viewer.window.dock_widgets.values() if isinstance(w, ReviewWidget)]
        return bool(docks) and docks[0].controller is not None and not docks[0].is_opening

    clock.until(is_open)
    controller = docks[0].controller
    assert controller is not None
    return controller


def take_an_alternative(reader: Reader) -> None:
    """Show alternatives with W and take one, which is one undo step."""
    before = reader.labels()
    assert len(reader.controller.session.alternatives_in(reader.controller.picture.place)) > 1
    reader.press(Qt.Key.Key_W)
    for _ in range(8):
        if not np.array_equal(reader.labels(), before):
            break
        reader.press(Qt.Key.Key_W)
    assert not np.array_equal(reader.labels(), before)
    reader.controller.forms.corrections.buttons["use answer"].click()
    taken = reader.labels()
    reader.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert np.array_equal(reader.labels(), before)
    reader.press(
        Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    )
    assert np.array_equal(reader.labels(), taken)


def move_a_level(reader: Reader) -> None:
    """Grow the structure with the slider, which is one undo step when released."""
    before = reader.labels()
    label = reader.controller.view.label
    slider = reader.controller.forms.corrections.level.slider
    slider.setFocus()
    for _ in range(3):
        QTest.keyClick(slider, Qt.Key.Key_PageUp)
        reader._clock.wait(20)
    reader._clock.until(lambda: not reader.controller.corrections.is_preview)
    assert np.count_nonzero(reader.labels() == label) != np.count_nonzero(before == label)


def drag_a_handle(reader: Reader) -> None:
    """Pull a handle of the LV contour outwards and apply it with Enter."""
    reader.controller.forms.corrections.structures.structure_chosen.emit("LV")
    before = reader.labels()
    reader.controller.forms.corrections.buttons["contour"].click()
    handle = reader.controller.contour.handles[0]
    centre = reader.controller.contour.handles.mean(axis=0)
    away = handle + 6 * (handle - centre) / np.linalg.norm(handle - centre)
    phase, z = reader.controller.picture.place
    image = reader.controller.picture.image
    start, end = (reader.mouse.place_of(image, (phase - 1, z, *at)) for at in (handle, away))
    reader.mouse.drag(start, end)
    moved = reader.controller.contour.handles[0]
    assert np.linalg.norm(moved - away) < 1.5, (handle, moved, away)
    reader.press(Qt.Key.Key_Return)
    assert not reader.controller.contour.is_active
    after = reader.labels()
    assert not np.array_equal(after, before)
    assert np.array_equal(after == 1, before == 1)  # the RV did not move
    reader.undo()
    assert np.array_equal(reader.labels(), before)
    reader.redo()
    assert np.array_equal(reader.labels(), after)


def main() -> None:
    """Review the worst slice of the image named on the command line."""
    clock = Clock()
    plugin = Path(napari_bayes_nnunet.__file__).with_name("napari.yaml")
    manager = PluginManager.instance()
    if "napari-bayes-nnunet" not in manager:
        manager.register(PluginManifest.from_file(plugin))
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 1000)
    controller = reviewed(viewer, segmented(viewer, Path(sys.argv[1]), clock), clock)
    reader = Reader(viewer, controller, clock)
    worst = controller.view.queue[0]
    assert controller.picture.place == (worst.phase, worst.z)
    take_an_alternative(reader)
    move_a_level(reader)
    drag_a_handle(reader)
    place = controller.picture.place
    reader.press(Qt.Key.Key_A)
    if controller.picture.place == place:  # the slice has a finding
        reader.press(Qt.Key.Key_Return)
    assert controller.picture.place != place
    clock.until(lambda: not controller.saver.has_unsaved)
    summary = {
        "study": str(controller.session.study.folder),
        "place": place,
        "shown": controller.picture.place,
        "numbers": {name: number.value for name, number in controller.session.measured().items()},
    }
    np.save(Path(sys.argv[1]).with_name("labels.npy"), controller.session.labels)
    print(json.dumps(summary), flush=True)
    clock.wait(600_000)


if __name__ == "__main__":
    main()
