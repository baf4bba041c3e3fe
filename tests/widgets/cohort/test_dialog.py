"""Tests of the window "Segment a folder" with a fake command."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.messages import Notice, StudyDone, text_fields
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.widgets.cohort import dialog as cohort_window
from napari_bayes_nnunet.widgets.cohort.command import (
    COHORT_SUBJECT,
    NO_IMAGES,
    NO_IMAGES_FOLDER,
    NO_RESULTS,
)
from napari_bayes_nnunet.widgets.cohort.dialog import (
    FINISHED_KEPT,
    FIRST_STUDY,
    FROM_THE_DOCK,
    RESULTS_OF,
    STOPPED_COHORT,
    SUMMARY,
    CohortForm,
    CohortList,
    CohortWindow,
)
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.common.process import (
    CHILD_FAILED,
    CHILD_KILLED,
    JobProcess,
)
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.common.wording import WINDOW_PHRASES, in_the_window
from tests.helpers.windows.drops import drop

from ...helpers.windows.cohort_docks import fake_predict, made_settings, make_images
from ...helpers.windows.settling import settle
from ..common.test_inference_child import is_alive


@pytest.fixture
def form(qtbot: Any) -> CohortForm:
    made = CohortForm()
    qtbot.addWidget(made)
    return made


def test_results_are_proposed_next_to_the_images_until_chosen(form, tmp_path, qtbot) -> None:
    assert form.results.path is None
    for name in ("acdc", "mnms"):
        form.images.choose(tmp_path / name)
        assert form.results.path == tmp_path / f"{name}_segmented"
    form.images.choose(None)
    form.results.choose(tmp_path / "mine")
    form.images.choose(tmp_path / "acdc")
    assert form.results.path == tmp_path / "mine"
    restored = CohortForm()
    qtbot.addWidget(restored)
    restored.set_choices(form.choices())
    assert restored.results.path == tmp_path / "mine"
    restored.images.choose(tmp_path / "mnms")
    assert restored.results.path == tmp_path / "mnms_segmented"
    restored.images.choose(None)
    assert restored.results.path == tmp_path / "mnms_segmented"


@pytest.mark.parametrize(
    "kept", [{}, {"images": 3, "phases": None}, {"results": []}, {"images": "", "results": ""}]
)
def test_invalid_saved_choices_are_ignored(form, kept) -> None:
    form.set_choices(kept)
    assert form.choices() == {"phases": "ED,ES"}


@pytest.fixture
def table(qtbot: Any) -> CohortList:
    made = CohortList()
    qtbot.addWidget(made)
    made.resize(340, 400)
    made.show()
    return made


def add(table: CohortList, case: str, outcome: str = "done", text: str = "") -> None:
    table.add(StudyDone(case=case, outcome=outcome, text=text, done=1, total=9))


def cases(table: CohortList) -> list[str]:
    return [row.cells[0] for row in table.table.rows]


def test_failed_studies_come_first_then_the_latest(table) -> None:
    add(table, "a")
    add(table, "b", "failed", "It is damaged.")
    add(table, "c", "finished before")
    assert cases(table) == []
    table.refresh()
    assert cases(table) == ["b", "c", "a"]
    assert [row.level for row in table.table.rows] == ["blocking", "done", "fine"]
    assert table.table.rows[0].cells == ("b", "failed", "It is damaged.")
    assert table.done == 2


def test_chosen_row_is_shown_in_full_and_stays(table) -> None:
    add(table, "a", "failed", "It is damaged.\nToo short.")
    add(table, "b")
    table.refresh()
    table.table.selectRow(0)
    assert table.detail.text() == "a: It is damaged.\nToo short."
    add(table, "c", "failed", "So is this.")
    add(table, "d")
    table.refresh()
    assert table.table.rows[table.table.currentIndex().row()].cells[0] == "a"
    assert table.detail.isVisible()
    table.table.selectRow(2)
    assert table.detail.text() == "d: done."


def test_the_scroll_position_stays(table, qtbot) -> None:
    for number in range(60):
        add(table, str(number), "failed", "Damaged.")
    table.refresh()
    settle(qtbot, table)
    bar = table.table.verticalScrollBar()
    bar.setValue(bar.maximum() // 2)
    before = bar.value()
    add(table, "new", "failed", "Damaged.")
    table.refresh()
    assert bar.value() == before > 0


def test_remedies_have_the_words_of_the_window(table) -> None:
    told = statement("{report} differs.", Action.OVERWRITE, report="a.json")
    table.add(StudyDone(case="a", outcome="failed", **text_fields(told), done=1, total=9))
    table.refresh()
    assert table.table.rows[0].cells[2] == in_the_window(told) != told.text()


def test_files_are_named_relative_to_the_images(table, tmp_path) -> None:
    table.clear(tmp_path)
    add(table, "a/b", "failed", f"{tmp_path / 'a' / 'b.nii.gz'} is cut short.")
    table.refresh()
    name = str(Path("a") / "b.nii.gz")
    assert table.table.rows[0].cells[2] == f"{name} is cut short."


def test_files_left_out_are_one_sentence(table, qtbot) -> None:
    assert not table.left_out.isVisible()
    table.set_left_out(["labels or maps: 3", "localisers: 2"])
    assert table.left_out.text().endswith(": labels or maps: 3; localisers: 2.")
    qtbot.waitUntil(lambda: table.left_out.y() < 50)  # while there is no table
    table.clear()
    assert not table.left_out.isVisible()


def test_a_wide_window_shows_more_of_a_name(table, qtbot) -> None:
    add(table, "a-folder/another-folder/a-patient-with-a-long-name")
    table.refresh()
    narrow = table.table.columnWidth(0)
    assert narrow <= 0.5 * table.width()
    table.resize(700, 400)
    qtbot.waitUntil(lambda: table.table.columnWidth(0) > narrow)
    assert table.table.isVisible()
    table.clear()
    assert not table.table.isVisible()


def test_ten_thousand_studies_are_shown_in_a_moment(table) -> None:
    for number in range(10_000):
        add(table, f"patient{number}", "finished before")
    started = thread_time()
    table.refresh()
    assert thread_time() - started < 2
    table.clear()
    assert cases(table) == []


@pytest.fixture
def make(qtbot: Any, settings: Settings, tmp_path: Path):
    """A window with the images of the test, if there are any."""
    runs: list[JobProcess] = []

    def window(*flags: object, command: list[str] | None = None, read_settings: Any = None):
        runs.append(JobProcess(command or fake_predict(*flags), subject=COHORT_SUBJECT))
        read = read_settings or (lambda: made_settings(tmp_path / "ensemble"))
        made = CohortWindow(runs[-1], settings, read_settings=read)
        qtbot.addWidget(made)
        if (tmp_path / "images").exists():
            made.form.images.choose(tmp_path / "images")
        made.show()
        return made

    yield window
    for run in runs:
        run.close()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return make_images(tmp_path / "images")


def wait_end(window: CohortWindow, qtbot: Any) -> str:
    qtbot.waitUntil(lambda: not window.is_busy)
    return window.status.text()


def run(window: CohortWindow, qtbot: Any) -> str:
    """Press Start, wait for the end and return the message."""
    window.start_button.click()
    assert window.is_busy
    return wait_end(window, qtbot)


def finish(folder: Path, case: str = "a") -> None:
    """Write a study as if it had been segmented before."""
    (folder / "images_segmented" / case).mkdir(parents=True)
    (folder / "images_segmented" / case / "study.json").touch()


ALL_DONE = f"Segmented all. {SUMMARY}"


def rows(window: CohortWindow) -> list[tuple[str, ...]]:
    return [row.cells for row in window.table.table.rows]


# Before a run


def test_closing_the_window_or_escape_ends_nothing(make, images, tmp_path, qtbot) -> None:
    finish(tmp_path)
    window = make("--seconds", 0.4)
    window.start_button.click()
    qtbot.waitUntil(lambda: window.table.done == 1)
    window.close()
    window.show()
    QTest.keyClick(window, Qt.Key.Key_Escape)
    assert not window.isVisible()
    assert window.is_busy
    assert is_alive(window._run.pid)
    assert wait_end(window, qtbot) == ALL_DONE
    window.show()
    assert len(rows(window)) == 3


def test_a_run_shows_progress_notices_and_its_settings(make, tmp_path, qtbot) -> None:
    finish(tmp_path)
    first = made_settings(Path("ensemble"))
    answers = [first]
    window = make("--seconds", 60, "--notice", "Memory is short.", read_settings=lambda: answers[0])
    folder = make_images(tmp_path / "images")
    assert drop(window, folder).isAccepted()
    assert window.form.images.path == folder
    assert not drop(window, folder / "a.nii.gz").isAccepted()
    asked: list[Path] = []
    window.review_requested.connect(asked.append)
    assert not window.review_button.isEnabled()
    window.start_button.click()
    assert not window.form.isEnabled()
    assert not window.start_button.isEnabled()
    assert not drop(window, tmp_path).isAccepted()
    assert window.form.images.path == folder
    answers[0] = replace(first, settings=SegmentationSettings(device="cuda:0"))
    window.refresh_settings()
    assert window.chosen.text() == FROM_THE_DOCK.format(chosen=first)
    qtbot.waitUntil(lambda: window.table.done == 1)
    qtbot.waitUntil(lambda: window.status.text() == "Memory is short.")
    assert window.made_by.text() == RESULTS_OF.format(chosen=first)
    assert window.progress.text.text().startswith("1 of 3")
    assert "2 min" in window.progress.text.text()
    assert (window.progress.bar.value(), window.progress.bar.maximum()) == (1, 3)
    qtbot.waitUntil(window.review_button.isEnabled)
    window.review_button.click()
    assert asked == [tmp_path / "images_segmented"]
    window.stop_button.click()
    wait_end(window, qtbot)
    assert window.form.isEnabled()
    assert window.chosen.text() == FROM_THE_DOCK.format(chosen=answers[0])
    assert window.made_by.text() == RESULTS_OF.format(chosen=first)


def test_start_with_missing_choices_shows_the_problem(make, tmp_path) -> None:
    answers: list[Any] = [AppError("No ensemble.")]

    def read():
        if isinstance(answers[0], AppError):
            raise answers[0]
        return answers[0]

    window = make(read_settings=read)
    assert not window.start_button.isEnabled()
    assert window.chosen.text() == "No ensemble."
    answers[0] = made_settings(Path("ensemble"))
    window.refresh_settings()
    window.start_button.click()
    assert window.status.text() == NO_IMAGES
    window.form.images.choose(make_images(tmp_path / "images"))
    assert window.status.text() == ""
    window.form.results.choose(None)
    window.start_button.click()
    assert window.status.text() == NO_RESULTS
    assert not window.is_busy
    assert not window.stop_button.isEnabled()


def test_start_takes_the_folder_that_was_just_typed(make, images, tmp_path, qtbot) -> None:
    window = make()
    window.start_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # as on macOS
    window.form.images.edit.selectAll()
    qtbot.keyClicks(window.form.images.edit, str(make_images(tmp_path / "new")))
    qtbot.mouseClick(window.start_button, Qt.MouseButton.LeftButton)
    wait_end(window, qtbot)
    words = json.loads((tmp_path / "new_segmented" / "words.json").read_text())
    assert words[2] == str(tmp_path / "new")


def test_folders_that_cannot_be_used_are_reported(make, images, tmp_path, qtbot) -> None:
    window = make()
    for folder in (images / "a.nii.gz", images / "missing"):
        window.form.images.choose(folder)
        assert run(window, qtbot) == NO_IMAGES_FOLDER.format(images=folder)
        assert window.start_button.isEnabled()
        assert not window.progress.isVisible()


def test_a_slow_drive_does_not_block_stop(make, images, qtbot, monkeypatch) -> None:
    may_finish = threading.Event()
    monkeypatch.setattr(cohort_window, "check_images", lambda *_: may_finish.wait(10) and None)
    window = make()
    window.start_button.click()
    assert window.progress.text.text() == "Looking for studies…"
    window.start()  # a second press starts nothing else
    window.stop_button.click()
    assert window.status.text() == "Stopped."
    assert not window.is_busy
    may_finish.set()
    settle(qtbot, window)
    assert not window.is_busy


def test_a_refusal_is_shown_and_fits_beside_a_dock(make, images, qtbot) -> None:
    window = make("--refuses", "It exists.")
    window.resize(DOCK_WIDTH, 500)
    assert run(window, qtbot) == in_the_window(statement("It exists.", Action.OVERWRITE))
    assert window.minimumSizeHint().width() <= DOCK_WIDTH
    assert window.isWindow()
    assert window.windowTitle() == "Segment a folder"
    for button in (window.start_button, window.stop_button, window.review_button):
        assert button.toolTip()
    for part in (window.form.images, window.form.results, window.form.phases):
        assert part.toolTip()
    assert [window.form.phases.itemText(i) for i in range(2)] == ["ED and ES", "All"]


# A run


def test_all_studies_are_segmented(make, tmp_path, qtbot) -> None:
    make_images(tmp_path / "images", "a", "b/a", "broken", "seg")
    window = make()
    counts: list[str] = []
    window.progressed.connect(counts.append)
    end = run(window, qtbot)
    assert end == ALL_DONE
    shown = rows(window)
    outcomes = [("broken", "failed"), ("b/a", "done"), ("a", "done")]
    assert [row[:2] for row in shown] == outcomes
    phrase = WINDOW_PHRASES[Action.OVERWRITE]
    assert shown[0][2].startswith("broken.nii.gz ")
    assert shown[0][2].endswith(f" {phrase[0].upper()}{phrase[1:]}.")
    assert all("phase 1" in row[2] and "phase 8" in row[2] for row in shown[1:])
    assert counts == ["0 of 3", "1 of 3", "2 of 3", "3 of 3", ""]
    assert window.table.left_out.text().endswith("labels: 1.")
    assert not window.progress.isVisible()
    words = json.loads((tmp_path / "images_segmented" / "words.json").read_text())
    assert words[:3] == ["predict", str(tmp_path / "ensemble"), str(tmp_path / "images")]
    assert "--continue" in words
    assert words[words.index("--phases") + 1] == "ED,ES"


def test_one_study_is_counted_and_its_folders_are_remembered(make, tmp_path, qtbot) -> None:
    images = make_images(tmp_path / "images", "a")
    window = make()
    window.form.phases.setCurrentIndex(1)
    assert run(window, qtbot) == ALL_DONE
    (images / "a.nii.gz").unlink()
    other = make()
    assert other.form.choices() == {
        "images": str(images),
        "results": str(tmp_path / "images_segmented"),
        "phases": "all",
    }


def test_only_the_latest_notices_are_shown(make, images, qtbot) -> None:
    window = make()
    for number in range(5):
        window._run.message_received.emit(Notice(text=f"Worker {number} was lost."))
    assert window.status.text().splitlines() == [f"Worker {n} was lost." for n in (2, 3, 4)]


def test_a_folder_without_studies(make, tmp_path, qtbot) -> None:
    make_images(tmp_path / "images", "seg")
    window = make()
    assert str(tmp_path / "images") in run(window, qtbot)
    assert rows(window) == []
    assert not window.review_button.isEnabled()


def test_start_after_a_stop_continues(make, images, tmp_path, qtbot) -> None:
    finish(tmp_path)
    window = make("--seconds", 0.8)
    window.start_button.click()
    qtbot.waitUntil(lambda: window.table.done == 1)
    window.stop_button.click()
    assert window.progress.text.text() == "Stopping…"
    assert not window.stop_button.isEnabled()
    assert wait_end(window, qtbot) == "Stopped. Segmented some."
    assert run(window, qtbot) == ALL_DONE
    assert [row[1] for row in rows(window)] == ["done", "done", "finished before"]


def test_stopped_before_the_first(make, images, qtbot) -> None:
    window = make("--seconds", 60)
    window.start_button.click()
    qtbot.waitUntil(lambda: window._run.is_running)
    window.stop_button.click()
    assert wait_end(window, qtbot).startswith(STOPPED_COHORT)


def test_a_crash_is_reported_and_keeps_finished_studies(make, images, qtbot) -> None:
    window = make("--dies-at", 2)
    reason = ": RuntimeError: fake crash"
    crash = CHILD_FAILED.format(subject=COHORT_SUBJECT, code=3, reason=reason)
    assert run(window, qtbot) == f"{crash} {FINISHED_KEPT}"
    assert [row[:2] for row in rows(window)] == [("a", "done")]
    assert window.review_button.isEnabled()
    assert window.start_button.isEnabled()


def test_a_killed_command(make, images, qtbot) -> None:
    window = make("--seconds", 60)
    window.start_button.click()
    first = f"{FIRST_STUDY.format(studies='3 studies')}…"
    qtbot.waitUntil(lambda: window.progress.text.text() == first)
    assert window.progress.bar.maximum() == 0  # busy
    os.kill(window._run.pid, signal.SIGKILL)
    assert wait_end(window, qtbot) == CHILD_KILLED.format(subject=COHORT_SUBJECT)
