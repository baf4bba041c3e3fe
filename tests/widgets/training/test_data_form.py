"""The choice of the training data."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_bayes_nnunet.core.problems import statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.matching import Match, Mismatch, Pair
from napari_bayes_nnunet.io.dataset.raw_dataset import RawDataset, TrainingCase, read_dataset
from napari_bayes_nnunet.widgets.common.folder_row import FolderRow
from napari_bayes_nnunet.widgets.common.levels import ON_LIGHT
from napari_bayes_nnunet.widgets.training import dataset_form, folders_form
from napari_bayes_nnunet.widgets.training.data_form import (
    DATASET,
    FOLDERS,
    SOURCES,
    STUDIES,
    TrainingDataForm,
)
from napari_bayes_nnunet.widgets.training.dataset_form import (
    DATASET_FOUND,
    READING_DATASET,
    DatasetFolderForm,
)
from napari_bayes_nnunet.widgets.training.folders_form import (
    CHANNELS,
    COPIES,
    COPIES_HELP,
    FOLDERS_HINT,
    LINKS,
    LINKS_HELP,
    MATCHING_STOPPED,
    NO_CHANNEL,
    NO_TARGET,
    NOT_WRITTEN,
    PARTLY_MATCHED,
    WHOLE_PATH,
    WRITTEN,
    NewDatasetForm,
    new_dataset_folder,
)
from napari_bayes_nnunet.widgets.training.structure_names import (
    EMPTY,
    FIXED,
    TWICE,
    UNNAMED_LV,
    StructureNames,
)

from ...helpers.data.hearts import make_dataset
from ...helpers.windows.settling import settle

NAMES = {0: "background", 1: "RV", 2: "MYO"}


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data") / "hearts", patients=2)


FUNCTIONS = {"match": "match_folders", "write": "write_dataset"}


@pytest.fixture
def folders(hearts, tmp_path) -> tuple[Path, Path]:
    """Make a folder of images and one of labels, with 4 cases."""
    images, labels = tmp_path / "study" / "images", tmp_path / "study" / "labels"
    images.mkdir(parents=True)
    for file in (hearts / "imagesTr").iterdir():
        shutil.copy(file, images / file.name.replace("_0000", ""))
    shutil.copytree(hearts / "labelsTr", labels)
    return images, labels


@pytest.fixture
def make_form(qtbot, monkeypatch):
    def make(**fakes: Any) -> TrainingDataForm:
        for name, fake in fakes.items():
            monkeypatch.setattr(folders_form, FUNCTIONS[name], fake)
        form = TrainingDataForm()
        qtbot.addWidget(form)
        return form

    return make


@pytest.fixture
def form(make_form) -> TrainingDataForm:
    return make_form()


def made_match(pairs: int = 3, mismatches: int = 1, channels: int = 1) -> Match:
    images, labels = Path("/no/images"), Path("/no/labels")
    paired = tuple(
        Pair(
            f"case{number:04d}",
            tuple(images / f"case{number:04d}_{channel:04d}.nii" for channel in range(channels)),
            labels / f"case{number:04d}.nii",
            None if number else 4,
            None,
            (0, 1, 2),
        )
        for number in range(pairs)
    )
    unmatched = tuple(
        Mismatch(labels / f"odd{number}.nii", statement("It has no image."))
        for number in range(mismatches)
    )
    return Match(paired, unmatched, ((1, "RV"), (2, "MYO")))


def fake_match(match: Match):
    def steps(images: Path, labels: Path):
        yield 0, 1
        return match

    return steps


def endless(ended: threading.Event, began: threading.Event | None = None):
    """Return work that ends only when it is stopped, and takes a moment to clean up."""

    def steps(*_: object, **__: object):
        try:
            while True:
                if began is not None:
                    began.set()
                time.sleep(0.01)
                yield 12, 160
        finally:
            time.sleep(0.1)
            ended.set()

    return steps


def choose_folders(form: TrainingDataForm, images: Path, labels: Path) -> None:
    form.source.setCurrentIndex(FOLDERS)
    form.folders.images.choose(images)
    form.folders.labels.choose(labels)


def match(form: TrainingDataForm, qtbot: Any, images: Path, labels: Path) -> None:
    """Choose both folders and wait until they are matched and the target is checked."""
    choose_folders(form, images, labels)
    new = form.folders.new
    qtbot.waitUntil(lambda: form.folders.match is not None)
    qtbot.waitUntil(lambda: new.problem != NO_TARGET)


def fill(form: TrainingDataForm, qtbot: Any, tmp_path: Path, **fakes: Any) -> None:
    """Match two made folders and choose a target that can be written to."""
    match(form, qtbot, Path("/no/images"), Path("/no/labels"))
    form.folders.new.target.choose(tmp_path / "new")
    qtbot.waitUntil(form.folders.new.make_button.isEnabled)


def texts(form: TrainingDataForm) -> list[tuple[str, ...]]:
    return [row.cells for row in form.folders.table.rows]


def drop(widget: Any, *paths: Path) -> bool:
    """Drop files on a widget, and return whether it accepts them."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    how = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton)
    keys = Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(1, 1), *how, keys)
    enter.ignore()
    QApplication.sendEvent(widget, enter)
    if enter.isAccepted():
        QApplication.sendEvent(widget, QDropEvent(QPointF(1, 1), *how, keys))
    return bool(enter.isAccepted())


