"""Fake inference child in a thread of the test, which starts immediately."""

import tempfile
import threading
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from napari_bayes_nnunet.app.messages import Message, from_line

from .fake_child import FakeChild, read_flags


class ThreadChild(QObject):
    """Stand-in for ``InferenceChild`` with the fake child, which cannot crash.

    ``flags`` are those of ``fake_child.py``. Every message is written as a line and read again, as
    through a pipe. ``pid`` counts the started children.
    """

    message_received = Signal(object)
    died = Signal(str)
    _told = Signal(object, str)

    def __init__(self, *flags: object) -> None:
        super().__init__()
        self._flags = [str(flag) for flag in flags]
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._running: tuple[FakeChild, threading.Thread] | None = None
        self._started = 0
        self._told.connect(self._on_told)

    @property
    def scratch(self) -> Path:
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="bayes-nnunet-")
        return Path(self._scratch.name)

    @property
    def pid(self) -> int | None:
        return self._started if self._running is not None else None

    def start(self) -> None:
        if self._running is not None:
            return
        self._started += 1
        flags = read_flags([*self._flags, "--scratch", str(self.scratch)])
        child = FakeChild(flags, lambda message: self._told.emit(child, message.to_line()))
        thread = threading.Thread(target=child.serve, daemon=True)
        self._running = child, thread
        thread.start()

    def send(self, message: Message) -> None:
        self.start()
        assert self._running is not None
        self._running[0].receive(from_line(message.to_line()))

    def restart(self) -> None:
        self._end()
        self.start()

    def close(self) -> None:
        self._end()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _end(self) -> None:
        if self._running is not None:
            child, thread = self._running
            self._running = None
            child.close()
            thread.join()
        for path in self.scratch.glob("*") if self._scratch else ():
            path.unlink()

    def _on_told(self, child: FakeChild, line: str) -> None:
        """Drop messages of a child that has ended."""
        if self._running is not None and child is self._running[0]:
            self.message_received.emit(from_line(line))
