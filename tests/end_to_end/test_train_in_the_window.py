"""Test of a first training without a terminal, from two folders to a segmented heart."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Labels
from napari.plugins import _npe2
from npe2 import PluginManager, PluginManifest

import napari_bayes_nnunet
from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.training import dock as training_dock
from napari_bayes_nnunet.widgets.training.data_form import FOLDERS
from napari_bayes_nnunet.widgets.training.dock import STOP_TRAINING, TrainingWidget

from ..helpers.data.hearts import make_dataset
from ..helpers.windows.window_time import TICK_MS, computing_at_a_stretch

PACKAGE = Path(napari_bayes_nnunet.__file__).parent
PATIENTS = 4
COMPUTED_S = 0.1
"""Longest time for which the window may compute without answering."""


@pytest.fixture
def folders(tmp_path):
    """Return a folder of images and one of labels."""
    images, labels = tmp_path / "Bilder", tmp_path / "Konturen"
    images.mkdir()
    labels.mkdir()
    source = make_dataset(tmp_path / "made", patients=PATIENTS)
    for label in (source / "labelsTr").iterdir():
        name = label.name.removesuffix(".nii.gz")
        shutil.copyfile(source / "imagesTr" / f"{name}_0000.nii.gz", images / f"{name}.nii.gz")
        shutil.copyfile(label, labels / f"{name}_gt.nii.gz")
    return images, labels


@pytest.fixture
def viewer(make_napari_viewer, monkeypatch):
    """Return a window with this plugin as the only one."""
    manager = PluginManager()
    monkeypatch.setattr(PluginManager, "instance", lambda: manager)
    monkeypatch.setattr(_npe2.pm, "instance", lambda: manager)
    manager.register(PluginManifest.from_file(PACKAGE / "napari.yaml"))
    return make_napari_viewer(show=True)


def test_two_folders_to_a_segmented_heart(viewer, folders, tmp_path, qtbot, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = Settings(tmp_path / "settings.json")
    monkeypatch.setattr(training_dock, "ask_to_kill", lambda *_: True)
    monkeypatch.setattr(training_dock, "ask_on_closing", lambda *_: STOP_TRAINING)
    dock = TrainingWidget(viewer, settings=settings)
    viewer.window.add_dock_widget(dock, name="Train", area="right")
    qtbot.wait(TICK_MS)  # drawn once before its answers are timed
    with computing_at_a_stretch() as choosing:
        choose_data(dock, folders, qtbot)
        choose_schedule(dock)
        qtbot.waitUntil(dock.new.start_button.isEnabled)
        dock.new.start_button.click()
        qtbot.waitUntil(dock.form.use_button.isEnabled)
    dock.form.use_button.click()
    segment = use_in_segment(viewer, folders, qtbot)
    assert dock.watch.started_here()  # the training went on meanwhile
    segment.close_child()
    with computing_at_a_stretch() as stopping:
        dock.form.stop_button.click()
        qtbot.waitUntil(lambda: not dock.watch.started_here())
        qtbot.waitUntil(lambda: dock.state.kind == "stopped")
    assert "Stopped" in dock.form.status.text()
    assert dock.form.resume_button.isEnabled()
    assert max(*choosing, *stopping) < COMPUTED_S


def choose_data(dock: TrainingWidget, folders: tuple[Path, Path], qtbot: Any) -> None:
    """Choose two folders and make them into a dataset of links."""
    data = dock.new.data
    data.source.setCurrentIndex(FOLDERS)
    data.folders.images.choose(folders[0])
    data.folders.labels.choose(folders[1])
    qtbot.waitUntil(lambda: data.folders.match is not None)
    assert len(data.folders.match.pairs) == 2 * PATIENTS
    qtbot.waitUntil(data.folders.new.make_button.isEnabled)
    data.folders.new.make_button.click()
    qtbot.waitUntil(lambda: data.dataset is not None)
    qtbot.waitUntil(lambda: dock.new.preflight.preflight is not None)
    assert dock.new.preflight.preflight.ready


def choose_schedule(dock: TrainingWidget) -> None:
    """Choose a quick schedule with one iteration per epoch, and too many epochs to finish."""
    schedule = dock.new.schedule
    assert not dock.new.start_button.isEnabled() or schedule.values()
    schedule.choose_preset("quick")
    # The first of so many cycles ends with members after 20 epochs, not after 470.
    numbers = {"epochs": 1500, "cycles": 30, "iterations_per_epoch": 1, "batch_size": 2}
    for name, number in numbers.items():
        schedule.fields[name].value = number
    schedule.fields["gamma"].value = 0.0
    assert schedule.problem == ""


def use_in_segment(viewer: Any, folders: tuple[Path, Path], qtbot: Any) -> Any:
    """Segment an image with the members so far, in the opened dock."""
    segment = viewer.window.dock_widgets["Segment (Bayesian nnU-Net)"]  # opened by the button
    qtbot.waitUntil(lambda: segment.ensemble.folder is not None)
    members = len(segment.ensemble.folder.usable_members)
    assert members
    image = sorted(folders[0].iterdir())[0]
    viewer.open(image, plugin="napari-bayes-nnunet")
    segment.method.members.value = min(2, members)
    segment.segment()
    qtbot.waitUntil(lambda: segment.run.status.text().startswith("Finished"))
    (labels,) = (layer for layer in viewer.layers if isinstance(layer, Labels))
    assert labels.data.shape == read_volume(image).shape
    assert np.isin(labels.data, [0, 1, 2, 3]).all()
    return segment