# An nnU-Net dataset


def test_each_source_shows_its_form(form) -> None:
    titles = [form.source.itemText(index) for index in range(form.source.count())]
    assert titles == [title for title, _ in SOURCES]
    forms = {DATASET: form.folder, FOLDERS: form.folders, STUDIES: form.studies}
    assert form.folder.isVisibleTo(form)
    for source, shown in forms.items():
        assert form.source.model().item(source).isEnabled()
        form.source.setCurrentIndex(source)
        assert [part for part in forms.values() if part.isVisibleTo(form)] == [shown]
        assert form.source.toolTip() == SOURCES[source][1]


def test_chosen_dataset_is_read(form, hearts, qtbot) -> None:
    with qtbot.waitSignal(form.dataset_changed) as changed:
        form.choose(hearts)
        assert form.folder.summary.text() == READING_DATASET.format(name="hearts")
    assert changed.args == [form.dataset]
    assert form.dataset == read_dataset(hearts)
    values = {"cases": "4 cases", "channels": "cine 0", "structures": "RV, MYO, LV"}
    assert form.folder.summary.text() == DATASET_FOUND.format(**values)


def test_folder_without_a_dataset_is_refused(form, hearts, tmp_path, qtbot) -> None:
    with qtbot.waitSignal(form.dataset_changed):
        form.choose(hearts)
    with qtbot.waitSignal(form.dataset_changed) as changed:
        form.choose(tmp_path)
    assert changed.args == [None]
    summary = form.folder.summary
    qtbot.waitUntil(lambda: "dataset.json" in summary.text())
    assert form.dataset is None


def test_late_result_of_another_folder_is_ignored(qtbot, hearts, monkeypatch) -> None:
    released = threading.Event()

    def read(path: Path) -> RawDataset:
        if path.name == "slow":
            released.wait(5)
            raise DataError("Too late.")
        return read_dataset(path)

    monkeypatch.setattr(dataset_form, "read_dataset", read)
    form = DatasetFolderForm()
    qtbot.addWidget(form)
    form.folder.choose(Path("/slow"))
    with qtbot.waitSignal(form.dataset_changed):
        form.folder.choose(hearts)
    released.set()
    settle(qtbot, form)
    assert form.dataset is not None
    assert form.summary.text().startswith("4 cases")
    form.folder.choose(None)
    assert form.dataset is None
    assert form.summary.text() == ""


def test_folder_dropped_on_the_form_is_chosen(form, hearts, folders, qtbot) -> None:
    form.source.setCurrentIndex(FOLDERS)
    with qtbot.waitSignal(form.dataset_changed):
        assert drop(form, hearts)
    assert form.source.currentIndex() == DATASET
    assert form.dataset.path == hearts
    assert not drop(form, hearts / "dataset.json")
    assert not drop(form, *folders)


