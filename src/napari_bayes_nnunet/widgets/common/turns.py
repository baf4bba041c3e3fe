"""Work of the window's thread in steps, between which the window is drawn and answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from qtpy.QtCore import QObject, QTimer


class Turns(QObject):
    """Runner of one step of a generator in each turn of the event loop."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._steps: Iterator[None] = iter(())
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._on_turn)

    def run(self, steps: Iterator[None]) -> None:
        """Do the first step now and one in each turn, after the remaining steps of others."""
        self.finish()
        self._steps = steps
        self._timer.start()
        self._on_turn()

    def finish(self) -> None:
        """Do all remaining steps now."""
        self._timer.stop()
        for _ in self._steps:
            pass

    def _on_turn(self) -> None:
        with suppress(StopIteration):
            next(self._steps)
            return
        self._timer.stop()
