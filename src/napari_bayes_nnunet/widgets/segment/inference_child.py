"""Inference child process of a window."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import Signal

from ...app.messages import Message
from ...core.command import python_command
from ..common.process import JobProcess

WORKER_COMMAND = python_command("napari_bayes_nnunet.app.worker")
ENDS_WITHIN_MS = 200
SUBJECT = "The segmentation process"
NEW_PROCESS = "Press Segment to start a new process."


class InferenceChild(JobProcess):
    """A child process with a scratch folder; it is started when needed and replaced if it dies.

    ``command`` is followed by ``--scratch FOLDER``. The child ends when its input is closed, so
    it cannot outlive this process, even if that is killed.
    """

    died = Signal(str)

    def __init__(self, command: Sequence[str] = WORKER_COMMAND) -> None:
        super().__init__(command, subject=SUBJECT, serves=True)
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self.ended.connect(self._on_ended)

    @property
    def scratch(self) -> Path:
        """A private folder for arrays, emptied when the child ends; it is there, or made again."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(
                prefix="bayes-nnunet-", ignore_cleanup_errors=True
            )
        folder = Path(self._scratch.name)
        folder.mkdir(mode=0o700, exist_ok=True)  # the system may have cleaned its temporary folder
        return folder

    def start(self, *arguments: str) -> None:
        """Start the child unless it is running."""
        super().start("--scratch", str(self.scratch), *arguments)

    def send(self, message: Message) -> None:
        """Send one message; start the child if there is none."""
        self.start()
        super().send(message)

    def restart(self) -> None:
        """Kill the child and start another."""
        super().close(within_ms=0)
        self._empty_scratch()
        self.start()

    def close(self, *, within_ms: int = ENDS_WITHIN_MS) -> None:
        """End the child and delete the scratch folder."""
        super().close(within_ms=within_ms)
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _empty_scratch(self) -> None:
        # A child that ends by itself deletes the folder; on Windows a file may still be open here.
        for path in Path(self._scratch.name).glob("*") if self._scratch else ():
            with suppress(OSError):
                path.unlink()

    def _on_ended(self, _: str, sentence: str) -> None:
        self._empty_scratch()
        self.died.emit(f"{sentence} {NEW_PROCESS}")
