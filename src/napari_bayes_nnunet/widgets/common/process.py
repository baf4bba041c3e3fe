"""Child process that writes messages to its standard output."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import QObject, QProcess, Signal

from ...app import AppError
from ...app.messages import Message, from_line

_LOGGER = logging.getLogger(__name__)
_LAST_WORDS = 4000
"""Characters of the child's error output that are kept."""
_KILLED_WITHIN_MS = 2000
CHILD_NOT_STARTED = "{subject} could not be started ({program})."
CHILD_KILLED = "{subject} ended unexpectedly (killed, perhaps because memory ran out)."
CHILD_FAILED = "{subject} ended unexpectedly (exit code {code}){reason}."


@dataclass(frozen=True, kw_only=True)
class ProcessEnd:
    """The unexpected end of a child process.

    ``code`` is its exit code, None if it was killed. ``last_words`` is the end of its error output.
    """

    program: str
    has_started: bool = True
    code: int | None = None
    last_words: str = ""

    def sentence(self, subject: str) -> str:
        """Return what happened to ``subject``, such as "The segmentation"."""
        if not self.has_started:
            return CHILD_NOT_STARTED.format(subject=subject, program=self.program)
        if self.code is None:
            return CHILD_KILLED.format(subject=subject)
        lines = self.last_words.strip().splitlines()
        reason = f": {lines[-1].strip().rstrip('.')}" if lines else ""
        return CHILD_FAILED.format(subject=subject, code=self.code, reason=reason)


class MessageProcess(QObject):
    """At most one child process that exchanges the messages of ``app.messages``.

    ``message_received`` carries each message; ``ended`` carries the ProcessEnd of a child that
    `close` did not end. Unless ``has_input``, the child reads from the null device.
    """

    message_received = Signal(object)
    ended = Signal(object)

    def __init__(
        self, command: Sequence[str], *, has_input: bool = False, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._command = tuple(command)
        self._has_input = has_input
        self._process: QProcess | None = None
        self._last_words = ""

    @property
    def is_running(self) -> bool:
        """Whether there is a child process."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The child's process number, None if there is no child."""
        return int(self._process.processId()) if self._process is not None else None

    def start(self, *arguments: str) -> None:
        """Run the command with ``arguments``, unless it is running."""
        if self._process is not None:
            return
        self._last_words = ""
        process = self._process = QProcess(self)
        if not self._has_input:
            process.setStandardInputFile(QProcess.nullDevice())
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_error_output)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        process.start(self._command[0], [*self._command[1:], *arguments])

    def send(self, message: Message) -> None:
        """Write one message to the child's input."""
        if self._process is not None:
            self._process.write(f"{message.to_line()}\n".encode())

    def terminate(self) -> None:
        """Ask the child to end, as SIGTERM does."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the child; ``ended`` reports it."""
        if self._process is not None:
            self._process.kill()

    def close(self, *, within_ms: int) -> None:
        """End the child without ``ended``; kill it after ``within_ms``, at once for 0."""
        process, self._process = self._process, None
        if process is None:
            return
        process.blockSignals(True)
        if within_ms:
            if self._has_input:
                process.closeWriteChannel()
            else:
                process.terminate()
        if not (within_ms and process.waitForFinished(within_ms)):
            process.kill()
            process.waitForFinished(_KILLED_WITHIN_MS)
        process.deleteLater()

    def _on_output(self) -> None:
        # A receiver of a message may close this process or start another.
        while self._process is not None and self._process.canReadLine():
            line = bytes(self._process.readLine().data()).decode(errors="replace")
            try:
                message = from_line(line)
            except AppError as error:  # a library printed past the child's redirection
                _LOGGER.debug("%s", error)  # a warning would be a notification in napari
                continue
            self.message_received.emit(message)

    def _on_error_output(self) -> None:
        if self._process is not None:
            text = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
            _LOGGER.debug("%s", text)
            self._last_words = (self._last_words + text)[-_LAST_WORDS:]

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._report(ProcessEnd(program=self._command[0], has_started=False))

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        process = self._process
        self._on_output()
        self._on_error_output()
        if process is self._process:
            crashed = status == QProcess.ExitStatus.CrashExit
            self._report(
                ProcessEnd(
                    program=self._command[0],
                    code=None if crashed else code,
                    last_words=self._last_words,
                )
            )

    def _report(self, end: ProcessEnd) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
            self.ended.emit(end)
