"""Work in many steps in a thread, with progress, stopping and dropping."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any, Final

from qtpy.QtCore import QObject, QTimer, Signal

from .background import Background

Steps = Generator[tuple[int, int], None, Any]
"""Yields (done, total) and returns the result."""
_POLL_MS = 50
_STOPPED: Final = object()
"""Result of stopped work."""


class _Run:
    """One piece of work, which the thread does, and its latest step."""

    def __init__(self, work: Callable[[], Generator[Any, None, Any]]) -> None:
        self._work = work
        self.stopped = threading.Event()
        self.step: Any = None

    def __call__(self) -> Any:
        """Return the result of the work, or ``_STOPPED``."""
        # The generator cleans up, even if it is stopped between two steps.
        with closing(self._work()) as steps:
            while not self.stopped.is_set():
                try:
                    self.step = next(steps)
                except StopIteration as end:
                    return end.value
        return _STOPPED


class LongWork(QObject):
    """Runner of one generator at a time in a thread; starting another drops the previous one.

    Results arrive in the GUI thread. Dropped work delivers nothing, and work ends at its next step
    when the window of this object is destroyed. ``progressed`` carries the latest step.
    """

    progressed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._background = Background(self)
        self._run: _Run | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._on_timeout)

    @property
    def is_running(self) -> bool:
        """Whether work is running whose result will arrive."""
        return self._run is not None

    @property
    def step(self) -> Any:
        """The latest step of the running work, None before the first."""
        return self._run.step if self._run is not None else None

    def start(
        self,
        work: Callable[[], Generator[Any, None, Any]],
        on_result: Callable[[Any], None],
        on_error: Callable[[str], None],
        on_stopped: Callable[[], None] = lambda: None,
    ) -> None:
        """Run ``work`` to its end, then call ``on_result``, ``on_error`` or ``on_stopped``."""
        self.drop()
        run = self._run = _Run(work)
        self.destroyed.connect(run.stopped.set)
        self._timer.start()
        self._background.run(
            run, partial(self._on_end, on_result, on_stopped), partial(self._on_error, on_error)
        )

    def stop(self) -> None:
        """Ask the work to stop; ``on_stopped`` is called once it has cleaned up."""
        if self._run is not None:
            self._run.stopped.set()

    def drop(self) -> None:
        """Stop the work and discard its result at once; the next work does not wait for it."""
        if self._run is not None:
            self.stop()
            self._forget()
            self._background = self._background.replaced()

    def _forget(self) -> None:
        self._run = None
        self._timer.stop()

    def _on_timeout(self) -> None:
        if self.step is not None:
            self.progressed.emit(self.step)

    def _on_end(
        self, on_result: Callable[[Any], None], on_stopped: Callable[[], None], value: Any
    ) -> None:
        self._forget()
        if value is _STOPPED:
            on_stopped()
        else:
            on_result(value)

    def _on_error(self, on_error: Callable[[str], None], sentence: str) -> None:
        self._forget()
        on_error(sentence)
