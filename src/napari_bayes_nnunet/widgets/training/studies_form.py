"""Corrected studies, whose reviewed phases are added to a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from ...core.counts import format_count
from ...core.problems import Statement
from ...core.types import Phase
from ...io.dataset.raw_dataset import RawDataset
from ..common.dock import column_layout, form_layout, share_row
from ..common.folder_drop import FolderDrop
from ..common.folder_row import FolderRow
from ..common.long_work import Steps
from ..common.rows_table import Column, Row
from ..common.wording import in_the_window
from .dataset_form import DatasetFolderForm, WorkForm

if TYPE_CHECKING:
    from ...app.review.corrected_studies import AddedStudies, CorrectedStudy

_COLUMNS = (
    Column("Study", "Case of the study."),
    Column("Ready", "Reviewed phases, which can be trained on."),
    Column("Open slices", "Queued slices that must be accepted before a phase is ready."),
)
STUDY, STUDY_WIDTH = 0, 130
STUDIES_HINT = "Choose a folder of studies. Their reviewed phases can be trained on."
NO_REVIEWED_STUDY = "This folder contains no studies. Save a review in the Review dock first."
NOT_READY = (
    "No phase is ready for training. Accept all queued slices of a phase in the Review dock."
)
READY_STUDIES = "{images} of {studies} can be trained on."
SEARCH_STOPPED = "Stopped. Press Refresh to search again."
ADDED = "Added {images} of {studies}."
NOTHING_ADDED = "Nothing was added."
MORE_FAILURES = "{count} more could not be added. See the list."
ADDING_STOPPED = "Stopped. The studies added so far stay in the dataset."
FAILURES_SHOWN = 3


def find_corrected_later(folder: Path) -> Steps:
    """Call `corrected_studies.find_corrected`, imported late because that takes long."""
    from ...app.review import corrected_studies

    return (yield from corrected_studies.find_corrected(folder))


def add_studies_later(folders: Sequence[Path], dataset: Path) -> Steps:
    """Call `corrected_studies.add_studies`, imported late because that takes long."""
    from ...app.review import corrected_studies

    return (yield from corrected_studies.add_studies(folders, dataset))


class StudiesForm(FolderDrop, WorkForm):
    """Studies to add to a dataset; ``dataset`` is the extended one.

    ``studies`` are listed in the order of the rows.
    """

    def __init__(self) -> None:
        super().__init__(_COLUMNS, hint=STUDIES_HINT)
        self.studies: Sequence[CorrectedStudy] = ()
        self.folder = FolderRow("Folder of studies")
        self.target = DatasetFolderForm(label="Add to", hint="The training dataset")
        self.add_button = QPushButton("Add to dataset")
        self.refresh_button = QPushButton("Refresh")
        self._explain()
        self._lay_out()
        self._connect()
        self._show(())
        self._enable(True)

    def take_dropped(self, folder: Path) -> None:
        """Choose a dropped folder as the dataset if it is one, otherwise as studies."""
        is_dataset = (folder / "dataset.json").is_file()
        (self.target.folder if is_dataset else self.folder).choose(folder)

    def refresh(self) -> None:
        """Search the folder again."""
        self._work.drop()
        self._show(())
        folder = self.folder.path
        if folder is None:
            self._end(STUDIES_HINT)
            return
        self._enable(True)
        self._begin("Reading study {done} of {total}")
        work = partial(find_corrected_later, folder)
        self._work.start(work, self._on_found, self._end, partial(self._end, SEARCH_STOPPED))

    def add(self) -> None:
        """Add all ready phases to the dataset, in a thread."""
        dataset, ready = self.target.dataset, [s.folder for s in self.studies if s.ready]
        if dataset is None or not ready:
            return
        self._set_dataset(None)
        self._enable(False)
        self._begin("Adding study {done} of {total}")
        work = partial(add_studies_later, ready, dataset.path)
        self._work.start(work, self._on_added, self._end, self._on_adding_stopped)

    def can_take(self, path: Path) -> bool:
        """Return True if ``path`` is a folder and no studies are being added."""
        return super().can_take(path) and self.folder.isEnabled()

    def _explain(self) -> None:
        self.folder.setToolTip(
            "Folder of studies made by “Review…” in the Segment dock or by “bayes-nnunet predict”. "
            "Subfolders are searched too."
        )
        self.table.setAccessibleName("Studies, ready ones first")
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.add_button.setToolTip(
            "Add all ready phases to the training cases, never to the validation cases. Studies "
            "added earlier are replaced."
        )
        self.refresh_button.setToolTip("Search the folder again, for example after a review.")

    def _lay_out(self) -> None:
        buttons = share_row(None, {self.add_button: 2, self.refresh_button: 1})
        rows, shown = form_layout(Studies=self.folder), (self.table, self.detail, self.target)
        column_layout(self, rows, *shown, buttons, self.summary, self.progress)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        self.folder.chosen.connect(self.refresh)
        self.target.dataset_changed.connect(self._on_target_changed)
        self.add_button.clicked.connect(self.add)
        self.refresh_button.clicked.connect(self.refresh)

    def _on_found(self, studies: Sequence[CorrectedStudy]) -> None:
        self._show(studies)
        self._end(_readiness_text(studies))

    def _on_target_changed(self, _: RawDataset | None) -> None:
        """Discard the last result, which belongs to another dataset."""
        self._set_dataset(None)
        self._enable(self.folder.isEnabled())

    def _on_added(self, result: AddedStudies) -> None:
        self._show(self.studies, added=result.added, failed=result.failed)
        self.target.show_dataset(result.dataset)
        self._end("\n".join(_added_lines(result, self.studies)))
        self._set_dataset(result.dataset if result.added else None)

    def _on_adding_stopped(self) -> None:
        self._end(ADDING_STOPPED)
        self.target.folder.choose(self.target.folder.path)  # reads the new cases

    def _enable(self, enabled: bool) -> None:
        for part in (self.folder, self.target):
            part.setEnabled(enabled)
        self.refresh_button.setEnabled(enabled and self.folder.path is not None)
        any_ready = any(study.ready for study in self.studies)
        self.add_button.setEnabled(enabled and any_ready and self.target.dataset is not None)

    def _show(
        self,
        studies: Sequence[CorrectedStudy],
        *,
        added: Mapping[Path, Sequence[str]] | None = None,
        failed: Mapping[Path, Statement] | None = None,
    ) -> None:
        self.studies = studies
        added, failed = added or {}, failed or {}
        self.table.set_rows(
            [
                corrected_study_row(
                    study, added=study.folder in added, failure=failed.get(study.folder)
                )
                for study in studies
            ]
        )
        header = self.table.horizontalHeader()
        # A long name must not push the numbers out of sight.
        header.resizeSection(STUDY, min(header.sectionSize(STUDY), STUDY_WIDTH))
        self.table.setVisible(bool(studies))


def corrected_study_row(
    study: CorrectedStudy, *, added: bool = False, failure: Statement | None = None
) -> Row:
    """Return a row with the case, its ready or added phases, and its open slices."""
    problem = failure or study.problem
    ready = phases_text(study.ready) if study.ready else "–"
    if problem is not None:
        state = "not usable" if failure is None else "not added"
        return Row((study.case, state), in_the_window(problem), "blocking")
    if added:
        return Row((study.case, f"{ready}: added"), str(study.folder), "done")
    is_started = bool(study.ready or study.open_slices)
    open_slices = _open_text(study.open_slices) if is_started else "not started"
    return Row((study.case, ready, open_slices), str(study.folder))


def phases_text(phases: Sequence[Phase]) -> str:
    """Return phases as text, such as "phases 1 and 8"."""
    if None in phases:
        return "the image"
    *first, last = map(str, sorted(phase for phase in phases if phase is not None))
    return f"phases {', '.join(first)} and {last}" if first else f"phase {last}"


def _open_text(counts: Mapping[Phase, int]) -> str:
    return ", ".join(
        str(count) if phase is None else f"{count} in phase {phase}"
        for phase, count in sorted(counts.items(), key=lambda item: item[0] or 0)
    )


def _readiness_text(studies: Sequence[CorrectedStudy]) -> str:
    if not studies:
        return NO_REVIEWED_STUDY
    ready = [study for study in studies if study.ready]
    if not ready:
        return NOT_READY
    images = sum(len(study.ready) for study in ready)
    return READY_STUDIES.format(
        images=format_count(images, "image"), studies=format_count(len(ready), "study", "studies")
    )


def _added_lines(result: AddedStudies, studies: Sequence[CorrectedStudy]) -> list[str]:
    """Return a sentence on what was added, and one for each of the first failures."""
    images = sum(map(len, result.added.values()))
    added = ADDED.format(
        images=format_count(images, "image"),
        studies=format_count(len(result.added), "study", "studies"),
    )
    cases = {study.folder: study.case for study in studies}
    failures = [f"{cases[folder]}: {in_the_window(p)}" for folder, p in result.failed.items()]
    more = len(failures) - FAILURES_SHOWN
    rest = [MORE_FAILURES.format(count=more)] if more > 0 else []
    return [added if images else NOTHING_ADDED, *failures[:FAILURES_SHOWN], *rest]
