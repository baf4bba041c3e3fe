"""Bot of pytest-qt with long timeouts for a busy machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytestqt.qtbot import QtBot

PATIENCE_MS = 120_000
"""Shortest timeout. A condition that is not true by then never will be."""


class PatientBot(QtBot):
    """Bot that waits for at least ``PATIENCE_MS``."""

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
        if raising is not False:  # otherwise the test expects no signal within the time
            timeout = max(timeout, PATIENCE_MS)
        return super().waitSignal(signal, timeout=timeout, raising=raising, **options)
