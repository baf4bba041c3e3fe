"""Progress as a bar on a terminal, as lines or as JSON lines."""

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
    StudyDone,
    TrainingStarted,
)
from napari_bayes_nnunet.app.segmentation.result import Snapshot
from napari_bayes_nnunet.app.terminal import JobText, JsonLines, drain_with_bar, show_member


class Terminal(io.StringIO):
    def isatty(self):
        return True


def last(stream):
    return stream.getvalue().rpartition("\r")[2].rstrip()


def test_json_lines_of_all_or_some_kinds():
    for kinds, count in (({}, 2), ({"kinds": Notice}, 1)):
        stream = io.StringIO()
        view = JsonLines(stream, **kinds)
        for message in (StageStarted(text="a"), Notice(text="b")):
            view.show(message)
        assert stream.getvalue().count("\n") == count
        assert stream.getvalue().endswith(Notice(text="b").to_line() + "\n")


def test_brief_view_shows_only_bars_that_vanish(monkeypatch):
    plain, stream = io.StringIO(), Terminal()
    for file in (plain, stream):
        monkeypatch.setattr("sys.stderr", file)
        drain_with_bar((("case", done, 7) for done in (0, 2)), lambda step: step)
    assert plain.getvalue() == ""
    shown = stream.getvalue()
    assert re.search(r"case \|.*\| 00:0\d<00:0\d", shown), "with the time left"
    assert last(stream) == ""


def test_images_that_are_stable_early_keep_their_bar():
    stream = Terminal()
    view = JobText(stream)
    for image, done, total in (("p", 1, 9), ("q", 1, 9), ("p", 2, 2), ("q", 2, 9), ("q", 3, 3)):
        show_member(view, image, Snapshot(done, total, 0.0, statistics=None))
    assert last(stream).startswith("q, member 3 of 3 |")
    show_member(view, "r", Snapshot(1, 9, 0.0, statistics=None))
    view.close()
    assert stream.getvalue().count("\n") == 2


# Messages of a training and of a cohort

STARTED = TrainingStarted(fold="0", epoch=56, epochs=150, cycles=3)


def epoch(number, **changes):
    values = {
        "fold": "0", "epoch": number, "cycle": number // 50, "learning_rate": 0.01,
        "train_loss": 0.4567, "val_loss": 0.5, "pseudo_dice": {"LV": 0.9}, "seconds": 9.04,
        "eta_seconds": 839.6, "member": False,
    }  # fmt: skip
    return EpochDone(**{**values, **changes})


def numbers(text):
    """Return the numbers in a text, with the unit of times."""
    return re.findall(r"\d+(?:\.\d+)?(?: min| s\b)?", text)


def last_bar(stream):
    return stream.getvalue().rpartition("\r")[2]


def label_of(stream):
    """Return the text before the bar."""
    return last_bar(stream).partition(" |")[0]


def test_plain_lines():
    stream = io.StringIO()
    view = JobText(stream)
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
    view = JobText(stream)
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
    view = JobText(stream)
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
    view = JobText(stream)
    for message in (STARTED, epoch(149), measuring(0), measuring(1, 60.2)):
        view.show(message)
    assert label_of(stream) == measuring(1).text
    assert last_bar(stream).rstrip().endswith("1 min left")
    view.show(StageStarted(text="Writing"))
    view.close()
    assert stream.getvalue().endswith("\nWriting\n")
    assert stream.getvalue().count("\n") == 3  # one for each bar, and one for the stage


def test_a_finished_training_shows_the_last_cycle():
    stream = Terminal()
    view = JobText(stream)
    view.show(TrainingStarted(fold="0", epoch=150, epochs=150, cycles=3))
    view.close()
    assert numbers(label_of(stream)) == ["3", "3", "150", "150"]


def test_the_bar_fits_a_real_terminal():
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with os.fdopen(theirs, "w") as terminal:
        view = JobText(terminal)
        view.show(STARTED)
        view.show(epoch(56))
        view.close()
        shown = ""
        while select.select([ours], [], [], 1)[0]:  # it arrives in pieces
            shown += os.read(ours, 10_000).decode()
    os.close(ours)
    assert "57 of 150 |" in shown
    assert max(map(len, shown.replace("\n", "\r").split("\r"))) <= 100


def study_done(outcome="done", **changes):
    return StudyDone(**{"case": "a", "outcome": outcome, "done": 1, "total": 3} | changes)


def test_without_a_terminal_each_study_is_a_line():
    stream = io.StringIO()
    view = JobText(stream, stage_end="…")
    view.show(StageStarted(text="Starting"))
    view.show(study_done(eta_seconds=120.0))
    view.show(study_done("failed", text="It is broken.", done=2))
    view.show(JobEnded(outcome="finished", text="All."))
    assert stream.getvalue().splitlines() == [
        "Starting…", "1 of 3 studies, 2 min left", "a: It is broken.", "2 of 3 studies",
    ]  # fmt: skip


def test_a_notice_leaves_the_bar_of_the_studies():
    stream = Terminal()
    view = JobText(stream)
    view.show(study_done())
    view.show(Notice(text="A worker was lost."))
    view.show(study_done(done=2))
    view.close()
    assert stream.getvalue().count("\n") == 2
    assert last_bar(stream).startswith("2 of 3 studies |")
