"""The view of one run: its progress and its buttons."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt

from napari_bayes_nnunet.app.messages import (
    EpochDone,
    JobEnded,
    Notice,
    StageStarted,
    TrainingStarted,
)
from napari_bayes_nnunet.app.training.progress import TrainingProgress, progress_of
from napari_bayes_nnunet.app.training.run_state import RunState
from napari_bayes_nnunet.core.durations import duration_text
from napari_bayes_nnunet.widgets.training.watch import (
    STOP_AFTER_EPOCH,
    STOP_VALIDATION,
    VALIDATION_FOLLOWS,
    WatchForm,
)


def epoch(number: int, **changes: Any) -> EpochDone:
    given: dict[str, Any] = {
        "fold": "0", "epoch": number, "cycle": number // 2, "learning_rate": 0.01,
        "train_loss": 1.0, "val_loss": 1.0, "pseudo_dice": {"LV": 0.5}, "seconds": 1.0,
        "eta_seconds": 100.0, "member": number % 2 == 1, "memory_bytes": 3 * 2**29,
    }  # fmt: skip
    return EpochDone(**(given | changes))


def progress(epochs: int, *more: Any) -> TrainingProgress:
    started = TrainingStarted(fold="0", epoch=0, epochs=6, cycles=3)
    return progress_of([started, *map(epoch, range(epochs)), *more])


@pytest.fixture
def form(qtbot: Any) -> WatchForm:
    form = WatchForm()
    qtbot.addWidget(form)
    form.set_run(Path("folder") / "my run")
    form.show()
    return form


def numbers(text: str) -> list[float]:
    """Return the numbers in a text."""
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def enabled(form: WatchForm) -> set[str]:
    buttons = {
        "stop": form.stop_button, "kill": form.kill_button, "resume": form.resume_button,
        "add": form.add_cycle_button, "use": form.use_button,
    }  # fmt: skip
    return {name for name, button in buttons.items() if button.isEnabled()}


@pytest.mark.parametrize(
    ("kind", "epochs", "expected"),
    [
        ("none", 0, set()),
        ("starting", 0, {"stop", "kill"}),
        ("running", 1, {"stop", "kill"}),
        ("running", 2, {"stop", "kill", "use"}),
        ("silent", 2, {"stop", "kill", "use", "resume"}),
        ("stopped", 2, {"resume", "use"}),
        ("stopped", 0, set()),
        ("died", 0, set()),
        ("failed", 3, {"resume", "use"}),
        ("refused", 0, set()),
        ("refused", 3, {"resume", "use"}),
        ("finished", 6, {"add", "use"}),
        ("died", 6, {"resume", "add", "use"}),
    ],
)
def test_state_decides_which_buttons_are_enabled(
    kind: Any, epochs: int, expected: set[str], form: WatchForm
) -> None:
    form.show_run(RunState(kind=kind, text="Some state."), progress(epochs))
    assert enabled(form) == expected
    form.set_run(Path("folder") / "another run")
    form.show_run(RunState(kind=kind, text="Some state."), progress(epochs))
    assert enabled(form) == expected


def test_running_training_shows_its_progress(form: WatchForm) -> None:
    notice = Notice(text="Memory is low.")
    form.show_run(RunState(kind="running", text="Training here."), progress(4, notice))
    text, bar = form.progress.text.text(), form.progress.bar
    assert numbers(text) == [4, 6, 1, 40]
    assert duration_text(100) in text
    assert (bar.value(), bar.maximum()) == (4, 6)
    state, details, last = form.status.text().splitlines()
    assert (state, numbers(details), last) == ("Training here.", [2, 3, 2, 1.5], "Memory is low.")
    assert form.progress.isVisibleTo(form)
    assert form.name.text() == "<b>my run</b>"
    assert form.name.toolTip().endswith("my run")
    form.set_run(Path("other"))
    assert (form.progress.isVisibleTo(form), form.status.text()) == (False, "")
    assert enabled(form) == set()


def test_stop_button_is_disabled_while_stopping(form: WatchForm) -> None:
    running = RunState(kind="running", text="Training here.")
    form.show_run(running, progress(1))
    form.show_stopping()
    form.show_run(replace(running, text="Stopping soon."), progress(1))
    assert form.status.text().count("Stopping soon.") == 1
    assert "stop" not in enabled(form)
    form.show_not_stopping()
    form.show_run(running, progress(1))
    assert "stop" in enabled(form)
    form.show_stopping()
    form.show_run(RunState(kind="stopped", text="Stopped."), progress(2))
    form.show_run(running, progress(2))
    assert "stop" in enabled(form)


def test_validation_and_preprocessing_show_cases_and_time(form: WatchForm) -> None:
    running = RunState(kind="running", text="Training here.")
    case = StageStarted(text="Case 3 of 8", done=2, total=8, eta_seconds=300)
    for shown, stops in ((progress(6, case), STOP_VALIDATION), (progress_of([case]), None)):
        form.show_run(running, shown)
        assert form.progress.text.text() == f"Case 3 of 8, {duration_text(300)} left"
        assert (form.progress.bar.value(), form.progress.bar.maximum()) == (2, 8)
        assert form.status.text().splitlines()[0] == "Training here."
        assert form.stop_button.text() == (stops or STOP_AFTER_EPOCH)
        assert enabled(form) == {"stop", "kill"} | ({"use"} if stops else set())
    form.show_run(running, progress(5))
    assert form.stop_button.text() == STOP_AFTER_EPOCH


@pytest.mark.parametrize(("number", "eta"), [(0, 100.0), (5, 0.0)])
def test_epochs_before_validation_announce_it(form: WatchForm, number: int, eta: float) -> None:
    started = TrainingStarted(fold="0", epoch=0, epochs=6, cycles=3, validation_cases=8)
    shown = progress_of([started, epoch(number, eta_seconds=eta)])
    form.show_run(RunState(kind="running", text="Training here."), shown)
    assert VALIDATION_FOLLOWS in form.status.text()
    assert (duration_text(100) in form.progress.text.text()) == bool(eta)


def test_every_button_emits_its_signal(form: WatchForm, qtbot: Any) -> None:
    form.show_run(RunState(kind="silent", text=""), progress(6))
    for button, signal in (
        (form.stop_button, form.stop_requested),
        (form.kill_button, form.kill_requested),
        (form.use_button, form.use_requested),
    ):
        with qtbot.waitSignal(signal):
            button.click()
    form.show_run(RunState(kind="finished", text=""), progress(6))
    with qtbot.waitSignal(form.add_cycle_requested):
        form.add_cycle_button.click()
    form.show_run(RunState(kind="stopped", text=""), progress(3))
    with qtbot.waitSignal(form.resume_requested):
        form.resume_button.click()


def test_expanded_log_grows(form: WatchForm, qtbot: Any) -> None:
    with qtbot.waitSignal(form.log_toggled) as toggled:
        qtbot.mouseClick(form.log_section.toggleButton(), Qt.MouseButton.LeftButton)
    assert toggled.args == [True]
    form.add_log("one\n", False)
    form.add_log("two\nthree\n", False)
    assert form.log.toPlainText() == "one\ntwo\nthree"
    form.add_log("new\n", True)
    assert form.log.toPlainText() == "new"


def test_ended_run_shows_no_remaining_time(form: WatchForm) -> None:
    ended = progress(6, JobEnded(outcome="finished", text="Done."))
    form.show_run(RunState(kind="finished", text="Done."), ended)
    assert numbers(form.progress.text.text()) == [6, 6]
    assert form.progress.bar.value() == form.progress.bar.maximum()
    assert numbers(form.status.text()) == [3, 3, 3]
