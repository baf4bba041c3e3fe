"""Writing of results while a card computes the next ones."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class WriteBehind:
    """Calls in a thread, one after the other, if ``is_used``; else each is made at once.

    A thread helps only while a card computes: without one, the network uses all cores. At most one
    call is unfinished, so that the results of only one are in memory. An error is raised by the
    next call, or at the end.
    """

    def __init__(self, *, is_used: bool) -> None:
        self._thread = ThreadPoolExecutor(1, "write_behind") if is_used else None
        self._unfinished: Future[None] | None = None

    def call(self, write: Callable[[], None]) -> None:
        """Wait for the last call, and start this one."""
        self._wait()
        if self._thread is None:
            write()
        else:
            self._unfinished = self._thread.submit(write)

    def _wait(self) -> None:
        unfinished, self._unfinished = self._unfinished, None
        if unfinished is not None:
            unfinished.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the last call, whose error is raised unless there is another one."""
        if self._thread is not None:
            self._thread.shutdown()
        if error is None:
            self._wait()
