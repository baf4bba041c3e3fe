"""Work in many steps in a thread, with progress, stopping and dropping."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ...app import AppError
from ...io import DataError
from .background import UNEXPECTED_ERROR, Background

Steps = Generator[tuple[int, int], None, Any]
"""Yields (done, total) and returns the result."""
_POLL_MS = 50


class _Run:
    """State that the thread and the GUI share for one piece of work."""

    def __init__(self, closed: threading.Event) -> None:
        self._closed = closed
        self._stopped = threading.Event()
        self.progress: tuple[int, int] | None = None

    @property
    def must_end(self) -> bool:
        return self._stopped.is_set() or self._closed.is_set()

    def stop(self) -> None:
        self._stopped.set()


class _Stopped:
    """Result of stopped work."""


class LongWork(QObject):
    """Runner of one generator at a time in a thread; starting another drops the previous one.

    Results arrive in the GUI thread. Dropped work delivers nothing, and work ends at its next step
    when the window of this object is destroyed. ``progressed`` carries (done, total).
    """

    progressed = Signal(int, int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._closed = threading.Event()
        self._background = Background(self)
        self._run: _Run | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._on_timeout)
        self.destroyed.connect(self._closed.set)

    @property
    def is_running(self) -> bool:
        """Whether work is running whose result will arrive."""
        return self._run is not None

    def start(
        self,
        work: Callable[[], Steps],
        on_result: Callable[[Any], None],
        on_error: Callable[[str], None],
        on_stopped: Callable[[], None] | None = None,
    ) -> None:
        """Run ``work`` to its end, then call ``on_result``, ``on_error`` or ``on_stopped``."""
        self.drop()
        run = self._run = _Run(self._closed)
        self._timer.start()
        self._background.run(
            partial(_outcome, work, run),
            partial(self._on_end, run, on_result, on_error, on_stopped),
            partial(self._on_error, run, on_error),
        )

    def stop(self) -> None:
        """Ask the work to stop; ``on_stopped`` is called once it has cleaned up."""
        if self._run is not None:
            self._run.stop()

    def drop(self) -> None:
        """Stop the work and discard its result at once."""
        if self._run is None:
            return
        self._run.stop()
        self._forget()
        # A step of this work may hang on a network drive; the next work must not wait for it.
        self._background.deleteLater()
        self._background = Background(self)

    def _forget(self) -> None:
        self._run = None
        self._timer.stop()

    def _on_timeout(self) -> None:
        if self._run is not None and self._run.progress is not None:
            self.progressed.emit(*self._run.progress)

    def _on_end(
        self,
        run: _Run,
        on_result: Callable[[Any], None],
        on_error: Callable[[str], None],
        on_stopped: Callable[[], None] | None,
        value: Any,
    ) -> None:
        if run is not self._run:
            return
        self._forget()
        if isinstance(value, _Stopped):
            if on_stopped is not None:
                on_stopped()
        elif isinstance(value, Exception):
            on_error(UNEXPECTED_ERROR.format(error=value))
            raise value
        else:
            on_result(value)

    def _on_error(self, run: _Run, on_error: Callable[[str], None], sentence: str) -> None:
        if run is self._run:
            self._forget()
            on_error(sentence)


def _outcome(work: Callable[[], Steps], run: _Run) -> Any:
    """Return the result of ``work``, ``_Stopped``, or an unexpected exception."""
    try:
        steps = work()
        while not run.must_end:
            try:
                run.progress = next(steps)
            except StopIteration as end:
                return end.value
        steps.close()
    except (DataError, AppError, OSError, MemoryError):
        raise  # Background words these
    except Exception as error:  # so that the widget stops waiting for a result
        return error
    return _Stopped()
