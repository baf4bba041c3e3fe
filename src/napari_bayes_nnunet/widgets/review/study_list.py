"""List of the studies of a folder, those with the lowest predicted quality first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QPushButton, QWidget

from ...io.study.summary import StudySummary, list_studies, read_study_thumbnail, summarise_study
from ..common.background import Background
from ..common.dock import MessageLabel, column_layout, explained, row_layout, share_row
from ..common.folder_drop import FolderDrop
from ..common.folder_row import FolderRow
from ..common.levels import Level
from ..common.message_line import MessageLine
from ..common.rows_table import Column, Row, RowsTable
from ..common.settings import Settings
from ..common.site_form import SiteForm
from ..common.wording import in_the_window
from ..layers.study_card import THUMBNAIL_SIDE, AliasForm, alias_key, make_thumbnail

_COLUMNS = (
    Column("Case", "Name of the study; ⚠ marks a warning. Double-click to open the study.", 140),
    Column(
        "Quality",
        "Predicted quality, 0 to 1: the mean expected Dice, or without a calibration the mean Dice "
        "of all pairs of members. It is not the true quality.",
    ),
    Column("Slices", "Number of slices accepted or flagged, of all slices."),
    Column("State", "State of the review."),
)
_ROWS_SHOWN = 8
_HINT = "Choose or drop a folder of studies"
_OPEN_HELP = "Open the chosen study and continue its review."
SEARCHING = "Looking for studies…"
NO_STUDIES = "This folder contains no studies. Choose another folder."
STUDY_NUMBER = "Study {number}"
WARNING, UNKNOWN = "⚠", "–"


class StudyList(FolderDrop, QWidget):
    """List of studies; ``study_chosen`` carries the folder of the study to open."""

    study_chosen = Signal(object)

    def __init__(self, *, settings: Settings | None = None) -> None:
        super().__init__()
        self._settings = settings or Settings()
        self._background = Background(self)
        self._pictures = Background(self)
        self.studies: list[StudySummary] = []
        """Listed studies, from top to bottom."""
        self._is_hidden = False
        self.folder = FolderRow("Folder of studies", hint=_HINT)
        self.table = RowsTable(_COLUMNS, rows_shown=_ROWS_SHOWN)
        self.detail = MessageLine()
        self.picture = QLabel()
        self.date = MessageLabel()
        self.notes = AliasForm(self._settings)
        self.card = QWidget()
        self.open_button = explained(QPushButton("Open"), _OPEN_HELP)
        self.refresh_button = explained(QPushButton("Refresh"), "Search the folder again.")
        self.site = SiteForm(self._settings)
        self._lay_out()
        self.setAcceptDrops(True)
        self.folder.chosen.connect(self.set_folder)
        self.table.row_chosen.connect(self._on_row_chosen)
        self.table.row_opened.connect(self._on_opened)
        self.open_button.clicked.connect(self._on_opened)
        self.refresh_button.clicked.connect(self.refresh)
        self.notes.changed.connect(self._on_notes_changed)
        self.set_folder(None)

    def set_folder(self, folder: Path | None) -> None:
        """List the studies of ``folder``."""
        self.folder.set_path(folder)
        self.site.set_folder(None)
        self._show([])
        self.refresh()

    def refresh(self) -> None:
        """Search the folder again; the list stays until the search has ended."""
        folder = self.folder.path
        self.refresh_button.setEnabled(folder is not None)
        self._background = self._background.replaced()
        self.detail.show_message("" if folder is None else SEARCHING)
        if folder is not None:
            work = partial(list_studies, folder, self._settings.kept.reader)
            self._background.run(work, self._on_listed, self.detail.show_message)

    def update_study(self, folder: Path) -> None:
        """Read the review of a listed study again, in a thread; its row stays where it is."""
        if any(study.folder == folder for study in self.studies):
            work = partial(summarise_study, folder, self._settings.kept.reader)
            self._background.run(work, self._on_summarised)

    def hide_patient(self, is_hidden: bool) -> None:
        """Show numbers in place of the names of studies, or the names again."""
        if is_hidden != self._is_hidden:
            self._is_hidden = is_hidden
            self._on_notes_changed()

    def take_dropped(self, path: Path) -> None:
        """List the studies of a dropped folder."""
        self.set_folder(path)

    def _lay_out(self) -> None:
        self.table.setAccessibleName("Studies, the worst first")
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.picture.setFixedSize(THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        about = column_layout(None, None, self.notes, self.date, None)
        row_layout(self.card, self.picture, about).setStretchFactor(about, 1)
        self.card.hide()
        row = share_row(None, {self.open_button: 2, self.refresh_button: 1})
        column_layout(self, self.folder, self.table, self.card, self.detail, row, self.site)

    def _on_listed(self, studies: Sequence[StudySummary]) -> None:
        self._show(list(studies))
        self.site.set_folder(self.folder.path if any(s.reviewed for s in studies) else None)
        self.detail.show_message("" if studies else NO_STUDIES)

    def _on_summarised(self, study: StudySummary) -> None:
        for row, listed in enumerate(self.studies):
            if listed.folder == study.folder:
                self.studies[row] = study
                self.table.replace_row(row, self._make_row(row))

    def _show(self, studies: list[StudySummary]) -> None:
        chosen = self._chosen()
        self.studies = studies
        self._case_counts = Counter(study.patient or study.case for study in studies)
        self._show_rows()
        self.table.setVisible(bool(studies))
        folders = [study.folder for study in studies]
        if chosen is not None and chosen.folder in folders:
            self.table.selectRow(folders.index(chosen.folder))

    def _show_rows(self) -> None:
        self.table.set_rows([self._make_row(row) for row in range(len(self.studies))])

    def _make_row(self, row: int) -> Row:
        study = self.studies[row]
        if self._is_hidden:
            nameless = make_study_row(study, name=STUDY_NUMBER.format(number=row + 1))
            return replace(nameless, help="\n".join(_problems(study)))
        return make_study_row(study, name=self._name_of(study))

    def _on_notes_changed(self) -> None:
        """Show new names and dates, and keep the chosen row."""
        row = self.table.currentIndex().row()
        self._show_rows()
        self.table.selectRow(row)

    def _show_card(self, study: StudySummary | None) -> None:
        """Show the picture, the alias and the date of the chosen study."""
        self.card.setVisible(study is not None)
        named = None if self._is_hidden else study
        self.notes.set_study(alias_key(named.case, named.folder) if named else "")
        self.date.show_message(self._settings.kept.study_dates.get(named.case, "") if named else "")
        self.picture.clear()
        if study is not None and not study.problem:
            show = partial(self._on_picture_read, study)
            self._pictures.run(partial(read_study_thumbnail, study.folder), show, lambda _: None)

    def _on_picture_read(self, study: StudySummary, pixels: Any) -> None:
        if study is self._chosen() and pixels is not None:
            self.picture.setPixmap(make_thumbnail(pixels))

    def _name_of(self, study: StudySummary) -> str:
        """Return the user's name for a study, else its patient or case, and the path of several."""
        key = alias_key(study.case, study.folder)
        if key in self._settings.kept.study_aliases:
            return self._settings.kept.study_aliases[key]
        folder, name = self.folder.path, study.patient or study.case
        if self._case_counts[name] < 2 or folder is None or folder not in study.folder.parents:
            return name
        path = study.folder.relative_to(folder).as_posix()
        return f"{name}, {path}" if study.patient else path

    def _chosen(self) -> StudySummary | None:
        row = self.table.currentIndex().row()
        return self.studies[row] if 0 <= row < len(self.studies) else None

    def _on_row_chosen(self, row: Row | None) -> None:
        study = self._chosen() if row is not None else None
        self._show_card(study)
        self.open_button.setEnabled(study is not None and not study.problem)
        self.detail.show_message("\n".join(_problems(study)) if study is not None else "")

    def _on_opened(self) -> None:
        study = self._chosen()
        if study is not None and not study.problem:
            self.study_chosen.emit(study.folder)


def make_study_row(study: StudySummary, *, name: str = "") -> Row:
    """Return the row with ``name`` (by default the case), quality, slices reviewed and state."""
    sign = f"{WARNING} " if study.warnings or study.problem else ""
    quality = UNKNOWN if study.quality is None else f"{study.quality:.2f}"
    reviewed = f"{study.reviewed} of {study.slices}" if study.slices else UNKNOWN
    cells = (f"{sign}{name or study.case}", quality, reviewed, _state(study))
    help_text = "\n".join([*_problems(study), study.case, str(study.folder)])
    return Row(cells, help_text, _level(study))


def _problems(study: StudySummary) -> list[str]:
    return [in_the_window(study.problem)] if study.problem else list(study.warnings)


def _state(study: StudySummary) -> str:
    if study.problem:
        return "unusable"
    if study.flagged:
        return f"{study.flagged} flagged"
    if study.finished:
        return "finished"
    return "started" if study.reviewed else "new"


def _level(study: StudySummary) -> Level:
    if study.problem:
        return "blocking"
    if study.finished and not study.flagged:
        return "done"
    return "warning" if study.warnings else "fine"
