"""Window "Archive": studies are found, fetched and opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari import current_viewer
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from ...core.counts import format_count
from ...core.dates import parse_dates
from ...io.dicom.files import make_pseudonym
from ..common.dock import (
    PLUGIN,
    MessageLabel,
    ThemeFont,
    column_layout,
    form_layout,
    page_layout,
    row_label,
    row_layout,
)
from ..common.folder_row import FolderRow
from ..common.levels import Level
from ..common.progress_row import ProgressRow
from ..common.rows_table import Column, Row, RowsTable
from ..common.settings import Settings, open_settings
from .archive_form import ArchiveForm
from .archive_work import ArchiveSteps, ArchiveWork

if TYPE_CHECKING:  # dicomweb-client, which is optional
    from ...io.archive import ArchivedStudy

ARCHIVE_TITLE = "Archive"
WINDOW_SIZE = (680, 560)
STUDIES_SHOWN = 12
STUDY_COLUMNS = (
    Column("Patient", "Name of the patient."),
    Column("ID", "ID of the patient.", 120),
    Column("Date", "Day of the study."),
    Column("Series", "Number of series."),
    Column("Images", "Number of images."),
    Column("Description", "Description of the study."),
)
FIND_HELP = "List the studies that match, the latest first. Empty fields match all."
OPEN_HELP = (
    "Fetch all images of the chosen study into a folder of its own, open its short-axis cine, and "
    "close this window."
)
FOLDER_HELP = "Folder for fetched studies. Each has a folder named by a pseudonym."
BAD_DATE = "“{text}” is not a date. Enter a date such as 2026-01-31, or a range such as 2026-01-01:"
NO_FOLDER = "Choose a folder for fetched studies."
NO_STUDY_FOUND = "No study matches."
STUDIES_FOUND = "{studies}. Choose one, then press Fetch and open."
SEARCHING, FETCHING = "Looking for studies", "Fetching image {done} of {total}"
STOPPED_FETCHING = "Stopped. Nothing was kept."
FETCHED = "Fetched {images} into {folder}."
WAS_THERE = "Opened from {folder}, where it was fetched before."


class ArchiveWindow(QWidget):
    """Window that lists the studies of an archive, and fetches and opens one of them.

    A study is opened by ``viewer`` as if its folder were dropped there. The window lists names of
    patients, and is a child of napari's window.
    """

    def __init__(
        self, viewer: Any, *, settings: Settings | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self._viewer = viewer
        self._settings = open_settings(settings)
        self._studies: list[ArchivedStudy] = []
        self.controls = QWidget()
        self.archive = ArchiveForm(self._settings)
        self.name, self.patient, self.dates = QLineEdit(), QLineEdit(), QLineEdit()
        self.find_button = QPushButton("Find")
        self.table = RowsTable(STUDY_COLUMNS, rows_shown=STUDIES_SHOWN, is_steady=True)
        self.folder = FolderRow("Folder for fetched studies")
        self.folder.set_path(Path(kept) if (kept := self._settings.kept.fetch_folder) else None)
        self.open_button = QPushButton("Fetch and open")
        self.progress = ProgressRow()
        self.status = MessageLabel()
        self.work = ArchiveWork(self)
        self._lay_out()
        self._connect()
        self._on_archive_changed()

    def find(self) -> None:
        """List the studies that match the fields, or say what is missing."""
        try:
            dates = parse_dates(self.dates.text().strip())
        except ValueError:
            self.status.show_message(BAD_DATE.format(text=self.dates.text()), "blocking")
            return
        filters = {"name": self.name.text().strip(), "patient": self.patient.text().strip()}
        find = methodcaller("find_studies", dates=dates, **filters)
        self._talk(SEARCHING, find, self._on_found)

    def fetch(self) -> None:
        """Fetch the chosen study, unless it was fetched before, and open it."""
        row = self.table.currentIndex().row()
        # On macOS a click on a button does not leave the field that is being typed in.
        self.folder.commit()
        if row < 0 or self.work.is_running:
            return
        if self.folder.path is None:
            self.status.show_message(NO_FOLDER, "blocking")
            return
        study = self._studies[row]
        self._settings.keep(fetch_folder=str(self.folder.path))
        folder = self.folder.path / make_pseudonym(study.uid)
        fetch = methodcaller("fetch_if_grown", study.uid, folder)
        self._talk(FETCHING, fetch, partial(self._on_fetched, folder))

    def stop(self) -> None:
        """Stop at once; what was fetched so far is removed."""
        self.work.drop()
        self._end(STOPPED_FETCHING)

    def _talk(self, words: str, steps: ArchiveSteps, on_result: Callable[[Any], None]) -> None:
        known = self.archive.chosen
        if known is None:
            self.status.show_message(self.archive.problem, "blocking")
            return
        self.status.show_message("")
        self.progress.begin(words)
        self.controls.setEnabled(False)
        self.work.talk(known, steps, on_result, partial(self._end, level="blocking"))

    def _on_found(self, studies: list[ArchivedStudy]) -> None:
        self._list(studies)
        count = format_count(len(studies), "study", "studies")
        self._end(STUDIES_FOUND.format(studies=count) if studies else NO_STUDY_FOUND)

    def _list(self, studies: list[ArchivedStudy]) -> None:
        self._studies = studies
        self.table.set_rows([Row(_cells(study)) for study in studies])

    def _on_fetched(self, folder: Path, images: int) -> None:
        """Open a study, of which so many images were fetched now, and make room for it."""
        sentence = FETCHED if images else WAS_THERE
        self._end(sentence.format(images=format_count(images, "image"), folder=folder))
        # Without the plugin's name, napari would ask which of several readers opens a folder.
        if self._viewer.open(str(folder), plugin=PLUGIN):
            self.close()

    def _end(self, sentence: str, level: Level = "fine") -> None:
        self.progress.hide()
        self.controls.setEnabled(True)
        self.status.show_message(sentence, level)

    def _on_archive_changed(self) -> None:
        """Forget the studies of another archive."""
        self._list([])
        self.status.show_message(self.archive.problem)

    def _lay_out(self) -> None:
        self.setWindowTitle(ARCHIVE_TITLE)
        self.resize(*WINDOW_SIZE)
        for field, hint in (
            (self.name, "Name, or a part of it"),
            (self.patient, "ID, with * for any characters"),
            (self.dates, "2026-01-31, or 2026-01-01:2026-01-31"),
        ):
            field.setPlaceholderText(hint)
            ThemeFont(field)
        rows = form_layout(Archive=self.archive, Patient=self.name, ID=self.patient)
        dates = row_layout(None, self.dates, self.find_button, wide=self.dates)
        rows.addRow(row_label("Date"), dates)
        target = form_layout(Folder=self.folder)
        column_layout(self.controls, rows, self.table, target, self.open_button)
        page_layout(self, self.controls, self.progress, self.status, None)

    def _connect(self) -> None:
        self.find_button.setToolTip(FIND_HELP)
        self.open_button.setToolTip(OPEN_HELP)
        self.folder.setToolTip(FOLDER_HELP)
        self.archive.changed.connect(self._on_archive_changed)
        self.find_button.clicked.connect(self.find)
        for field in (self.name, self.patient, self.dates):
            field.returnPressed.connect(self.find)
        self.table.row_chosen.connect(lambda row: self.open_button.setEnabled(row is not None))
        self.table.row_opened.connect(self.fetch)
        self.open_button.clicked.connect(self.fetch)
        self.work.progressed.connect(self.progress.progress)
        self.progress.stop_requested.connect(self.stop)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Close the window with Escape; a study is fetched all the same."""
        if event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)


def show_archive(viewer: Any = None) -> ArchiveWindow:
    """Show the archive window of a viewer, by default the current one, in front."""
    viewer = viewer or current_viewer()
    parent = viewer.window._qt_window
    window = parent.findChild(ArchiveWindow) or ArchiveWindow(viewer, parent=parent)
    window.show()
    window.raise_()
    window.activateWindow()
    return window


def _cells(study: ArchivedStudy) -> tuple[str, ...]:
    who = study.patient
    name = who.written_name
    return name, who.patient_id, who.date, study.series, study.images, study.description
