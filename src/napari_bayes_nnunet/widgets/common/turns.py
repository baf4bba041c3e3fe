"""Work of the window's thread in steps, between which the window is drawn and answers."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Final

from qtpy.QtCore import QObject, QTimer

PAUSE_MS: Final = 10
"""Time between steps. Qt draws 5 ms after it is asked to, and else in one go with the next step."""


class Turns(QObject):
    """Runner of a generator's steps, with a pause after each of them."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._steps: Generator[None, None, None] = _no_steps()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._on_turn)

    def run(self, steps: Generator[None, None, None]) -> None:
        """Do the first step now and the others later, after the remaining steps of others."""
        self.finish()
        self._steps = steps
        self._on_turn()

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


def _no_steps() -> Generator[None, None, None]:
    yield from ()
