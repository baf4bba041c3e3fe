"""Work that would freeze the window, done in a thread."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject, QTimer

from ...app import AppError
from ...core.problems import Problem
from ...io import DataError
from .wording import in_the_window

_POLL_MS = 20
MISTAKE = "This failed by a mistake of the program ({error!r}); the log of napari tells more."


@dataclass(frozen=True)
class _Task:
    work: Callable[[], Any]
    on_result: Callable[[Any], None]
    on_error: Callable[[str], None]


class Background(QObject):
    """Runs functions one after the other in a thread; results arrive in the window's thread.

    The window asks for results by a timer: no Qt object is touched from the thread, and when this
    object is destroyed with its window nothing arrives any more. DataError, AppError, OSError and
    MemoryError arrive as a sentence, any other one too, and is then raised in the window's thread.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._on_timeout)
        weakref.finalize(self, self._tasks.put, None)  # ends the thread

    @property
    def is_busy(self) -> bool:
        """True while a result has not arrived."""
        return bool(self._waiting)

    def run(
        self,
        work: Callable[[], Any],
        on_result: Callable[[Any], None],
        on_error: Callable[[str], None],
    ) -> None:
        """Call ``work`` in the thread, then one of the others here."""
        if self._thread is None:
            # A daemon: a hanging network drive must not keep napari from ending.
            arguments = (self._tasks, self._results)
            self._thread = threading.Thread(target=_serve, args=arguments, daemon=True)
            self._thread.start()
        self._waiting += 1
        self._tasks.put(_Task(work, on_result, on_error))
        self._timer.start()

    def _on_timeout(self) -> None:
        while not self._results.empty():
            deliver = self._results.get()
            self._waiting -= 1
            if not self._waiting:
                self._timer.stop()
            deliver()


def _serve(
    tasks: queue.SimpleQueue[_Task | None], results: queue.SimpleQueue[Callable[[], None]]
) -> None:
    while (task := tasks.get()) is not None:
        results.put(_outcome(task))
        del task  # while this waits for the next one, the window of the last can be collected


def _outcome(task: _Task) -> Callable[[], None]:
    try:
        value = task.work()
    except MemoryError:
        return lambda: task.on_error("This computer has not enough memory for that.")
    except (DataError, AppError, OSError) as error:
        sentence = in_the_window(error if isinstance(error, Problem) else str(error))
        return lambda: task.on_error(sentence)
    except Exception as error:  # a mistake of ours: shown by whoever shows errors in the window
        return _raising(task, error)
    return lambda: task.on_result(value)


def _raising(task: _Task, error: Exception) -> Callable[[], None]:
    def deliver() -> None:
        task.on_error(MISTAKE.format(error=error))  # who waits must not wait for ever
        raise error

    return deliver
