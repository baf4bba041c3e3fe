"""Window "Segment a folder" for a cohort."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import QPushButton, QWidget
from superqt.utils import signals_blocked

from ...app import AppError
from ...app.messages import (
    FAILED,
    FINISHED,
    Message,
    Notice,
    StageStarted,
    StudiesFound,
    StudyDone,
)
from ...core.counts import format_count
from ..common.background import Background, after_frame
from ..common.dock import MessageLabel, column_layout, form_layout, page_layout, share_row
from ..common.folder_drop import FolderDrop
from ..common.folder_row import FolderRow
from ..common.form import NarrowComboBox
from ..common.levels import Level
from ..common.process import JobProcess
from ..common.progress_row import ProgressRow
from ..common.rows_table import Column, Row, RowsTable
from ..common.settings import Settings
from ..common.site_form import SiteForm
from ..common.wording import in_the_window
from .command import (
    ALL,
    ED_AND_ES,
    NO_IMAGES,
    NO_RESULTS,
    CohortCommand,
    CohortSettings,
    check_images,
    propose_results,
)

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
FIRST_STUDY = "Segmenting the first of {studies}"
STOPPED_COHORT = "Stopped."


class CohortWindow(FolderDrop, QWidget):
    """Window for a run over a folder of studies, which continues after the window is closed.

    ``read_settings`` returns the settings of the dock or raises AppError. ``review_requested``
    carries the folder of the results, ``progressed`` a text such as "3 of 60", "" at the end.
    """

    review_requested = Signal(object)
    progressed = Signal(str)

    def __init__(
        self,
        run: JobProcess,
        settings: Settings,
        *,
        read_settings: Callable[[], CohortSettings],
        parent: QWidget | None = None,
    ) -> None:
        # Without this flag it would lie inside its parent.
        super().__init__(parent, Qt.WindowType.Window)
        self._run, self._settings, self._read_settings = run, settings, read_settings
        self._checked: CohortCommand | None = None
        self._results: Path | None = None
        self._studies = 0
        self._background = Background(self)
        self._shower = after_frame(self._show_studies, self, SHOWN_AFTER_MS)
        self.form = CohortForm()
        self.chosen = MessageLabel()
        self.start_button = QPushButton("Start")
        self.stop_button = QPushButton("Stop")
        self.review_button = QPushButton("Open in Review")
        self.progress = ProgressRow(can_stop=False)
        self.status = MessageLabel()
        self.made_by = MessageLabel()
        self.site = SiteForm(settings)
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
        try:
            text = FROM_THE_DOCK.format(chosen=self._read_settings())
            self.start_button.setEnabled(True)
        except AppError as error:
            text = in_the_window(error)
            self.start_button.setEnabled(False)
        self.chosen.show_message(text)

    def start(self) -> None:
        """Segment the studies that are not finished, or show what is missing."""
        if self.is_busy:
            return
        # On macOS a click on a button does not leave the field that is being typed in.
        for row in (self.form.images, self.form.results):
            row.commit()
        try:
            request = self._request()
        except AppError as error:
            self._show_message(in_the_window(error), "blocking")
            return
        # Before the run is noted: the settings stay as they are during one.
        self.refresh_settings()
        self._checked = request
        self._show_message("")
        self._set_running(True)
        self.progress.begin(_LOOKING)
        check = partial(check_images, request.images)
        arrived = partial(self._on_checked, request), partial(self._on_refused, request)
        self._background.run(check, *arrived)

    def stop(self) -> None:
        """End the run soon; only the study in progress is lost."""
        self.stop_button.setEnabled(False)
        self.progress.show_stopping()
        if self._checked is not None:
            self._on_refused(self._checked, STOPPED_COHORT)
        self._run.stop()

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
        shares = {self.start_button: 2, self.stop_button: 1, self.review_button: 2}
        below = self.progress, self.status, self.site, self.made_by, self.table
        column = page_layout(self, self.form, self.chosen, share_row(None, shares), *below)
        column.setStretchFactor(self.table, 1)

    def _connect(self) -> None:
        self.start_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self.stop)
        self.review_button.clicked.connect(self._on_review_clicked)
        for chosen in (self.form.images.chosen, self.form.results.chosen):
            chosen.connect(self._on_folder_chosen)
        self._run.message_received.connect(self._on_message)
        self._run.ended.connect(self._on_ended)

    def _on_folder_chosen(self, _: Path | None) -> None:
        self._show_message("")  # which may be about the folder before
        self.site.set_folder(self.form.results.path)

    def _on_checked(self, request: CohortCommand, _: None) -> None:
        # Stop was pressed while the folder was looked at.
        if request is not self._checked:
            return
        self._checked, self._results = None, request.output
        self._settings.keep(last_cohort=dict(self.form.choices()))
        self._studies = 0
        self.table.clear(request.images)
        self.made_by.show_message(RESULTS_OF.format(chosen=request.chosen))
        self.review_button.setEnabled(False)
        self._run.start(*request.arguments)

    def _on_refused(self, request: CohortCommand, sentence: str) -> None:
        if request is self._checked:
            self._checked = None
            self._set_running(False)
            self._show_message(sentence, "blocking")

    def _on_message(self, message: Message) -> None:
        if isinstance(message, StudiesFound):
            self._on_found(message)
        elif isinstance(message, StageStarted):
            self._on_stage_started(message)
        elif isinstance(message, StudyDone):
            self._on_study_done(message)
        elif isinstance(message, Notice):
            self._on_noticed(in_the_window(message.sentence))

    def _on_found(self, message: StudiesFound) -> None:
        self._studies = message.studies
        self.table.set_left_out(message.left_out)
        self._show_progress(0, None)

    def _on_stage_started(self, message: StageStarted) -> None:
        if not self._studies:
            self.progress.show_stage(message)

    def _on_study_done(self, message: StudyDone) -> None:
        self.table.add(message)
        self._studies = message.total
        self._show_progress(message.done, message.eta_seconds)
        self._shower.throttle()

    def _show_progress(self, done: int, eta_seconds: float | None) -> None:
        studies = format_count(self._studies, "study", "studies")
        stage = StageStarted(text=FIRST_STUDY.format(studies=studies))  # moves the bar meanwhile
        if done:
            text, left = f"{done} of {studies}", eta_seconds or None
            stage = StageStarted(text=text, done=done, total=self._studies, eta_seconds=left)
        self.progress.show_stage(stage)
        self.progressed.emit(f"{done} of {self._studies}")

    def _show_studies(self) -> None:
        self.table.refresh()
        self.review_button.setEnabled(self.table.done > 0)

    def _on_noticed(self, sentence: str) -> None:
        # Only the last notices, so that they do not push the table out of sight.
        before = self.status.text().splitlines()[1 - NOTICES_SHOWN :]
        self._show_message("\n".join([*before, sentence]))

    def _on_ended(self, outcome: str, sentence: str) -> None:
        self._shower.cancel()
        self._show_studies()
        self._set_running(False)
        self.progressed.emit("")
        if outcome == FINISHED:
            sentence = f"{sentence} {SUMMARY}"
        elif outcome == FAILED and self.table.done:
            sentence = f"{sentence} {FINISHED_KEPT}"
        self._show_message(sentence or STOPPED_COHORT, "blocking" if outcome == FAILED else "fine")

    def _on_review_clicked(self) -> None:
        self.review_requested.emit(self._results)

    def _set_running(self, running: bool) -> None:
        self.form.setEnabled(not running)
        self.start_button.setEnabled(not running)
        self.stop_button.setEnabled(running)
        self.review_button.setEnabled(self.table.done > 0)
        self.progress.setVisible(running)
        self.site.set_folder(None if running else self.form.results.path)
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


_IMAGES_HELP = (
    "Folder that is searched, with its subfolders, for NIfTI files and DICOM series. It is only "
    "read."
)
RESULTS_HELP = (
    "Folder for a study per image, in the same subfolders as the images, and for the summary "
    "cohort.html."
)
PHASES = {
    ED_AND_ES: (
        "ED and ES",
        "End-diastole and end-systole, from an Info.cfg next to the image or found by the volume "
        "of the left ventricle.",
    ),
    ALL: ("All", "Every phase. The time grows with the number of phases."),
}
_PHASES_HELP = "Phases of cines to segment."


class CohortForm(QWidget):
    """Folders of the images and the results, and the phases to segment.

    New images set the results to a folder next to them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._images: Path | None = None
        self.images = FolderRow("Folder of images")
        self.results = FolderRow("Folder for the results")
        self.phases = NarrowComboBox()
        self.images.setToolTip(_IMAGES_HELP)
        self.results.setToolTip(RESULTS_HELP)
        titles = {name: title for name, (title, _) in PHASES.items()}
        self.phases.set_choices(titles, {name: text for name, (_, text) in PHASES.items()})
        self.phases.setToolTip(_PHASES_HELP)
        form_layout(self, Images=self.images, Results=self.results, Phases=self.phases)
        self.images.chosen.connect(self._on_images_chosen)

    def choices(self) -> dict[str, Any]:
        """Return the choices as plain JSON, to be saved."""
        paths = {"images": self.images.path, "results": self.results.path}
        folders = {name: str(path) for name, path in paths.items() if path is not None}
        return {**folders, "phases": self.phases.currentData()}

    def set_choices(self, kept: Mapping[str, Any]) -> None:
        """Show saved choices; whether the folders exist is checked at the start of a run."""
        for name, row in (("images", self.images), ("results", self.results)):
            if isinstance(kept.get(name), str) and kept[name]:
                row.set_path(Path(kept[name]))
        self._images = self.images.path
        self.phases.choose(kept.get("phases"))

    def _on_images_chosen(self, images: Path | None) -> None:
        """Propose a folder for the results; other images need another one."""
        if images is not None and (self._images is not None or self.results.path is None):
            self.results.set_path(propose_results(images))
        self._images = images


