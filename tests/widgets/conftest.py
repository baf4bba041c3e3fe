"""Shared fixtures of the docks: a fake child, made ensembles, images, results and a dock."""

from __future__ import annotations

import gc
import json
import sys
import zipfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.app.messages import SnapshotReady
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.command import BAYES_NNUNET
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image
from napari_bayes_nnunet.widgets.common import background
from napari_bayes_nnunet.widgets.common.process import InferenceChild
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.layers.reader import get_reader
from napari_bayes_nnunet.widgets.layers.result import SegmentationResult
from napari_bayes_nnunet.widgets.reading.other_phase import OtherPhase
from napari_bayes_nnunet.widgets.review import saver as study_saver
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.segment import ensemble_form
from napari_bayes_nnunet.widgets.segment.dock import SegmentWidget
from napari_bayes_nnunet.widgets.training import watch

from ..helpers import HELPERS
from ..helpers.data.cines import ED, ES, folder, make_cine, session
from ..helpers.data.models import plans
from ..helpers.processes.thread_child import ThreadChild
from ..helpers.windows.own_app import own_app
from ..helpers.windows.patient_bot import PatientBot
from ..helpers.windows.reviewing import (
    kept_reviews,
    make_review,
    module_bot,
    open_in,
    review,
    undo_all,
)
from ..helpers.windows.settling import settle

__all__ = ["folder", "kept_reviews", "make_review", "module_bot", "review", "session"]

NEVER = 1_000_000
"""Interval of a timer that never fires in a test, ms."""
FAKE = str(HELPERS / "processes" / "fake_child.py")
# As in most short-axis cines: x to the left and back, y down, z from base to apex.
OBLIQUE = np.array(
    [[-0.9, 0.4, -5.0, 14], [-0.9, -0.35, 5.3, 185], [0, -1.2, -3.3, 110], [0, 0, 0, 1]]
)
VOLUME = make_geometry((4, 16, 20), (8, 1.5, 1.25), affine=OBLIQUE)
CINE = make_geometry((5, 4, 16, 20), (8, 1.5, 1.25), frame_time=46, affine=OBLIQUE)
LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}


def fake_command(*flags: object) -> list[str]:
    """Return the command line of a fake child."""
    return [sys.executable, FAKE, *map(str, flags)]


def make_folder(
    path: Path,
    *,
    epochs: Sequence[int] = (0, 1, 2),
    labels: dict[str, int] | None = None,
    channels: Sequence[str] = ("cine",),
    damaged: bool = False,
) -> Path:
    """Write an nnU-Net result folder whose checkpoints are zip files without weights."""
    fold = path / "nnUNetTrainer__nnUNetPlans__2d" / "fold_0"
    fold.mkdir(parents=True)
    dataset = {
        "channel_names": {str(i): name for i, name in enumerate(channels)},
        "labels": labels or LABELS,
        "file_ending": ".nii.gz",
        "numTraining": 1,
    }
    (fold.parent / "plans.json").write_text(json.dumps(plans(channels=len(channels))))
    (fold.parent / "dataset.json").write_text(json.dumps(dataset))
    for epoch in epochs:
        with zipfile.ZipFile(fold / f"checkpoint_epoch_{epoch}.pth", "w") as archive:
            archive.writestr("archive/data.pkl", b"")
    if damaged:
        (fold / "checkpoint_epoch_99.pth").write_bytes(b"PK\x03\x04cut")
    return path


def two_voxel_sizes() -> Geometry:
    """Return the geometry of VOLUME with 5 mm instead of 8 mm between slices in its pixdim."""
    header = VOLUME.parsed()
    header["pixdim"][3] = 5
    return Geometry(header.binaryblock)


def image_layer(folder: Path, geometry: Geometry = VOLUME, name: str = "heart") -> Image:
    """Write an image to ``folder`` and return its layer from the reader."""
    voxels = np.arange(1, 1 + np.prod(geometry.shape), dtype=np.int16).reshape(geometry.shape)
    path = folder / f"{name}.nii.gz"
    write_image(path, voxels, geometry)
    return layer_of(path)


def layer_of(path: Path) -> Image:
    """Return the layer that the reader makes of an image."""
    reader = get_reader(str(path))
    assert reader is not None
    (layer,) = (Layer.create(*data) for data in reader(str(path)))
    return layer


def make_result(geometry: Geometry | None = VOLUME, **changes: Any) -> SegmentationResult:
    """Return an empty result of the case "heart"."""
    given: dict[str, Any] = {
        "case": "heart",
        "shape": geometry.shape if geometry is not None else VOLUME.shape,
        "classes": 4,
        "structures": {"RV": 1, "MYO": 2, "LV": 3},
        "folder": Path("ensemble"),
        "ensemble": "made",
        "settings": SegmentationSettings(members=2),
        "geometry": geometry,
    }
    return SegmentationResult(**(given | changes))


