"""What keeps a window responsive: work in a thread or in steps, lists after the image."""

from __future__ import annotations

import gc
import queue
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

from qtpy.QtCore import QObject, QTimer
from superqt.utils import QSignalThrottler

from ...app import AppError
from ...core.problems import Problem
from ...io import DataError
from .wording import in_the_window

_POLL_MS = 20
PAUSE_MS: Final = 15
"""Time between steps. Qt draws 5 ms after it is asked to, so after a shorter time a step would be
drawn only with the next one. If drawing takes long, waiting events also come before the next step.
"""
LISTS_AFTER_MS: Final = 40
"""Delay of numbers and lists after an edit or a step, so that the image is drawn first."""
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


class Turns(QObject):
    """Runner of a generator's steps, with a pause after each of them."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._steps: Generator[None, None, None] = (None for _ in ())
        self._timer = single_shot(self, self._on_turn, PAUSE_MS)

    @property
    def is_busy(self) -> bool:
        """Whether there are steps to do."""
        return bool(self._timer.isActive())

    def run(self, steps: Generator[None, None, None]) -> None:
        """Do the first step now and the others later, after the remaining steps of others."""
        self.finish()
        self._steps = steps
        self._on_turn()

    def then(self, action: Callable[[], None]) -> None:
        """Call ``action`` after the remaining steps; now if there are none."""
        if self.is_busy:
            self._steps = _followed(self._steps, action)
        else:
            action()

    def finish(self) -> None:
        """Do all remaining steps now."""
        self._timer.stop()
        for _ in self._steps:
            pass

    def cancel(self) -> None:
        """Do none of the remaining steps; the generator is closed."""
        self._timer.stop()
        self._steps.close()

    def _on_turn(self) -> None:
        with suppress(StopIteration):
            next(self._steps)
            self._timer.start()


def _followed(
    steps: Generator[None, None, None], action: Callable[[], None]
) -> Generator[None, None, None]:
    """Do the steps and then the action, even if a step fails."""
    try:
        yield from steps
    except Exception:
        action()
        raise
    action()


def single_shot(parent: QObject, action: Callable[[], object], ms: int = 0) -> QTimer:
    """Return a timer that calls ``action`` once, ``ms`` after it is started.

    A method of a QObject is not called any more when that object is gone; a function would be.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(ms)
    timer.timeout.connect(action)
    return timer


def after_frame(
    show: Callable[[], None], parent: QObject, ms: int = LISTS_AFTER_MS
) -> QSignalThrottler:
    """Return a throttler that calls ``show`` soon after a trigger, when the image is drawn."""
    soon = QSignalThrottler(QSignalThrottler.EmissionPolicy.Trailing, parent)
    soon.setTimeout(ms)
    soon.triggered.connect(show)
    return soon


class ShortCollections:
    """Python's garbage collections, which skip all objects that exist when this starts.

    A full collection looks at every object of napari. It stops the window for 0.2 s, at any time
    and whenever napari removes a layer. Nothing happens if another part of the program skips
    objects.
    """

    def __init__(self) -> None:
        self._is_ours = False

    def start(self) -> None:
        """Skip the objects that exist now; call this again when many long-lived ones were made."""
        self._is_ours = self._is_ours or gc.get_freeze_count() == 0
        if self._is_ours:
            gc.freeze()

    def end(self) -> None:
        """Look at all objects again, so that memory in reference cycles is freed."""
        if self._is_ours:
            gc.unfreeze()
            self._is_ours = False
