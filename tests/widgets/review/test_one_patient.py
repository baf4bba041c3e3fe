"""One patient at a time: whose heart is on the canvas, and nothing of another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pytest
from napari.layers import Image, Layer
from qtpy.QtWidgets import QLabel

from napari_bayes_nnunet.core.heart.patient_record import PatientRecord
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image
from napari_bayes_nnunet.io.study.patient import write_patient
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.layers.captions import CAPTION_KEY, PATIENT_HIDDEN, STRIP_KEY
from napari_bayes_nnunet.widgets.layers.front import HIDDEN, bring_to_front
from napari_bayes_nnunet.widgets.layers.reader import read_layers
from napari_bayes_nnunet.widgets.layers.result_layers import keep_result
from napari_bayes_nnunet.widgets.layers.viewing import fit_view
from napari_bayes_nnunet.widgets.review import saver as study_saver
from napari_bayes_nnunet.widgets.review.dock import (
    ALL_SAVED,
    LABELS_HIDDEN,
    MADE_WAY,
    PICTURE_HIDDEN,
    ReviewWidget,
)
from napari_bayes_nnunet.widgets.review.window_layout import ThumbnailArea
from napari_bayes_nnunet.widgets.segment.image_form import CANNOT_BE_SEGMENTED, ImageForm

from ...helpers.data.cines import AFFINE, CINE, SHAPE, VOLUME, WORST, image_of, make_cine, voxels_of
from ...helpers.windows.reviewing import open_in, press
from ...helpers.windows.settling import settle
from ..conftest import make_result

DOE = PatientRecord(
    name="DOE^J", birth="1957-05-02", age=66, sex="m", date="2024-03-12", series="cine SAX"
)
LONG = "another_patient_" + 12 * "of_the_same_trial_" + "_frame01.nii.gz"
SMALL = make_geometry((2, 3, 40, 48), (10, 2, 2), frame_time=30, affine=AFFINE)


@pytest.fixture
def dock(model_dock: ReviewWidget) -> ReviewWidget:
    return model_dock


@pytest.fixture
def doe(tmp_path: Path) -> Path:
    return named(make_cine(tmp_path / "doe"), DOE)


@pytest.fixture(scope="module")
def shared_study(shared_study: Path) -> Path:
    return named(shared_study, DOE)


def named(folder: Path, patient: PatientRecord) -> Path:
    write_patient(folder, patient)
    return folder


def add_file(viewer: napari.Viewer, file: Path, geometry: Any = VOLUME) -> Image:
    write_image(file, voxels_of(geometry.shape, seed=5), geometry)
    (data,) = read_layers(str(file))
    return viewer.add_layer(Layer.create(*data))


def on_canvas(viewer: napari.Viewer, key: str = STRIP_KEY) -> str:
    """Return the text of an overlay in one line, "" if it is not visible."""
    overlay = viewer.canvas.overlays.get(key)
    text = overlay.text if overlay is not None and overlay.visible else ""
    return " · ".join(line.strip() for line in text.splitlines())


def above_thumbnails(viewer: napari.Viewer) -> str:
    (area,) = viewer.window._qt_window.findChildren(ThumbnailArea)
    (label,) = (child for child in area.children() if isinstance(child, QLabel))
    assert label.isVisible()
    assert label.heightForWidth(label.width()) <= label.height()
    return label.text().replace("\u200b", "")


def steps(viewer: napari.Viewer) -> list[int]:
    """Return the number of steps of each visible slider."""
    dims = viewer.dims
    return [int(n) for axis, n in enumerate(dims.nsteps) if axis not in dims.displayed and n > 1]


def test_patient_is_on_canvas_and_above_thumbnails_unless_hidden(
    opened_dock: ReviewWidget, window: napari.Viewer, shared_study: Path, qtbot: Any
) -> None:
    dock = opened_dock
    assert on_canvas(window) == DOE.title == above_thumbnails(window)
    assert dock.title.text().replace("\u200b", "") == "DOE, J"
    assert DOE.title in dock.title.toolTip()
    dock.controller.picture.image.visible = False  # whose labels stay
    assert on_canvas(window) == DOE.title
    dock.controller.picture.image.visible = True
    window.dims.ndisplay = 3
    assert on_canvas(window) == DOE.title
    window.dims.ndisplay = 2
    # Hidden, it is nowhere in the window
    qtbot.waitUntil(lambda: dock._hide_patient is not None)
    dock._hide_patient.trigger()
    assert on_canvas(window) == above_thumbnails(window) == dock.title.text() == PATIENT_HIDDEN
    texts = [label.text() + label.toolTip() for label in dock.window().findChildren(QLabel)]
    assert not [text for text in texts if "DOE" in text or "1957" in text]
    named(shared_study, PatientRecord(files=(LONG, LONG.replace("01", "12"))))
    open_in(dock, shared_study, qtbot)  # another patient stays hidden, too
    assert on_canvas(window) == PATIENT_HIDDEN == dock.title.text()
    dock._hide_patient.trigger()
    # A long name of a file is never cut
    whole = f"{LONG} + …frame12.nii.gz"  # the other name begins as the first does
    shown = window.canvas.overlays[STRIP_KEY].text
    assert "".join(shown.split()).replace("·", "") == "".join(whole.split())
    assert above_thumbnails(window) == whole
    for width in range(300, 1000, 20):
        window.canvas.size = (600, width)
        lines = window.canvas.overlays[STRIP_KEY].text.splitlines()
        assert not [line for line in lines if line.startswith(("nii", "gz"))]


def test_hidden_patient_is_not_in_the_list(opened_dock, doe, qtbot) -> None:
    dock = opened_dock
    dock._settings.add("study_aliases", {str(doe): "Mrs. Doe"})
    dock.list_studies(doe.parent)
    qtbot.waitUntil(lambda: len(dock.studies.studies) == 1)
    table = dock.studies.table
    table.selectRow(0)

    def shown() -> str:
        row = table.rows[0]
        return f"{row.cells} {row.help} {dock.studies.notes.alias.text()}"

    assert "Mrs. Doe" in shown()
    qtbot.waitUntil(lambda: dock._hide_patient is not None)
    dock._hide_patient.trigger()
    assert not [name for name in ("Mrs. Doe", "heart", str(doe)) if name in shown()]
    dock.studies.update_study(doe)
    dock.studies.refresh()
    qtbot.waitUntil(lambda: not dock.studies.detail.text())
    assert not [name for name in ("Mrs. Doe", "heart", str(doe)) if name in shown()]
    dock._hide_patient.trigger()
    assert "Mrs. Doe" in shown()
    assert dock._settings.kept.study_aliases == {str(doe): "Mrs. Doe"}


def test_sign_between_parts_stands_in_none(dock, viewer, doe, qtbot) -> None:
    whose = PatientRecord(name="MÜLLER-LÜDENSCHEIDT^ANNA", patient_id="MRN-1", date="2024-03-12")
    patient = replace(whose, birth="1957", sex="f", series="cine_sax_trufi_retro")
    named(doe, patient)
    open_in(dock, doe, qtbot)
    counts = []
    for width in range(300, 1000, 20):
        viewer.canvas.size = (600, width)
        lines = [line.strip() for line in viewer.canvas.overlays[STRIP_KEY].text.splitlines()]
        assert all(line in patient.title for line in lines)
        counts.append(len(lines))
    assert max(counts) > 5 > min(counts)


def test_second_study_leaves_nothing_of_the_first(dock, viewer, doe, tmp_path, qtbot) -> None:
    other = make_cine(tmp_path / "other", geometry=VOLUME, phases=(None,), case="other")
    open_in(dock, doe, qtbot)
    assert steps(viewer) == [CINE.shape[0], CINE.shape[1]]
    open_in(dock, other, qtbot)
    assert {layer.name.split()[0] for layer in viewer.layers} == {"other"}
    assert on_canvas(viewer) == "other"
    assert steps(viewer) == [VOLUME.shape[0]]
    dock.close_study()
    assert not viewer.layers
    assert on_canvas(viewer) == on_canvas(viewer, CAPTION_KEY) == ""


def test_second_heart_without_a_name_closes_the_study(dock, viewer, doe, tmp_path, qtbot) -> None:
    named(doe, PatientRecord(name="ANONYMOUS"))
    open_in(dock, doe, qtbot)
    other = add_file(viewer, tmp_path / "b.nii.gz")
    other.metadata["bayes"]["patient"] = PatientRecord(name="ANONYMOUS")
    qtbot.waitUntil(lambda: dock.controller is None)
    assert [layer for layer in viewer.layers if layer.visible] == [other]


def test_image_that_comes_while_a_study_opens_closes_it(dock, viewer, doe, tmp_path, qtbot) -> None:
    dock.open(doe)
    qtbot.waitUntil(lambda: len(viewer.layers) > 0)
    assert dock.is_opening
    other = add_file(viewer, tmp_path / "b.nii.gz")
    qtbot.waitUntil(lambda: dock.controller is None and not dock.is_opening)
    settle(qtbot)
    assert [*viewer.layers] == [other]
    assert on_canvas(viewer) == "b.nii.gz"
    assert dock.messages.line.message == MADE_WAY.format(image="b", saved=ALL_SAVED)


def is_closed_for(viewer: Any, image: Image, folder: Path) -> None:
    """Check that an image is alone on the canvas, and that the study was saved."""
    assert [layer for layer in viewer.layers if layer.visible] == [image] == [*viewer.layers]
    assert (on_canvas(viewer, CAPTION_KEY), steps(viewer)) == ("", list(SMALL.shape[:2]))
    assert read_study(folder).review.decisions[WORST].state == "accepted"


def test_image_brought_to_the_front_closes_the_saved_study(
    dock, viewer, doe, tmp_path, qtbot
) -> None:
    waiting = add_file(viewer, tmp_path / "b.nii.gz", SMALL)
    open_in(dock, doe, qtbot)
    press(viewer, "A")
    place = dock.controller.picture.place
    bring_to_front(viewer, waiting)  # as Segment, Join and a choice in its list do
    qtbot.waitUntil(lambda: dock.controller is None)
    settle(qtbot)
    is_closed_for(viewer, waiting, doe)
    assert read_study(doe).review.current == place


def test_another_image_has_the_window_of_the_saved_study(
    opened_dock, window, shared_study, tmp_path, qtbot
) -> None:
    press(window, "A")
    other = add_file(window, tmp_path / "b.nii.gz", SMALL)
    qtbot.waitUntil(lambda: opened_dock.controller is None)
    settle(qtbot)  # the canvas takes the room of what belonged to the review
    is_closed_for(window, other, shared_study)
    assert not window.window._qt_window.findChildren(ThumbnailArea)
    camera = window.scene.camera
    shown = (camera.zoom, *camera.center)
    fit_view(window, other)
    assert (camera.zoom, *camera.center) == pytest.approx(shown)
    window.layers.clear()


def test_unsaved_study_stays_in_front_of_another_image(
    dock, viewer, doe, tmp_path, qtbot, monkeypatch
) -> None:
    def failing(*_: Any) -> None:
        raise DataError("Disk full.")

    open_in(dock, doe, qtbot)
    press(viewer, "A")
    with monkeypatch.context() as patch:
        patch.setattr(study_saver, "save_work", failing)
        other = add_file(viewer, tmp_path / "b.nii.gz")
        qtbot.waitUntil(lambda: not other.visible)
        settle(qtbot)
        assert dock.controller.picture.image.visible
        assert on_canvas(viewer) == DOE.title
        bring_to_front(viewer, other)  # again at once: only the reader may discard corrections
        qtbot.waitUntil(lambda: not other.visible)
        settle(qtbot)
        assert dock.controller is not None
    assert dock.controller.session.state_of(WORST) == "accepted"


def test_picture_and_other_labels_are_hidden_and_said(dock, viewer, doe, tmp_path, qtbot) -> None:
    open_in(dock, doe, qtbot)
    photo = viewer.add_image(np.zeros((30, 40, 3), np.uint8), rgb=True, name="photo")
    said = PICTURE_HIDDEN.format(layer="photo")
    qtbot.waitUntil(lambda: not photo.visible and dock.messages.line.message == said)
    assert on_canvas(viewer) == DOE.title
    viewer.layers.remove(photo)
    # So are labels of another heart, which get no stroke
    mask = viewer.add_labels(np.ones(SHAPE, np.uint8), name="other_gt")
    said = LABELS_HIDDEN.format(layer="other_gt")
    qtbot.waitUntil(lambda: not mask.visible and dock.messages.line.message == said)
    edited = dock.controller.picture.edited
    assert viewer.layers.selection.active is edited
    dock.forms.corrections.buttons["brush"].click()
    assert (str(mask.mode), str(edited.mode)) == ("pan_zoom", "paint")
    other = add_file(viewer, tmp_path / "another.nii.gz")
    qtbot.waitUntil(lambda: dock.controller is None)
    bring_to_front(viewer, other)
    assert other.visible
    assert not mask.visible  # it came while the heart of the study was in front


def test_dropped_study_opens_in_place_of_another(dock, viewer, doe, tmp_path, qtbot) -> None:
    other = make_cine(tmp_path / "other", case="other")
    open_in(dock, doe, qtbot)
    for data in read_layers(str(other)):
        viewer.add_layer(data)

    def is_other_open() -> bool:
        is_open = dock.controller is not None and not dock.is_opening
        return is_open and dock.controller.session.study.folder == other

    qtbot.waitUntil(is_other_open)
    assert on_canvas(viewer) == "other"
    dock.close_study()
    assert not viewer.layers


def test_image_with_a_result_outlives_its_review(dock, viewer, doe, qtbot) -> None:
    (data,) = read_layers(str(image_of(doe)))
    image = viewer.add_layer(Layer.create(*data))
    keep_result(image, make_result(CINE))
    open_in(dock, doe, qtbot)
    dock.close_study()
    assert image in viewer.layers
    shown = {layer.name.split()[-1] for layer in viewer.layers if layer.visible}
    assert shown == {image.name, "prediction"}


def test_masks_that_were_there_do_not_lie_on_the_heart(dock, viewer, doe, qtbot) -> None:
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[0] = 1
    labels = viewer.add_labels(voxels, name="other_gt")
    numbers = viewer.add_image(voxels.astype(np.float32), name="other_mask")
    open_in(dock, doe, qtbot)
    assert not labels.visible
    assert not numbers.visible


def test_image_fills_the_canvas_beside_a_larger_hidden_one(viewer, tmp_path, qtbot) -> None:
    large = add_file(viewer, tmp_path / "large.nii.gz", make_geometry((3, 300, 300), (10, 2, 2)))
    small = add_file(viewer, tmp_path / "small.nii.gz", SMALL)
    zooms = []
    for other in (large, None):
        bring_to_front(viewer, small)
        zooms.append((viewer.scene.camera.zoom, viewer.scene.camera.center[-2:]))
        if other is not None:
            viewer.layers.remove(other)
            small.metadata[HIDDEN] = True
            small.visible = False
    assert zooms[0] == zooms[1]


@pytest.mark.parametrize("kind", ["photo", "labels", "mask of floats"])
def test_no_candidate_is_said_to_be_none(viewer, qtbot, kind) -> None:
    form = ImageForm(viewer)
    qtbot.addWidget(form)
    add: Callable[..., Layer] = viewer.add_labels if kind == "labels" else viewer.add_image
    photo, mask = np.zeros((64, 64, 3), np.uint8), np.zeros(SHAPE, np.float32)
    mask[0] = 1
    layer = add({"photo": photo, "mask of floats": mask}.get(kind, mask.astype(int)), name=kind)
    assert CANNOT_BE_SEGMENTED.format(layer=kind) in form.hint.text()
    viewer.layers.remove(layer)
    assert kind not in form.hint.text()
    form.close_events()
    viewer.layers.clear()
