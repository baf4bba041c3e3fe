"""How a run is asked to stop: by Ctrl-C or SIGTERM, a training also by a file in its folder."""

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
    """True once the training was asked to stop; ``file`` is the file that asks it to."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._signalled = False
        self._in_epochs = False
        file.unlink(missing_ok=True)

    def __bool__(self) -> bool:
        return self._signalled or self._file.exists()

    def act(self) -> None:
        """Raise Stopped if the training was asked to stop."""
        if self:
            raise Stopped

    @contextmanager
    def in_epochs(self) -> Iterator[None]:
        """While epochs run, a signal waits for the end of the epoch."""
        self._in_epochs = True
        try:
            yield
        finally:
            self._in_epochs = False

    @contextmanager
    def listening(self, leave: Callable[[], NoReturn]) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM for requests; outside epochs ``leave`` ends the process at once.

        An exception would not do: nnU-Net swallows KeyboardInterrupt in places and goes on with
        another reader of images, and its pools of processes can wait for ever after one. A second
        signal ends the process as if nobody listened.
        """

        def note() -> None:
            self._signalled = True
            if not self._in_epochs:
                leave()

        with on_first_signal(note):
            yield


@contextmanager
def on_first_signal(act: Callable[[], None]) -> Iterator[None]:
    """``act`` on the first Ctrl-C or SIGTERM; a second one ends the process at once."""

    def hear(number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        act()

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
