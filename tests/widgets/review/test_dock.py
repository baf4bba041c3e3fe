"""The dock Review: studies opened, closed, dropped; nothing lost on the bad days."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QCloseEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.reader import read_dicom
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image
from napari_bayes_nnunet.io.study.arrays import EDITED
from napari_bayes_nnunet.io.study.study import open_study_lock, read_study
from napari_bayes_nnunet.widgets.layers.metadata import bayes_metadata
from napari_bayes_nnunet.widgets.layers.reader import get_reader
from napari_bayes_nnunet.widgets.review import saver as study_saver
from napari_bayes_nnunet.widgets.review.dock import CLOSE_AGAIN, NO_STUDY, ReviewWidget

from ...helpers.canvas_mouse import CanvasMouse
from ...helpers.cines import CINE, ED, ES, LV, SHAPE, SPACING, WORST, image_of, make_cine
from ...helpers.dicoms import write_cine
from ...helpers.hearts import make_dataset
from ...helpers.reviewing import opened, plane, predicted, press, steps_of
from ...helpers.settling import settle

NEVER = 1_000_000


class Asked:
    """Answers for the dock's questions, in turn."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.titles: list[str] = []

    def __call__(self, _: Any, title: str) -> str:
        self.titles.append(title)
        return self.answers.pop(0)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_cine(tmp_path / "heart")


@pytest.fixture
def make_dock(qtbot, asked, request) -> Iterator[Callable[..., ReviewWidget]]:
    """A dock without a window around it, or in a real one."""
    made: list[ReviewWidget] = []

    def make(viewer: Any = None, *, window: bool = False, **options: Any) -> ReviewWidget:
        if window:
            viewer = request.getfixturevalue("make_napari_viewer")(show=True)
        elif viewer is None:
            viewer = ViewerModel()
        options = {"every_ms": NEVER, "ask_folder": asked, "ask_image": asked, **options}
        dock = ReviewWidget(viewer, **options)
        made.append(dock)
        if window:
            viewer.window.add_dock_widget(dock, name="Review", area="right")
        else:
            qtbot.addWidget(dock)
        return dock

    yield make
    while made:
        made.pop()._take_away(NO_STUDY)
    settle(qtbot)  # what was closed is deleted a little later


@pytest.fixture
def dock(make_dock) -> ReviewWidget:
    return make_dock()


def open_in(dock: ReviewWidget, folder: Path, qtbot: Any, **options: Any) -> None:
    dock.open(folder, **options)
    ended(dock, qtbot)
    assert dock.desk is not None, dock.status.text()


def ended(dock: ReviewWidget, qtbot: Any) -> None:
    """Wait until the study is open, or is not."""
    qtbot.waitUntil(lambda: dock._opening is None)


def edit(dock: ReviewWidget) -> np.ndarray:
    """Take a structure out of the slice shown; all labels then."""
    assert dock.desk is not None
    before = dock.desk.session.labels.copy()
    press(dock._viewer, "D")
    assert not np.array_equal(dock.desk.session.labels, before)
    return dock.desk.session.labels.copy()


def dropped(dock: ReviewWidget, path: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    dock.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))


def fail(monkeypatch: Any) -> None:
    def failing(*_: Any) -> None:
        raise DataError("The disk is full.")

    monkeypatch.setattr(study_saver, "save_work", failing)


# Opening and closing


def test_an_empty_dock_says_how_to_begin(dock) -> None:
    assert dock.status.text() == NO_STUDY
    assert dock.close_button.isHidden()
    assert dock.image_button.isHidden()
    assert dock.desk is None


