"""Bot of pytest-qt with long timeouts for a busy machine."""

from collections.abc import Callable
from typing import Any

from pytestqt.qtbot import QtBot

PATIENCE_MS = 120_000
"""Shortest timeout. A condition that is not true by then never will be."""
QUICK_POLLS = 50
"""Number of times that a condition is checked after 2 ms instead of 10 ms."""


class PatientBot(QtBot):
    """Bot that waits for at least ``PATIENCE_MS``, and at first checks a condition often."""

    _quick_polls = 0

    def waitUntil(self, callback: Callable[[], bool | None], *, timeout: int = PATIENCE_MS) -> None:
        self._quick_polls = QUICK_POLLS
        try:
            super().waitUntil(callback, timeout=max(timeout, PATIENCE_MS))
        finally:
            self._quick_polls = 0

    def wait(self, ms: int) -> None:
        if self._quick_polls:  # waitUntil waits for 10 ms between two checks
            self._quick_polls -= 1
            ms = min(ms, 2)
        super().wait(ms)

    def waitSignal(
        self,
        signal: Any,
        *,
        timeout: int = PATIENCE_MS,
        raising: bool | None = None,
        **options: Any,
    ) -> Any:
        if raising is not False:  # otherwise the test expects no signal within the time
            timeout = max(timeout, PATIENCE_MS)
        return super().waitSignal(signal, timeout=timeout, raising=raising, **options)
