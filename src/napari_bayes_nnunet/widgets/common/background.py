"""Work that would freeze the window, done in a thread."""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from qtpy.QtCore import QObject, QTimer

from ...app import AppError
from ...core.problems import Problem
from ...io import DataError
from .wording import in_the_window

_POLL_MS = 20
UNEXPECTED_ERROR = "Unexpected error: {error!r}. See napari's log for details."
NO_MEMORY = "Not enough memory for this step."


_Task: TypeAlias = tuple[Callable[[], Any], Callable[[Any], None], Callable[[str], None]]
"""The work, and the functions that take its result or the sentence on its error."""


class Background(QObject):
    """A thread that runs functions one after the other and returns results to the GUI thread.

    A timer collects the results, so the thread touches no Qt object, and nothing arrives after
    this object was destroyed with its window. Every error arrives as a sentence; one that is not
    a DataError, AppError, OSError or MemoryError is then raised in the GUI thread.
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
        """Whether a result has yet to arrive."""
        return bool(self._waiting)

    def run(
        self,
        work: Callable[[], Any],
        on_result: Callable[[Any], None] = lambda result: None,
        on_error: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        """Call ``work`` in the thread, then ``on_result`` or ``on_error`` in the GUI thread."""
        if self._thread is None:
            # A daemon thread, so that a hanging network drive cannot keep napari from quitting.
            arguments = (self._tasks, self._results)
            self._thread = threading.Thread(target=_serve, args=arguments, daemon=True)
            self._thread.start()
        self._waiting += 1
        self._tasks.put((work, on_result, on_error))
        self._timer.start()

    def replaced(self) -> Background:
        """Return another thread; nothing arrives from this one, whose work may hang on a drive."""
        self._timer.stop()
        self.deleteLater()
        return Background(self.parent())

    def _on_timeout(self) -> None:
        if not self._results.empty():  # one at a time, because each may take as long as a frame
            deliver = self._results.get()
            self._waiting -= 1
            if not self._waiting:
                self._timer.stop()
            deliver()


def _serve(
    tasks: queue.SimpleQueue[_Task | None], results: queue.SimpleQueue[Callable[[], None]]
) -> None:
    while (task := tasks.get()) is not None:
        results.put(_outcome(*task))
        del task  # it would keep its window alive until the next task


def _outcome(
    work: Callable[[], Any], on_result: Callable[[Any], None], on_error: Callable[[str], None]
) -> Callable[[], None]:
    try:
        return partial(on_result, work())
    except MemoryError:
        return partial(on_error, NO_MEMORY)
    except (DataError, AppError, OSError) as error:
        return partial(on_error, in_the_window(error if isinstance(error, Problem) else str(error)))
    except Exception as error:  # a bug: napari shows it when it is raised in the GUI thread
        return partial(_show_and_raise, error, on_error)


def _show_and_raise(error: Exception, on_error: Callable[[str], None]) -> None:
    on_error(UNEXPECTED_ERROR.format(error=error))  # so that the widget stops waiting
    raise error
