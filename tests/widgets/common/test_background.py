"""Tests of work in a thread, with results in the GUI thread."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
from qtpy.QtCore import QCoreApplication, QEvent, QObject

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.widgets.common.background import NO_MEMORY, UNEXPECTED_ERROR, Background

from ...helpers.windows.settling import settle


@pytest.fixture
def background(qapp):
    parent = QObject()
    yield Background(parent)
    parent.deleteLater()


def outcome(background, work, qtbot) -> tuple[str, object]:
    arrived: list[tuple[str, object]] = []
    background.run(
        work,
        lambda value: arrived.append(("result", value)),
        lambda sentence: arrived.append(("error", sentence)),
    )
    assert not arrived
    qtbot.waitUntil(lambda: bool(arrived))
    return arrived[0]


def test_a_result_arrives_in_the_gui_thread(background, qtbot) -> None:
    threads = []
    background.run(
        lambda: threads.append(threading.current_thread()),
        lambda _: threads.append(threading.current_thread()),
        threads.append,
    )
    qtbot.waitUntil(lambda: len(threads) == 2)
    assert threads[0] is not threading.main_thread()
    assert threads[1] is threading.main_thread()


def test_tasks_come_in_order(background, qtbot) -> None:
    arrived: list[int] = []
    for number in range(5):
        background.run(lambda n=number: n, arrived.append, print)
    qtbot.waitUntil(lambda: len(arrived) == 5)
    assert arrived == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", [DataError, AppError, OSError])
def test_expected_errors_arrive_as_a_sentence(background, qtbot, kind) -> None:
    def work() -> None:
        raise kind("It is broken.")

    assert outcome(background, work, qtbot) == ("error", "It is broken.")


def test_too_little_memory_is_a_sentence(background, qtbot) -> None:
    def work() -> None:
        raise MemoryError

    assert outcome(background, work, qtbot) == ("error", NO_MEMORY)


def test_unexpected_error_arrives_and_is_raised(background, qtbot) -> None:
    def work() -> None:
        raise ZeroDivisionError

    told: list[str] = []
    with qtbot.captureExceptions() as raised:
        background.run(work, print, told.append)
        qtbot.waitUntil(lambda: bool(raised))
    assert raised[0][0] is ZeroDivisionError
    assert told == [UNEXPECTED_ERROR.format(error=ZeroDivisionError())]


def test_nothing_arrives_after_the_window_is_gone(qapp, qtbot) -> None:
    parent = QObject()
    background = Background(parent)
    arrived: list[object] = []
    background.run(lambda: time.sleep(0.1), arrived.append, arrived.append)
    thread = background._thread
    parent.deleteLater()
    QCoreApplication.sendPostedEvents(parent, QEvent.Type.DeferredDelete.value)
    del background
    gc.collect()
    settle(qtbot)  # the parent is deleted
    thread.join(10)
    settle(qtbot)
    assert arrived == []
    assert not thread.is_alive()


def test_window_whose_work_is_done_is_not_kept(background, qtbot) -> None:
    class Window:
        def arrive(self, value: object) -> None:
            arrived.append(value)

    arrived: list[object] = []
    window = Window()
    background.run(lambda: 1, window.arrive, window.arrive)
    qtbot.waitUntil(lambda: arrived == [1])
    gone = weakref.ref(window)
    del window
    gc.collect()
    assert gone() is None