def test_a_study_is_opened_and_closed(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    assert "heart" in dock.title.text()
    assert dock.problems.text() == ""
    assert not dock.close_button.isHidden()
    assert dock.image_button.isHidden()
    dock.close_button.click()
    assert dock.desk is None
    assert dock.status.text() == NO_STUDY
    assert "heart edited" not in [layer.name for layer in dock._viewer.layers]
    open_study_lock(folder).release()


def test_closing_saves_and_opening_goes_on_there(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    press(dock._viewer, "A")
    place, numbers = dock.desk.place, dock.desk.session.measured()
    dock.close_study()
    open_in(dock, folder, qtbot)
    assert dock.desk.place == place
    assert np.array_equal(dock.desk.session.labels, labels)
    assert dock.desk.session.measured() == numbers
    assert dock.desk.session.state.decisions[WORST].state == "accepted"
    assert len(dock._viewer.layers) == 4  # the image was taken over


def test_level_and_alternatives_are_as_before_after_reopening(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    dock.desk.show_level(-0.5)
    shown = plane(dock.desk.session, WORST)
    dock.close_study()
    open_in(dock, folder, qtbot)
    assert np.array_equal(dock.desk.session.labels, dock.desk.session.study.prediction)
    dock.desk.show_level(-0.5)
    assert np.array_equal(plane(dock.desk.session, WORST), shown)
    dock.desk.corrections.discard_preview()
    assert len(dock.desk.session.alternatives_in(WORST)) > 1


def test_another_study_closes_the_one_before(dock, folder, tmp_path, qtbot) -> None:
    other = make_cine(tmp_path / "other", case="other")
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    open_in(dock, other, qtbot)
    assert "other" in dock.title.text()
    assert np.array_equal(read_study(folder).edited, labels)
    open_study_lock(folder).release()


def test_only_the_study_asked_for_last_is_shown(dock, folder, tmp_path, qtbot) -> None:
    other = make_cine(tmp_path / "other", case="other")
    dock.open(folder)
    dock.open(other)
    ended(dock, qtbot)
    settle(qtbot, dock)
    assert "other" in dock.title.text()
    open_study_lock(folder).release()


def test_a_dock_that_is_closed_while_opening_opens_nothing(dock, folder, qtbot) -> None:
    dock.open(folder)
    dock.close_study()
    settle(qtbot, dock)
    assert dock.desk is None
    assert list(dock._viewer.layers) == []


def test_studies_and_folders_of_studies_are_chosen(dock, asked, folder, tmp_path, qtbot) -> None:
    asked.answers = ["", str(folder), str(tmp_path)]
    dock.open_button.click()
    assert dock.desk is None
    dock.open_button.click()
    ended(dock, qtbot)
    assert dock.desk is not None
    dock.open_button.click()
    qtbot.waitUntil(lambda: "heart" in repr([r.cells for r in dock.cases.table.rows]))


def test_studies_and_folders_of_studies_are_dropped(dock, folder, tmp_path, qtbot) -> None:
    dropped(dock, folder)
    ended(dock, qtbot)
    assert dock.desk is not None
    assert not dock.cases.isVisibleTo(dock)
    dropped(dock, tmp_path)
    qtbot.waitUntil(lambda: "heart" in repr([r.cells for r in dock.cases.table.rows]))
    assert dock.cases.isVisibleTo(dock)


def test_a_study_that_was_dropped_on_the_window_is_reviewed(make_dock, folder, qtbot) -> None:
    viewer = ViewerModel()
    reader = get_reader(str(folder))
    layers = list(reader(str(folder)))
    for layer in layers[:2]:
        viewer.add_layer(layer)
    dock = make_dock(viewer)
    for layer in layers[2:]:
        viewer.add_layer(layer)
    ended(dock, qtbot)
    assert dock.desk is not None
    assert len(viewer.layers) == 4
    dock.close_study()
    viewer.add_image(np.zeros((4, 5)))  # does not bring the study back
    settle(qtbot, dock)
    assert dock.desk is None
    assert dock._opening is None


def test_a_folder_that_is_no_study_is_a_sentence(dock, tmp_path, qtbot) -> None:
    dock.open(tmp_path)
    ended(dock, qtbot)
    assert dock.desk is None
    assert "study.json" in dock.status.text()


def test_saving_does_not_take_away_what_was_said(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    for place in [(item.phase, item.z) for item in dock.desk.view.queue]:
        dock.desk.go_to(*place)
        dock.desk.accept()
    qtbot.waitUntil(lambda: dock.saved.text().startswith("Saved"))
    assert dock.status.text() == "All slices of the queue are accepted."


def test_it_saves_by_itself(make_dock, folder, qtbot) -> None:
    dock = make_dock(every_ms=30)
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    qtbot.waitUntil(lambda: not dock.desk.saver.has_unsaved)
    assert np.array_equal(read_study(folder).edited, labels)


def test_a_save_that_fails_is_told_until_one_does_not(
    make_dock, folder, monkeypatch, qtbot
) -> None:
    dock = make_dock(every_ms=30)
    open_in(dock, folder, qtbot)
    with monkeypatch.context() as patch:
        fail(patch)
        labels = edit(dock)
        qtbot.waitUntil(lambda: "Not saved: The disk is full." in dock.unsaved.text())
    qtbot.waitUntil(lambda: not dock.desk.saver.has_unsaved)
    assert dock.unsaved.text() == ""
    assert np.array_equal(read_study(folder).edited, labels)


def test_what_goes_out_is_asked_for(dock, folder, asked, tmp_path, qtbot) -> None:
    open_in(dock, folder, qtbot)
    status = dock.forms.export.status
    asked.answers = ["", str(tmp_path / "out"), "", str(make_dataset(tmp_path / "data"))]
    dock.forms.export.export_button.click()
    assert status.text() == ""
    dock.forms.export.export_button.click()
    qtbot.waitUntil(lambda: status.text().startswith("Saved"))
    assert (tmp_path / "out" / "heart_report.html").is_file()
    dock.forms.export.training_button.click()
    dock.forms.export.training_button.click()
    qtbot.waitUntil(lambda: status.text().startswith("Accept all"))


def test_dicom_goes_out_beside_its_images(dock, asked, tmp_path, qtbot) -> None:
    voxels = np.random.default_rng(1).integers(1, 400, (4, *SHAPE), dtype=np.int16)
    write_cine(tmp_path / "in", voxels)
    geometry = read_dicom(tmp_path / "in").geometry
    open_in(dock, make_cine(tmp_path / "heart", geometry=geometry), qtbot)
    images, out = str(tmp_path / "in"), str(tmp_path / "out")
    asked.answers = ["", images, "", images, out]
    for _ in range(3):
        assert dock.forms.export.status.text() == ""
        dock.forms.export.dicom_button.click()
    status = dock.forms.export.status
    qtbot.waitUntil(lambda: status.text().startswith("Saved heart"))
    assert asked.titles[-2:] == ["The DICOM images of this study", "Save DICOM SEG and SR in"]
    assert (tmp_path / "out" / "heart_frame01_seg.dcm").is_file()
    dock._may_replace = lambda _, names: False
    asked.answers = [images, out]
    dock.forms.export.dicom_button.click()
    assert status.text().startswith("Saved heart_frame01_seg.dcm")


def test_files_are_replaced_only_when_the_reader_says_so(
    make_dock, folder, asked, tmp_path, qtbot
) -> None:
    dock = make_dock()
    open_in(dock, folder, qtbot)
    answers: list[bool] = [False, True]
    shown: list[Sequence[str]] = []
    dock._may_replace = lambda _, names: shown.append(names) or answers.pop(0)
    report = tmp_path / "out" / "heart_report.html"
    report.parent.mkdir()
    report.write_text("of another reader")
    asked.answers = [str(report.parent)] * 2
    dock.forms.export.export_button.click()
    assert shown == [["heart_report.html"]]
    assert report.read_text() == "of another reader"
    dock.forms.export.export_button.click()
    status = dock.forms.export.status
    qtbot.waitUntil(lambda: status.text().startswith("Saved"))
    assert report.read_text() != "of another reader"


def test_closing_again_tries_to_save_again(dock, folder, qtbot, monkeypatch) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    with monkeypatch.context() as patch:
        fail(patch)
        dock.close_study()
        assert dock.desk is not None
    dock.close_study()  # the disk has room again
    assert dock.desk is None
    assert np.array_equal(read_study(folder).edited, labels)


# Bad days


def test_corrections_that_are_cut_short_are_left_for_rescue(dock, folder, qtbot) -> None:
    file = folder / EDITED
    file.write_bytes(file.read_bytes()[:150])
    dock.open(folder)
    ended(dock, qtbot)
    assert dock.desk is None
    assert "rename it to begin the corrections anew" in dock.status.text()
    assert len(file.read_bytes()) == 150


def test_corrections_on_another_grid_are_refused(dock, folder, qtbot) -> None:
    other = make_geometry((4, *SHAPE), (9.0, *SPACING[1:]), frame_time=46)
    write_image(folder / EDITED, np.zeros(other.shape, np.uint8), other)
    dock.open(folder)
    ended(dock, qtbot)
    assert dock.desk is None
    assert "lies on another grid" in dock.status.text()


def test_an_image_that_moved_is_found(dock, tmp_path, qtbot) -> None:
    folder = make_cine(tmp_path / "one" / "heart")
    (tmp_path / "one").rename(tmp_path / "two")
    open_in(dock, tmp_path / "two" / "heart", qtbot)
    assert dock.problems.text() == ""
    assert dock.image_button.isHidden()
    assert not folder.exists()


def test_an_image_that_changed_is_refused_and_labels_lie_on_black(dock, folder, qtbot) -> None:
    write_image(image_of(folder), np.ones(CINE.shape, np.int16), CINE)
    open_in(dock, folder, qtbot)
    assert "has changed since" in dock.problems.text()
    assert not dock.image_button.isHidden()
    assert not np.asarray(dock.desk.picture.image.data).any()


def test_the_image_is_found_by_hand(dock, folder, asked, tmp_path, qtbot) -> None:
    hidden = tmp_path / "deep" / "down" / "renamed.nii.gz"
    hidden.parent.mkdir(parents=True)
    image_of(folder).rename(hidden)
    open_in(dock, folder, qtbot)
    assert "was not found" in dock.problems.text()
    labels = edit(dock)
    asked.answers = ["", str(hidden)]
    dock.image_button.click()
    dock.image_button.click()
    ended(dock, qtbot)
    assert dock.problems.text() == ""
    assert dock.image_button.isHidden()
    assert np.array_equal(dock.desk.session.labels, labels)
    assert [bayes_metadata(layer).get("role") for layer in dock._viewer.layers].count("image") == 1


def test_a_wrong_image_leaves_the_study_open_on_black(dock, folder, asked, tmp_path, qtbot) -> None:
    image_of(folder).unlink()
    wrong = tmp_path / "wrong.nii.gz"
    write_image(wrong, np.ones(SHAPE, np.int16), make_geometry(SHAPE, SPACING))
    open_in(dock, folder, qtbot)
    asked.answers = [str(wrong)]
    dock.image_button.click()
    qtbot.waitUntil(lambda: dock.desk is not None and dock._opening is None)
    assert "wrong.nii.gz has another grid" in dock.status.text()
    assert not dock.image_button.isHidden()


def test_a_read_only_study_opens_and_nothing_is_saved(dock, folder, qtbot) -> None:
    (folder / "study.lock").unlink(missing_ok=True)
    (folder / "study.lock").mkdir()  # as root, nothing else cannot be written to
    files = (folder / EDITED, folder / "review.json")
    before = [file.read_bytes() for file in files]
    open_in(dock, folder, qtbot)
    assert "can be looked at, but not changed" in dock.problems.text()
    labels = dock.desk.session.labels.copy()
    for letter in "DA":
        press(dock._viewer, letter)
    assert np.array_equal(dock.desk.session.labels, labels)
    dock.close_study()
    assert dock.desk is None
    assert [file.read_bytes() for file in files] == before


def test_the_second_of_two_windows_only_looks(make_dock, folder, qtbot) -> None:
    first, second = make_dock(), make_dock()
    open_in(first, folder, qtbot)
    open_in(second, folder, qtbot)
    assert first.problems.text() == ""
    assert "is open in another window" in second.problems.text()
    before = second.desk.session.labels.copy()
    for letter in "DAKWR":
        press(second._viewer, letter)
    assert np.array_equal(second.desk.session.labels, before)
    assert second.desk.session.state.decisions == {}
    assert "only be looked at" in second.status.text()
    assert not second.desk.picture.edited.editable
    assert not second.forms.corrections.level.isEnabled()
    second.close_study()
    labels = edit(first)
    first.close_study()
    assert np.array_equal(read_study(folder).edited, labels)


@pytest.mark.parametrize("which", ["edited", "image"])
def test_a_layer_that_the_user_removes_is_saved_and_told(dock, folder, qtbot, which: str) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    dock._viewer.layers.remove(getattr(dock.desk.picture, which))
    qtbot.waitUntil(lambda: dock.desk is None)
    assert "was removed. All is saved: open the study again." in dock.status.text()
    assert np.array_equal(read_study(folder).edited, labels)
    open_in(dock, folder, qtbot)
    assert np.array_equal(dock.desk.session.labels, labels)


def test_all_layers_can_be_removed_at_once(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    dock._viewer.layers.clear()
    qtbot.waitUntil(lambda: dock.desk is None)
    assert np.array_equal(read_study(folder).edited, labels)
    assert list(dock._viewer.layers) == []


def test_layers_that_the_user_renames_go_on(dock, folder, qtbot) -> None:
    open_in(dock, folder, qtbot)
    for layer in dock._viewer.layers:
        layer.name = f"my {layer.name}"
    labels = edit(dock)
    dock.close_study()
    assert np.array_equal(read_study(folder).edited, labels)
    assert len(dock._viewer.layers) == 3


def test_an_image_without_a_place_in_the_patient(dock, tmp_path, qtbot) -> None:
    folder = make_cine(tmp_path / "still", geometry=make_geometry((4, *SHAPE), SPACING))
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    dock.close_study()
    assert np.array_equal(read_study(folder).edited, labels)


def test_what_cannot_be_saved_stays_open_until_asked_twice(
    dock, folder, monkeypatch, tmp_path, qtbot
) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    with monkeypatch.context() as patch:
        fail(patch)
        dock.close_button.click()
        assert dock.desk is not None
        assert dock.status.text() == f"Not saved: The disk is full. {CLOSE_AGAIN}"
        assert np.array_equal(dock.desk.session.labels, labels)
    dock.desk.saver.save()
    qtbot.waitUntil(lambda: not dock.desk.saver.has_unsaved)
    assert np.array_equal(read_study(folder).edited, labels)
    press(dock._viewer, "R")
    fail(monkeypatch)
    dock.open(make_cine(tmp_path / "other"))  # nor does another study replace it
    assert dock.desk is not None
    assert dock.desk.session.study.folder == folder
    dock.close_button.click()
    assert dock.desk is None
    assert dock.status.text() == "Not saved: The disk is full."


def test_a_removed_layer_whose_labels_cannot_be_saved_keeps_the_study(
    dock, folder, monkeypatch, qtbot
) -> None:
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    with monkeypatch.context() as patch:
        fail(patch)
        dock._viewer.layers.remove(dock.desk.picture.edited)
        qtbot.waitUntil(lambda: "Not saved" in dock.status.text())
        assert dock.desk is not None
    dock.desk.saver.save()
    qtbot.waitUntil(lambda: not dock.desk.saver.has_unsaved)
    dock.close_study()
    assert np.array_equal(read_study(folder).edited, labels)


# In a real window


def key(dock: ReviewWidget, letter: Any, keys: Any = Qt.KeyboardModifier.NoModifier) -> None:
    QTest.keyClick(dock._viewer.window._qt_viewer.canvas.native, letter, keys)
    QApplication.processEvents()


def test_a_review_with_keys_and_mouse(make_dock, folder, qtbot) -> None:
    dock = make_dock(window=True)
    open_in(dock, folder, qtbot)
    session, layer = dock.desk.session, dock.desk.picture.edited
    key(dock, Qt.Key.Key_W)
    assert dock.desk.corrections.is_preview
    key(dock, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not dock.desk.corrections.is_preview
    assert np.array_equal(plane(session, WORST), predicted(session, WORST))
    key(dock, Qt.Key.Key_W)
    layer.mode = "paint"
    layer.selected_label = LV
    mouse = CanvasMouse(dock._viewer, qtbot)
    start, end = (mouse.place_of(layer, (0, 2, 3, x)) for x in (5, 12))
    mouse.drag(start, end)
    settle(qtbot, dock.desk)
    assert not dock.desk.corrections.is_preview  # painted on, so taken
    assert steps_of(layer) == 2 or np.array_equal(
        session.alternatives_in(WORST)[0].labels, predicted(session, WORST)
    )
    painted = plane(session, WORST)
    assert painted[3, 8] == LV
    key(dock, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert session.labels_in(WORST)[3, 8] == 0
    key(
        dock,
        Qt.Key.Key_Z,
        Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier,
    )
    assert np.array_equal(plane(session, WORST), painted)
    dock._viewer.layers.selection.active = dock.desk.picture.image
    key(dock, Qt.Key.Key_A)  # whichever of our layers is active
    assert session.state.decisions[WORST].edited
    assert dock.desk.place != WORST
    key(dock, Qt.Key.Key_T)
    assert {dock.desk.place[0]} <= {ED, ES}
    dock.close_study()
    assert np.array_equal(read_study(folder).edited[ED - 1, WORST[1]], painted)


def test_closing_the_window_saves(make_dock, folder, qtbot, monkeypatch) -> None:
    dock = make_dock(window=True)
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    window = dock._viewer.window._qt_window
    with monkeypatch.context() as patch:
        fail(patch)
        event = QCloseEvent()
        assert dock.eventFilter(window, event)  # stays, for once
        assert not event.isAccepted()
        assert CLOSE_AGAIN in dock.status.text()
        assert not dock.eventFilter(window, QCloseEvent())
    dock._viewer.close()
    assert np.array_equal(read_study(folder).edited, labels)
    dock.desk = None  # it went with its window


def test_a_dock_that_is_taken_out_lets_go_of_the_viewer(make_dock, folder, qtbot) -> None:
    dock = make_dock(window=True)
    viewer = dock._viewer
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    viewer.window.remove_dock_widget(dock)
    assert dock.desk is None
    assert not [k for k in map(str, viewer.keymap) if k in ("N", "A", "W")]
    assert np.array_equal(read_study(folder).edited, labels)
    viewer.add_image(np.zeros((4, 5)))
    dock.deleteLater()


def test_a_dock_that_is_hidden_closes_its_study(make_dock, folder, qtbot) -> None:
    dock = make_dock(window=True)
    open_in(dock, folder, qtbot)
    labels = edit(dock)
    assert not dock.eventFilter(dock.parent(), QEvent(QEvent.Type.Close))
    assert dock.desk is None
    assert np.array_equal(read_study(folder).edited, labels)
    assert np.array_equal(opened(folder).session.labels, labels)
