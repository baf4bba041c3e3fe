"""Soak test: 100 volumes in one window, with flat memory, files, threads and processes."""

import ctypes
import gc
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import psutil
import pytest
from napari.layers import Layer
from qtpy.QtCore import QObject

from napari_bayes_nnunet.core.ensemble.maps import ENTROPY
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import read_labels, write_image
from napari_bayes_nnunet.io.study.arrays import EDITED
from napari_bayes_nnunet.widgets.layers.viewing import index_of
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.segment.image_form import ALL

from ..helpers.data.models import made_image, make_model

HAS_DISPLAY = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform == "linux" and not HAS_DISPLAY, reason="needs a display or Xvfb"
    ),
]

VOLUMES = 100
WARM_UP = 40
"""Volumes until all caches are full: imports, fonts, shaders, buffers of torch and of Qt."""
EVERY = 10
"""Volumes between two measurements."""
SHAPES = ((8, 112, 96), (2, 8, 112, 96))
"""A volume and a cine of two phases in turn."""
KEPT_MB = 1.2
"""What a volume takes if it is not released: voxels of 2 bytes, labels of 1 and 1 (those of the
result and the corrected ones), two maps of 4, on average 129 000 voxels; posteriors come on top.
"""
PACKAGE = "napari_bayes_nnunet."


@dataclass(frozen=True, kw_only=True)
class Use:
    """Use of a session: memory in MB, and numbers of things that are open or alive.

    ``scratch`` are arrays from the child that were not read and deleted; its cache of predictions,
    which may take 1 GiB of disk, does not count. ``ours`` are objects of this package.
    """

    window: float
    child: float
    files: int
    threads: int
    processes: int
    scratch: int
    layers: int
    widgets: int
    ours: int

    def __str__(self) -> str:
        return " ".join(f"{f.name} {getattr(self, f.name):.0f}" for f in fields(self))


class Session:
    """Reader who segments and reviews one volume after the other in the same window."""

    def __init__(self, viewer: Any, folder: Path, wait: Callable[[Callable[[], bool]], None]):
        self._viewer = viewer
        self._folder = folder
        self._process = psutil.Process()
        self.until = wait
        model = make_model(folder / "ensemble", members=2)
        _, self.segment = viewer.window.add_plugin_dock_widget("napari-bayes-nnunet", "Segment")
        self.segment.ensemble.choose(model)
        self.until(lambda: self.segment.ensemble.folder is not None)
        self.segment.method.mirroring.value = "none"

    def work(self, number: int) -> None:
        """Open, segment, review and correct a volume, and close it."""
        shape = SHAPES[number % len(SHAPES)]
        image = self._folder / f"patient{number:03d}.nii.gz"
        # The measured volumes have the same heart, so that as much is alive after each of them, and
        # each is brighter than the one before, so that the child does not know its predictions.
        voxels = (100 * made_image(shape, seed=number % EVERY)).astype(np.int16) + number
        write_image(image, voxels, make_geometry(shape, (8, 1.5, 1.5), frame_time=40))
        self._viewer.open(image, plugin="napari-bayes-nnunet")
        self.segment.image.phases.setCurrentIndex(ALL)
        self.segment.segment()
        self.until(lambda: not self.segment.is_running)
        assert self.segment.run.status.text().startswith("Finished")
        study = self._review()
        self._viewer.layers.clear()
        image.unlink()
        shutil.rmtree(study)

    def _review(self) -> Path:
        """Correct one slice with most of the tools, accept it, and close the study."""
        self.segment.run.review_button.click()
        docks: list[ReviewWidget] = []

        def is_open() -> bool:
            parts = self._viewer.window.dock_widgets.values()
            docks[:] = [part for part in parts if isinstance(part, ReviewWidget)]
            return bool(docks) and docks[0].controller is not None and not docks[0].is_opening

        self.until(is_open)
        (dock,) = docks
        controller = dock.controller
        assert controller is not None
        study, place = Path(controller.session.study.folder), controller.picture.place
        controller.act("next alternative")
        controller.corrections.accept_preview()
        controller.show_level(0.3)
        controller.corrections.accept_preview()
        controller.act("contour")
        controller.contour.cancel()
        edited = controller.picture.edited
        edited.paint((*index_of(place), 20, 20), 3)
        edited.undo()
        edited.redo()
        controller.outlines.set_view(ENTROPY)
        controller.step_phase(1)
        controller.picture.show_slice(place)
        controller.accept()
        expected = controller.session.labels.copy()
        self.until(lambda: not controller.saver.has_unsaved)
        dock.close_study()
        assert dock.controller is None
        assert np.array_equal(read_labels(study / EDITED).voxels, expected)
        return study

    def measure(self) -> Use:
        """Return the use of this process and its child, after all garbage was collected."""
        for _ in range(2):
            gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
        children = self._process.children(recursive=True)
        alive = gc.get_objects()
        return Use(
            window=self._process.memory_info().rss / 1e6,
            child=sum(child.memory_info().rss for child in children) / 1e6,
            files=sum(process.num_fds() for process in (self._process, *children)),
            threads=self._process.num_threads(),
            processes=len(children),
            scratch=sum(1 for _ in self.segment.child.scratch.glob("*.np*")),
            layers=sum(isinstance(thing, Layer) for thing in alive),
            widgets=sum(isinstance(thing, QObject) for thing in alive),
            ours=sum(kinds(alive).values()),
        )


def kinds(alive: list[Any]) -> Counter[str]:
    """Return the number of living objects of each class of this package."""
    names = (f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in alive)
    return Counter(name for name in names if name.startswith(PACKAGE))


def assert_flat(uses: list[Use]) -> None:
    """Compare the last two measurements with the first two, which are of the warm-up's end.

    Memory may grow by a quarter of what kept volumes would take: heaps fragment, and napari keeps
    about 2 kB a volume (callbacks of its settings on sliders that are gone). A number may not grow
    by a tenth of the volumes, so that a thing kept for each would be noticed; Qt and the threads
    of the two processes come and go.
    """
    volumes = VOLUMES - WARM_UP
    for field in fields(Use):
        first, last = (mean(getattr(u, field.name) for u in part) for part in (uses[:2], uses[-2:]))
        more = KEPT_MB * volumes / 4 if field.name in ("window", "child") else volumes / 10
        assert last - first <= more, (field.name, first, last)


def test_many_volumes_in_a_window_leave_nothing(make_napari_viewer, tmp_path, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(900, 700)  # drawing without a GPU takes most of the time
    session = Session(viewer, tmp_path, qtbot.waitUntil)
    uses: list[Use] = []
    for number in range(1, VOLUMES + 1):
        session.work(number)
        qtbot.wait(30)  # for deleteLater
        if number == 2:
            gc.freeze()  # napari collects garbage twice a volume; modules need not be searched
        if number >= WARM_UP and number % EVERY == 0:
            uses.append(session.measure())
            print(f"{number} volumes: {uses[-1]}", flush=True)
    gc.unfreeze()
    assert_flat(uses)
    assert len(uses) == 1 + (VOLUMES - WARM_UP) // EVERY
    session.segment.close_child()
