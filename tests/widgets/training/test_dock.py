"""The dock Train around a training that pretends, in real child processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QMainWindow

from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.training.dock import TrainingWidget

from ...helpers import HELPERS

FAKE = str(HELPERS / "fake_training.py")
SOON = 20000
ENDLESS = ("--epochs", 3000)


@pytest.fixture
def make_dock(
    qtbot: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., TrainingWidget]]:
    """Make a TrainingWidget whose trainings pretend; ``answers`` to the questions it asks."""
    docks: list[TrainingWidget] = []

    def make(*flags: object, closing: str = "go on", killing: bool = True) -> TrainingWidget:
        dock = TrainingWidget(
            ViewerModel(),
            command=[sys.executable, FAKE, *map(str, flags)],
            settings=settings,
            ask_closing=lambda parent, running: closing,
            ask_killing=lambda parent, progress: killing,
        )
        docks.append(dock)
        qtbot.addWidget(dock)
        return dock

    # Looking for devices imports torch in a child, which is of no use here.
    monkeypatch.setattr(
        "napari_bayes_nnunet.widgets.training.preflight_form.PreflightForm.showEvent",
        lambda *_: None,
    )
    yield make
    for dock in docks:
        for path in dock.watch.started_here():
            end(path)


def end(path: Path) -> None:
    from napari_bayes_nnunet.app import AppError
    from napari_bayes_nnunet.app.training.run_state import kill

    try:
        kill(RunFolder(path))
    except AppError:  # it has ended by itself
        return


def request(folder: Path, **changes: Any) -> TrainingRequest:
    return TrainingRequest(dataset=folder / "data", output=folder / "run", **changes)


def wait_for(dock: TrainingWidget, kind: str, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: dock.state is not None and dock.state.kind == kind)


def epochs(dock: TrainingWidget) -> int:
    return len(dock.progress.reports)


def test_started_it_is_watched_to_its_end(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock()
    dock.start(request(tmp_path))
    assert dock.form.isVisibleTo(dock)
    assert not dock.new.isVisibleTo(dock)
    wait_for(dock, "finished", qtbot)
    assert [report.epoch for report in dock.progress.reports] == list(range(6))
    assert dock.form.status.text() == "All is trained."
    assert dock.form.place.text().startswith("Cycle 3 of 3, epoch 6 of 6 done")
    assert dock.chooser.runs.currentText() == "run (finished)"
    assert dock.form.add_cycle_button.isEnabled()


def test_stop_ends_after_the_epoch_and_resume_goes_on(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock(*ENDLESS)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 1)
    dock.form.stop_button.click()
    wait_for(dock, "stopped", qtbot)
    done = epochs(dock)
    dock.form.resume_button.click()
    qtbot.waitUntil(lambda: epochs(dock) > done)
    assert dock.progress.reports[done].epoch == done
    words = RunFolder(tmp_path / "run").log.read_text().splitlines()[-1]
    assert "--resume" in words
    assert f"--fold 0 -- {tmp_path / 'data'}" in words.replace(" --resume", "")


def test_kill_ends_the_process(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock(*ENDLESS)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 0)
    pid = dock.state.info.pid
    dock.form.kill_button.click()
    wait_for(dock, "stopped", qtbot)
    assert "Killed." in dock.form.status.text()
    qtbot.waitUntil(lambda: not psutil.pid_exists(pid))
    assert dock.form.resume_button.isEnabled()


def test_kill_is_asked_for_first(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock(*ENDLESS, killing=False)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 0)
    dock.form.kill_button.click()
    seen = epochs(dock)
    qtbot.waitUntil(lambda: epochs(dock) > seen)


def test_a_cycle_is_added(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock()
    dock.start(request(tmp_path))
    wait_for(dock, "finished", qtbot)
    dock.form.add_cycle_button.click()
    qtbot.waitUntil(lambda: epochs(dock) == 8)
    wait_for(dock, "finished", qtbot)
    assert dock.form.place.text().startswith("Cycle 4 of 4, epoch 8 of 8 done")


def test_a_failure_is_a_sentence_in_the_dock(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock("--fail", "The loss became nan: start again with a lower rate.")
    dock.start(request(tmp_path))
    wait_for(dock, "failed", qtbot)
    assert dock.form.status.text() == "The loss became nan: start again with a lower rate."


def test_refused_at_once_it_says_why(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock("--refuse", "Another training is running in run.")
    dock.start(request(tmp_path))
    wait_for(dock, "refused", qtbot)
    assert dock.form.status.text() == "Another training is running in run."


def test_resume_is_off_until_the_training_has_reported(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock(*ENDLESS)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 1)
    dock.form.stop_button.click()
    wait_for(dock, "stopped", qtbot)
    states: list[tuple[str, bool]] = []
    dock.watch.looked.connect(
        lambda state, *_: states.append((state.kind, dock.form.resume_button.isEnabled()))
    )
    dock.watch._command = [*dock.watch._command, "--late", "1.5"]
    done = epochs(dock)
    dock.form.resume_button.click()
    assert not dock.form.resume_button.isEnabled()
    qtbot.waitUntil(lambda: epochs(dock) > done)
    kinds = [kind for kind, _ in states]
    assert set(kinds) == {"starting", "running"}
    assert kinds.count("starting") > 1
    assert not any(enabled for _, enabled in states)


def test_a_refused_start_does_not_hide_the_training_that_runs(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock(*ENDLESS)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 0)
    dock.watch._command = [*dock.watch._command, "--refuse", "Another training is running in run."]
    dock.start(request(tmp_path, resume=True))
    qtbot.waitUntil(lambda: len(dock.watch._started) == 2)
    second = dock.watch._started[-1][1]
    qtbot.waitUntil(lambda: second.has_ended)
    assert second.complaint() == "Another training is running in run."
    seen = epochs(dock)
    qtbot.waitUntil(lambda: epochs(dock) > seen)
    assert dock.state.kind == "running"
    assert dock.watch.started_here() == [tmp_path / "run"]
    dock.form.stop_button.click()
    wait_for(dock, "stopped", qtbot)
    assert dock.form.status.text() == "Stopped."
    assert dock.watch.started_here() == []


def test_followed_again_what_was_refused_is_over(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock("--refuse", "The dataset is missing.")
    dock.start(request(tmp_path))
    wait_for(dock, "refused", qtbot)
    dock.follow(tmp_path / "run")
    wait_for(dock, "none", qtbot)


def test_started_where_a_terminal_trains_it_follows_that_one(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    terminal = make_dock(*ENDLESS)
    terminal.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(terminal) > 0)
    dock = make_dock("--refuse", "Another training is running in run.")
    dock.start(request(tmp_path))
    wait_for(dock, "running", qtbot)
    dock.form.stop_button.click()
    wait_for(terminal, "stopped", qtbot)


def test_a_missing_program_is_said(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock()
    dock.watch._command = ("/no/such/program",)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: "could not start" in dock.form.status.text())


# A training belongs to nobody's window


def test_another_window_lists_it_and_follows_it(
    make_dock: Any, tmp_path: Path, settings: Settings, qtbot: Any
) -> None:
    first = make_dock(*ENDLESS)
    first.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(first) > 0)
    second = make_dock()
    second.show()
    qtbot.waitUntil(lambda: second.chooser.runs.count() == 2)
    assert second.chooser.runs.itemText(1) == "run (running)"
    second.chooser.runs.setCurrentIndex(1)
    second.chooser.runs.activated.emit(1)
    seen = epochs(first)
    qtbot.waitUntil(lambda: epochs(second) > seen)
    second.form.stop_button.click()
    wait_for(first, "stopped", qtbot)
    wait_for(second, "stopped", qtbot)


def test_a_folder_without_a_training_says_so(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock()
    dock.follow(tmp_path)
    qtbot.waitUntil(lambda: "No training" in dock.form.status.text())


def test_back_to_a_new_training_what_runs_goes_on(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock(*ENDLESS)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 0)
    dock.chooser.runs.activated.emit(0)
    assert dock.new.isVisibleTo(dock)
    assert dock.watch.started_here() == [tmp_path / "run"]


@pytest.mark.parametrize("answer", ["go on", "stop", "stay"])
def test_on_closing_the_window_it_is_asked(
    answer: str, make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock(*ENDLESS, closing=answer)
    window = QMainWindow()
    qtbot.addWidget(window)
    window.setCentralWidget(dock)
    window.show()
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 0)
    assert window.close() == (answer != "stay")
    assert window.isVisible() == (answer == "stay")
    run = RunFolder(tmp_path / "run")
    if answer == "stop":
        qtbot.waitUntil(lambda: '"stopped"' in run.progress.read_text())
    else:
        before = run.progress.read_text()
        qtbot.waitUntil(lambda: len(run.progress.read_text()) > len(before))


def test_nothing_is_asked_when_nothing_runs(make_dock: Any, qtbot: Any) -> None:
    dock = make_dock(closing="stay")
    window = QMainWindow()
    qtbot.addWidget(window)
    window.setCentralWidget(dock)
    window.show()
    assert window.close()


def test_the_log_is_read_once_it_is_folded_out(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock()
    dock.start(request(tmp_path))
    wait_for(dock, "finished", qtbot)
    assert dock.form.log.toPlainText() == ""
    dock.form.log_section.expand()
    qtbot.waitUntil(lambda: "--output" in dock.form.log.toPlainText())
