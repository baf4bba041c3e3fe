"""Connections to napari's signals and lists of callbacks, which end together."""

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

    def add_callback(self, callback: Callable[..., object], callbacks: Any, at: int) -> None:
        """Insert a callback into a list of napari."""
        callbacks.insert(at, callback)
        self._ends.append(partial(callbacks.remove, callback))

    def close(self) -> None:
        """End all connections."""
        while self._ends:
            self._ends.pop()()
