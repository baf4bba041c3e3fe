"""The window "Segment a folder", with a command that pretends."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.widgets.cohort import dialog as cohort_window
from napari_bayes_nnunet.widgets.cohort.command import NO_IMAGES, NO_RESULTS
from napari_bayes_nnunet.widgets.cohort.dialog import SUMMARY, CohortWindow
from napari_bayes_nnunet.widgets.cohort.process import CohortRun
from napari_bayes_nnunet.widgets.common.dock import DOCK_WIDTH
from napari_bayes_nnunet.widgets.common.settings import Settings
from tests.helpers.drops import drop

from ...helpers.cohort_docks import fake_predict, made_asking, make_images
from ...helpers.settling import settle
from ..segment.test_worker_process import is_alive


@pytest.fixture
def make(qtbot: Any, settings: Settings, tmp_path: Path):
    """A window; the images and results in the folder of the test are chosen where there are."""
    runs: list[CohortRun] = []

    def window(*flags: object, command: list[str] | None = None, asking: Any = None):
        runs.append(CohortRun(command or fake_predict(*flags)))
        ask = asking or (lambda: made_asking(tmp_path / "ensemble"))
        made = CohortWindow(runs[-1], settings, asking=ask)
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


def wait_until(condition: Callable[[], bool], qtbot: Any) -> None:
    qtbot.waitUntil(condition)


def wait_end(window: CohortWindow, qtbot: Any) -> str:
    wait_until(lambda: not window.is_busy, qtbot)
    return window.status.text()


def run(window: CohortWindow, qtbot: Any) -> str:
    """Press Start and wait for the end; what is said then."""
    window.start_button.click()
    assert window.is_busy
    return wait_end(window, qtbot)


def finish(folder: Path, case: str = "a") -> None:
    """As if a study had been segmented before."""
    (folder / "images_segmented" / case).mkdir(parents=True)
    (folder / "images_segmented" / case / "study.json").touch()


def after_time(sentence: str) -> str:
    """What is said after how long it took, and before the summary is named."""
    took, _, rest = sentence.partition(": ")
    assert took.startswith("Finished in ")
    assert rest.endswith(f" {SUMMARY}")
    return rest.removesuffix(f" {SUMMARY}")


def rows(window: CohortWindow) -> list[tuple[str, ...]]:
    return [row.cells for row in window.table.table.rows]


# Before


def test_how_it_is_asked_follows_the_dock(make) -> None:
    answers: list[Any] = [made_asking(Path("ensemble")), AppError("Choose an ensemble first.")]

    def asking():
        if isinstance(answers[0], AppError):
            raise answers[0]
        return answers[0]

    window = make(asking=asking)
    expected = "Asked as chosen in the dock: made, multi, 3 members, mirroring full."
    assert window.asked.text() == expected
    answers.pop(0)
    window.refresh_asking()
    assert window.asked.text() == "Choose an ensemble first."


def test_while_it_runs_it_says_how_that_is_asked(make, images, qtbot) -> None:
    answers = [made_asking(Path("ensemble"))]
    window = make("--seconds", 60, asking=lambda: answers[0])
    window.start_button.click()
    answers[0] = replace(answers[0], settings=SegmentationSettings(device="cuda:0"))
    window.refresh_asking()
    assert window.asked.text().endswith("mirroring full.")
    window.stop_button.click()
    wait_end(window, qtbot)
    assert window.asked.text().endswith("mirroring full, on cuda:0.")


def test_what_is_missing_is_said_before_anything_starts(make, tmp_path, qtbot) -> None:
    def no_ensemble():
        raise AppError("Choose an ensemble first.")

    window = make(asking=no_ensemble)
    window.start_button.click()
    assert window.status.text() == NO_IMAGES
    window.form.images.choose(make_images(tmp_path / "images"))
    window.form.results.choose(None)
    window.start_button.click()
    assert window.status.text() == NO_RESULTS
    window.form.results.choose(tmp_path / "out")
    window.start_button.click()
    assert window.status.text() == "Choose an ensemble first."
    assert not window.is_busy
    assert not window.stop_button.isEnabled()


def test_folders_that_cannot_be_used_are_said(make, images, tmp_path, qtbot) -> None:
    window = make()
    window.form.results.choose(images)
    assert run(window, qtbot).startswith("The results need a folder of their own")
    window.form.images.choose(images / "a.nii.gz")
    assert "is a file" in run(window, qtbot)
    assert window.start_button.isEnabled()
    assert not window.progress.isVisible()


def test_a_slow_drive_holds_nothing_up(make, images, qtbot, monkeypatch) -> None:
    goes_on = threading.Event()
    monkeypatch.setattr(cohort_window, "check_folders", lambda *_: goes_on.wait(10) and None)
    window = make()
    window.start_button.click()
    assert window.progress.text.text() == "Looking for studies…"
    window.start()  # a second press starts nothing else
    window.stop_button.click()
    assert window.status.text() == "Stopped."
    assert not window.is_busy
    goes_on.set()
    settle(qtbot, window)
    assert not window.is_busy


def test_it_fits_beside_a_dock(make, images, qtbot) -> None:
    window = make()
    window.resize(DOCK_WIDTH, 500)
    window.start_button.click()
    wait_end(window, qtbot)
    assert window.minimumSizeHint().width() <= DOCK_WIDTH
    assert window.isWindow()


# A run


def test_all_studies_are_segmented(make, tmp_path, qtbot) -> None:
    make_images(tmp_path / "images", "a", "b/a", "broken", "seg")
    window = make()
    counts: list[str] = []
    window.progressed.connect(counts.append)
    end = run(window, qtbot)
    assert after_time(end) == "2 of 3 studies are done, 1 failed; see the top of the table."
    assert rows(window) == [
        (
            "broken",
            "failed",
            "broken.nii.gz is damaged. Choose another folder for the results.",
        ),
        ("b/a", "done", "ED is phase 1, ES is phase 8 (Info.cfg beside the image)."),
        ("a", "done", "ED is phase 1, ES is phase 8 (Info.cfg beside the image)."),
    ]
    assert counts == ["0 of 3", "1 of 3", "2 of 3", "3 of 3", ""]
    assert window.table.left_out.text() == "Left out: files that are labels: 1."
    assert not window.progress.isVisible()
    words = json.loads((tmp_path / "images_segmented" / "words.json").read_text())
    assert words[:3] == ["predict", str(tmp_path / "ensemble"), str(tmp_path / "images")]
    assert "--continue" in words
    assert words[words.index("--phases") + 1] == "ED,ES"


def test_progress_tells_how_many_and_how_long(make, images, tmp_path, qtbot) -> None:
    finish(tmp_path)
    window = make("--seconds", 60)
    window.start_button.click()
    assert not window.form.isEnabled()
    assert not window.start_button.isEnabled()
    wait_until(lambda: window.table.done == 1, qtbot)
    assert window.progress.text.text() == "1 of 3 studies, 2 min left"
    assert (window.progress.bar.value(), window.progress.bar.maximum()) == (1, 3)
    window.stop_button.click()
    wait_end(window, qtbot)
    assert window.form.isEnabled()


def test_one_study_is_one_study(make, tmp_path, qtbot) -> None:
    make_images(tmp_path / "images", "a")
    window = make("--notice", "One member is not used.")
    assert after_time(run(window, qtbot)) == "1 of 1 study is done."


def test_a_notice_is_said_while_it_runs(make, images, qtbot) -> None:
    window = make("--seconds", 60, "--notice", "One member is not used.")
    window.start_button.click()
    wait_until(lambda: window.status.text() == "One member is not used.", qtbot)


def test_only_the_latest_notices_are_shown(make, images, qtbot) -> None:
    window = make()
    for number in range(5):
        window._run.noticed.emit(f"Worker {number} was lost.")
    assert window.status.text().splitlines() == [f"Worker {n} was lost." for n in (2, 3, 4)]


def test_a_folder_without_studies(make, tmp_path, qtbot) -> None:
    make_images(tmp_path / "images", "seg")
    window = make()
    assert run(window, qtbot) == f"{tmp_path / 'images'} holds no images to segment."
    assert not window.review_button.isEnabled()


def test_after_a_stop_start_goes_on(make, images, tmp_path, qtbot) -> None:
    finish(tmp_path)
    window = make("--seconds", 1.5)
    window.start_button.click()
    wait_until(lambda: window.table.done == 1, qtbot)
    window.stop_button.click()
    assert window.progress.text.text() == "Stopping…"
    assert not window.stop_button.isEnabled()
    expected = "1 of 3 studies is done. Only what was in work is lost; Start goes on"
    assert wait_end(window, qtbot) == f"Stopped: {expected} from there."
    assert after_time(run(window, qtbot)) == "3 of 3 studies are done."
    assert [row[1] for row in rows(window)] == ["done", "done", "finished before"]


def test_stopped_before_the_first(make, images, qtbot) -> None:
    window = make("--seconds", 60)
    window.start_button.click()
    wait_until(lambda: window._run.is_running, qtbot)
    window.stop_button.click()
    assert wait_end(window, qtbot) in (
        "Stopped before the first study.",
        "Stopped: 0 of 3 studies are done. Only what was in work is lost; Start goes on from "
        "there.",
    )


def test_a_command_that_dies_is_said_and_what_is_finished_stays(make, images, qtbot) -> None:
    window = make("--dies-at", 2)
    assert run(window, qtbot) == (
        "The segmentation ended unexpectedly (exit code 3): RuntimeError: fake crash. What is "
        "finished is kept, and Start goes on from there."
    )
    assert [row[:2] for row in rows(window)] == [("a", "done")]
    assert window.review_button.isEnabled()
    assert window.start_button.isEnabled()


def test_a_killed_command(make, images, qtbot) -> None:
    window = make("--seconds", 60)
    window.start_button.click()
    first = "Segmenting the first of 3 studies…"
    wait_until(lambda: window.progress.text.text() == first, qtbot)
    assert window.progress.bar.maximum() == 0  # busy
    os.kill(window._run.pid, signal.SIGKILL)
    expected = "The segmentation ended unexpectedly (killed, perhaps because memory ran out)."
    assert wait_end(window, qtbot) == expected


def test_a_command_that_cannot_start(make, images, qtbot) -> None:
    window = make(command=["/not/there"])
    assert run(window, qtbot) == "The segmentation could not be started: /not/there."


def test_a_refusal_is_shown(make, images, qtbot) -> None:
    window = make("--refuses", "The folder is read-only.")
    assert run(window, qtbot) == "The folder is read-only."


# Around it


def test_done_studies_can_be_opened_while_others_are_segmented(
    make, images, tmp_path, qtbot
) -> None:
    finish(tmp_path)
    window = make("--seconds", 60)
    asked: list[Path] = []
    window.review_requested.connect(asked.append)
    assert not window.review_button.isEnabled()
    window.start_button.click()
    wait_until(window.review_button.isEnabled, qtbot)
    assert window.is_busy
    window.review_button.click()
    assert asked == [tmp_path / "images_segmented"]


def test_closing_the_window_ends_nothing(make, images, tmp_path, qtbot) -> None:
    finish(tmp_path)
    window = make("--seconds", 1)
    window.start_button.click()
    wait_until(lambda: window.table.done == 1, qtbot)
    window.close()
    assert window.is_busy
    assert is_alive(window._run.pid)
    assert after_time(wait_end(window, qtbot)) == "3 of 3 studies are done."
    window.show()
    assert len(rows(window)) == 3


def test_the_folders_are_remembered(make, images, tmp_path, qtbot) -> None:
    window = make()
    window.form.phases.setCurrentIndex(1)
    run(window, qtbot)
    (images / "a.nii.gz").unlink()
    other = make()
    assert other.form.choices() == {
        "images": str(images),
        "results": str(tmp_path / "images_segmented"),
        "phases": "all",
    }


def test_every_button_says_what_it_does(make) -> None:
    window = make()
    for button in (window.start_button, window.stop_button, window.review_button):
        assert button.toolTip()
    assert window.windowTitle() == "Segment a folder"


def test_a_folder_can_be_dropped_anywhere_but_not_while_it_runs(make, tmp_path, qtbot) -> None:
    window = make("--seconds", 60)
    folder = make_images(tmp_path / "images")
    assert drop(window, folder).isAccepted()
    assert window.form.images.path == folder
    assert not drop(window, folder / "a.nii.gz").isAccepted()
    window.start_button.click()
    assert not drop(window, tmp_path).isAccepted()
    assert window.form.images.path == folder
