"""Time from a key press, or a move of the tool *Push*, to the painted frame on a large cine.

python -m benchmarks.review_latency   (needs a display, or xvfb-run -a; under a minute)

The synthetic study has 12 slices × 25 phases × 256 × 256 voxels and 30 members. Keys are sent to
the canvas as the window system does. The time ends when the frame with the picture is on the
screen; lists and numbers follow later. On a busy machine, compare the processor time of the
window's thread.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, thread_time
from types import SimpleNamespace
from typing import Any

import click
import napari
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from tests.helpers.windows.canvas_mouse import CanvasMouse

from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image
from napari_bayes_nnunet.io.study.info import SourceImage, StudyInfo
from napari_bayes_nnunet.io.study.study import write_study
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.review.controller import ReviewController
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

SHAPE = (25, 12, 256, 256)
MEMBERS = 30
STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}
KEYS = {
    "N, next in the queue": Qt.Key.Key_N,
    "T, ED and ES": Qt.Key.Key_T,
    "W, next alternative": Qt.Key.Key_W,
    "H, fill on or off": Qt.Key.Key_H,
    "G, most uncertain voxel": Qt.Key.Key_G,
    "D, mark absent": Qt.Key.Key_D,
    "R, revert the slice": Qt.Key.Key_R,
    "A, accept and continue": Qt.Key.Key_A,
}


def draw_heart(phase: int, member: int, rng: np.random.Generator) -> np.ndarray:
    """Return (Z, Y, X) labels of a beating heart as one member segments it."""
    z, y, x = np.meshgrid(*map(np.arange, SHAPE[1:]), indexing="ij", sparse=True)
    beat = 1 - 0.25 * np.sin(np.pi * phase / SHAPE[0])
    size = beat * (1 - 0.05 * z) * (1 + 0.03 * rng.standard_normal(SHAPE[1])[:, None, None])
    radius = np.hypot(y - 128, x - 140 - 0.3 * member / MEMBERS)
    rv_distance = np.hypot(0.8 * (y - 128), x - 96)
    labels = np.zeros(SHAPE[1:], np.uint8)
    labels[rv_distance < 26 * size] = 1
    labels[radius < 34 * size] = 2
    labels[radius < 24 * size] = 3
    return labels


def make_posterior(phase: int) -> StoredPosterior:
    """Return the posterior of thirty members for one phase."""
    rng = np.random.default_rng(phase)
    members = np.stack([draw_heart(phase, member, rng) for member in range(MEMBERS)])
    mean = np.stack([(members == label).mean(axis=0, dtype=np.float32) for label in range(4)])
    entropy = -np.sum(mean * np.log2(np.maximum(mean, 1e-9)), axis=0, dtype=np.float32)
    return StoredPosterior.from_members(
        mean,
        members,
        prediction=mean.argmax(axis=0).astype(np.uint8),
        maps={"entropy": entropy, "mutual-information": entropy},
    )


def make_study(folder: Path) -> Path:
    """Write a study and its image, and return the folder of the study."""
    geometry = make_geometry(SHAPE, (8, 1.4, 1.4), frame_time=40)
    image = folder / "cine.nii.gz"
    noise = np.random.default_rng(0).integers(1, 400, SHAPE, dtype=np.int16)
    write_image(image, noise, geometry)
    phases = tuple(range(1, SHAPE[0] + 1))
    report = {"ensemble": "made", "method": "multi", "pairwise_dice": {}, "warnings": []}
    info = StudyInfo(
        case="cine",
        image=SourceImage.from_file(image),
        geometry=geometry,
        structures=STRUCTURES,
        classes=4,
        phases=phases,
        reports=dict.fromkeys(phases, report),
    )
    write_study(folder / "study", info, {phase: make_posterior(phase) for phase in phases})
    return folder / "study"


def open_in_dock(viewer: napari.Viewer, study: Path) -> ReviewController:
    """Open a study in the Review dock with all phases in the queue."""
    dock = ReviewWidget(viewer, settings=Settings(study.with_name("settings.json")))
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    dock.open(study)
    while dock.controller is None or dock.is_opening:
        QTest.qWait(50)
    dock.forms.queue.phases_switch.setChecked(True)
    QTest.qWait(1000)
    return dock.controller


def time_frame(act: Callable[[], object], canvas: Any) -> tuple[float, float]:
    """Return the ms from an action until its frame is shown, and those of the window's thread."""
    frames: list[tuple[float, float]] = []

    def note_frame() -> None:
        frames.append((perf_counter(), thread_time()))

    canvas.frameSwapped.connect(note_frame)
    started = perf_counter(), thread_time()
    act()
    canvas.update()
    while not frames:
        QApplication.processEvents()
    canvas.frameSwapped.disconnect(note_frame)
    return 1000 * (frames[0][0] - started[0]), 1000 * (frames[0][1] - started[1])


def press_key(key: Qt.Key, canvas: Any) -> None:
    """Press a key for a moment."""
    QTest.keyPress(canvas, key)
    QTest.keyRelease(canvas, key)


def time_moves(
    viewer: napari.Viewer, controller: ReviewController, moves: int
) -> list[tuple[float, float]]:
    """Return the times of the moves of one drag that pushes the contour of the LV outwards."""
    mouse = CanvasMouse(viewer, SimpleNamespace(wait=lambda ms: QApplication.processEvents()))
    controller.picture.show_slice(controller.session.first_place(controller.view.queue))
    controller.choose_structure("LV")
    controller.act("push")
    QTest.qWait(500)
    phase, z = controller.view.place
    assert phase is not None
    columns = np.linspace(150, 165, moves + 1)
    path = [mouse.place_of(controller.picture.image, (phase - 1, z, 128, x)) for x in columns]
    mouse.press(path[0])
    times = []
    for at in path[1:]:
        times.append(time_frame(partial(mouse.move, at), mouse.canvas))
        QTest.qWait(30)
    mouse.release(path[-1])
    return times


@click.command
@click.option("--presses", default=40, show_default=True, help="Number of presses of each key.")
def main(presses: int) -> None:
    """Print the median and the 95th percentile of every key, in milliseconds."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1500, 1000)
    with tempfile.TemporaryDirectory() as temporary:
        controller = open_in_dock(viewer, make_study(Path(temporary)))
        canvas = viewer.window._qt_viewer.canvas.native
        rows = []
        for title, key in KEYS.items():
            times = []
            for _ in range(presses):
                times.append(time_frame(partial(press_key, key, canvas), canvas))
                QTest.qWait(120)
            rows.append((title, times))
        all_times = [time for _, times in rows for time in times]
        moves = time_moves(viewer, controller, presses)
        for title, times in (*rows, ("all keys", all_times), ("Push, a move", moves)):
            (median, computed), (high, _) = np.percentile(times, [50, 95], axis=0)
            click.echo(
                f"{title:26} median {median:6.1f} ms, 95 % below {high:6.1f} ms; "
                f"window's thread {computed:6.1f} ms"
            )
        click.echo(
            f"{platform.processor() or platform.machine()}, {len(controller.view.queue)} slices"
        )
        viewer.close()


if __name__ == "__main__":
    main()
