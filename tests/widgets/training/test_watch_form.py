"""The page of one run: what it shows of its state, and which buttons make sense."""

from __future__ import annotations

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
from napari_bayes_nnunet.app.training.progress_file import LogUpdate
from napari_bayes_nnunet.app.training.run_state import RunState
from napari_bayes_nnunet.widgets.training.watch_form import WatchForm, place_of


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
        ("died", 0, {"resume"}),
        ("failed", 3, {"resume", "use"}),
        ("refused", 3, {"resume", "use"}),
        ("finished", 6, {"add", "use"}),
        ("died", 6, {"resume", "add", "use"}),
    ],
)
def test_only_the_buttons_that_make_sense_are_enabled(
    kind: Any, epochs: int, expected: set[str], form: WatchForm
) -> None:
    form.show_run(RunState(kind=kind, text="So it is."), progress(epochs))
    assert enabled(form) == expected


def test_cycle_epoch_time_memory_and_members_are_said(form: WatchForm) -> None:
    form.show_run(RunState(kind="running", text="Training on this computer."), progress(4))
    assert form.place.text() == (
        "Cycle 2 of 3, epoch 4 of 6 done, 1 min 40 s left, 1.5 GiB of memory, 2 members"
    )
    assert form.bar.value() / form.bar.maximum() == pytest.approx(4 / 6, abs=0.01)
    assert form.name.text() == "<b>my run</b>"
    assert form.name.toolTip().endswith("my run")


def test_state_stage_and_notices_are_sentences(form: WatchForm) -> None:
    form.show_run(
        RunState(kind="running", text="Training here."), progress(1, Notice(text="Memory is low."))
    )
    assert form.status.text() == "Training here.\nMemory is low."


def test_after_stop_there_is_nothing_more_to_stop(form: WatchForm) -> None:
    running = RunState(kind="running", text="Training here.")
    form.show_run(running, progress(1))
    form.show_stopping()
    form.show_run(replace(running, text="Training here. It stops after this epoch."), progress(1))
    assert form.status.text() == "Training here. It stops after this epoch."  # once
    assert "stop" not in enabled(form)
    form.show_run(RunState(kind="stopped", text="Stopped."), progress(2))
    form.show_run(running, progress(2))
    assert "stop" in enabled(form)


def test_while_validation_cases_are_measured_they_are_counted(form: WatchForm) -> None:
    running = RunState(kind="running", text="Training here.")
    case = StageStarted(text="Measuring validation case 3 of 8", done=2, total=8, eta_seconds=300)
    form.show_run(running, progress(6, case))
    assert form.place.text().startswith("Measuring validation case 3 of 8, 5 min left, ")
    assert form.bar.value() / form.bar.maximum() == pytest.approx(0.25)
    assert form.status.text() == "Training here."
    assert form.stop_button.text() == "Stop"
    assert enabled(form) == {"stop", "kill", "use"}
    form.show_run(running, progress(5))
    assert form.stop_button.text() == "Stop after this epoch"


def test_what_follows_the_epochs_is_said_before() -> None:
    started = TrainingStarted(fold="0", epoch=0, epochs=6, cycles=3, validation_cases=8)
    more = ", then the validation cases are measured, 1.5 GiB"
    assert f"1 min 40 s left{more}" in place_of(progress_of([started, epoch(0)]))[0]
    last = progress_of([started, epoch(5, eta_seconds=0.0)])
    assert f"epoch 6 of 6 done{more}" in place_of(last)[0]


def test_every_button_tells_its_click(form: WatchForm, qtbot: Any) -> None:
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


def test_the_log_folds_out_and_grows(form: WatchForm, qtbot: Any) -> None:
    with qtbot.waitSignal(form.log_toggled) as toggled:
        qtbot.mouseClick(form.log_section.toggleButton(), Qt.MouseButton.LeftButton)
    assert toggled.args == [True]
    form.add_log(LogUpdate(text="one\n", restarted=False))
    form.add_log(LogUpdate(text="two\nthree\n", restarted=False))
    assert form.log.toPlainText() == "one\ntwo\nthree"
    form.add_log(LogUpdate(text="anew\n", restarted=True))
    assert form.log.toPlainText() == "anew"


def test_another_run_starts_from_nothing(form: WatchForm) -> None:
    form.show_run(RunState(kind="running", text="Training here."), progress(4))
    form.set_run(Path("other"))
    assert (form.place.text(), form.bar.value(), form.status.text()) == ("", 0, "")
    assert enabled(form) == set()


def test_an_ended_run_has_no_time_left() -> None:
    ended = progress(6, JobEnded(outcome="finished", text="Done."))
    assert place_of(ended) == ("Cycle 3 of 3, epoch 6 of 6 done, 3 members", 1.0)
