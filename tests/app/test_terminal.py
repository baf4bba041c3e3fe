"""Progress as a bar on a terminal, as lines or as JSON lines."""

import io

import pytest

from napari_bayes_nnunet.app.messages import JobEnded, Notice, StageStarted
from napari_bayes_nnunet.app.segmentation.result import Snapshot
from napari_bayes_nnunet.app.terminal import JsonLines, ProgressView, progress_bar, show_member
from napari_bayes_nnunet.core import durations


class Terminal(io.StringIO):
    def isatty(self):
        return True


def last(stream):
    return stream.getvalue().rpartition("\r")[2].rstrip()


def test_json_lines_of_some_kinds():
    stream = io.StringIO()
    view = JsonLines(stream, kinds=Notice)
    view.show(StageStarted(text="a"))
    view.show(Notice(text="b"))
    assert stream.getvalue() == Notice(text="b").to_line() + "\n"


def test_json_lines_of_all_kinds():
    stream = io.StringIO()
    view = JsonLines(stream)
    for message in (StageStarted(text="a"), JobEnded(outcome="finished")):
        view.show(message)
    assert stream.getvalue().count("\n") == 2


def test_without_a_terminal_only_lines_are_written():
    stream = io.StringIO()
    view = ProgressView(stream)
    view.progress("case", 1, 3)
    view.progress("case", 2, 3, line="2 of 3")
    view.line("a line")
    view.close()
    assert stream.getvalue() == "2 of 3\na line\n"


def test_the_bar_estimates_the_time_left(monkeypatch):
    now = iter([0.0, 10.0])
    stream = Terminal()
    view = ProgressView(stream)
    monkeypatch.setattr(durations, "monotonic", lambda: next(now))
    view.progress("a", 0, 7)
    assert last(stream).startswith("a |")
    view.progress("b", 1, 7)
    assert last(stream).startswith("b |")
    assert last(stream).endswith("1 min left")
    view.close()


def test_less_progress_or_another_total_begins_another_bar():
    stream = Terminal()
    view = ProgressView(stream, leave=True)
    for done, total in ((1, 3), (3, 3), (1, 3), (2, 3), (2, 4)):
        view.progress("case", done, total, note="")
    view.close()
    assert stream.getvalue().count("\n") == 3


def test_images_that_are_stable_early_keep_their_bar():
    stream = Terminal()
    view = ProgressView(stream, leave=True)
    for image, done, total in (("p", 1, 9), ("q", 1, 9), ("p", 2, 2), ("q", 2, 9), ("q", 3, 3)):
        show_member(view, image, Snapshot(done, total, 0.0, statistics=None))
    assert last(stream).startswith("q, member 3 of 3 |")
    show_member(view, "r", Snapshot(1, 9, 0.0, statistics=None))
    view.close()
    assert stream.getvalue().count("\n") == 2


def test_a_line_stands_above_the_bar():
    stream = Terminal()
    view = ProgressView(stream)
    view.progress("case", 1, 3, note="")
    view.line("Look.")
    assert "Look.\n" in stream.getvalue()
    assert last(stream).startswith("case |")
    view.close()


def test_the_bar_is_gone_after_the_block(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with pytest.raises(KeyboardInterrupt), progress_bar() as bar:
        bar.progress("case", 1, 3, note="")
        raise KeyboardInterrupt
    assert last(stream) == ""
