"""Saving of a study during its review, after every decision and every half minute."""

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
from ...io.study.readings import keep_finished
from ...io.study.review_state import ReviewState
from ...io.study.study import keep_other_work, save_work, work_checksums
from ...io.study.usage_log import USE_LOG, UseRow, append_use
from ..common.background import NO_MEMORY, Background

EVERY_MS: Final = 30_000
SAVED: Final = "Saved {:%H:%M:%S}"
NOT_SAVED: Final = "The study could not be saved. {reason}"
OTHER_WORK: Final = (
    "Another program changed this study while it was open here. Its changes are not shown, but "
    "they are kept in the folder of the study as {files}."
)
RETRIED: Final = "Saving is tried again every half minute."


class StudySaver(QObject):
    """Saver of one session, working in a thread.

    Without a ``lock`` the study is ``read_only``: another window has opened it, or its folder
    cannot be written to. ``changed`` is emitted when there is work to save. ``saved`` carries a
    message with the time when work was saved, ``failed`` one with the reason. ``other_found``
    carries a message if another program has written to the study meanwhile.
    """

    changed = Signal()
    saved = Signal(str)
    failed = Signal(str)
    other_found = Signal(str)

    def __init__(
        self, session: ReviewSession, lock: BaseFileLock | None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._background = Background(self)
        self._unsaved = self._has_work = False
        self._saving = self._saves_work = False
        self._save_again = False
        self.has_saved = False
        """Whether work was saved since the study was opened."""
        self._writing = threading.Lock()
        # Numbers of saves, so that no old save replaces a newer one.
        self._started = self._written = 0
        self._rows: list[UseRow] = []  # rows of the log that are being written
        self._lock = lock
        if lock is not None:
            self.destroyed.connect(lock.release)  # the window is gone, the process may live on
        self._known = dict(session.study.work)
        self._timer = QTimer(self)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self.save)
        self._timer.start()

    @property
    def read_only(self) -> bool:
        """Whether the study can only be viewed, so that nothing is saved."""
        return self._lock is None

    @property
    def has_unsaved(self) -> bool:
        """Whether there are changes that are not on the disk yet."""
        return self._unsaved or self._saving

    def note_change(self, *, is_work: bool = True) -> None:
        """Note that there are changes to save; a step to another slice is not work."""
        if self.read_only:
            return
        self._unsaved = True
        if is_work:
            self._has_work = True
            self.changed.emit()

    def save(self) -> None:
        """Write labels, decisions and log in the thread, if there are changes."""
        if self.read_only or not self._unsaved:
            return
        if self._saving:
            self._save_again = True
            return
        try:
            work = self._work()
        except MemoryError:
            self._tell_failure(NO_MEMORY)
            return
        self._saving, self._saves_work = True, self._has_work
        self._unsaved = self._has_work = False
        self._background.run(work, self._on_saved, self._on_failed)

    def save_now(self) -> None:
        """Save changes and wait. Raises DataError; the changes are then kept for the next save."""
        if self.read_only or not self.has_unsaved:
            return
        try:
            self._work()()
        except DataError:
            self._keep()
            raise
        except MemoryError as error:
            self._keep()
            raise DataError(NO_MEMORY) from error
        self._unsaved = self._saving = False  # a save in the thread is on the disk or outdated
        self.has_saved |= self._has_work or self._saves_work

    def close(self) -> None:
        """Save changes now and release the study. Raises DataError if saving fails."""
        self._timer.stop()
        if self._lock is None:
            return
        try:
            self.save_now()
        finally:
            self._lock.release()
            self._lock = None

    def _work(self) -> Callable[[], None]:
        """Return a function that writes the review in its current state."""
        session = self._session
        # Atomic, because the thread removes rows from this list.
        self._rows.extend(session.take_log())
        self._started += 1
        return partial(self._write, self._started, session.labels_to_save(), session.state)

    def _write(self, number: int, labels: Any, state: ReviewState) -> None:
        """Write the labels, then the decisions that refer to them, then the log.

        A finished review is kept before it is replaced, and as soon as it is written.
        """
        study = self._session.study
        with self._writing:
            if number > self._written:
                self._keep_other_work()
                keep_finished(study.folder)
                try:
                    save_work(study.folder, labels, study.info.geometry, state)
                finally:  # the labels may be saved and the decisions not
                    self._note_work()
                self._written = number
            while self._rows:
                append_use(study.folder / USE_LOG, self._rows[0])
                del self._rows[0]
            keep_finished(study.folder)

    def _keep_other_work(self) -> None:
        """Copy the work that another program has written to the study, before it is replaced."""
        study = self._session.study
        copies = keep_other_work(study.folder, self._known, study.info.geometry)
        if copies:
            self._note_work()
            names = " and ".join(copy.name for copy in copies)
            self.other_found.emit(OTHER_WORK.format(files=names))

    def _note_work(self) -> None:
        """Note the files on the disk now; a file that cannot be read counts as unchanged."""
        current = work_checksums(self._session.study.folder)
        self._known |= {name: checksum for name, checksum in current.items() if checksum}

    def _keep(self) -> None:
        """Keep unwritten work for the next save."""
        self._unsaved = True
        with self._writing:
            rows, self._rows = self._rows, []
        self._session.give_back_log(rows)

    def _on_saved(self, _: None) -> None:
        self._saving = False
        if self._saves_work:
            self.has_saved = True
            self.saved.emit(SAVED.format(datetime.now()))
        if self._has_work:  # since this save began
            self.changed.emit()
        if self._save_again:
            self._save_again = False
            self.save()

    def _on_failed(self, reason: str) -> None:
        self._saving = self._save_again = False
        self._keep()
        self._tell_failure(reason)

    def _tell_failure(self, reason: str) -> None:
        self._has_work = True  # so that the end of the failure is told
        self.failed.emit(f"{NOT_SAVED.format(reason=reason)} {RETRIED}")
