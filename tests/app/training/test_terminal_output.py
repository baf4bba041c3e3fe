import io
import os
import re
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


def numbers(text):
    """Return the numbers in a text, with the unit of times."""
    return re.findall(r"\d+(?:\.\d+)?(?: min| s\b)?", text)


def last_bar(stream):
    return stream.getvalue().rpartition("\r")[2]


def label_of(stream):
    """Return the text before the bar."""
    return last_bar(stream).partition(" |")[0]


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
    planning, first, last = stream.getvalue().splitlines()
    assert planning == "Planning"
    assert numbers(first) == ["2", "3", "57", "150", "14 min", "0.457", "0.500", "9.0 s"]
    assert numbers(last) == ["3", "3", "150", "150", "0 s", "0.457", "9.0 s"]
    assert ("member" in first, "member" in last) == (False, True)


def test_the_bar_starts_before_the_first_epoch():
    stream = Terminal()
    view = choose_view(stream, jsonl=False)
    view.show(STARTED)
    assert numbers(label_of(stream)) == ["2", "3", "56", "150"]
    view.show(epoch(56))
    assert numbers(label_of(stream)) == ["2", "3", "57", "150"]
    note = last_bar(stream).rpartition("|")[2]
    assert numbers(note)[-3:] == ["14 min", "0.457", "0.500"]
    view.close()
    view.close()


def measuring(done, eta=None):
    text = f"Measuring {done + 1} of 4"
    return StageStarted(text=text, done=done, total=4, eta_seconds=eta)


def test_plain_lines_have_the_duration_of_the_validation():
    stream = io.StringIO()
    view = choose_view(stream, jsonl=False)
    started = TrainingStarted(fold="0", epoch=0, epochs=150, cycles=3, validation_cases=4)
    for message in (Notice(text="Look."), started, epoch(56), measuring(0), measuring(1, 60.2)):
        view.show(message)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Look."
    assert "14 min + validation" in lines[1]
    assert lines[2] == measuring(0).text
    assert lines[3].startswith(measuring(1).text)
    assert numbers(lines[3])[-1] == "1 min"


def test_the_validation_has_a_bar_of_its_own():
    stream = Terminal()
    view = choose_view(stream, jsonl=False)
    for message in (STARTED, epoch(149), measuring(0), measuring(1, 60.2)):
        view.show(message)
    assert label_of(stream) == measuring(1).text
    assert last_bar(stream).rstrip().endswith("1 min left")
    view.close()
    assert stream.getvalue().count("\n") == 2  # one for each bar


def test_a_stage_after_the_epochs_has_its_line():
    stream = Terminal()
    view = choose_view(stream, jsonl=False)
    for message in (STARTED, epoch(149), StageStarted(text="Measuring")):
        view.show(message)
    view.close()
    assert stream.getvalue().endswith("\nMeasuring\n")


def test_a_finished_training_shows_the_last_cycle():
    stream = Terminal()
    view = choose_view(stream, jsonl=False)
    view.show(TrainingStarted(fold="0", epoch=150, epochs=150, cycles=3))
    view.close()
    assert numbers(label_of(stream)) == ["3", "3", "150", "150"]


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
    assert "57 of 150 |" in shown
    assert max(map(len, shown.replace("\n", "\r").split("\r"))) <= 100
