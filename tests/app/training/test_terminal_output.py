import io
import os
import select

import pytest

from napari_bayes_nnunet.app.messages import (
    EpochDone,
    JobEnded,
    Notice,
    StageStarted,
    TrainingStarted,
)
from napari_bayes_nnunet.app.training.terminal_output import choose_view

STARTED = TrainingStarted(fold="0", epoch=56, epochs=150, cycles=3)


def epoch(number, **changes):
    values = {
        "fold": "0", "epoch": number, "cycle": number // 50, "learning_rate": 0.01,
        "train_loss": 0.4567, "val_loss": 0.5, "pseudo_dice": {"LV": 0.9}, "seconds": 9.04,
        "eta_seconds": 839.6, "member": False,
    }  # fmt: skip
    return EpochDone(**{**values, **changes})


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_json_lines_are_the_epochs_alone(kind):
    stream = kind()
    view = choose_view(stream, jsonl=True)
    for message in (
        StageStarted(text="Planning"),
        STARTED,
        epoch(56),
        JobEnded(outcome="finished"),
    ):
        view.show(message)
    view.close()
    assert stream.getvalue() == epoch(56).to_line() + "\n"


def test_plain_lines():
    stream = io.StringIO()
    view = choose_view(stream, jsonl=False)
    for message in (
        StageStarted(text="Planning"),
        STARTED,
        epoch(56),
        epoch(149, member=True, val_loss=None, eta_seconds=0),
        JobEnded(outcome="finished"),
    ):
        view.show(message)
    view.close()
    assert stream.getvalue().splitlines() == [
        "Planning",
        "cycle 2 of 3, epoch 57 of 150: 14 min left, loss 0.457, validation 0.500, 9.0 s",
        "cycle 3 of 3, epoch 150 of 150: 0 s left, loss 0.457, 9.0 s, member kept",
    ]


def test_the_bar_stands_before_the_first_epoch_and_where_the_training_does():
    stream = Terminal()
    view = choose_view(stream, jsonl=False)
    view.show(STARTED)
    assert "cycle 2 of 3, epoch 56 of 150" in stream.getvalue()
    view.show(epoch(56))
    last = stream.getvalue().rpartition("\r")[2]
    assert last.startswith("cycle 2 of 3, epoch 57 of 150 |")
    assert "14 min left, loss 0.457, validation 0.500" in last
    view.close()
    view.close()


def measuring(done, eta=None):
    text = f"Measuring validation case {done + 1} of 4"
    return StageStarted(text=text, done=done, total=4, eta_seconds=eta)


def test_plain_lines_say_how_long_the_validation_takes():
    stream = io.StringIO()
    view = choose_view(stream, jsonl=False)
    started = TrainingStarted(fold="0", epoch=0, epochs=150, cycles=3, validation_cases=4)
    for message in (Notice(text="Look."), started, epoch(56), measuring(0), measuring(1, 60.2)):
        view.show(message)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Look."
    assert ": 14 min + validation left, loss" in lines[1]
    assert lines[2:] == [
        "Measuring validation case 1 of 4",
        "Measuring validation case 2 of 4, 1 min left",
    ]


def test_the_validation_has_a_bar_of_its_own():
    stream = Terminal()
    view = choose_view(stream, jsonl=False)
    for message in (STARTED, epoch(149), measuring(0), measuring(1, 60.2)):
        view.show(message)
    last = stream.getvalue().rpartition("\r")[2]
    assert last.startswith("Measuring validation case 2 of 4 |")
    assert last.rstrip().endswith("1 min left")
    view.close()
    assert stream.getvalue().count("\n") == 2  # one for each bar


def test_a_stage_after_the_epochs_gets_a_line_of_its_own():
    stream = Terminal()
    view = choose_view(stream, jsonl=False)
    for message in (STARTED, epoch(149), StageStarted(text="Measuring")):
        view.show(message)
    view.close()
    assert stream.getvalue().endswith("\nMeasuring\n")


def test_a_training_that_has_all_epochs_shows_the_last_cycle():
    stream = Terminal()
    view = choose_view(stream, jsonl=False)
    view.show(TrainingStarted(fold="0", epoch=150, epochs=150, cycles=3))
    view.close()
    assert "cycle 3 of 3, epoch 150 of 150" in stream.getvalue()


def test_the_bar_fits_a_real_terminal():
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with os.fdopen(theirs, "w") as terminal:
        view = choose_view(terminal, jsonl=False)
        view.show(STARTED)
        view.show(epoch(56))
        view.close()
        shown = ""
        while select.select([ours], [], [], 1)[0]:  # it arrives in pieces
            shown += os.read(ours, 10_000).decode()
    os.close(ours)
    assert "epoch 57 of 150 |" in shown
    assert max(map(len, shown.replace("\n", "\r").split("\r"))) <= 100
