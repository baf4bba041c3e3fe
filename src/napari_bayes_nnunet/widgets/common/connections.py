"""Connections to signals, which end together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


class Connections:
    """What one object listens to; the viewer outlives it, so `close` ends all of it."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], object]] = []

    def connect(self, slot: Callable[..., object], *signals: Any, **options: Any) -> None:
        """Call ``slot`` at each of these signals; ``options`` are those of napari's `connect`."""
        for signal in signals:
            signal.connect(slot, **options)
            self._ends.append(partial(signal.disconnect, slot))

    def close(self) -> None:
        """End all connections."""
        while self._ends:
            self._ends.pop()()
