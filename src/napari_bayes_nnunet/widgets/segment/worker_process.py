"""The inference child of a window: started when needed, replaced when it dies, ended with it."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import QObject, QProcess, Signal

from ...app import AppError
from ...app.messages import Message, from_line

_LOGGER = logging.getLogger(__name__)
# Without -P a file such as random.py in the present folder would be imported by the child.
WORKER_COMMAND = (sys.executable, "-P", "-m", "napari_bayes_nnunet.app.worker")
_LAST_WORDS = 4000
"""Characters of the child's error output that are kept."""
ENDS_WITHIN_MS = 2000


class InferenceChild(QObject):
    """A child process that speaks ``app.messages``, and the scratch folder shared with it.

    ``command`` is followed by ``--scratch FOLDER``. The child ends when its input is closed, so
    it cannot outlive this process, however that ends.
    """

    message_received = Signal(object)
    died = Signal(str)

    def __init__(
        self, command: Sequence[str] = WORKER_COMMAND, *, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._command = list(command)
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._process: QProcess | None = None
        self._last_words = ""

    @property
    def scratch(self) -> Path:
        """A private folder for arrays; emptied when the child ends, but for kept answers."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(
                prefix="bayes-nnunet-", ignore_cleanup_errors=True
            )
        return Path(self._scratch.name)

    @property
    def pid(self) -> int | None:
        """Its process number, None while there is no child."""
        return int(self._process.processId()) if self._process is not None else None

    def start(self) -> None:
        """Start the child unless it runs."""
        if self._process is not None:
            return
        self._last_words = ""
        process = QProcess(self)
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_error_output)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        self._process = process
        process.start(self._command[0], [*self._command[1:], "--scratch", str(self.scratch)])

    def send(self, message: Message) -> None:
        """Send one message; starts the child if there is none."""
        self.start()
        if self._process is not None:
            self._process.write(f"{message.to_line()}\n".encode())

    def restart(self) -> None:
        """Kill the child, whatever it does, and start another."""
        self._end(ask=False)
        self.start()

    def close(self) -> None:
        """End the child and delete the scratch folder."""
        self._end(ask=True)
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _end(self, *, ask: bool) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.blockSignals(True)
            if ask:
                process.closeWriteChannel()
            if not (ask and process.waitForFinished(ENDS_WITHIN_MS // 10)):
                process.kill()
                process.waitForFinished(ENDS_WITHIN_MS)
            process.deleteLater()
        self._empty_scratch()

    def _empty_scratch(self) -> None:
        # A child that ends by itself deletes the folder; on Windows a file may still be open here.
        for path in self.scratch.glob("*") if self._scratch else ():
            with suppress(OSError):
                path.unlink()

    def _on_output(self) -> None:
        process = self._process
        while process is not None and process.canReadLine():
            line = bytes(process.readLine().data()).decode(errors="replace")
            self._receive(line)
            process = self._process

    def _receive(self, line: str) -> None:
        try:
            message = from_line(line)
        except AppError as error:  # printed by a library, past the child's redirection
            _LOGGER.debug("%s", error)  # napari would show a warning as a notification
            return
        self.message_received.emit(message)

    def _on_error_output(self) -> None:
        if self._process is not None:
            text = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
            _LOGGER.debug("%s", text)
            self._last_words = (self._last_words + text)[-_LAST_WORDS:]

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            self._lose(f"The segmentation process could not be started: {self._command[0]}.")

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._on_output()
        self._on_error_output()
        crashed = status == QProcess.ExitStatus.CrashExit
        how = "killed, perhaps because memory ran out" if crashed else f"exit code {code}"
        lines = self._last_words.strip().splitlines()
        reason = f": {lines[-1].strip()}" if lines and not crashed else ""
        self._lose(
            f"The segmentation process ended unexpectedly ({how}){reason.rstrip('.')}. "
            "Segment starts a new one."
        )

    def _lose(self, sentence: str) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
            self._empty_scratch()
            self.died.emit(sentence)
