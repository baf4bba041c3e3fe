"""Time smooth contours of a slice, and the time to the painted frame.

Needs a display: ``xvfb-run -a python benchmarks/contours.py``. Three structures at 256×256, in a
slice as predicted, with one edit, and redrawn everywhere; then slices changed in a window,
with the contours and without. Measures the CPU time of the thread, because other programs may run.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from time import thread_time
from types import SimpleNamespace

import click
import napari
import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.core.editing.smooth_contours import smooth_contours
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import Volume
from napari_bayes_nnunet.widgets.common.settings import Display
from napari_bayes_nnunet.widgets.layers.metadata import layer_data
from napari_bayes_nnunet.widgets.layers.review_layers import edited_layer, put_on_top
from napari_bayes_nnunet.widgets.layers.structure_contours import show_contours

SHAPE = (10, 256, 256)
STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


def make_posterior() -> StoredPosterior:
    """Return a heart with uneven borders, whose LV is 50 mm wide at voxels of 1.4 mm."""
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]].astype(np.float32)
    angle = np.arctan2(y - 130, x - 140)
    distance = np.hypot(y - 130, x - 140) + 1.5 * np.sin(5 * angle + z) + z - 5
    right = np.hypot((y - 126) / 1.1, x - 114) + 1.5 * np.sin(4 * angle - z)
    scores = np.stack([0 * x, 21 - right, 25 - distance, 34 - 1.5 * distance])
    scores[1] = np.minimum(scores[1], distance - 25)
    shares = np.exp(np.clip(scores, -20, 20))
    shares /= shares.sum(axis=0)
    prediction = shares.argmax(axis=0).astype(np.uint8)
    nothing = np.zeros(SHAPE, np.float32)
    return StoredPosterior.from_members(
        shares,
        prediction[None],
        prediction=prediction,
        maps={"entropy": nothing, "mutual-information": nothing},
    )


def time_calls(call: Callable[[int], object], repeats: int) -> NDArray[np.float64]:
    """Return the milliseconds of each call with 0, 1, …, after two calls to warm up."""
    times = []
    for number in range(-2, repeats):
        started = thread_time()
        call(number)
        times.append(1000 * (thread_time() - started))
    return np.array(times[2:])


def show(title: str, times: NDArray[np.float64]) -> None:
    """Print the median and the 95th percentile."""
    median, high = np.percentile(times, [50, 95])
    click.echo(f"{title:34} median {median:5.1f} ms, 95 % below {high:5.1f} ms")


def time_computing(posterior: StoredPosterior, repeats: int) -> None:
    """Time the contours of a slice without a window."""
    edited = posterior.prediction.copy()
    edited[:, 108:120, 148:158] = 2
    labels = STRUCTURES.values()

    def compute(volume: NDArray[np.uint8], *, known: bool) -> Callable[[int], object]:
        def of_slice(number: int) -> object:
            z = number % SHAPE[0]
            plane = posterior.plane_at((z, slice(None), slice(None))) if known else None
            return smooth_contours(volume[z], labels, plane)

        return of_slice

    show("computed, as predicted", time_calls(compute(posterior.prediction, known=True), repeats))
    show("computed, one edit", time_calls(compute(edited, known=True), repeats))
    show("computed, edited everywhere", time_calls(compute(edited, known=False), repeats))


def time_painting(posterior: StoredPosterior, repeats: int) -> None:
    """Time slices changed in a window."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    noise = np.random.default_rng(0).integers(1, 400, SHAPE, dtype=np.int16)
    volume = Volume(noise, make_geometry(SHAPE, (8, 1.4, 1.4)), None)
    image = Image.create(*layer_data(volume, case="heart"))
    viewer.add_layer(image)
    labels = edited_layer(image, posterior.prediction.copy(), STRUCTURES, None)
    put_on_top(viewer, labels, active=True)
    result = SimpleNamespace(posteriors={None: posterior}, looks={})
    contours = show_contours(viewer, image, result, Display(smooth=False))
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.qWait(1000)

    def paint(number: int) -> None:
        viewer.dims.set_point(0, 8.0 * (number % SHAPE[0]))
        canvas.update()
        QApplication.processEvents()

    def paint_new(number: int) -> None:
        contours._cache.clear()
        paint(number)

    for shown in (True, False):
        contours.layer.visible = shown
        QTest.qWait(300)
        if shown:
            show("slice painted, contours computed", time_calls(paint_new, repeats))
            show("slice painted, contours cached", time_calls(paint, repeats))
        else:
            show("slice painted, without contours", time_calls(paint, repeats))
    viewer.close()


@click.command
@click.option("--repeats", default=60, show_default=True, help="Number of slices for each figure.")
def main(repeats: int) -> None:
    """Print median and 95th percentile, in milliseconds of CPU time of the thread."""
    posterior = make_posterior()
    time_computing(posterior, repeats)
    time_painting(posterior, repeats)
    click.echo(platform.processor() or platform.machine())


if __name__ == "__main__":
    main()