def grow(
    result: SegmentationResult, folder: Path, *, phase: int | None = None, label: int = 3
) -> None:
    """Add a snapshot with one label everywhere and 1 bit of entropy to ``result``."""
    shape = result.shape[-3:]
    arrays = {
        "labels": np.full(shape, label, np.uint8),
        "entropy": np.ones(shape, np.float32),
        "mutual-information": np.full(shape, 0.5, np.float32),
    }
    maps = {name: str(folder / f"{name}.npy") for name in arrays}
    for name, array in arrays.items():
        np.save(maps[name], array)
    files = {"labels": maps.pop("labels"), "maps": maps}
    counts = {"done": 1, "total": 2, "eta_seconds": 1.0}
    result.read(SnapshotReady(job=1, phase=phase, **counts, **files), phase)
    result.count(phase, 1, 2)


@pytest.fixture(scope="session", autouse=True)
def quick_results() -> Iterator[None]:
    """Wait shortly for threads, trainings and steps, because hundreds of tests do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(background, "_POLL_MS", 2)
        patch.setattr(watch, "_POLL_MS", 50)
        patch.setattr(background, "PAUSE_MS", 0)
        # It counts all objects to find that the tests have frozen them already.
        patch.setattr(background.ShortCollections, "start", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_status_thread() -> Iterator[None]:
    """Keep napari's status thread still, as the fixtures of napari do.

    It slices the list of layers, which connects the first layer that is added at that moment to a
    list of its own (napari 0.9.2): its further events do not reach the viewer.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari._qt.threads.status_checker.StatusChecker.start", lambda *_: None)
        yield


@pytest.fixture
def viewer(qapp: Any) -> ViewerModel:
    """Return a viewer without a window."""
    return ViewerModel()


@pytest.fixture
def image(viewer: ViewerModel, tmp_path: Path) -> Image:
    """Return the layer of a cine in ``viewer``."""
    layer = image_layer(tmp_path, CINE)
    viewer.add_layer(layer)
    return layer


@pytest.fixture(scope="module")
def window(qapp: Any) -> Iterator[napari.Viewer]:
    """Open a real window for all tests of a module, because opening one takes seconds."""
    with own_app():
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1280, 800)
        yield viewer
        with suppress(RuntimeError):  # the last test has closed it
            viewer.close()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
    del viewer
    gc.collect()


@pytest.fixture
def empty_window(window: napari.Viewer, qtbot: Any) -> Iterator[napari.Viewer]:
    """Return the window of the module without layers."""
    yield window
    window.layers.clear()
    settle(qtbot)


@pytest.fixture(autouse=True)
def saved_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save nothing by time, unless a test asks for it."""
    monkeypatch.setattr(study_saver, "EVERY_MS", NEVER)


@pytest.fixture
def model_dock(viewer: ViewerModel, settings: Settings, qtbot: Any) -> Iterator[ReviewWidget]:
    """Return the Review dock of a viewer without a window, where a study opens quickly."""
    made = ReviewWidget(viewer, settings=settings)
    qtbot.addWidget(made)
    yield made
    made.close_study()
    settle(qtbot)


@contextmanager
def docked(window: napari.Viewer, settings: Settings, qtbot: Any) -> Iterator[ReviewWidget]:
    """Put a Review dock into a window; at the end take it out and check that nothing stays."""
    made = ReviewWidget(window, settings=settings)
    window.window.add_dock_widget(made, name="Review", area="right")
    canvas, run = window.window._qt_viewer.canvas.native, made.turns.run

    def undrawn(steps: Generator[None, None, None]) -> Generator[None, None, None]:
        """Draw the canvas once a study is open: without a graphics card each step takes long."""
        canvas.setUpdatesEnabled(False)
        try:
            yield from steps
        finally:
            canvas.setUpdatesEnabled(True)

    made.turns.run = lambda steps: run(undrawn(steps))
    yield made
    if isalive(made):
        made.close_study()
        window.window.remove_dock_widget(made)
        made.deleteLater()
        window.layers.clear()
        settle(qtbot)
        main = window.window._qt_window
        assert main.centralWidget().layout().count() == 1
        assert main.findChildren(OtherPhase) == []


@pytest.fixture
def window_dock(window: napari.Viewer, settings: Settings, qtbot: Any) -> Iterator[ReviewWidget]:
    """Return the Review dock in the window of the module, taken out after the test."""
    with docked(window, settings, qtbot) as made:
        yield made


@pytest.fixture(scope="module")
def shared_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the study of `shared_dock`."""
    return make_cine(tmp_path_factory.mktemp("shared") / "heart", ed=ED, es=ES)


