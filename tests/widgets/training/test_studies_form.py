"""Corrected studies are found, and what is reviewed of them is added to a dataset."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.review.corrected_studies import AddedStudies, CorrectedStudy
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState
from napari_bayes_nnunet.io.study.study import save_review
from napari_bayes_nnunet.widgets.common.rows_table import LEVEL_COLORS
from napari_bayes_nnunet.widgets.training.studies_form import (
    NO_REVIEWED_STUDY,
    NOT_ALL,
    NOT_READY,
    SEARCH_STOPPED,
    STUDIES_HINT,
    StudiesForm,
    corrected_study_row,
    phases_text,
)

from ...helpers.hearts import make_dataset
from ...helpers.settling import settle
from ...helpers.studies import make_study
from .test_data_form import drop, endless

READY = CorrectedStudy(folder=Path("s/ready"), case="ready", ready=(4, 2))
HALF = CorrectedStudy(folder=Path("s/half"), case="half", ready=(4,), open_slices={2: 3})
OPEN = CorrectedStudy(folder=Path("s/open"), case="open", open_slices={8: 4, 1: 2})
VOLUME = CorrectedStudy(folder=Path("s/volume"), case="volume", ready=(None,))
NEW = CorrectedStudy(folder=Path("s/new"), case="new")
BROKEN = CorrectedStudy(folder=Path("s/broken"), case="broken", problem="It is cut short.")
ALL = [READY, HALF, VOLUME, OPEN, NEW, BROKEN]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data", patients=3)


@pytest.fixture
def make_form(qtbot: Any) -> Callable[..., StudiesForm]:
    def make(**fakes: Any) -> StudiesForm:
        form = StudiesForm(**fakes)
        qtbot.addWidget(form)
        return form

    return make


def finds(studies: Sequence[CorrectedStudy]) -> Any:
    def steps(_: Path) -> Any:
        yield 0, len(studies)
        return studies

    return steps


def listed(form: StudiesForm, qtbot: Any, folder: Path = Path("studies")) -> StudiesForm:
    """Choose a folder and wait until its studies are listed."""
    form.folder.choose(folder)
    qtbot.waitUntil(lambda: not form.progress.isVisibleTo(form))
    return form


def aimed(form: StudiesForm, qtbot: Any, data: Path) -> StudiesForm:
    """Choose the dataset and wait until it is read."""
    form.target.folder.choose(data)
    qtbot.waitUntil(lambda: form.target.dataset is not None)
    return form


def cells(form: StudiesForm) -> list[tuple[str, ...]]:
    return [row.cells for row in form.table.rows]


# What is listed


def test_phases_in_words() -> None:
    assert phases_text((None,)) == "the image"
    assert phases_text((8,)) == "phase 8"
    assert phases_text((8, 1)) == "phases 1 and 8"
    assert phases_text((8, 1, 3)) == "phases 1, 3 and 8"


def test_a_row_says_what_is_ready_and_what_is_open(make_form, qtbot) -> None:
    form = listed(make_form(find=finds(ALL)), qtbot)
    assert cells(form) == [
        ("ready", "phases 2 and 4", ""),
        ("half", "phase 4", "3 in phase 2"),
        ("volume", "the image", ""),
        ("open", "–", "2 in phase 1, 4 in phase 8"),
        ("new", "–", "not begun"),
        ("broken", "not usable"),
    ]
    assert corrected_study_row(replace(NEW, open_slices={None: 3})).cells == ("new", "–", "3")
    assert form.summary.text() == "4 images of 3 studies can be trained on."
    assert form.table.rows[0].help == str(READY.folder)


def test_a_study_that_cannot_be_used_says_why(make_form, qtbot) -> None:
    form = listed(make_form(find=finds(ALL)), qtbot)
    color = form.table.model().index(5, 0).data(Qt.ItemDataRole.ForegroundRole)
    assert color.name().upper() == LEVEL_COLORS["blocking"]
    form.table.selectRow(5)
    assert form.detail.text() == "It is cut short."
    form.table.selectRow(0)
    assert form.detail.text() == ""


@pytest.mark.parametrize(
    ("studies", "sentence"),
    [
        ([], NO_REVIEWED_STUDY),
        ([OPEN, NEW, BROKEN], NOT_READY),
        ([VOLUME], "1 image of 1 study can be trained on."),
    ],
)
def test_it_says_whether_there_is_anything_to_train_on(make_form, studies, sentence, qtbot) -> None:
    form = listed(make_form(find=finds(studies)), qtbot)
    assert form.summary.text() == sentence
    assert form.table.isVisibleTo(form) == bool(studies)


def test_without_a_folder_there_is_nothing_to_do(make_form, qtbot) -> None:
    form = make_form(find=finds(ALL))
    assert form.summary.text() == STUDIES_HINT
    assert not form.refresh_button.isEnabled()
    assert not form.add_button.isEnabled()
    listed(form, qtbot)
    assert form.refresh_button.isEnabled()
    form.folder.choose(None)
    assert form.summary.text() == STUDIES_HINT
    assert cells(form) == []


def test_a_search_that_fails_is_a_sentence(make_form, qtbot) -> None:
    def find(_: Path) -> Any:
        yield 0, 0
        raise OSError("The drive is gone.")

    form = listed(make_form(find=find), qtbot)
    assert form.summary.text() == "The drive is gone."


def test_a_search_shows_how_far_it_is_and_can_be_stopped(make_form, qtbot) -> None:
    ended = threading.Event()
    form = make_form(find=endless(ended))
    form.folder.choose(Path("studies"))
    words = "Looking at study 12 of 160"
    qtbot.waitUntil(lambda: form.progress.text.text() == words)
    form.progress.stop_button.click()
    qtbot.waitUntil(lambda: form.summary.text() == SEARCH_STOPPED)
    assert ended.is_set()


def test_a_newer_folder_drops_the_search_before(make_form, qtbot) -> None:
    ended, began, found = threading.Event(), threading.Event(), finds([VOLUME])
    forever = endless(ended, began)
    form = make_form(find=lambda folder: (forever if folder.name == "slow" else found)(folder))
    form.folder.choose(Path("slow"))
    qtbot.waitUntil(began.is_set)
    listed(form, qtbot)
    assert ended.wait(2)
    assert cells(form) == [("volume", "the image", "")]


def test_folders_can_be_dropped(make_form, data, tmp_path, qtbot) -> None:
    form = make_form(find=finds(ALL))
    assert drop(form, tmp_path)
    assert form.folder.path == tmp_path
    assert drop(form, data)
    assert form.target.folder.path == data
    assert form.folder.path == tmp_path
    assert not drop(form, data / "dataset.json")


# What is added


def test_adding_needs_something_ready_and_a_dataset(make_form, data, qtbot) -> None:
    form = listed(make_form(find=finds([READY])), qtbot)
    assert not form.add_button.isEnabled()
    form.add()  # does nothing
    aimed(form, qtbot, data)
    assert form.add_button.isEnabled()
    form.target.folder.choose(None)
    assert not form.add_button.isEnabled()
    other = aimed(listed(make_form(find=finds([OPEN])), qtbot), qtbot, data)
    assert not other.add_button.isEnabled()


def test_what_is_reviewed_is_added(make_form, data, tmp_path, qtbot) -> None:
    """With real studies: from the folder to the dataset that is trained on."""
    folder = make_study(tmp_path / "studies" / "heart", phases=(2, 4), ed=4, es=2)
    decisions = {(4, z): Decision(state="accepted") for z in range(3)}
    save_review(folder, ReviewState(ed=4, es=2, decisions=decisions))
    form = aimed(listed(make_form(), qtbot, tmp_path / "studies"), qtbot, data)
    assert cells(form) == [("heart", "phase 4", "3 in phase 2")]
    assert form.target.summary.text().startswith("6 cases")
    with qtbot.waitSignal(form.dataset_changed) as changed:
        form.add_button.click()
    assert changed.args == [form.dataset]
    assert form.dataset == read_dataset(data)
    assert set(form.dataset.corrections) == {"heart_frame04"}
    assert form.summary.text() == "Added 1 image of 1 study."
    assert form.target.summary.text().startswith("7 cases")
    assert cells(form) == [("heart", "phase 4: added")]
    assert form.table.rows[0].level == "done"
    assert form.add_button.isEnabled()


def test_only_what_is_ready_is_asked_for(make_form, data, qtbot) -> None:
    asked: list[Any] = []

    def add(folders: Sequence[Path], dataset: Path) -> Any:
        asked.append((list(folders), dataset))
        yield 0, 1
        return AddedStudies(dataset=read_dataset(dataset), added={}, failed={})

    form = aimed(listed(make_form(find=finds(ALL), add=add), qtbot), qtbot, data)
    form.add_button.click()
    qtbot.waitUntil(lambda: form.summary.text() == "Nothing was added.")
    assert asked == [([READY.folder, HALF.folder, VOLUME.folder], data)]
    assert form.dataset is None


def test_studies_that_fail_are_a_sentence_each(make_form, data, qtbot) -> None:
    studies = [replace(VOLUME, folder=Path(f"s/{n}"), case=f"case {n}") for n in range(6)]

    def add(folders: Sequence[Path], dataset: Path) -> Any:
        yield 0, 1
        failed = {folder: f"Its image {folder.name} was not found." for folder in folders[1:]}
        added = {folders[0]: ["case 0"]}
        return AddedStudies(dataset=read_dataset(dataset), added=added, failed=failed)

    form = aimed(listed(make_form(find=finds(studies), add=add), qtbot), qtbot, data)
    with qtbot.waitSignal(form.dataset_changed):
        form.add_button.click()
    assert form.dataset == read_dataset(data)
    assert form.summary.text().splitlines() == [
        "Added 1 image of 1 study.",
        "case 1: Its image 1 was not found.",
        "case 2: Its image 2 was not found.",
        "case 3: Its image 3 was not found.",
        "2 more could not be added: see the list.",
    ]
    assert cells(form)[:2] == [("case 0", "the image: added"), ("case 1", "not added")]
    form.table.selectRow(5)
    assert form.detail.text() == "Its image 5 was not found."


def test_a_dataset_that_is_gone_is_a_sentence(make_form, data, qtbot) -> None:
    def add(folders: Sequence[Path], dataset: Path) -> Any:
        yield 0, 1
        raise DataError("There is no dataset any more.")

    form = aimed(listed(make_form(find=finds([READY]), add=add), qtbot), qtbot, data)
    form.add_button.click()
    qtbot.waitUntil(lambda: form.summary.text() == "There is no dataset any more.")
    assert form.dataset is None
    assert form.add_button.isEnabled()


def test_adding_shows_how_far_it_is_and_can_be_stopped(make_form, data, tmp_path, qtbot) -> None:
    ended = threading.Event()
    form = make_form(find=finds([READY]), add=endless(ended))
    aimed(listed(form, qtbot), qtbot, data)
    form.add_button.click()
    words = "Adding study 12 of 160"
    qtbot.waitUntil(lambda: form.progress.text.text() == words)
    for part in (form.folder, form.target, form.add_button, form.refresh_button):
        assert not part.isEnabled()
    assert not drop(form, tmp_path)
    form.progress.stop_button.click()
    qtbot.waitUntil(lambda: form.summary.text() == NOT_ALL)
    assert ended.is_set()
    qtbot.waitUntil(form.add_button.isEnabled)
    assert form.dataset is None


def test_another_dataset_has_not_what_was_added(make_form, data, tmp_path, qtbot) -> None:
    def add(folders: Sequence[Path], dataset: Path) -> Any:
        yield 0, 1
        added = {folder: [folder.name] for folder in folders}
        return AddedStudies(dataset=read_dataset(dataset), added=added, failed={})

    form = aimed(listed(make_form(find=finds([READY]), add=add), qtbot), qtbot, data)
    with qtbot.waitSignal(form.dataset_changed):
        form.add_button.click()
    listed(form, qtbot, Path("others"))
    assert form.dataset is not None
    with qtbot.waitSignal(form.dataset_changed) as changed:
        form.target.folder.choose(make_dataset(tmp_path / "other", patients=2))
    assert changed.args == [None]


def test_a_search_ends_with_the_window(qtbot) -> None:
    ended, began = threading.Event(), threading.Event()
    form = StudiesForm(find=endless(ended, began))
    form.folder.choose(Path("studies"))
    qtbot.waitUntil(began.is_set)
    form.deleteLater()
    settle(qtbot)
    assert ended.wait(2)


def test_it_fits_the_dock(make_form, qtbot) -> None:
    long = [replace(HALF, case="a very long name of a case that somebody gave it")]
    form = listed(make_form(find=finds(long)), qtbot)
    form.resize(330, 400)
    form.show()
    qtbot.waitExposed(form)
    assert form.minimumSizeHint().width() <= 330
    assert form.add_button.toolTip()
    assert form.refresh_button.toolTip()
    assert form.folder.toolTip()
