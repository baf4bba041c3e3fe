"""Child process that segments a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ...app.messages import (
    FAILED,
    STOPPED,
    JobEnded,
    Message,
    Notice,
    StageStarted,
    StudiesFound,
    StudyDone,
)
from ...core.command import BAYES_NNUNET
from ..common.process import MessageProcess, ProcessEnd
from ..common.wording import in_the_window
from .command import CohortCommand

STOPS_WITHIN_MS = 5000
CLOSES_WITHIN_MS = 1000
"""A longer wait would not help: closing loses the study in progress either way."""
COHORT_SUBJECT = "The segmentation"


class CohortRun(QObject):
    """At most one run of the command for a cohort, independent of the inference child.

    ``found`` carries StudiesFound, ``study_done`` StudyDone, ``stage_started`` StageStarted,
    ``noticed`` a sentence, and ``ended`` the outcome and text of a JobEnded.
    """

    found = Signal(object)
    study_done = Signal(object)
    stage_started = Signal(object)
    noticed = Signal(str)
    ended = Signal(str, str)

    def __init__(
        self, command: Sequence[str] = BAYES_NNUNET, *, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._process = MessageProcess(command, parent=self)
        self._process.message_received.connect(self._on_message)
        self._process.ended.connect(self._on_process_ended)
        self._end: JobEnded | None = None
        self._is_stopping = False
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(STOPS_WITHIN_MS)
        self._patience.timeout.connect(self._process.kill)
        self._handlers: dict[type[Message], Callable[[Any], None]] = {
            StudiesFound: self.found.emit,
            StudyDone: self.study_done.emit,
            StageStarted: self.stage_started.emit,
            Notice: self._on_notice,
            JobEnded: self._on_job_ended,
        }

    @property
    def is_running(self) -> bool:
        """Whether the command is running."""
        return self._process.is_running

    @property
    def pid(self) -> int | None:
        """The process number of the command, None if it is not running."""
        return self._process.pid

    def start(self, request: CohortCommand) -> None:
        """Run the command unless it is running."""
        if not self.is_running:
            self._end, self._is_stopping = None, False
            self._process.start(*request.arguments)

    def stop(self) -> None:
        """Ask the command to end, as Ctrl-C does; kill it after 5 s."""
        if self.is_running and not self._is_stopping:
            self._is_stopping = True
            self._process.terminate()
            self._patience.start()

    def close(self) -> None:
        """End the command without ``ended``, because its window closes."""
        self._patience.stop()
        self._process.close(within_ms=CLOSES_WITHIN_MS)

    def _on_message(self, message: Message) -> None:
        if handle := self._handlers.get(type(message)):  # a newer version may have other messages
            handle(message)

    def _on_notice(self, message: Notice) -> None:
        self.noticed.emit(in_the_window(message.sentence))

    def _on_job_ended(self, message: JobEnded) -> None:
        self._end = message

    def _on_process_ended(self, end: ProcessEnd) -> None:
        self._patience.stop()
        last = self._end
        if last is not None and not (self._is_stopping and last.outcome == FAILED):
            self.ended.emit(last.outcome, in_the_window(last.sentence))
        elif self._is_stopping:
            self.ended.emit(STOPPED, "")
        else:
            self.ended.emit(FAILED, end.sentence(COHORT_SUBJECT))
