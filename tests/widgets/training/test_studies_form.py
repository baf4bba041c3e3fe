"""Corrected studies, whose reviewed phases are added to a dataset."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.review.corrected_studies import AddedStudies, CorrectedStudy
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, write_review
from napari_bayes_nnunet.widgets.common.levels import ON_LIGHT
from napari_bayes_nnunet.widgets.common.wording import in_the_window
from napari_bayes_nnunet.widgets.training import studies_form
from napari_bayes_nnunet.widgets.training.studies_form import (
    ADDED,
    ADDING_STOPPED,
    MORE_FAILURES,
    NO_REVIEWED_STUDY,
    NOT_READY,
    NOTHING_ADDED,
    READY_STUDIES,
    SEARCH_STOPPED,
    STUDIES_HINT,
    StudiesForm,
    corrected_study_row,
    phases_text,
)

from ...helpers.data.hearts import make_dataset
from ...helpers.data.studies import make_study
from ...helpers.windows.settling import settle
from .test_data_form import drop, endless

CUT_SHORT = statement("{file} is cut short.", Action.OTHER_OUTPUT, file="study.json")
READY = CorrectedStudy(folder=Path("s/ready"), case="ready", ready=(4, 2))
HALF = CorrectedStudy(folder=Path("s/half"), case="half", ready=(4,), open_slices={2: 3})
OPEN = CorrectedStudy(folder=Path("s/open"), case="open", open_slices={8: 4, 1: 2})
VOLUME = CorrectedStudy(folder=Path("s/volume"), case="volume", ready=(None,))
NEW = CorrectedStudy(folder=Path("s/new"), case="new")
BROKEN = CorrectedStudy(folder=Path("s/broken"), case="broken", problem=CUT_SHORT)
ALL = [READY, HALF, VOLUME, OPEN, NEW, BROKEN]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "data", patients=3)


FUNCTIONS = {"find": "find_corrected_later", "add": "add_studies_later"}


@pytest.fixture
def make_form(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., StudiesForm]:
    def make(**fakes: Any) -> StudiesForm:
        for name, fake in fakes.items():
            monkeypatch.setattr(studies_form, FUNCTIONS[name], fake)
        form = StudiesForm()
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


# The list


def test_phases_text_sorts_and_joins_phases() -> None:
    assert phases_text((None,)) == "the image"
    assert phases_text((8,)) == "phase 8"
    assert phases_text((8, 1)) == "phases 1 and 8"
    assert phases_text((8, 1, 3)).split() == ["phases", "1,", "3", "and", "8"]


def test_row_shows_ready_and_open_phases_or_the_reason(make_form, qtbot) -> None:
    form = listed(make_form(find=finds(ALL)), qtbot)
    assert cells(form) == [
        ("ready", "phases 2 and 4", ""),
        ("half", "phase 4", "3 in phase 2"),
        ("volume", "the image", ""),
        ("open", "–", ", ".join(["2 in phase 1", "4 in phase 8"])),
        ("new", "–", "not started"),
        ("broken", "not usable"),
    ]
    assert corrected_study_row(replace(NEW, open_slices={None: 3})).cells == ("new", "–", "3")
    values = {"images": "4 images", "studies": "3 studies"}
    assert form.summary.text() == READY_STUDIES.format(**values)
    assert form.table.rows[0].help == str(READY.folder)
    color = form.table.model().index(5, 0).data(Qt.ItemDataRole.ForegroundRole)
    assert color.name().upper() == ON_LIGHT["blocking"]
    form.table.selectRow(5)
    assert form.detail.text() == in_the_window(CUT_SHORT) != str(CUT_SHORT)
    form.table.selectRow(0)
    assert form.detail.text() == ""


@pytest.mark.parametrize(
    ("studies", "sentence"),
    [
        ([], NO_REVIEWED_STUDY),
        ([OPEN, NEW, BROKEN], NOT_READY),
        ([VOLUME], READY_STUDIES.format(images="1 image", studies="1 study")),
    ],
)
def test_summary_says_how_much_is_ready(make_form, studies, sentence, qtbot) -> None:
    form = listed(make_form(find=finds(studies)), qtbot)
    assert form.summary.text() == sentence
    assert form.table.isVisibleTo(form) == bool(studies)


def test_form_without_a_folder_is_disabled(make_form, qtbot) -> None:
    form = make_form(find=finds(ALL))
    assert form.summary.text() == STUDIES_HINT
    assert not form.refresh_button.isEnabled()
    assert not form.add_button.isEnabled()
    listed(form, qtbot)
    assert form.refresh_button.isEnabled()
    form.folder.choose(None)
    assert form.summary.text() == STUDIES_HINT
    assert cells(form) == []


def test_running_search_stops_or_is_replaced(make_form, qtbot) -> None:
    ended, began, fast = threading.Event(), threading.Event(), finds([VOLUME])
    forever = endless(ended, began)
    form = make_form(find=lambda folder: (forever if folder.name == "slow" else fast)(folder))
    form.folder.choose(Path("slow"))
    qtbot.waitUntil(lambda: "12 of 160" in form.progress.text.text())
    form.progress.stop_button.click()
    qtbot.waitUntil(lambda: form.summary.text() == SEARCH_STOPPED)
    assert ended.is_set()
    for is_closed in (False, True):
        ended.clear()
        began.clear()
        searching = StudiesForm() if is_closed else form
        searching.folder.choose(None)
        searching.folder.choose(Path("slow"))
        qtbot.waitUntil(began.is_set)
        if is_closed:
            searching.deleteLater()
            settle(qtbot)
        else:
            listed(form, qtbot)
            assert cells(form) == [("volume", "the image", "")]
        assert ended.wait(2)


def test_dropped_folder_is_studies_or_dataset(make_form, data, tmp_path, qtbot) -> None:
    form = make_form(find=finds(ALL))
    assert drop(form, tmp_path)
    assert form.folder.path == tmp_path
    assert drop(form, data)
    assert form.target.folder.path == data
    assert form.folder.path == tmp_path
    assert not drop(form, data / "dataset.json")


# Adding


def test_adding_needs_ready_studies_and_a_dataset(make_form, data, qtbot) -> None:
    form = listed(make_form(find=finds([READY])), qtbot)
    assert not form.add_button.isEnabled()
    form.add()  # does nothing
    aimed(form, qtbot, data)
    assert form.add_button.isEnabled()
    form.target.folder.choose(None)
    assert not form.add_button.isEnabled()
    other = aimed(listed(make_form(find=finds([OPEN])), qtbot), qtbot, data)
    assert not other.add_button.isEnabled()


def test_reviewed_phases_of_real_studies_are_added(make_form, data, tmp_path, qtbot) -> None:
    folder = make_study(tmp_path / "studies" / "heart", phases=(2, 4), ed=4, es=2)
    decisions = {(4, z): Decision(state="accepted") for z in range(3)}
    write_review(folder, ReviewState(ed=4, es=2, decisions=decisions))
    form = aimed(listed(make_form(), qtbot, tmp_path / "studies"), qtbot, data)
    assert cells(form) == [("heart", "phase 4", "3 in phase 2")]
    assert form.target.summary.text().startswith("6 cases")
    with qtbot.waitSignal(form.dataset_changed) as changed:
        form.add_button.click()
    assert changed.args == [form.dataset]
    assert form.dataset == read_dataset(data)
    assert set(form.dataset.corrections) == {"heart_frame04"}
    assert form.summary.text() == ADDED.format(images="1 image", studies="1 study")
    assert form.target.summary.text().startswith("7 cases")
    assert cells(form) == [("heart", "phase 4: added")]
    assert form.table.rows[0].level == "done"
    assert form.add_button.isEnabled()


def test_only_ready_studies_are_added(make_form, data, qtbot) -> None:
    calls: list[Any] = []

    def add(folders: Sequence[Path], dataset: Path) -> Any:
        calls.append((list(folders), dataset))
        yield 0, 1
        if len(calls) == 2:
            raise DataError("No dataset.")
        return AddedStudies(dataset=read_dataset(dataset), added={}, failed={})

    form = aimed(listed(make_form(find=finds(ALL), add=add), qtbot), qtbot, data)
    for sentence in (NOTHING_ADDED, "No dataset."):
        form.add_button.click()
        qtbot.waitUntil(lambda expected=sentence: form.summary.text() == expected)
        assert form.dataset is None
        qtbot.waitUntil(form.add_button.isEnabled)
    assert calls[0] == ([READY.folder, HALF.folder, VOLUME.folder], data)


def test_failed_studies_are_listed_and_shortened(make_form, data, qtbot) -> None:
    studies = [replace(VOLUME, folder=Path(f"s/{n}"), case=f"case {n}") for n in range(6)]

    def add(folders: Sequence[Path], dataset: Path) -> Any:
        yield 0, 1
        failed = {
            folder: statement("No image {number}.", number=folder.name) for folder in folders[1:]
        }
        added = {folders[0]: ["case 0"]}
        return AddedStudies(dataset=read_dataset(dataset), added=added, failed=failed)

    form = aimed(listed(make_form(find=finds(studies), add=add), qtbot), qtbot, data)
    with qtbot.waitSignal(form.dataset_changed):
        form.add_button.click()
    assert form.dataset == read_dataset(data)
    assert form.summary.text().splitlines() == [
        ADDED.format(images="1 image", studies="1 study"),
        *(f"case {n}: No image {n}." for n in (1, 2, 3)),
        MORE_FAILURES.format(count=2),
    ]
    assert cells(form)[:2] == [("case 0", "the image: added"), ("case 1", "not added")]
    form.table.selectRow(5)
    assert form.detail.text() == "No image 5."


def test_running_adding_shows_progress_and_stops(make_form, data, tmp_path, qtbot) -> None:
    ended = threading.Event()
    form = make_form(find=finds([READY]), add=endless(ended))
    aimed(listed(form, qtbot), qtbot, data)
    form.add_button.click()
    qtbot.waitUntil(lambda: "12 of 160" in form.progress.text.text())
    for part in (form.folder, form.target, form.add_button, form.refresh_button):
        assert not part.isEnabled()
    assert not drop(form, tmp_path)
    form.progress.stop_button.click()
    qtbot.waitUntil(lambda: form.summary.text() == ADDING_STOPPED)
    assert ended.is_set()
    qtbot.waitUntil(form.add_button.isEnabled)
    assert form.dataset is None


def test_another_dataset_discards_the_result(make_form, data, tmp_path, qtbot) -> None:
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


def test_form_with_a_long_name_fits_the_dock(make_form, qtbot) -> None:
    long = [replace(HALF, case="a_very_long_name_of_a_case_that_somebody_gave_it")]
    form = listed(make_form(find=finds(long)), qtbot)
    form.resize(330, 400)
    form.show()
    qtbot.waitExposed(form)
    assert form.minimumSizeHint().width() <= 330
    assert form.add_button.toolTip()
    assert form.refresh_button.toolTip()
    assert form.folder.toolTip()
