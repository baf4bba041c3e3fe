"""Child processes that end with the window, and whose messages come through a pipe."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import QObject, QProcess, QTimer, Signal

from ...app import AppError
from ...app.messages import FAILED, STOPPED, JobEnded, Message, from_line
from ...core.command import python_command
from .wording import in_the_window

_LOGGER = logging.getLogger(__name__)
_LAST_WORDS = 4000
"""Characters of the child's error output that are kept."""
_KILLED_WITHIN_MS = 2000
STOPS_WITHIN_MS = 5000
CLOSES_WITHIN_MS = 1000
"""A longer wait would not help: closing loses the work in progress either way."""
WORKER_COMMAND = python_command("napari_bayes_nnunet.app.worker")
ENDS_WITHIN_MS = 200
SUBJECT = "The segmentation process"
NEW_PROCESS = "Press Segment to start a new process."
CHILD_NOT_STARTED = "{subject} could not be started ({program})."
CHILD_KILLED = "{subject} ended unexpectedly (killed, perhaps because memory ran out)."
CHILD_FAILED = "{subject} ended unexpectedly (exit code {code}){reason}."


class JobProcess(QObject):
    """At most one child process that writes the messages of ``app.messages`` to its output.

    A child that ``serves`` reads requests until its input is closed, so that no end of it is
    expected. Another one does a single job, whose last message is JobEnded, and has no input.

    ``message_received`` carries each message; ``ended`` the outcome and the sentence on it, unless
    `close` ended the child. ``subject`` begins sentences, such as "The segmentation".
    """

    message_received = Signal(object)
    ended = Signal(str, str)

    def __init__(self, command: Sequence[str], *, subject: str, serves: bool = False) -> None:
        super().__init__()
        self._command, self._subject, self._serves = tuple(command), subject, serves
        self._process: QProcess | None = None
        self._last_message: Message | None = None
        self._last_words = ""
        self._is_stopping = False

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
        self._last_message, self._last_words, self._is_stopping = None, "", False
        process = self._process = QProcess(self)
        if not self._serves:
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

    def stop(self) -> None:
        """Ask the child to end, as Ctrl-C does; kill it after 5 s."""
        if self._process is not None and not self._is_stopping:
            self._is_stopping = True
            self._process.terminate()
            patience = QTimer(self._process)
            patience.timeout.connect(self._process.kill)
            patience.start(STOPS_WITHIN_MS)

    def close(self, *, within_ms: int = CLOSES_WITHIN_MS) -> None:
        """End the child without ``ended``; kill it after ``within_ms``, at once for 0."""
        process, self._process = self._process, None
        if process is None:
            return
        process.blockSignals(True)
        if within_ms:
            if self._serves:
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
                self._last_message = from_line(line)
            except AppError as error:  # a library printed past the child's redirection
                _LOGGER.debug("%s", error)  # a warning would be a notification in napari
                continue
            self.message_received.emit(self._last_message)

    def _on_error_output(self) -> None:
        if self._process is not None:
            text = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
            _LOGGER.debug("%s", text)
            self._last_words = (self._last_words + text)[-_LAST_WORDS:]

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._report(CHILD_NOT_STARTED.format(subject=self._subject, program=self._command[0]))

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        process = self._process
        self._on_output()
        self._on_error_output()
        # The receiver of the last message may have closed or replaced the child.
        if process is not self._process:
            return
        if status == QProcess.ExitStatus.CrashExit:
            self._report(CHILD_KILLED.format(subject=self._subject))
        else:
            lines = self._last_words.strip().splitlines()
            reason = f": {lines[-1].strip().rstrip('.')}" if lines else ""
            self._report(CHILD_FAILED.format(subject=self._subject, code=code, reason=reason))

    def _report(self, sentence: str) -> None:
        """Emit the end that the child has reported, or that it ended with this ``sentence``."""
        process, self._process = self._process, None
        if process is None:
            return
        process.deleteLater()
        end = self._last_message
        if self._serves or not isinstance(end, JobEnded):
            end = JobEnded(outcome=FAILED, text=sentence)
        if self._is_stopping and end.outcome == FAILED:
            end = JobEnded(outcome=STOPPED)
        self.ended.emit(end.outcome, in_the_window(end.sentence))


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
