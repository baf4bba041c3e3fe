"""The Review dock: opening, closing and saving of studies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QCloseEvent, QDropEvent
from qtpy.QtWidgets import QWidget

from napari_bayes_nnunet.app.review.accepted_slices import OPEN_SLICES, describe_open_slices
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image
from napari_bayes_nnunet.io.study.arrays import EDITED
from napari_bayes_nnunet.io.study.study import open_study_lock, read_study
from napari_bayes_nnunet.widgets.layers.metadata import bayes_metadata
from napari_bayes_nnunet.widgets.layers.reader import get_reader, read_layers
from napari_bayes_nnunet.widgets.layers.review_layers import CLOSED_UNSAVED
from napari_bayes_nnunet.widgets.review import dock as review_dock
from napari_bayes_nnunet.widgets.review import saver as study_saver
from napari_bayes_nnunet.widgets.review.controller import ALL_ACCEPTED, DOCK_WAS_BEHIND
from napari_bayes_nnunet.widgets.review.dock import (
    ALL_SAVED,
    CHOOSE_DICOM_IMAGES,
    CHOOSE_DICOM_OUTPUT,
    CLOSE_AGAIN,
    IMAGE_WAITS,
    LABELS_HIDDEN,
    MADE_WAY,
    NO_DICOM_IMAGES,
    PICTURE_HIDDEN,
    REVIEW_SAVED,
    SAID_IN_DICOM,
    SAVING,
    ReviewWidget,
)
from napari_bayes_nnunet.widgets.review.messages import (
    CHANGED,
    NO_STUDY,
    PROBLEMS,
    UNSAVED,
    VIEWED_ONLY,
)
from napari_bayes_nnunet.widgets.review.open_study import ON_BLACK
from napari_bayes_nnunet.widgets.review.saver import NOT_SAVED
from napari_bayes_nnunet.widgets.review.view import READ_ONLY

from ...helpers.data.cines import (
    CINE,
    ED,
    ES,
    LV,
    SHAPE,
    SPACING,
    WORST,
    accept,
    image_of,
    make_cine,
    write_dicoms,
)
from ...helpers.data.hearts import make_dataset
from ...helpers.windows.handles import move_handle
from ...helpers.windows.reviewing import open_in, opened, paint, plane, press
from ...helpers.windows.settling import settle


class Asked:
    """Fake file dialogs with prepared answers."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.titles: list[str] = []
        self.starts: list[str] = []

    def __call__(self, _: Any, title: str, start: str) -> str:
        self.titles.append(title)
        self.starts.append(start)
        return self.answers.pop(0)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def make_dock(qtbot, asked, settings, monkeypatch) -> Iterator[Callable[..., ReviewWidget]]:
    """Return a function that makes a dock, by default without a window."""
    made: list[ReviewWidget] = []

    for name in ("choose_folder", "choose_image"):
        monkeypatch.setattr(review_dock, name, asked)
    monkeypatch.setattr(review_dock, "ask_to_save", lambda *_: True)

    def make(viewer: Any = None) -> ReviewWidget:
        made.append(ReviewWidget(viewer or ViewerModel(), settings=settings))
        qtbot.addWidget(made[-1])
        return made[-1]

    yield make
    while made:
        made.pop()._remove_study(NO_STUDY)
    settle(qtbot)  # closed widgets are deleted a little later


@pytest.fixture
def dock(make_dock) -> ReviewWidget:
    return make_dock()


def open_with_dicoms(dock: ReviewWidget, folder: Path, qtbot: Any) -> Path:
    """Open the images in ``folder / "in"`` and their study, whose folder is returned."""
    write_dicoms(folder / "in")
    (image,) = read_layers(str(folder / "in"))
    about = image[1]["metadata"]["bayes"]
    study = make_cine(folder / "heart", geometry=about["geometry"], case=about["case"])
    dock._viewer.add_layer(Layer.create(*image))
    open_in(dock, study, qtbot)
    return study


def ended(dock: ReviewWidget, qtbot: Any) -> None:
    """Wait until opening has succeeded and its slice is shown, or has failed."""
    qtbot.waitUntil(lambda: not dock.is_opening)
    settle(qtbot, dock)  # keys do nothing before


