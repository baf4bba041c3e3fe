"""Window "Segment a folder" for a cohort."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget
from superqt.utils import QSignalThrottler

from ...app import AppError
from ...app.messages import FAILED, FINISHED, StageStarted, StudiesFound, StudyDone
from ...core.counts import format_count
from ...core.durations import duration_text
from ..common.background import Background
from ..common.dock import MessageLabel
from ..common.folder_drop import FolderDrop
from ..common.levels import Level
from ..common.progress_row import ProgressRow
from ..common.settings import Settings
from ..common.wording import in_the_window
from .command import NO_IMAGES, NO_RESULTS, CohortCommand, CohortSettings, check_folders
from .form import CohortForm
from .list import CohortList
from .process import CohortRun

_TITLE = "Segment a folder"
SIZE = (600, 520)
SHOWN_AFTER_MS = 100
"""Thousands of studies may have been finished before; they are shown together."""
RESULTS_OF = "Results of {chosen}:"
FROM_THE_DOCK = "Options of the dock: {chosen}."
_LOOKING = "Looking for studies"
NOTICES_SHOWN = 3
SUMMARY = "See cohort.html in the results folder for a summary."
FINISHED_KEPT = "Finished studies are kept. Press Start to continue."
STUDY_COUNT = "{done} of {studies} done"
FIRST_STUDY = "Segmenting the first of {studies}…"
STOPPED_AT = "Stopped: {count}. The study in progress is lost. Press Start to continue."
STOPPED_FIRST = "Stopped before the first study."
RUN_FINISHED = "Finished in {duration}: {count}{failed}. {summary}"
FAILED_COUNT = ", {failed} failed (see the top of the table)"


class CohortWindow(FolderDrop, QWidget):
    """Window for a run over a folder of studies, which continues after the window is closed.

    ``read_settings`` returns the settings of the dock or raises AppError. ``review_requested``
    carries the folder of the results, ``progressed`` a text such as "3 of 60", "" at the end.
    """

    review_requested = Signal(object)
    progressed = Signal(str)

    def __init__(
        self,
        run: CohortRun,
        settings: Settings,
        *,
        read_settings: Callable[[], CohortSettings],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self._run, self._settings, self._read_settings = run, settings, read_settings
        self._checked: CohortCommand | None = None
        self._results: Path | None = None
        self._studies, self._started = 0, 0.0
        self._refusal = ""
        self._background = Background(self)
        self._shower = QSignalThrottler(QSignalThrottler.EmissionPolicy.Trailing, self)
        self._shower.setTimeout(SHOWN_AFTER_MS)
        self.form = CohortForm()
        self.chosen = MessageLabel()
        self.start_button = QPushButton("Start")
        self.stop_button = QPushButton("Stop")
        self.review_button = QPushButton("Open in Review")
        self.progress = ProgressRow(can_stop=False)
        self.status = MessageLabel()
        self.made_by = MessageLabel()
        self.table = CohortList()
        self._explain()
        self._lay_out()
        self._connect()
        self.form.set_choices(settings.kept.last_cohort)
        self._set_running(False)

    @property
    def is_busy(self) -> bool:
        """Whether a run was requested and has not ended."""
        return self._checked is not None or self._run.is_running

    def refresh_settings(self) -> None:
        """Show the settings of the dock; during a run, keep the settings that it uses."""
        if self.is_busy:
            return
        self._remove_outdated_refusal()
        try:
            chosen = self._read_settings()
            self.chosen.show_message(FROM_THE_DOCK.format(chosen=chosen) + chosen.advice)
        except AppError as error:
            self.chosen.show_message(in_the_window(error))

    def start(self) -> None:
        """Segment the studies that are not finished, or show what is missing."""
        if self.is_busy:
            return
        for row in (self.form.images, self.form.results):
            row.commit()
        try:
            request = self._request()
        except AppError as error:
            self._refusal = in_the_window(error)
            self._show_message(self._refusal, "blocking")
            return
        self.refresh_settings()
        self._checked = request
        self._show_message("")
        self._set_running(True)
        self.progress.begin(_LOOKING)
        check = partial(check_folders, request.images, request.output)
        arrived = partial(self._on_checked, request), partial(self._on_refused, request)
        self._background.run(check, *arrived)

    def stop(self) -> None:
        """End the run soon; only the study in progress is lost."""
        self.stop_button.setEnabled(False)
        self.progress.text.setText("Stopping…")
        if self._checked is not None:
            self._on_refused(self._checked, "Stopped.")
        self._run.stop()

    def _remove_outdated_refusal(self) -> None:
        """Remove the message about what Start lacked if it is no longer true."""
        if not self._refusal or self.status.text() != self._refusal:
            return
        try:
            self._request()
        except AppError as error:
            if in_the_window(error) == self._refusal:
                return
        self._show_message("")

    def _request(self) -> CohortCommand:
        images, results = self.form.images.path, self.form.results.path
        if images is None or results is None:
            raise AppError(NO_IMAGES if images is None else NO_RESULTS)
        phases = str(self.form.phases.currentData())
        chosen = self._read_settings()
        return CohortCommand(chosen=chosen, images=images, output=results, phases=phases)

    def _explain(self) -> None:
        self.start_button.setToolTip(
            "Segment all studies of the folder that have no results yet. The dock stays usable "
            "meanwhile."
        )
        self.stop_button.setToolTip(
            "Stop within seconds. Only the study in progress is lost; Start continues."
        )
        self.review_button.setToolTip(
            "List the finished studies in the Review dock, the worst first, even during the run."
        )

    def _lay_out(self) -> None:
        self.setWindowTitle(_TITLE)
        self.resize(*SIZE)
        self.setAcceptDrops(True)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button, 2)
        buttons.addWidget(self.stop_button, 1)
        buttons.addWidget(self.review_button, 2)
        column = QVBoxLayout(self)
        column.addWidget(self.form)
        column.addWidget(self.chosen)
        column.addLayout(buttons)
        column.addWidget(self.progress)
        column.addWidget(self.status)
        column.addWidget(self.made_by)
        column.addWidget(self.table, 1)

    def _connect(self) -> None:
        self.start_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self.stop)
        self.review_button.clicked.connect(self._on_review_clicked)
        self.form.images.chosen.connect(self._remove_outdated_refusal)
        self.form.results.chosen.connect(self._remove_outdated_refusal)
        self._shower.triggered.connect(self._show_studies)
        self._run.found.connect(self._on_found)
        self._run.stage_started.connect(self._on_stage_started)
        self._run.study_done.connect(self._on_study_done)
        self._run.noticed.connect(self._on_noticed)
        self._run.ended.connect(self._on_ended)

    def _on_checked(self, request: CohortCommand, _: None) -> None:
        if request is not self._checked:
            return
        self._checked, self._results = None, request.output
        self._settings.keep(last_cohort=dict(self.form.choices()))
        self._studies, self._started = 0, perf_counter()
        self.table.clear(request.images)
        self.made_by.show_message(RESULTS_OF.format(chosen=request.chosen))
        self.review_button.setEnabled(False)
        self._run.start(request)

    def _on_refused(self, request: CohortCommand, sentence: str) -> None:
        if request is self._checked:
            self._checked = None
            self._set_running(False)
            self._show_message(sentence, "blocking")

    def _on_found(self, message: StudiesFound) -> None:
        self._studies = message.studies
        self.table.set_left_out(message.left_out)
        self._show_progress(0, None)

    def _on_stage_started(self, message: StageStarted) -> None:
        if not self._studies:
            self.progress.text.setText(f"{message.text}…")

    def _on_study_done(self, message: StudyDone) -> None:
        self.table.add(message)
        self._studies = message.total
        self._show_progress(message.done, message.eta_seconds)
        self._shower.throttle()

    def _show_progress(self, done: int, eta_seconds: float | None) -> None:
        left = f", {duration_text(eta_seconds)} left" if eta_seconds else ""
        count = f"{done} of {self._studies}"
        first = FIRST_STUDY.format(studies=format_count(self._studies, "study", "studies"))
        self.progress.bar.setRange(0, self._studies if done else 0)  # moves before the first study
        self.progress.bar.setValue(done)
        self.progressed.emit(count)
        if self.stop_button.isEnabled():
            studies = format_count(self._studies, "study", "studies")
            self.progress.text.setText(f"{done} of {studies}{left}" if done else first)

    def _show_studies(self) -> None:
        self.table.refresh()
        self.review_button.setEnabled(self.table.done > 0)

    def _on_noticed(self, sentence: str) -> None:
        before = self.status.text().splitlines()[1 - NOTICES_SHOWN :]
        self._show_message("\n".join([*before, sentence]))

    def _on_ended(self, outcome: str, sentence: str) -> None:
        self._shower.cancel()
        self._show_studies()
        self._set_running(False)
        self.progressed.emit("")
        self._show_message(
            self._ending(outcome, sentence), "blocking" if outcome == FAILED else "fine"
        )

    def _ending(self, outcome: str, sentence: str) -> str:
        done, failed = self.table.done, self.table.failed
        if outcome == FAILED:
            return f"{sentence} {FINISHED_KEPT}" if done else sentence
        if not self._studies:
            return STOPPED_FIRST
        count = STUDY_COUNT.format(
            done=done, studies=format_count(self._studies, "study", "studies")
        )
        if outcome != FINISHED:
            return STOPPED_AT.format(count=count)
        return RUN_FINISHED.format(
            duration=duration_text(perf_counter() - self._started),
            count=count,
            failed=FAILED_COUNT.format(failed=failed) if failed else "",
            summary=SUMMARY,
        )

    def _on_review_clicked(self) -> None:
        self.review_requested.emit(self._results)

    def _set_running(self, running: bool) -> None:
        self.form.setEnabled(not running)
        self.start_button.setEnabled(not running)
        self.stop_button.setEnabled(running)
        self.review_button.setEnabled(self.table.done > 0)
        self.progress.setVisible(running)
        self.refresh_settings()

    def _show_message(self, sentence: str, level: Level = "fine") -> None:
        self.status.show_message(sentence, level)

    def showEvent(self, event: QShowEvent) -> None:
        """Refresh the settings, which may have changed in the dock."""
        super().showEvent(event)
        self.refresh_settings()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Close the window with Escape; a run continues."""
        if event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)

    def can_take(self, path: Path) -> bool:
        """Return True if ``path`` is a folder and no studies are being segmented."""
        return super().can_take(path) and not self.is_busy

    def take_dropped(self, path: Path) -> None:
        """Choose the dropped folder as the folder of the images."""
        self.form.images.choose(path)
