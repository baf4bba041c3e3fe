"""Tests of work in turns of the event loop."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QObject, QTimer

from napari_bayes_nnunet.widgets.common.background import Turns


def steps(done: list[object], *names: object):
    for name in names:
        done.append(name)
        yield


def test_the_window_answers_between_steps(qtbot) -> None:
    parent, done = QObject(), []
    QTimer.singleShot(0, lambda: done.append("click"))
    Turns(parent).run(steps(done, 1, 2, 3))
    assert done == [1]
    qtbot.waitUntil(lambda: len(done) == 4)
    assert done.index("click") < 3


def test_other_steps_wait_for_those_left(qtbot) -> None:
    parent, done = QObject(), []
    turns = Turns(parent)
    turns.run(steps(done, 1, 2))
    turns.run(steps(done, 3, 4))
    assert done == [1, 2, 3]
    turns.finish()
    assert done == [1, 2, 3, 4]


def test_an_action_follows_the_steps(qtbot) -> None:
    parent, done = QObject(), []
    turns = Turns(parent)
    turns.then(lambda: done.append("at once"))
    turns.run(steps(done, 1, 2))
    turns.then(lambda: done.append("later"))
    assert done == ["at once", 1]
    qtbot.waitUntil(lambda: done == ["at once", 1, 2, "later"])


def test_a_failing_step_ends_the_others(qtbot) -> None:
    parent, done = QObject(), []

    def failing():
        yield from steps(done, 1)
        raise RuntimeError

    turns = Turns(parent)
    turns.run(failing())
    turns.then(lambda: done.append("later"))
    with pytest.raises(RuntimeError):
        turns.finish()
    turns.finish()
    assert done == [1, "later"]