# A row with a folder


@pytest.fixture
def row(qtbot) -> FolderRow:
    row = FolderRow("Folder")
    qtbot.addWidget(row)
    return row


def test_folder_is_chosen_in_a_dialog_typed_or_dropped(row, tmp_path, monkeypatch) -> None:
    chosen: list[object] = []
    row.chosen.connect(chosen.append)
    for folder in (str(tmp_path), ""):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, f=folder: f)
        row.button.click()
    assert chosen == [tmp_path]
    assert row.edit.text() == row.edit.toolTip() == str(tmp_path)
    for text in (f" {tmp_path} ", str(tmp_path), "~/hearts", ""):
        row.edit.setText(text)
        row.edit.editingFinished.emit()
    assert chosen[1:] == [Path.home() / "hearts", None]
    (tmp_path / "file").touch()
    assert drop(row, tmp_path)
    assert row.path == tmp_path
    assert not drop(row, tmp_path / "file")
    assert not row.edit.acceptDrops()


# Two folders


def test_two_folders_become_a_dataset(form, folders, qtbot) -> None:
    images, labels = folders
    shutil.copy(next(images.iterdir()), images / "lonely.nii.gz")
    form.source.setCurrentIndex(FOLDERS)
    assert form.folders.summary.text() == FOLDERS_HINT
    form.folders.images.choose(images)
    assert form.folders.summary.text() == FOLDERS_HINT
    assert not form.folders.new.isVisibleTo(form)
    match(form, qtbot, images, labels)
    matched = PARTLY_MATCHED.format(cases="4 cases", files="1 file")
    assert form.folders.summary.text() == matched
    assert texts(form)[0][0] == "lonely.nii.gz"
    file = "patient001_frame01.nii.gz"
    assert ("patient001_frame01", file, file) in texts(form)
    new = form.folders.new
    assert new.structures.hint.text() == UNNAMED_LV
    for row, name in enumerate(("RV", "MYO", "LV"), start=1):
        new.structures.table.item(row, 1).setText(name)
    assert new.structures.hint.text() == ""
    assert new.structures.picture.example.case == "patient001_frame01"
    assert new.target.path == images.parent / "study_dataset"
    qtbot.waitUntil(new.make_button.isEnabled)
    with qtbot.waitSignal(form.dataset_changed):
        new.make_button.click()
        assert form.folders.progress.isVisibleTo(form)
    dataset = form.dataset
    assert dataset == read_dataset(images.parent / "study_dataset")
    assert dataset.labels == {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
    assert dataset.channels == ["MRI"]
    assert all(case.images[0].is_symlink() for case in dataset.cases)
    assert form.folders.summary.text() == WRITTEN.format(folder=dataset.path, cases="4 cases")
    assert not new.isVisibleTo(form)
    assert not form.folders.progress.isVisibleTo(form)


def test_folders_without_a_match_are_refused(form, folders, tmp_path, qtbot) -> None:
    (tmp_path / "empty").mkdir()
    choose_folders(form, folders[0], tmp_path / "empty")
    summary = form.folders.summary
    qtbot.waitUntil(lambda: "empty" in summary.text())
    assert not form.folders.table.isVisibleTo(form)
    assert not form.folders.new.isVisibleTo(form)
    assert not form.folders.progress.isVisibleTo(form)


def test_unmatched_file_is_shown_with_its_reason(make_form, qtbot) -> None:
    form = make_form(match=fake_match(made_match()))
    match(form, qtbot, Path("/no/images"), Path("/no/labels"))
    assert texts(form)[0] == ("odd0.nii", "It has no image.")
    assert texts(form)[1] == ("case0000", "case0000_0000.nii, phase 4", "case0000.nii")
    table = form.folders.table
    assert (table.columnSpan(0, 1), table.columnSpan(1, 1)) == (2, 1)
    color = table.model().index(0, 1).data(Qt.ItemDataRole.ForegroundRole)
    assert color.name().upper() == ON_LIGHT["warning"]
    table.selectRow(0)
    assert form.folders.detail.text() == "It has no image."
    table.selectRow(2)
    assert form.folders.detail.text() == ""


def test_running_match_shows_progress_and_stops(make_form, qtbot) -> None:
    ended = threading.Event()
    form = make_form(match=endless(ended))
    choose_folders(form, Path("/no/images"), Path("/no/labels"))
    progress = form.folders.progress
    qtbot.waitUntil(lambda: "12 of 160" in progress.text.text())
    assert (progress.bar.value(), progress.bar.maximum()) == (12, 160)
    progress.stop_button.click()
    assert not progress.stop_button.isEnabled()
    summary = form.folders.summary
    qtbot.waitUntil(lambda: summary.text() == MATCHING_STOPPED)
    assert ended.is_set()
    assert not progress.isVisibleTo(form)


def test_written_dataset_has_the_chosen_settings(make_form, tmp_path, qtbot) -> None:
    calls: list[Any] = []
    made = made_match(channels=2)
    dataset = RawDataset(tmp_path, {}, (TrainingCase("a", (), tmp_path),))

    def write(*arguments: Any, **named: Any):
        calls.append((arguments, named))
        yield 0, 1
        return dataset

    form = make_form(match=fake_match(made), write=write)
    fill(form, qtbot, tmp_path)
    new = form.folders.new
    new.channel.setText("T1, T2")
    new.files.setCurrentIndex(COPIES)
    with qtbot.waitSignal(form.dataset_changed):
        new.make_button.click()
    named = {"names": NAMES, "channels": ["T1", "T2"], "link": False}
    assert calls == [((made, tmp_path / "new"), named)]
    assert form.dataset is dataset
    assert form.folders.summary.text() == WRITTEN.format(folder=tmp_path, cases="1 case")
    form.folders.labels.choose(Path("/no/labels"))
    assert form.dataset is None


def test_writing_can_be_stopped(make_form, tmp_path, qtbot) -> None:
    ended = threading.Event()
    form = make_form(match=fake_match(made_match()), write=endless(ended))
    fill(form, qtbot, tmp_path)
    form.folders.new.make_button.click()
    progress = form.folders.progress
    assert not form.folders.images.isEnabled()
    assert not form.folders.new.isEnabled()
    qtbot.waitUntil(lambda: "12 of 160" in progress.text.text())
    progress.stop_button.click()
    assert not progress.stop_button.isEnabled()
    summary = form.folders.summary
    qtbot.waitUntil(lambda: summary.text() == NOT_WRITTEN)
    assert ended.is_set()
    assert form.folders.images.isEnabled()
    assert form.folders.new.make_button.isEnabled()
    assert form.dataset is None


def test_dataset_is_that_of_the_shown_source(form, hearts, qtbot) -> None:
    with qtbot.waitSignal(form.dataset_changed):
        form.choose(hearts)
    with qtbot.waitSignal(form.dataset_changed) as changed:
        form.source.setCurrentIndex(FOLDERS)
    assert changed.args == [None]
    with qtbot.waitSignal(form.dataset_changed):
        form.source.setCurrentIndex(DATASET)
    dataset = form.dataset
    assert dataset is not None
    with qtbot.waitSignal(form.dataset_changed) as changed:
        form.source.setCurrentIndex(STUDIES)
    assert changed.args == [None]
    with qtbot.waitSignal(form.dataset_changed) as changed:
        form.studies._set_dataset(dataset)
    assert changed.args == [dataset]
    assert form.dataset is dataset


# The new dataset


@pytest.fixture
def names(qtbot) -> StructureNames:
    names = StructureNames()
    qtbot.addWidget(names)
    names.show_names(NAMES, None)
    return names


def test_edited_name_is_returned(names) -> None:
    changes: list[int] = []
    names.changed.connect(lambda: changes.append(1))
    assert names.names == NAMES
    assert names.problem == ""
    names.table.item(1, 1).setText("  right ventricle ")
    assert names.names[1] == "right ventricle"
    assert changes == [1]
    assert not names.table.item(0, 1).flags() & Qt.ItemFlag.ItemIsEditable
    assert names.table.item(0, 1).toolTip() == FIXED
    assert not names.table.item(1, 0).flags() & Qt.ItemFlag.ItemIsEditable


@pytest.mark.parametrize(
    ("row", "name", "problem"),
    [
        (2, " ", EMPTY.format(value=2)),
        (2, "RV", TWICE.format(name="RV")),
        (1, "myo", TWICE.format(name="myo")),
        (1, "Background", TWICE.format(name="background")),
    ],
)
def test_wrong_name_is_marked_in_its_cell(names, row, name, problem) -> None:
    names.table.item(row, 1).setText(name)
    assert names.problem == problem
    assert names.table.item(row, 1).toolTip()
    assert names.table.item(row, 1).foreground().color().name().upper() == ON_LIGHT["blocking"]
    names.table.item(row, 1).setText("apex")
    assert names.problem == ""
    assert names.table.item(row, 1).toolTip() == ""


@pytest.fixture
def new(qtbot, tmp_path) -> NewDatasetForm:
    new = NewDatasetForm()
    qtbot.addWidget(new)
    assert new.problem == NO_TARGET
    new.show_defaults(NAMES, channels=1, target=tmp_path / "new")
    qtbot.waitUntil(new.make_button.isEnabled)
    return new


def test_new_dataset_needs_names_channels_and_a_whole_path(new, tmp_path, qtbot) -> None:
    assert new.link
    assert new.files.itemData(LINKS, Qt.ItemDataRole.ToolTipRole) == LINKS_HELP
    assert new.files.itemData(COPIES, Qt.ItemDataRole.ToolTipRole) == COPIES_HELP
    new.files.setCurrentIndex(COPIES)
    assert not new.link
    for path, problem in ((None, NO_TARGET), (Path("somewhere"), WHOLE_PATH), (tmp_path, "")):
        new.target.choose(path)
        assert new.problem_text.text() == problem
        assert new.make_button.isEnabled() == (not problem)
    new.structures.table.item(1, 1).setText("")
    assert new.problem == EMPTY.format(value=1)
    assert not new.make_button.isEnabled()
    new.structures.table.item(1, 1).setText("right")
    assert new.make_button.isEnabled()
    new.show_defaults(NAMES, channels=1, target=tmp_path / "new")
    assert new.structures.names[1] == "right"  # edited, and the values are equal
    new.show_defaults({0: "background", 1: "LV"}, channels=1, target=tmp_path / "new")
    assert new.structures.names == {0: "background", 1: "LV"}
    assert new.channels == ["MRI"]
    new.channel.setText(" ")
    assert new.problem_text.text() == NO_CHANNEL
    assert not new.make_button.isEnabled()
    new.show_defaults(NAMES, channels=2, target=tmp_path / "new")
    assert new.channels == ["MRI 1", "MRI 2"]
    for text in ("T1", "T1,", "T1, T2, T3"):
        new.channel.setText(text)
        assert new.problem_text.text() == CHANNELS.format(count=2)


def test_a_folder_that_cannot_be_written_is_reported(form, folders, qtbot) -> None:
    form.source.setCurrentIndex(FOLDERS)
    match(form, qtbot, *folders)
    new = form.folders.new
    full = folders[0].parent / "full"
    (full / "inside").mkdir(parents=True)
    for path in (full, folders[0].parent / ("long" * 100)):
        new.target.choose(path)
        new.make_button.click()
        qtbot.waitUntil(lambda: form.folders.progress.isHidden())
        assert str(path) in form.folders.summary.text()
        assert form.dataset is None
        assert new.isVisibleTo(form)


def test_new_dataset_folder_is_numbered(tmp_path) -> None:
    images = tmp_path / "study" / "images"
    assert new_dataset_folder(images) == tmp_path / "study" / "study_dataset"
    for name in ("study_dataset", "study_dataset_2"):
        (tmp_path / "study" / name).mkdir(parents=True)
    assert new_dataset_folder(images) == tmp_path / "study" / "study_dataset_3"
    assert new_dataset_folder(Path("/images")) == Path("/nnunet_dataset")
