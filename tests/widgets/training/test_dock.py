"""The Train dock with fake trainings in real child processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from napari.components import ViewerModel
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QMainWindow

from napari_bayes_nnunet.app.messages import JobEnded, StageStarted, TrainingStarted
from napari_bayes_nnunet.app.training.process import read_state
from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.core.ensemble.schedule import RestartSchedule
from napari_bayes_nnunet.core.problems import Action, statement
from napari_bayes_nnunet.io.ensemble.run_folder import RunFolder, TrainingRecord, write_record
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.common.wording import in_the_window
from napari_bayes_nnunet.widgets.training import dock as training_dock
from napari_bayes_nnunet.widgets.training.dock import (
    KEEP_TRAINING,
    STAY_OPEN,
    STOP_TRAINING,
    TrainingWidget,
)

from ...helpers import HELPERS
from ...helpers.processes.jobs import enter, epoch_done, say
from .test_watch_form import numbers

FAKE = str(HELPERS / "processes" / "fake_training.py")
ENDLESS = ("--epochs", 3000)
FAILURE = "The loss became nan."
REFUSAL = "Another training is running."
RECORD = TrainingRecord(
    name="hearts", schedule=RestartSchedule(epochs=6, cycles=1, shape="poly"),
    labels={"background": 0, "LV": 1}, channels=["cine"], folds={"0": {}},
)  # fmt: skip


@pytest.fixture
def make_dock(
    qtbot: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., TrainingWidget]]:
    """Make docks with fake trainings and given answers to the questions they ask."""
    docks: list[TrainingWidget] = []

    def make(*flags: object, closing: str = KEEP_TRAINING, killing: bool = True) -> TrainingWidget:
        dock = TrainingWidget(
            ViewerModel(),
            command=[sys.executable, FAKE, *map(str, flags)],
            settings=settings,
        )
        monkeypatch.setattr(training_dock, "ask_on_closing", lambda parent, running: closing)
        monkeypatch.setattr(training_dock, "ask_to_kill", lambda parent: killing)
        docks.append(dock)
        qtbot.addWidget(dock)
        return dock

    # The search for devices would import torch in a child, for nothing.
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
    from napari_bayes_nnunet.app.training.run_state import kill_training

    try:
        kill_training(RunFolder(path))
    except AppError:  # already ended
        return


def request(folder: Path, **changes: Any) -> TrainingRequest:
    return TrainingRequest(dataset=folder / "data", output=folder / "run", **changes)


def wait_for(dock: TrainingWidget, kind: str, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: dock.state is not None and dock.state.kind == kind)


def in_window(dock: TrainingWidget, window: QMainWindow, qtbot: Any) -> QMainWindow:
    qtbot.addWidget(window)
    window.setCentralWidget(dock)
    window.show()
    return window


def epochs(dock: TrainingWidget) -> int:
    return len(dock.progress.reports)


def test_started_training_is_followed_and_gets_a_cycle(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock()
    dock.start(request(tmp_path))
    assert dock.form.isVisibleTo(dock)
    assert not dock.new.isVisibleTo(dock)
    wait_for(dock, "finished", qtbot)
    assert [report.epoch for report in dock.progress.reports] == list(range(6))
    assert dock.form.status.text().splitlines()[0] == "All is trained."
    assert numbers(dock.form.progress.text.text()) == [6, 6]
    assert dock.chooser.runs.currentText() == "run (finished)"
    assert dock.form.log.toPlainText() == ""
    dock.form.log_section.expand()
    qtbot.waitUntil(lambda: "--output" in dock.form.log.toPlainText())
    dock.form.add_cycle_button.click()
    qtbot.waitUntil(lambda: epochs(dock) == 8)
    wait_for(dock, "finished", qtbot)
    assert numbers(dock.form.progress.text.text()) == [8, 8]
    # A third time, ended when it only starts
    qtbot.waitUntil(lambda: not dock.watch.started_here())
    dock.watch._command = [*dock.watch._command, "--late", "600"]
    dock.form.add_cycle_button.click()
    wait_for(dock, "starting", qtbot)
    qtbot.waitUntil(lambda: len(dock.watch.started_here()) == 1)
    dock.form.stop_button.click()
    wait_for(dock, "finished", qtbot)
    assert not dock.watch.started_here()
    assert dock.form.add_cycle_button.isEnabled()


def test_stopped_training_continues_after_resume(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock(*ENDLESS)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 1)
    dock.form.stop_button.click()
    wait_for(dock, "stopped", qtbot)
    states: list[tuple[str, bool]] = []
    dock.watch.polled.connect(
        lambda state, *_: states.append((state.kind, dock.form.resume_button.isEnabled()))
    )
    dock.watch._command = [*dock.watch._command, "--late", "0.4"]
    done = epochs(dock)
    dock.form.resume_button.click()
    assert not dock.form.resume_button.isEnabled()
    qtbot.waitUntil(lambda: epochs(dock) > done)
    assert dock.progress.reports[done].epoch == done
    command = RunFolder(tmp_path / "run").log.read_text().splitlines()[-1]
    assert "--resume" in command
    assert f"--fold 0 -- {tmp_path / 'data'}" in command.replace(" --resume", "")
    kinds = [kind for kind, _ in states]
    assert set(kinds) == {"starting", "running"}
    assert kinds.count("starting") > 1
    assert not any(enabled for _, enabled in states)


@pytest.mark.parametrize("before", ["", "0"])
def test_fold_stopped_before_its_first_epoch_resumes(
    make_dock: Any, tmp_path: Path, qtbot: Any, before: str
) -> None:
    run = RunFolder(tmp_path / "run")
    if before:
        say(run, TrainingStarted(fold=before, epoch=0, epochs=1, cycles=1), epoch_done(0))
        say(run, JobEnded(outcome="finished", text="All is trained."))
    say(run, StageStarted(text="Planning"), JobEnded(outcome="stopped", text="Stopped."))
    enter(run, fold="1")
    write_record(run.record, RECORD)
    dock = make_dock()
    dock.follow(run.path)
    wait_for(dock, "stopped", qtbot)
    assert dock.progress.fold == before
    dock.form.resume_button.click()
    qtbot.waitUntil(run.log.exists)
    wait_for(dock, "finished", qtbot)
    assert "--fold 1 --resume" in run.log.read_text()


@pytest.mark.parametrize(
    ("changes", "flags"),
    [({}, ["--device", "cpu"]), ({"host": "another computer"}, [])],
)
def test_resume_takes_the_devices_of_this_computer(
    make_dock: Any, tmp_path: Path, qtbot: Any, changes: dict[str, str], flags: list[str]
) -> None:
    run = RunFolder(tmp_path / "run")
    say(run, JobEnded(outcome="stopped", text="Stopped."))
    enter(run, device="cpu", **changes)
    write_record(run.record, RECORD)
    dock = make_dock()
    dock.follow(run.path)
    wait_for(dock, "stopped", qtbot)
    dock.form.resume_button.click()
    qtbot.waitUntil(run.log.exists)
    wait_for(dock, "finished", qtbot)
    words = run.log.read_text().split()
    assert words[words.index("--resume") + 1 : words.index("--")] == flags


def test_training_is_killed_only_with_consent(
    make_dock: Any, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = make_dock(*ENDLESS, killing=False)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 0)
    dock.form.kill_button.click()
    seen = epochs(dock)
    qtbot.waitUntil(lambda: epochs(dock) > seen)
    # It goes on behind the form of a new one.
    dock.chooser.runs.activated.emit(0)
    assert dock.new.isVisibleTo(dock)
    assert dock.watch.started_here() == [tmp_path / "run"]
    dock.follow(tmp_path / "run")
    wait_for(dock, "running", qtbot)
    pid = dock.state.info.pid
    monkeypatch.setattr(training_dock, "ask_to_kill", lambda parent: True)
    dock.form.kill_button.click()
    wait_for(dock, "stopped", qtbot)
    assert [remedy.action for remedy in dock.state.text.remedies] == [Action.RESUME]
    qtbot.waitUntil(lambda: not psutil.pid_exists(pid))
    assert dock.form.resume_button.isEnabled()


def test_failed_training_shows_its_error(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock("--fail", FAILURE)
    dock.start(request(tmp_path))
    wait_for(dock, "failed", qtbot)
    assert dock.form.status.text().splitlines()[0] == FAILURE


def test_refused_training_shows_the_reason_until_another_is_followed(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock("--refuse", REFUSAL)
    dock.start(request(tmp_path))
    wait_for(dock, "refused", qtbot)
    assert dock.form.status.text() == in_the_window(statement(REFUSAL, Action.RESUME))
    dock.follow(tmp_path / "run")
    wait_for(dock, "none", qtbot)
    assert dock.form.status.text() == in_the_window(dock.state.text) != ""


class Beginning:
    """Process of a training that begins when it is asked whether it has begun."""

    has_ended = False

    def __init__(self, run: RunFolder) -> None:
        self._run = run

    @property
    def has_begun(self) -> bool:
        say(self._run, StageStarted(text="Starting"))
        enter(self._run)
        return True

    def refusal(self) -> None:
        return None


def test_training_that_begins_meanwhile_is_running(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    say(run, JobEnded(outcome="stopped", text="Stopped."))
    assert read_state(run, Beginning(run)).kind == "running"


def test_refused_start_does_not_hide_running_training(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock(*ENDLESS)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: epochs(dock) > 0)
    dock.watch._command = [*dock.watch._command, "--refuse", REFUSAL]
    dock.start(request(tmp_path, resume=True))
    qtbot.waitUntil(lambda: len(dock.watch._started) == 2)
    second = dock.watch._started[-1]
    qtbot.waitUntil(lambda: second.has_ended)
    assert second.refusal() == statement(REFUSAL, Action.RESUME)
    seen = epochs(dock)
    qtbot.waitUntil(lambda: epochs(dock) > seen)
    assert dock.state.kind == "running"
    assert dock.watch.started_here() == [tmp_path / "run"]
    dock.form.stop_button.click()
    wait_for(dock, "stopped", qtbot)
    assert dock.form.status.text().splitlines()[0] == "Stopped."
    qtbot.waitUntil(lambda: not dock.watch.started_here())


def test_missing_program_shows_an_error(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock()
    dock.watch._command = ("/no/such/program",)
    dock.start(request(tmp_path))
    qtbot.waitUntil(lambda: "/no/such/program" in dock.error.text())
    states = []
    dock.watch.polled.connect(lambda *parts: states.append(parts))
    qtbot.waitUntil(lambda: len(states) > 1)
    assert "/no/such/program" in dock.error.text()


def test_kill_that_fails_is_shown_behind_another_run(
    make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock()
    dock.follow(tmp_path / "first")
    dock.watch.kill()  # nothing runs there
    dock.follow(tmp_path / "second")
    qtbot.waitUntil(lambda: str(tmp_path / "first") in dock.error.text())
    dock.show_new()
    assert dock.error.text() == ""


def test_failed_stop_can_be_asked_again(make_dock: Any, tmp_path: Path, qtbot: Any) -> None:
    dock = make_dock(*ENDLESS)
    dock.start(request(tmp_path))
    wait_for(dock, "running", qtbot)
    stop = RunFolder(tmp_path / "run").stop
    stop.symlink_to(tmp_path / "unplugged" / "stop")
    dock.form.stop_button.click()
    qtbot.waitUntil(lambda: str(tmp_path / "run") in dock.error.text())
    stop.unlink()
    qtbot.waitUntil(dock.form.stop_button.isEnabled)
    dock.form.stop_button.click()
    wait_for(dock, "stopped", qtbot)


@pytest.mark.parametrize("button", ["stop_button", "kill_button"])
def test_training_that_only_starts_can_be_ended(
    button: str, make_dock: Any, tmp_path: Path, qtbot: Any
) -> None:
    dock = make_dock("--late", 600)
    dock.start(request(tmp_path))
    wait_for(dock, "starting", qtbot)
    qtbot.waitUntil(lambda: len(dock.watch.started_here()) == 1)
    getattr(dock.form, button).click()
    wait_for(dock, "stopped", qtbot)
    assert dock.form.status.text() == "Stopped before training began. Start it again."
    assert dock.error.text() == ""
    assert not dock.watch.started_here()
    assert dock.chooser.runs.currentText() == "run (stopped)"
    assert not dock.form.resume_button.isEnabled()


# Trainings and windows


def test_second_window_lists_and_follows_the_run(
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


@pytest.mark.parametrize("answer", [KEEP_TRAINING, STOP_TRAINING])
def test_closing_window_obeys_the_answer(
    answer: str, make_dock: Any, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = make_dock(*ENDLESS, closing=STAY_OPEN)
    window = in_window(dock, StaysOpen(), qtbot)
    dock.start(request(tmp_path))
    wait_for(dock, "running", qtbot)
    progress = RunFolder(tmp_path / "run").progress

    def goes_on() -> None:
        before = progress.read_text()
        qtbot.waitUntil(lambda: len(progress.read_text()) > len(before))
        assert '"stopped"' not in progress.read_text()

    assert not window.close()
    assert window.isVisible()
    goes_on()
    monkeypatch.setattr(training_dock, "ask_on_closing", lambda parent, running: answer)
    window.refuses = True  # for another reason: then nothing is stopped
    assert not window.close()
    goes_on()
    window.refuses = False
    assert window.close()
    assert not window.isVisible()
    if answer == STOP_TRAINING:
        qtbot.waitUntil(lambda: '"stopped"' in progress.read_text())
    else:
        goes_on()


class StaysOpen(QMainWindow):
    """Window that may refuse to close after the docks were asked."""

    refuses = False

    def closeEvent(self, event: QCloseEvent) -> None:
        event.setAccepted(not self.refuses)


def test_closing_window_without_training_asks_nothing(make_dock: Any, qtbot: Any) -> None:
    dock = make_dock(closing=STAY_OPEN)
    window = in_window(dock, QMainWindow(), qtbot)
    assert window.close()