def edit(dock: ReviewWidget) -> np.ndarray:
    """Remove a structure from the slice on screen; return all labels."""
    assert dock.controller is not None
    before = dock.controller.session.labels.copy()
    press(dock._viewer, "D")
    assert not np.array_equal(dock.controller.session.labels, before)
    return dock.controller.session.labels.copy()


def dropped(dock: ReviewWidget, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    dock.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))


def fail(monkeypatch: Any) -> None:
    def failing(*_: Any) -> None:
        raise DataError("Disk full.")

    monkeypatch.setattr(study_saver, "save_work", failing)


# Opening and closing


def test_an_empty_dock_shows_how_to_start(dock) -> None:
    assert dock.messages.hint.text() == NO_STUDY
    assert dock.close_button.isHidden()
    assert dock.image_button.isHidden()
    assert dock.controller is None


def test_a_study_is_opened_and_closed(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    assert "heart" in dock.title.text()
    assert dock.messages.line.notice(PROBLEMS) == ""
    assert not dock.close_button.isHidden()
    assert dock.image_button.isHidden()
    dock.close_button.click()
    assert dock.controller is None
    assert dock.messages.hint.text() == NO_STUDY
    assert not dock._viewer.layers
    open_study_lock(folder).release()


def test_a_reopened_study_continues_at_its_slice(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    dock.show_guide("Press A.\nHelp has all keys.")
    assert dock.forms.guide.text() == "Press A.\nHelp has all keys."
    assert dock.forms.layout().indexOf(dock.forms.guide) == 0
    dock.controller.show_level(-0.5)
    shown = plane(dock.controller.session, WORST)
    open_in(dock, folder, qtbot)
    assert dock.forms.guide.text() == ""
    assert np.array_equal(dock.controller.session.labels, dock.controller.session.study.prediction)
    dock.controller.show_level(-0.5)
    assert np.array_equal(plane(dock.controller.session, WORST), shown)
    dock.controller.corrections.discard_preview()
    assert len(dock.controller.session.alternatives_in(WORST)) > 1
    labels = edit(dock)
    press(dock._viewer, "A")
    press(dock._viewer, "Enter")  # the slice has a finding
    place, numbers = dock.controller.picture.place, dock.controller.session.measured()
    dock.close_study()
    open_in(dock, folder, qtbot)
    assert dock.controller.picture.place == place
    assert np.array_equal(dock.controller.session.labels, labels)
    assert dock.controller.session.measured() == numbers
    assert dock.controller.session.state.decisions[WORST].state == "accepted"
    assert len(dock._viewer.layers) == 6  # the image layer was reused


def test_opening_a_study_closes_the_previous_one(dock, folder, tmp_path, qtbot) -> None:
    other = make_cine(tmp_path / "other", case="other")
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    open_in(dock, other, qtbot)
    assert "other" in dock.title.text()
    assert np.array_equal(read_study(folder).edited, labels)
    open_study_lock(folder).release()


def test_only_the_last_requested_study_is_shown(dock, folder, tmp_path, qtbot) -> None:
    other = make_cine(tmp_path / "other", case="other")
    dock.open(folder)
    dock.open(other)
    ended(dock, qtbot)
    settle(qtbot, dock)
    assert "other" in dock.title.text()
    open_study_lock(folder).release()


def test_closing_during_opening_opens_nothing(dock, folder, qtbot) -> None:
    dock.open(folder)
    dock.close_study()
    settle(qtbot, dock)
    assert dock.controller is None
    assert list(dock._viewer.layers) == []


def test_studies_and_folders_can_be_chosen(dock, asked, folder, tmp_path, qtbot) -> None:
    asked.answers = ["", str(folder), str(tmp_path)]
    dock.open_button.click()
    assert dock.controller is None
    dock.open_button.click()
    ended(dock, qtbot)
    assert dock.controller is not None
    dock.open_button.click()
    qtbot.waitUntil(lambda: "heart" in repr([r.cells for r in dock.studies.table.rows]))


def test_studies_and_folders_can_be_dropped(dock, folder, tmp_path, qtbot) -> None:
    dropped(dock, folder)
    ended(dock, qtbot)
    assert dock.controller is not None
    assert not dock.studies.isVisibleTo(dock)
    dropped(dock, tmp_path)
    qtbot.waitUntil(lambda: "heart" in repr([r.cells for r in dock.studies.table.rows]))
    assert dock.studies.isVisibleTo(dock)


def test_the_list_follows_the_review_of_the_open_study(dock, folder, tmp_path, qtbot) -> None:
    dock.list_studies(tmp_path)
    qtbot.waitUntil(lambda: bool(dock.studies.studies))
    dock.studies.table.selectRow(0)
    open_in(dock, folder, qtbot)
    press(dock._viewer, "A")
    qtbot.waitUntil(lambda: dock.studies.table.rows[0].cells[2].startswith("1 of "))
    assert dock.studies.table.rows[0].cells[3] == "started"
    assert dock.studies.table.currentIndex().row() == 0
    assert dock.studies.open_button.isEnabled()


def test_a_study_dropped_on_the_window_is_opened(make_dock, folder, qtbot) -> None:
    viewer = ViewerModel()
    reader = get_reader(str(folder))
    layers = list(reader(str(folder)))
    for layer in layers[:2]:
        viewer.add_layer(layer)
    dock = make_dock(viewer)
    for layer in layers[2:]:
        viewer.add_layer(layer)
    ended(dock, qtbot)
    assert dock.controller is not None
    assert len(viewer.layers) == 6
    dock.close_study()
    viewer.add_image(np.zeros((4, 5)))  # does not reopen the study
    settle(qtbot, dock)
    assert dock.controller is None
    assert not dock.is_opening


def test_a_folder_without_study_shows_the_error(dock, tmp_path, qtbot) -> None:
    dock.open(tmp_path)
    ended(dock, qtbot)
    assert dock.controller is None
    assert "study.json" in dock.messages.line.message


def test_saving_keeps_other_messages(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    for place in [(item.phase, item.z) for item in dock.controller.view.queue]:
        dock.controller.picture.show_slice(place)
        dock.controller.accept()
    qtbot.waitUntil(lambda: dock.messages.saved.text().startswith("Saved"))
    assert dock.messages.line.message == ALL_ACCEPTED


def test_a_stroke_replaces_the_message_about_the_previous_slice(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    controller = dock.controller
    previous = controller.session.title_of(controller.picture.place)
    controller.accept()
    settle(qtbot, dock)
    assert dock.messages.line.message.startswith(previous)
    paint(controller.picture.edited, controller.picture.place, 1, 1, LV, qtbot)
    assert dock.messages.line.message == ""
    controller.act("absent")  # has a message of its own, which stays
    settle(qtbot, dock)
    assert dock.messages.line.message


def test_unsaved_changes_are_shown_at_once(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    controller = dock.controller
    controller.step(1)
    assert dock.messages.saved.text() == ""  # looking at a slice is no change
    controller.act("absent")
    assert dock.messages.saved.text() == CHANGED
    controller.saver.save()
    controller.act("revert")  # while the first save is running
    qtbot.waitUntil(lambda: not controller.saver._saving)
    assert dock.messages.saved.text() == CHANGED
    controller.saver.save()
    qtbot.waitUntil(lambda: dock.messages.saved.text().startswith("Saved"))


def test_a_failed_save_is_shown_until_success(dock, folder, monkeypatch, qtbot) -> None:
    monkeypatch.setattr(study_saver, "EVERY_MS", 30)
    open_in(dock, folder, qtbot)
    with monkeypatch.context() as patch:
        fail(patch)
        labels = edit(dock)
        qtbot.waitUntil(lambda: "Disk full." in dock.messages.line.notice(UNSAVED))
    qtbot.waitUntil(lambda: not dock.controller.saver.has_unsaved)
    assert dock.messages.line.notice(UNSAVED) == ""
    assert np.array_equal(read_study(folder).edited, labels)


def test_open_starts_next_to_the_study_closed_last(
    dock, make_dock, folder, asked, tmp_path, qtbot
) -> None:
    asked.answers = [""] * 3
    dock.open_button.click()
    open_in(dock, folder, qtbot)
    dock.open_button.click()
    dock.close_study()
    make_dock().open_button.click()  # as after a new start
    assert asked.starts == ["", str(tmp_path), str(tmp_path)]


def test_exports_ask_for_their_folders(dock, folder, asked, tmp_path, qtbot) -> None:
    open_in(dock, folder, qtbot)
    status = dock.forms.export
    asked.answers = ["", str(tmp_path / "out"), "", str(make_dataset(tmp_path / "data"))]
    dock.forms.export.export_action.trigger()
    assert status.message == ""
    dock.forms.export.export_action.trigger()
    qtbot.waitUntil(lambda: "Saved" in status.message)
    assert (tmp_path / "out" / "heart_report.html").is_file()
    assert dock.messages.line.message == status.message  # also in sight if the section is not
    dock.forms.export.training_action.trigger()
    dock.forms.export.training_action.trigger()
    qtbot.waitUntil(lambda: not status.message.endswith("…"))
    assert not status.message.startswith("Added")


def test_dicom_export_asks_for_images_and_output(dock, asked, tmp_path, monkeypatch, qtbot) -> None:
    geometry = write_dicoms(tmp_path / "in")
    open_in(dock, make_cine(tmp_path / "heart", geometry=geometry), qtbot)
    images, out = str(tmp_path / "in"), str(tmp_path / "out")
    asked.answers = ["", images, "", images, out]
    for _ in range(3):
        assert dock.forms.export.message == ""
        dock.forms.export.dicom_action.trigger()
    status = dock.forms.export
    qtbot.waitUntil(lambda: "Saved" in status.message)
    assert asked.titles[-2:] == [CHOOSE_DICOM_IMAGES, CHOOSE_DICOM_OUTPUT]
    assert (tmp_path / "out" / "heart_frame01_seg.dcm").is_file()
    replaced: list[str] = []
    monkeypatch.setattr(review_dock, "ask_to_replace", lambda _, n: bool(replaced.extend(n)))
    status.dicom_contours.trigger()
    asked.answers = [images, out]
    dock.forms.export.dicom_action.trigger()
    assert "heart_frame01_seg.dcm" in replaced
    assert "heart_frame01_contours.dcm" not in replaced
    monkeypatch.setattr(review_dock, "ask_to_replace", lambda *_: True)
    asked.answers = [images, out]
    dock.forms.export.dicom_action.trigger()
    qtbot.waitUntil(lambda: "heart_frame01_contours.dcm" in status.message)


def test_dicom_export_stops_at_a_folder_without_dicom(dock, folder, asked, tmp_path, qtbot) -> None:
    open_in(dock, folder, qtbot)
    asked.answers = [str(tmp_path)]
    dock.forms.export.dicom_action.trigger()
    assert asked.titles == [CHOOSE_DICOM_IMAGES]
    assert dock.forms.export.message == NO_DICOM_IMAGES.format(folder=tmp_path)


def test_dicom_export_knows_the_open_images(dock, asked, tmp_path, qtbot) -> None:
    open_with_dicoms(dock, tmp_path, qtbot)
    asked.answers = [str(tmp_path / "out")]
    dock.forms.export.dicom_action.trigger()
    qtbot.waitUntil(lambda: "Saved in" in dock.forms.export.message)
    assert asked.titles == [CHOOSE_DICOM_OUTPUT]
    (tmp_path / "in").rename(tmp_path / "moved")
    asked.answers = [""]
    dock.forms.export.dicom_action.trigger()
    assert asked.titles[-1] == CHOOSE_DICOM_IMAGES


def test_removed_dicom_images_stay_known(dock, asked, tmp_path, qtbot) -> None:
    study = open_with_dicoms(dock, tmp_path, qtbot)
    dock._viewer.layers.clear()
    qtbot.waitUntil(lambda: dock.controller is None)
    open_in(dock, study, qtbot)
    asked.answers = [""]
    dock.forms.export.dicom_action.trigger()
    assert asked.titles == [CHOOSE_DICOM_OUTPUT]


def test_dicom_export_asks_about_open_slices(
    dock, folder, asked, tmp_path, monkeypatch, qtbot
) -> None:
    doubts: list[str] = []
    monkeypatch.setattr(review_dock, "ask_to_save", lambda _, doubt: bool(doubts.append(doubt)))
    open_in(dock, folder, qtbot)
    asked.answers = ["", str(tmp_path), str(tmp_path), ""]
    dock.forms.export.dicom_action.trigger()
    assert doubts == []
    (tmp_path / "image.dcm").write_bytes(bytes(128) + b"DICM")
    dock.forms.export.dicom_action.trigger()
    session = dock.controller.session
    assert doubts == [f"{describe_open_slices(session, session.phases)} {SAID_IN_DICOM}"]
    accept(session, ED, ES)
    dock.forms.export.dicom_action.trigger()
    assert len(doubts) == 1
    assert asked.titles == [CHOOSE_DICOM_IMAGES] * 3 + [CHOOSE_DICOM_OUTPUT]


def test_save_says_how_many_slices_are_open(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    dock.forms.export.study_action.trigger()
    assert dock.messages.line.message.startswith(OPEN_SLICES.format(open=8, total=8))
    qtbot.waitUntil(lambda: not dock.controller.saver.has_unsaved)
    assert np.array_equal(read_study(folder).edited, labels)
    accept(dock.controller.session, ED, ES)
    dock.forms.export.study_action.trigger()
    assert dock.messages.line.message == SAVING.format(folder=folder)


def test_files_are_replaced_only_after_consent(
    dock, folder, asked, tmp_path, monkeypatch, qtbot
) -> None:
    open_in(dock, folder, qtbot)
    answers: list[bool] = [False, True]
    shown: list[Sequence[str]] = []
    ask = lambda _, names: shown.append(names) or answers.pop(0)  # noqa: E731
    monkeypatch.setattr(review_dock, "ask_to_replace", ask)
    report = tmp_path / "out" / "heart_report.html"
    report.parent.mkdir()
    report.write_text("of another reader")
    asked.answers = [str(report.parent)] * 2
    dock.forms.export.export_action.trigger()
    assert shown == [["heart_report.html"]]
    assert report.read_text() == "of another reader"
    dock.forms.export.export_action.trigger()
    status = dock.forms.export
    qtbot.waitUntil(lambda: "Saved" in status.message)
    assert report.read_text() != "of another reader"
    assert asked.starts == [str(tmp_path), str(report.parent)]


def test_closing_tells_that_the_review_is_saved(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    edit(dock)
    dock.close_study()
    assert dock.messages.hint.text() == f"{REVIEW_SAVED.format(case='heart')}\n{NO_STUDY}"


def test_closing_again_tries_to_save_again(dock, folder, qtbot, monkeypatch) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    with monkeypatch.context() as patch:
        fail(patch)
        dock.close_study()
        assert dock.controller is not None
    dock.close_study()  # saving works again
    assert dock.controller is None
    assert np.array_equal(read_study(folder).edited, labels)


# Damaged and changed files


def test_a_changed_image_leaves_labels_on_black(dock, folder, qtbot) -> None:
    write_image(image_of(folder), np.ones(CINE.shape, np.int16), CINE)
    open_in(dock, folder, qtbot)
    assert ON_BLACK in dock.messages.line.notice(PROBLEMS)
    assert not dock.image_button.isHidden()
    assert not np.asarray(dock.controller.picture.image.data).any()


def test_the_image_can_be_chosen(dock, folder, asked, tmp_path, qtbot) -> None:
    hidden = tmp_path / "deep" / "down" / "renamed.nii.gz"
    hidden.parent.mkdir(parents=True)
    image_of(folder).rename(hidden)
    open_in(dock, folder, qtbot)
    assert ON_BLACK in dock.messages.line.notice(PROBLEMS)
    labels = edit(dock)
    asked.answers = ["", str(hidden)]
    dock.image_button.click()
    dock.image_button.click()
    ended(dock, qtbot)
    assert ON_BLACK not in dock.messages.line.notice(PROBLEMS)
    assert dock.image_button.isHidden()
    assert np.array_equal(dock.controller.session.labels, labels)
    assert [bayes_metadata(layer).get("role") for layer in dock._viewer.layers].count("image") == 1


def test_a_wrong_image_leaves_labels_on_black(dock, folder, asked, tmp_path, qtbot) -> None:
    image_of(folder).unlink()
    wrong = tmp_path / "wrong.nii.gz"
    write_image(wrong, np.ones(SHAPE, np.int16), make_geometry(SHAPE, SPACING))
    open_in(dock, folder, qtbot)
    asked.answers = [str(wrong)]
    dock.image_button.click()
    qtbot.waitUntil(lambda: dock.controller is not None and not dock.is_opening)
    assert "wrong.nii.gz" in dock.messages.line.message
    assert not dock.image_button.isHidden()


def test_a_read_only_study_is_not_saved(dock, folder, qtbot) -> None:
    (folder / "study.lock").unlink(missing_ok=True)
    (folder / "study.lock").mkdir()  # the only way to make it unwritable for root
    files = (folder / EDITED, folder / "review.json")
    before = [file.read_bytes() for file in files]
    open_in(dock, folder, qtbot)
    assert str(folder) in dock.messages.line.notice(PROBLEMS)
    labels = dock.controller.session.labels.copy()
    for letter in "DA":
        press(dock._viewer, letter)
    assert np.array_equal(dock.controller.session.labels, labels)
    dock.close_study()
    assert dock.controller is None
    assert [file.read_bytes() for file in files] == before


def test_a_second_window_is_read_only(make_dock, folder, qtbot) -> None:
    first, second = make_dock(), make_dock()
    open_in(first, folder, qtbot)
    open_in(second, folder, qtbot)
    assert first.messages.line.notice(PROBLEMS) == ""
    assert second.messages.saved.text() == VIEWED_ONLY
    assert str(folder) in second.messages.line.notice(PROBLEMS)
    before = second.controller.session.labels.copy()
    for letter in "DAKWR":
        press(second._viewer, letter)
    assert np.array_equal(second.controller.session.labels, before)
    assert second.controller.session.state.decisions == {}
    assert second.messages.line.message == READ_ONLY
    assert not second.controller.picture.edited.editable
    assert not second.forms.corrections.level.isEnabled()
    second.close_study()
    labels = edit(first)
    first.close_study()
    assert np.array_equal(read_study(folder).edited, labels)


@pytest.mark.parametrize("which", ["edited", "image", "all"])
def test_removing_a_layer_saves_and_closes(dock, folder, qtbot, which: str) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    layers = dock._viewer.layers
    if which == "all":
        layers.clear()
    else:
        layers.remove(getattr(dock.controller.picture, which))
    qtbot.waitUntil(lambda: dock.controller is None)
    assert list(layers) == []
    assert ALL_SAVED in dock.messages.line.message
    assert np.array_equal(read_study(folder).edited, labels)
    open_in(dock, folder, qtbot)
    assert np.array_equal(dock.controller.session.labels, labels)


def test_renamed_layers_are_still_saved(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    for layer in dock._viewer.layers:
        layer.name = f"my {layer.name}"
    labels = edit(dock)
    dock.close_study()
    assert np.array_equal(read_study(folder).edited, labels)
    assert not dock._viewer.layers


def test_an_image_without_orientation_is_reviewed(dock, tmp_path, qtbot) -> None:
    folder = make_cine(tmp_path / "still", geometry=make_geometry((4, *SHAPE), SPACING))
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    dock.close_study()
    assert np.array_equal(read_study(folder).edited, labels)


def save_again(dock, folder, labels, qtbot) -> None:
    dock.controller.saver.save()
    qtbot.waitUntil(lambda: not dock.controller.saver.has_unsaved)
    assert np.array_equal(read_study(folder).edited, labels)


def test_an_unsaved_study_closes_only_when_asked_twice(
    dock, folder, monkeypatch, tmp_path, qtbot
) -> None:
    not_saved = NOT_SAVED.format(reason="Disk full.")
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    with monkeypatch.context() as patch:
        fail(patch)
        dock.close_button.click()
        assert dock.controller is not None
        assert dock.messages.line.message == f"{not_saved} {CLOSE_AGAIN}"
        assert np.array_equal(dock.controller.session.labels, labels)
    save_again(dock, folder, labels, qtbot)
    press(dock._viewer, "R")
    fail(monkeypatch)
    dock.open(make_cine(tmp_path / "other"))  # another study does not replace it either
    assert dock.controller is not None
    assert dock.controller.session.study.folder == folder
    dock.close_button.click()
    assert dock.controller is None
    assert dock.messages.line.message == not_saved
    assert dock._viewer.layers[-2].name.endswith(f"({CLOSED_UNSAVED})")


def test_a_failed_save_keeps_a_study_without_layer(dock, folder, monkeypatch, qtbot) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    with monkeypatch.context() as patch:
        fail(patch)
        dock._viewer.layers.remove(dock.controller.picture.edited)
        qtbot.waitUntil(lambda: "Disk full." in dock.messages.line.message)
        assert dock.controller is not None
    dock.controller.saver.save()
    qtbot.waitUntil(lambda: not dock.controller.saver.has_unsaved)
    dock.close_study()
    assert np.array_equal(read_study(folder).edited, labels)


# Another heart, whose layers are shown by hand


def add_other(dock: ReviewWidget) -> Image:
    other: Image = dock._viewer.add_image(np.full(SHAPE, 0.5), name="other")
    return other


def visible(dock: ReviewWidget) -> list[Layer]:
    return [layer for layer in dock._viewer.layers if layer.visible]


@pytest.mark.parametrize("kind", ["photo", "labels", "mask", "prediction", "contours"])
def test_layer_of_another_heart_cannot_be_shown(dock, folder, qtbot, kind) -> None:
    other, viewer = add_other(dock), dock._viewer
    open_in(dock, folder, qtbot)
    shown = visible(dock)
    about = {"bayes": {"image": other.unique_id, "role": kind}}
    layer: Layer = {
        "photo": lambda: Image(np.zeros((30, 40, 3), np.uint8), rgb=True, name=kind),
        "labels": lambda: Labels(np.ones(SHAPE, np.uint8), name=kind),
        "mask": lambda: Image(np.arange(np.prod(SHAPE)).reshape(SHAPE) % 2, name=kind),
        "prediction": lambda: Labels(np.ones(SHAPE, np.uint8), name=kind, metadata=about),
        "contours": lambda: Shapes(ndim=3, name=kind, metadata=about),
    }[kind]()
    layer.visible = False
    viewer.add_layer(layer)
    settle(qtbot)
    hidden = PICTURE_HIDDEN if kind == "photo" else LABELS_HIDDEN
    layer.visible = True
    assert visible(dock) == shown  # at once
    qtbot.waitUntil(lambda: dock.messages.line.message == hidden.format(layer=kind))
    assert viewer.layers.selection.active is dock.controller.picture.edited


@pytest.mark.parametrize("own", ["on", "off", "faint"])
def test_another_image_shown_by_hand_closes_the_study(dock, folder, qtbot, own) -> None:
    other = add_other(dock)
    open_in(dock, folder, qtbot)
    labels, image = edit(dock), dock.controller.picture.image
    image.visible = own != "off"
    image.opacity = 0.4 if own == "faint" else 1.0
    other.visible = True
    assert not other.visible  # no words, labels or tools of the study lie on it
    qtbot.waitUntil(lambda: dock.controller is None)
    assert visible(dock) == [other]
    assert np.array_equal(read_study(folder).edited, labels)
    assert dock.messages.line.message == MADE_WAY.format(image="other", saved=ALL_SAVED)


def test_new_image_is_hidden_until_the_study_is_closed(dock, folder, qtbot, monkeypatch) -> None:
    open_in(dock, folder, qtbot)
    edit(dock)
    shown = visible(dock)
    with monkeypatch.context() as patch:
        fail(patch)
        other = add_other(dock)
        assert visible(dock) == shown
        waits = IMAGE_WAITS.format(image="other")
        qtbot.waitUntil(lambda: dock.messages.line.message.endswith(waits))
        assert visible(dock) == shown
        assert dock.controller is not None
    dock.close_study()
    other.visible = True
    settle(qtbot)
    assert visible(dock) == [other]


def test_study_opens_at_its_slice_behind_a_volume(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    dock.controller.picture.show_slice((ES, 1))
    dock.close_study()
    dock._viewer.add_layer(Layer.create(*read_layers(str(image_of(folder)))[0]))
    other = add_other(dock)
    dock._viewer.layers.selection.active = other
    open_in(dock, folder, qtbot)
    assert dock.controller.picture.place == (ES, 1)
    assert dock.controller.session.state.current == (ES, 1)


# In a real window


def test_closing_the_window_saves_a_contour_being_edited(make_dock, folder, qtbot) -> None:
    dock = make_dock()
    open_in(dock, folder, qtbot)
    controller = dock.controller
    before = plane(controller.session, WORST)
    controller.act("contour")
    handles = controller.contour
    move_handle(handles, 0, handles.handles[0] + 4)
    assert not dock.eventFilter(dock, QCloseEvent())
    assert not np.array_equal(read_study(folder).edited[WORST[0] - 1, WORST[1]], before)


def test_nothing_is_decided_while_the_dock_is_behind_another(opened_dock, qtbot) -> None:
    dock, controller, window = opened_dock, opened_dock.controller, opened_dock._viewer.window
    other = window.add_dock_widget(QWidget(), name="other", area="right", tabify=True)
    other.raise_()
    qtbot.waitUntil(lambda: dock.parent().visibleRegion().isEmpty())
    controller.act("accept")
    assert controller.session.state.decisions == {}
    assert dock.messages.line.message == DOCK_WAS_BEHIND
    qtbot.waitUntil(lambda: not dock.parent().visibleRegion().isEmpty())
    controller.act("accept")
    assert controller.session.state.count("accepted") == 1
    window.remove_dock_widget(other)


def test_a_closed_window_or_dock_saves_its_study(
    opened_dock, shared_study, qtbot, monkeypatch
) -> None:
    dock, window = opened_dock, opened_dock.window()
    labels = edit(dock)
    with monkeypatch.context() as patch:
        fail(patch)
        event = QCloseEvent()
        assert dock.eventFilter(window, event)  # the window stays open once
        assert not event.isAccepted()
        assert CLOSE_AGAIN in dock.messages.line.message
        assert not dock.eventFilter(window, QCloseEvent())
    save_again(dock, shared_study, labels, qtbot)
    press(dock._viewer, "R")
    assert not dock.eventFilter(dock.parent(), QEvent(QEvent.Type.Close))
    assert dock.controller is None
    session = opened(shared_study).session
    assert np.array_equal(session.labels, session.study.prediction)


def test_a_removed_dock_returns_if_saving_fails(
    opened_dock, shared_study, qtbot, monkeypatch
) -> None:
    dock, viewer = opened_dock, opened_dock._viewer
    labels, shown = edit(dock), viewer.window.dock_widgets
    with monkeypatch.context() as patch:
        fail(patch)
        dock.parent().titleBarWidget().close_button.click()
        qtbot.waitUntil(dock.isVisible)
        assert shown["Review"] is dock
        assert CLOSE_AGAIN in dock.messages.line.message
        assert dock.messages.notice.overlay.visible
        assert np.array_equal(dock.controller.session.labels, labels)
    save_again(dock, shared_study, labels, qtbot)
    press(viewer, "R")
    fail(monkeypatch)
    for _ in range(2):  # as everywhere, the second time discards what cannot be saved
        assert dock.controller is not None
        dock.parent().titleBarWidget().close_button.click()
        settle(qtbot)
    assert dock.controller is None
    assert "Review" not in shown
    assert viewer.layers[-2].name.endswith(f"({CLOSED_UNSAVED})")
    dock.deleteLater()
    viewer.layers.clear()


def test_a_removed_dock_saves_and_leaves_the_viewer(window_dock, folder, qtbot) -> None:
    dock, viewer = window_dock, window_dock._viewer
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    viewer.window.remove_dock_widget(dock)
    assert dock.controller is None
    assert not [k for k in map(str, viewer.keymap) if k in ("N", "A", "W")]
    assert np.array_equal(read_study(folder).edited, labels)
    viewer.add_image(np.zeros((4, 5)))
    dock.deleteLater()
    viewer.layers.clear()
    settle(qtbot)


def test_closing_the_window_saves(window, window_dock, folder, settings, qtbot) -> None:
    open_in(window_dock, folder, qtbot)
    labels = edit(window_dock)
    window.close()
    assert np.array_equal(read_study(folder).edited, labels)
    assert settings.kept.thumbnails  # closed with the window, not by the reader
