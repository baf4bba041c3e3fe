"""Test from a scanner's folder dropped on the window to labels for a PACS."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from napari._qt.dialogs.qt_reader_dialog import QtReaderDialog

from napari_bayes_nnunet.io.dicom.headers import tolerant_reading
from napari_bayes_nnunet.io.dicom.reader import choose_stack, read_dicom, read_stacks
from napari_bayes_nnunet.io.dicom.seg import read_seg
from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.sample_data import CINE
from tests.helpers.windows.drops import drop

from ..helpers.data.dicoms import NAME, PATIENT, write_cine
from ..helpers.windows.review_driver import reviewed

TITLE = "Bayesian nnU-Net"
SUNNYBROOK = Path(__file__).parents[3] / "shared" / "data" / "sunnybrook" / "dicom"
HAS_DISPLAY = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
pytestmark = pytest.mark.skipif(
    sys.platform == "linux" and not HAS_DISPLAY, reason="needs a display or Xvfb"
)


class Patience:
    """Adapter of pytest-qt's waiting for the review driver."""

    def __init__(self, qtbot: Any) -> None:
        self._qtbot = qtbot

    def until(self, condition: Callable[[], bool]) -> None:
        self._qtbot.waitUntil(condition)


@pytest.fixture
def images(tmp_path):
    """Return a real cine of a scanner or, if missing, the sample cine as DICOM."""
    folder = tmp_path / "images"
    if SUNNYBROOK.exists():
        shutil.copytree(SUNNYBROOK, folder)
    else:
        write_cine(folder, read_volume(CINE).voxels.astype(np.int16))
    return folder


def segment(viewer: Any, wait: Patience) -> Any:
    """Segment ED and ES with one member of the built-in ensemble."""
    _, dock = viewer.window.add_plugin_dock_widget("napari-bayes-nnunet", "Segment")
    dock.ensemble.choose_demo()
    wait.until(lambda: dock.ensemble.folder is not None)
    dock.method.members.value = 1
    dock.method.mirroring.value = "none"
    dock.image.phases.setCurrentIndex(dock.image.phases.findText("These:"))
    dock.image.phase_numbers.setText("7,18")
    dock.segment()
    wait.until(lambda: not dock.is_running)
    assert dock.run.status.text().startswith("Finished"), dock.run.status.text()
    return dock


def test_dropped_folder_is_segmented_reviewed_and_exported(
    images, tmp_path, make_napari_viewer, qtbot, monkeypatch
):
    viewer = make_napari_viewer(show=True)
    wait = Patience(qtbot)
    # napari's own reader also accepts folders, so napari asks which reader to use.
    monkeypatch.setattr(QtReaderDialog, "get_user_choices", lambda dialog: (TITLE, False))
    drop(viewer.window._qt_viewer, images)
    (layer,) = viewer.layers
    volume = read_dicom(images)
    assert np.array_equal(layer.data, volume.voxels)
    dock = segment(viewer, wait)
    controller = reviewed(viewer, dock, wait)  # type: ignore[arg-type]
    wait.until(lambda: controller.picture.place[0] in controller.session.phases)
    phase, z = place = controller.picture.place
    controller.session.labels_in(place)[5:9, 5:9] = 3
    controller.session.note_change([place], tool="paint")
    (review,) = (
        w
        for w in viewer.window.dock_widgets.values()
        if getattr(w, "controller", None) is controller
    )
    answers = iter([str(tmp_path / "out")])  # the folder of the images is known
    monkeypatch.setattr(review, "_ask_folder", lambda *_: next(answers))
    monkeypatch.setattr(review, "_may_save", lambda *_: True)  # most slices are not accepted
    review.forms.export.dicom_action.trigger()
    wait.until(lambda: "Saved" in review.forms.export.message)
    check_export(tmp_path / "out", images, controller.session.labels_in(place), phase, z)
    assert not any(PATIENT in str(f) or NAME in str(f) for f in tmp_path.rglob("*"))
    review.close_study()
    dock.close_child()


def check_export(out: Path, images: Path, drawn: np.ndarray, phase: int, z: int) -> None:
    """Check that highdicom and our reader find the labels by the images they refer to."""
    file = next(out.glob(f"*_frame{phase:02d}_seg.dcm"))
    stack = choose_stack(read_stacks(images))
    uids = [phases[phase - 1].instance for phases in stack.slices]
    with tolerant_reading():  # for identifiers made by an anonymiser
        written = hd.seg.segread(file)
        pixels = written.get_pixels_by_source_instance(uids, combine_segments=True)
    assert np.array_equal(pixels[z], drawn)
    assert np.array_equal(read_seg(file).voxels, pixels)
    assert (pixels[z, 5:9, 5:9] == 3).all()
    (report,) = out.glob("*_measurements.dcm")
    with tolerant_reading():
        assert hd.sr.srread(report).Modality == "SR"
