"""The command that segments a folder of studies, run by the window: followed, stopped, ended."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QObject, QProcess, QTimer, Signal

from ...app import AppError
from ...app.messages import (
    JobEnded,
    Message,
    Notice,
    StageStarted,
    StudiesFound,
    StudyDone,
    from_line,
)
from ..common.wording import in_the_window
from .command import CohortCommand

_LOGGER = logging.getLogger(__name__)
# Without -P a file such as random.py in the present folder would be imported by the command.
PREDICT_COMMAND = (sys.executable, "-P", "-m", "napari_bayes_nnunet")
_LAST_WORDS = 4000
"""Characters of the error output that are kept."""
STOPS_WITHIN_MS = 5000
CLOSES_WITHIN_MS = 1000
"""A window that is closed does not wait longer: the study in work is lost either way."""
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"


class CohortRun(QObject):
    """One run at a time. ``ended`` carries "finished", "stopped" or "failed", and what was said.

    ``found`` carries StudiesFound, ``study_done`` StudyDone, ``stage_started`` StageStarted,
    ``noticed`` a sentence. It is a process of its own beside the inference child: both can work at
    once. It ends with this object's window, by `close`.
    """

    found = Signal(object)
    study_done = Signal(object)
    stage_started = Signal(object)
    noticed = Signal(str)
    ended = Signal(str, str)

    def __init__(
        self, command: Sequence[str] = PREDICT_COMMAND, *, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._command = list(command)
        self._process: QProcess | None = None
        self._end: JobEnded | None = None
        self._last_words = ""
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(STOPS_WITHIN_MS)
        self._patience.timeout.connect(self._on_patience_lost)
        self._answers: dict[type[Message], Callable[[Any], None]] = {
            StudiesFound: self.found.emit,
            StudyDone: self.study_done.emit,
            StageStarted: self.stage_started.emit,
            Notice: self._on_notice,
            JobEnded: self._on_job_ended,
        }
        self._is_stopping = False

    @property
    def is_running(self) -> bool:
        """Whether the command runs."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """Its process number, None while it does not run."""
        return int(self._process.processId()) if self._process is not None else None

    def start(self, request: CohortCommand) -> None:
        """Run the command, unless it runs already."""
        if self._process is not None:
            return
        self._end, self._last_words, self._is_stopping = None, "", False
        process = self._process = QProcess(self)
        process.setStandardInputFile(QProcess.nullDevice())
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_error_output)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        process.start(self._command[0], [*self._command[1:], *request.arguments])

    def stop(self) -> None:
        """Ask the command to end, as Ctrl-C does; what does not within 5 s is killed."""
        if self._process is not None and not self._is_stopping:
            self._is_stopping = True
            self._process.terminate()
            self._patience.start()

    def close(self) -> None:
        """End the command now, because its window goes; nothing is told any more."""
        process, self._process = self._process, None
        self._patience.stop()
        if process is not None:
            process.blockSignals(True)
            process.terminate()
            if not process.waitForFinished(CLOSES_WITHIN_MS):
                process.kill()
                process.waitForFinished(CLOSES_WITHIN_MS)
            process.deleteLater()

    def _on_output(self) -> None:
        while self._process is not None and self._process.canReadLine():
            line = bytes(self._process.readLine().data()).decode(errors="replace")
            try:
                message = from_line(line)
            except AppError as error:  # printed by a library
                _LOGGER.debug("%s", error)  # napari would show a warning as a notification
                continue
            self._answers.get(type(message), _ignore)(message)

    def _on_error_output(self) -> None:
        if self._process is not None:
            text = bytes(self._process.readAllStandardError().data()).decode(errors="replace")
            _LOGGER.debug("%s", text)
            self._last_words = (self._last_words + text)[-_LAST_WORDS:]

    def _on_notice(self, message: Notice) -> None:
        self.noticed.emit(in_the_window(message.spoken))

    def _on_job_ended(self, message: JobEnded) -> None:
        self._end = message

    def _on_patience_lost(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self._forget(FAILED, f"The segmentation could not be started: {self._command[0]}.")

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._on_output()
        self._on_error_output()
        end = self._end
        if end is not None and not (self._is_stopping and end.outcome == FAILED):
            self._forget(end.outcome, in_the_window(end.spoken))
        elif self._is_stopping:
            self._forget(STOPPED, "")
        else:
            crashed = status == QProcess.ExitStatus.CrashExit
            self._forget(FAILED, last_words(self._last_words, code=None if crashed else code))

    def _forget(self, outcome: str, sentence: str) -> None:
        self._patience.stop()
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
            self.ended.emit(outcome, sentence)


def last_words(text: str, *, code: int | None) -> str:
    """Why the command ended without saying so, in a sentence; ``code`` None: it was killed."""
    if error := re.search(r"^Error: (.+)\Z", text.strip(), re.MULTILINE | re.DOTALL):
        return " ".join(error[1].split())
    how = "killed, perhaps because memory ran out" if code is None else f"exit code {code}"
    lines = text.strip().splitlines()
    reason = f": {lines[-1].strip().rstrip('.')}" if lines and code is not None else ""
    return f"The segmentation ended unexpectedly ({how}){reason}."


def _ignore(_: Message) -> None:
    """A message of another kind, such as of a newer version."""
