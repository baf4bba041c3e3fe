"""pytest-qt's bot with the patience that a busy machine asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytestqt.qtbot import QtBot

PATIENCE_MS = 120_000
"""A condition that has not come true by then never will. Tests need not name shorter times."""


class PatientBot(QtBot):
    """A bot that gives up after ``PATIENCE_MS`` at the earliest."""

    def waitUntil(self, callback: Callable[[], bool | None], *, timeout: int = PATIENCE_MS) -> None:
        super().waitUntil(callback, timeout=max(timeout, PATIENCE_MS))

    def waitSignal(
        self,
        signal: Any,
        *,
        timeout: int = PATIENCE_MS,
        raising: bool | None = None,
        **options: Any,
    ) -> Any:
        if raising is not False:  # else it is the time in which nothing may come
            timeout = max(timeout, PATIENCE_MS)
        return super().waitSignal(signal, timeout=timeout, raising=raising, **options)