@pytest.fixture(scope="module")
def shared_dock(
    window: napari.Viewer, shared_study: Path, module_bot: PatientBot
) -> Iterator[ReviewWidget]:
    """Return the Review dock in the window of the module with a study, opened once for all tests.

    Opening it takes seconds. Use `opened_dock` in a test.
    """
    settings = Settings(shared_study.with_name("settings.json"))
    with docked(window, settings, module_bot) as made:
        open_in(made, shared_study, module_bot)
        yield made
        if isalive(made):
            made.close_study()
            assert not window.layers


@pytest.fixture
def opened_dock(
    shared_dock: ReviewWidget, shared_study: Path, qtbot: Any
) -> Iterator[ReviewWidget]:
    """Return `shared_dock` with its study; what a test does to an open study is undone after it."""
    if shared_dock.controller is None:
        open_in(shared_dock, shared_study, qtbot)
    yield shared_dock
    if shared_dock.controller is not None:
        undo_all(shared_dock.controller, qtbot)


@pytest.fixture
def ensemble_folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "ensemble")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "config" / "settings.json")


@pytest.fixture
def no_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the built-in ensemble."""
    monkeypatch.setattr(ensemble_form, "DEMO_FOLDER", tmp_path / "no_demo")


@pytest.fixture
def make_dock(
    request: pytest.FixtureRequest, settings: Settings, no_demo: None, qtbot: Any
) -> Iterator[Callable[..., SegmentWidget]]:
    """Return a function that makes a SegmentWidget with a fake child for a viewer with layers.

    By default the child is a thread and the viewer a model, which is quick. With ``process`` the
    child is a process; with ``window`` it is a process and the viewer a real, shown window. A dock
    can also be made for the ``viewer`` of another one.
    """
    docks: list[SegmentWidget] = []

    def make(
        *layers: Layer,
        flags: Sequence[object] = (),
        window: bool = False,
        process: bool = False,
        viewer: Any = None,
        cohort_command: Sequence[str] = BAYES_NNUNET,
    ) -> SegmentWidget:
        if viewer is None:
            make_viewer = request.getfixturevalue("make_napari_viewer") if window else ViewerModel
            viewer = make_viewer(show=True) if window else make_viewer()
        for layer in layers:
            viewer.add_layer(layer)
        real = window or process
        child: Any = InferenceChild(fake_command(*flags)) if real else ThreadChild(*flags)
        dock = SegmentWidget(
            viewer,
            child=child,
            cohort_command=cohort_command,
            settings=settings,
        )
        docks.append(dock)
        if window:
            viewer.window.add_dock_widget(dock, name="Segment", area="right")
        else:
            qtbot.addWidget(dock)
        return dock

    yield make
    for dock in docks:
        dock.close_child()
    docks.clear()


@pytest.fixture
def ready(
    make_dock: Callable[..., SegmentWidget], ensemble_folder: Path, qtbot: Any
) -> Callable[..., SegmentWidget]:
    """Return ``make_dock`` with an opened ensemble of three members."""

    def make(*layers: Layer, **options: Any) -> SegmentWidget:
        dock = make_dock(*layers, **options)
        choose(dock, ensemble_folder, qtbot)
        return dock

    return make


def choose(dock: SegmentWidget, folder: Path, qtbot: Any) -> None:
    """Choose an ensemble folder and wait until it is opened."""
    dock.ensemble.choose(folder)
    qtbot.waitUntil(lambda: dock.ensemble.folder is not None)


def listen(part: Any, method: str, hear: Callable[..., Any]) -> None:
    """Let ``hear`` have the values that ``part`` is told by a method."""
    tell = getattr(part, method)

    def told(*values: Any) -> None:
        hear(*values)
        tell(*values)

    setattr(part, method, told)


def begin(dock: SegmentWidget, qtbot: Any) -> None:
    """Press Segment and wait until the first member is shown."""
    shown: list[Any] = []
    listen(dock.run, "show_progress", shown.append)
    dock.run.segment_button.click()
    qtbot.waitUntil(lambda: bool(shown))
    dock.turns.finish()


def run(dock: SegmentWidget, qtbot: Any) -> str:
    """Press Segment, wait for the end and return the status of the dock."""
    with qtbot.waitSignal(dock.ended):
        dock.run.segment_button.click()
    dock.turns.finish()
    return str(dock.run.status.text())
