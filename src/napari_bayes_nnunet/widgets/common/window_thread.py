"""Responsiveness of the window: work in steps, lists after the image, short collections."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Final

from qtpy.QtCore import QObject, QTimer
from superqt.utils import QSignalThrottler

PAUSE_MS: Final = 15
"""Time between steps. Qt draws 5 ms after it is asked to, so after a shorter time a step would be
drawn only with the next one. If drawing takes long, waiting events also come before the next step.
"""
LISTS_AFTER_MS: Final = 40
"""Delay of numbers and lists after an edit or a step, so that the image is drawn first."""


class Turns(QObject):
    """Runner of a generator's steps, with a pause after each of them."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._steps: Generator[None, None, None] = (None for _ in ())
        self._timer = single_shot(self, self._on_turn, PAUSE_MS)

    @property
    def is_busy(self) -> bool:
        """Whether there are steps to do."""
        return bool(self._timer.isActive())

    def run(self, steps: Generator[None, None, None]) -> None:
        """Do the first step now and the others later, after the remaining steps of others."""
        self.finish()
        self._steps = steps
        self._on_turn()

    def then(self, action: Callable[[], None]) -> None:
        """Call ``action`` after the remaining steps; now if there are none."""
        if self.is_busy:
            self._steps = _followed(self._steps, action)
        else:
            action()

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


def _followed(
    steps: Generator[None, None, None], action: Callable[[], None]
) -> Generator[None, None, None]:
    """Do the steps and then the action, even if a step fails."""
    try:
        yield from steps
    except Exception:
        action()
        raise
    action()


def single_shot(parent: QObject, action: Callable[[], object], ms: int = 0) -> QTimer:
    """Return a timer that calls ``action`` once, ``ms`` after it is started."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(ms)
    timer.timeout.connect(action)
    return timer


def after_frame(
    show: Callable[[], None], parent: QObject, ms: int = LISTS_AFTER_MS
) -> QSignalThrottler:
    """Return a throttler that calls ``show`` soon after a trigger, when the image is drawn."""
    soon = QSignalThrottler(QSignalThrottler.EmissionPolicy.Trailing, parent)
    soon.setTimeout(ms)
    soon.triggered.connect(show)
    return soon


class ShortCollections:
    """Python's garbage collections, which skip all objects that exist when this starts.

    A full collection looks at every object of napari. It stops the window for 0.2 s, at any time
    and whenever napari removes a layer. Nothing happens if another part of the program skips
    objects.
    """

    def __init__(self) -> None:
        self._is_ours = False

    def start(self) -> None:
        """Skip the objects that exist now; call this again when many long-lived ones were made."""
        self._is_ours = self._is_ours or gc.get_freeze_count() == 0
        if self._is_ours:
            gc.freeze()

    def end(self) -> None:
        """Look at all objects again, so that memory in reference cycles is freed."""
        if self._is_ours:
            gc.unfreeze()
            self._is_ours = False
