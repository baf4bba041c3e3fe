"""Requests to stop a run: Ctrl-C or SIGTERM, or a file in the folder of a training."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from ..nnunet import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Request to stop a training, true once a signal was received or ``file`` exists."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._signalled = False
        self._in_epochs = False
        # The request of an earlier run must not stop this one.
        file.unlink(missing_ok=True)

    def __bool__(self) -> bool:
        return self._signalled or self._file.exists()

    def check(self) -> None:
        """Raise Stopped if the training was asked to stop."""
        if self:
            raise Stopped

    @contextmanager
    def in_epochs(self) -> Iterator[None]:
        """Let a signal wait for the end of the epoch, inside this block."""
        self._in_epochs = True
        try:
            yield
        finally:
            self._in_epochs = False

    @contextmanager
    def listening(self, leave: Callable[[], NoReturn]) -> Iterator[None]:
        """Treat Ctrl-C and SIGTERM as requests; outside epochs ``leave`` ends the process at once.

        An exception would not do: nnU-Net swallows KeyboardInterrupt in places and continues with
        another image reader, and after one its process pools can wait for ever. A second signal
        ends the process as it would without this block.
        """

        def note() -> None:
            self._signalled = True
            if not self._in_epochs:
                leave()

        with on_first_signal(note):
            yield


@contextmanager
def on_first_signal(act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` on the first Ctrl-C or SIGTERM; a second one ends the process at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        act()

    previous = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