_COLUMNS = (
    Column("Study", "Folder of this study's results, inside the results folder."),
    Column("Outcome", "Done, finished before (by an earlier run), or failed."),
    Column("Remarks", "Reason of a failure, or notes. Click a row to read all of it."),
)
STUDY, STUDY_SHARE = 0, 0.42
_ROWS_SHOWN = 8
FEWEST_ROWS_HEIGHT = 120
WITHOUT_LIMIT = 16777215
"""QWIDGETSIZE_MAX, which PyQt does not export."""
_LEVELS: dict[str, Level] = {"failed": "blocking", "finished before": "done"}


class CohortList(QWidget):
    """Table of studies with the text of the chosen one; `refresh` shows the added studies."""

    def __init__(self) -> None:
        super().__init__()
        self._failed: list[Row] = []
        self._others: list[Row] = []
        self._images: Path | None = None
        self._study_width = 0
        self.table = RowsTable(_COLUMNS, rows_shown=_ROWS_SHOWN)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setAccessibleName("Studies, those that failed first")
        self.detail = MessageLabel()
        self.left_out = MessageLabel()
        column = column_layout(self, self.table, self.detail, self.left_out)
        column.setStretch(0, 1)
        column.addStretch(0)  # fills the space while the table is hidden
        self.table.row_chosen.connect(self._on_row_chosen)
        self.clear()

    @property
    def done(self) -> int:
        """Number of studies with results."""
        return len(self._others)

    def clear(self, images: Path | None = None) -> None:
        """Remove all studies; name files relative to the folder ``images`` from now on."""
        self._failed, self._others, self._images = [], [], images
        self.set_left_out(())
        self.refresh()
        self.detail.show_message("")

    def add(self, study: StudyDone) -> None:
        """Add a study that has ended."""
        row = cohort_row(study, images=self._images)
        (self._failed if study.outcome == "failed" else self._others).append(row)

    def refresh(self) -> None:
        """Show the added studies; the chosen row and the scroll position stay."""
        # What failed needs attention, and of the others the latest is news.
        table, rows = self.table, [*self._failed, *reversed(self._others)]
        chosen, position = table.currentIndex().row(), table.verticalScrollBar().value()
        chosen_row = table.rows[chosen] if 0 <= chosen < len(table.rows) else None
        # The detail of the chosen row stays on screen; `set_rows` chooses none.
        with signals_blocked(table):
            table.set_rows(rows)
            table.choose_row(next((i for i, row in enumerate(rows) if row is chosen_row), None))
        # In this window the table fills the room, unlike in a dock.
        table.setMinimumHeight(min(table.height(), FEWEST_ROWS_HEIGHT))
        table.setMaximumHeight(WITHOUT_LIMIT)
        table.setVisible(bool(rows))
        self._study_width = table.columnWidth(STUDY)
        self._fit()
        table.verticalScrollBar().setValue(position)

    def set_left_out(self, sentences: Sequence[str]) -> None:
        """Show the kinds of files that are not studies, with their numbers."""
        self.left_out.show_message(f"Left out: {'; '.join(sentences)}." if sentences else "")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the column of the studies to the width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = round(STUDY_SHARE * self.width())
        # A long path must not push the outcome out of sight.
        self.table.setColumnWidth(STUDY, min(self._study_width, room))

    def _on_row_chosen(self, row: Row | None) -> None:
        self.detail.show_message(row.help if row is not None else "")


def cohort_row(study: StudyDone, *, images: Path | None = None) -> Row:
    """Return the row of a study, with files named relative to ``images``."""
    text = in_the_window(study.sentence)
    if images is not None:
        text = text.replace(f"{images.absolute()}{os.sep}", "")
    # A cell has one line; the tooltip keeps the others.
    line = " ".join(text.split())
    help_text = f"{study.case}: {text}" if text else f"{study.case}: {study.outcome}."
    return Row((study.case, study.outcome, line), help_text, _LEVELS.get(study.outcome, "fine"))
