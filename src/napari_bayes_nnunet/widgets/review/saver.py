"""Keeps a study on the disk while it is reviewed: after every decision, and every half minute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from filelock import BaseFileLock
from qtpy.QtCore import QObject, QTimer, Signal

from ...app.review.session import ReviewSession
from ...io import DataError
from ...io.study.review_state import ReviewState
from ...io.study.study import save_work
from ...io.study.usage_log import USE_LOG, UseRow, append_use
from ..common.background import Background

EVERY_MS: Final = 30_000
SAVED: Final = "Saved {:%H:%M:%S}."


class StudySaver(QObject):
    """Saves one session in a thread; ``close`` saves what is left and lets go of the study.

    Without a ``lock`` it is ``read_only``: another window has the study, or it cannot be written
    to. ``told`` carries when it was saved, ``failed`` why it was not.
    """

    told = Signal(str)
    failed = Signal(str)

    def __init__(
        self,
        session: ReviewSession,
        lock: BaseFileLock | None,
        *,
        every_ms: int = EVERY_MS,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._background = Background(self)
        self._unsaved = False
        self._saving = False
        self._asked_again = False
        self._writing = threading.Lock()
        self._begun = self._written = 0  # saves, so that an old one never replaces a newer one
        self._rows: list[UseRow] = []  # of the log, that are being written
        self._lock = lock
        self._timer = QTimer(self)
        self._timer.setInterval(every_ms)
        self._timer.timeout.connect(self.save)
        self._timer.start()

    @property
    def read_only(self) -> bool:
        """Whether nothing is saved."""
        return self._lock is None

    @property
    def has_unsaved(self) -> bool:
        """Whether something was done that is not on the disk yet."""
        return self._unsaved or self._saving

    def note(self) -> None:
        """Something has changed that the next save must write."""
        self._unsaved = True

    def save(self) -> None:
        """Write labels, decisions and log, unless nothing has changed; the window goes on."""
        if self.read_only or not self._unsaved:
            return
        if self._saving:
            self._asked_again = True
            return
        self._saving, self._unsaved = True, False
        self._background.run(self._work(), self._on_saved, self._on_failed)

    def save_now(self) -> None:
        """Save what is left and wait for it. Raises DataError, and tries again later, too."""
        if self.read_only or not self.has_unsaved:
            return
        try:
            self._work()()
        except DataError:
            self._keep()
            raise
        self._unsaved = False

    def close(self) -> None:
        """Save what is left, here and now, and let others have the study. Raises DataError."""
        self._timer.stop()
        if self._lock is None:
            return
        try:
            self.save_now()
        finally:
            self._lock.release()
            self._lock = None

    def _work(self) -> Callable[[], None]:
        """What writes the review as it is now."""
        session = self._session
        self._rows.extend(session.take_log())  # one step, also for a thread that takes from it
        self._begun += 1
        return partial(self._write, self._begun, session.labels_to_save(), session.state)

    def _write(self, number: int, labels: Any, state: ReviewState) -> None:
        """Labels, then the decisions that speak of them, then the log."""
        study = self._session.study
        with self._writing:
            if number > self._written:
                save_work(study.folder, labels, study.info.geometry, state)
                self._written = number
            while self._rows:
                append_use(study.folder / USE_LOG, self._rows[0])
                del self._rows[0]

    def _keep(self) -> None:
        """What could not be written is still to be."""
        self._unsaved = True
        with self._writing:
            rows, self._rows = self._rows, []
        self._session.give_back_log(rows)

    def _on_saved(self, _: None) -> None:
        self._saving = False
        self.told.emit(SAVED.format(datetime.now()))
        if self._asked_again:
            self._asked_again = False
            self.save()

    def _on_failed(self, sentence: str) -> None:
        self._saving = self._asked_again = False
        self._keep()
        self.failed.emit(f"Not saved: {sentence} It is tried again every half minute.")
