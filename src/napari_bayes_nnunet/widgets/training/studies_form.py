"""Studies a reader has corrected: what of them is reviewed goes into a dataset to train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ...core.types import Phase
from ...io.dataset.raw_dataset import RawDataset
from ..common.dock import MessageLabel, form_layout, row_label
from ..common.folder_drop import FolderDrop
from ..common.folder_row import FolderRow
from ..common.long_work import LongWork, Steps
from ..common.progress_row import ProgressRow
from ..common.rows_table import Column, Row, RowsTable
from .dataset_form import DatasetFolderForm

if TYPE_CHECKING:
    from ...app.review.corrected_studies import AddedStudies, CorrectedStudy

_COLUMNS = (
    Column("Study", "The case the study is of."),
    Column("Ready", "The phases that were reviewed: they can be trained on."),
    Column("Open slices", "Slices of the queue that must be accepted before a phase is ready."),
)
STUDY, STUDY_WIDTH = 0, 130
STUDIES_HINT = "Choose a folder of studies; what was reviewed of them can be trained on."
NO_REVIEWED_STUDY = "There is no study in this folder. A review in the dock Review makes one."
NOT_READY = (
    "No phase is ready to be trained on: accept all slices that the queue of the dock Review names "
    "of it."
)
SEARCH_STOPPED = "Stopped. Look again to go on."
NOT_ALL = "Stopped; what was added until then stays in the dataset."
FAILURES_SHOWN = 3


def find_corrected_later(folder: Path) -> Steps:
    """As in ``app.corrected_studies``, whose imports would make the dock slow to open."""
    from ...app.review import corrected_studies

    return (yield from corrected_studies.find_corrected(folder))


def add_studies_later(folders: Sequence[Path], dataset: Path) -> Steps:
    """As in ``app.corrected_studies``, whose imports would make the dock slow to open."""
    from ...app.review import corrected_studies

    return (yield from corrected_studies.add_studies(folders, dataset))


class StudiesForm(FolderDrop, QWidget):
    """``dataset_changed`` carries the RawDataset once studies were added to it, or None."""

    dataset_changed = Signal(object)

    def __init__(
        self,
        *,
        find: Callable[[Path], Steps] = find_corrected_later,
        add: Callable[[Sequence[Path], Path], Steps] = add_studies_later,
        target: DatasetFolderForm | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._find, self._add = find, add
        self._studies: Sequence[CorrectedStudy] = ()
        self._dataset: RawDataset | None = None
        self._work = LongWork(self)
        self.folder = FolderRow("Folder of studies", hint="Choose or drop a folder of studies")
        self.summary = MessageLabel(STUDIES_HINT)
        self.table = RowsTable(_COLUMNS)
        self.detail = MessageLabel()
        self.target = target or DatasetFolderForm(
            label="Add to", hint="The dataset the ensemble was trained on"
        )
        self.add_button = QPushButton("Add to dataset")
        self.refresh_button = QPushButton("Look again")
        self.progress = ProgressRow()
        self._explain()
        self._lay_out()
        self._connect()
        self._show(())
        self._enable(True)

    @property
    def dataset(self) -> RawDataset | None:
        """The dataset that studies were added to."""
        return self._dataset

    @property
    def studies(self) -> Sequence[CorrectedStudy]:
        """What is listed, from above."""
        return self._studies

    def take(self, folder: Path) -> None:
        """Take a folder that was dropped: a dataset to add to, or studies."""
        is_dataset = (folder / "dataset.json").is_file()
        (self.target.folder if is_dataset else self.folder).choose(folder)

    def refresh(self) -> None:
        """Look at the studies again: some may be reviewed by now."""
        self._work.drop()
        self._show(())
        folder = self.folder.path
        if folder is None:
            self._end(STUDIES_HINT)
            return
        self._enable(True)
        self.summary.say("")
        self.progress.begin("Looking at study {done} of {total}")
        work = partial(self._find, folder)
        self._work.start(work, self._on_found, self._end, partial(self._end, SEARCH_STOPPED))

    def add(self) -> None:
        """Take all that is ready into the dataset, in a thread."""
        dataset, ready = self.target.dataset, [s.folder for s in self._studies if s.ready]
        if dataset is None or not ready:
            return
        self._set_dataset(None)
        self._enable(False)
        self.summary.say("")
        self.progress.begin("Adding study {done} of {total}")
        work = partial(self._add, ready, dataset.path)
        self._work.start(work, self._on_added, self._on_not_added, self._on_adding_stopped)

    def can_take(self, path: Path) -> bool:
        """Return True if ``path`` is a folder and no studies are being added."""
        return super().can_take(path) and self.folder.isEnabled()

    def _explain(self) -> None:
        self.folder.setToolTip(
            "Folders that “Review…” in the dock Segment or “bayes-nnunet predict --save study” "
            "have made; sub-folders are looked into, too."
        )
        self.table.setAccessibleName("Studies, those that are ready first")
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.add_button.setToolTip(
            "Take all phases that are ready into the dataset: they are trained on and never "
            "validated with. Studies that were added before are replaced."
        )
        self.refresh_button.setToolTip("Look at the studies again: some may be reviewed by now.")

    def _lay_out(self) -> None:
        rows = form_layout()
        rows.addRow(row_label("Studies"), self.folder)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button, 2)
        buttons.addWidget(self.refresh_button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows)
        for part in (self.table, self.detail, self.target):
            column.addWidget(part)
        column.addLayout(buttons)
        column.addWidget(self.summary)
        column.addWidget(self.progress)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        self.folder.chosen.connect(self.refresh)
        self.table.row_chosen.connect(self._on_row_chosen)
        self.target.dataset_changed.connect(self._on_target_changed)
        self.add_button.clicked.connect(self.add)
        self.refresh_button.clicked.connect(self.refresh)
        self.progress.stop_requested.connect(self._work.stop)
        self._work.progressed.connect(self.progress.progress)

    def _on_found(self, studies: Sequence[CorrectedStudy]) -> None:
        self._show(studies)
        self._end(_what_is_ready(studies))

    def _on_row_chosen(self, row: Row | None) -> None:
        self.detail.say(row.help if row is not None and row.level == "blocking" else "")

    def _on_target_changed(self, _: RawDataset | None) -> None:
        """What was added to another dataset is not in this one."""
        self._set_dataset(None)
        self._enable(self.folder.isEnabled())

    def _on_added(self, result: AddedStudies) -> None:
        self._show(self._studies, added=result.added, failed=result.failed)
        self.target.show_dataset(result.dataset)
        self._end("\n".join(_what_was_added(result, self._studies)))
        self._set_dataset(result.dataset if result.added else None)

    def _on_not_added(self, sentence: str) -> None:
        self._end(sentence)

    def _on_adding_stopped(self) -> None:
        self._end(NOT_ALL)
        self.target.folder.choose(self.target.folder.path)  # some cases may be new in it

    def _end(self, sentence: str) -> None:
        self.progress.hide()
        self._enable(True)
        self.summary.say(sentence)

    def _enable(self, enabled: bool) -> None:
        for part in (self.folder, self.target):
            part.setEnabled(enabled)
        self.refresh_button.setEnabled(enabled and self.folder.path is not None)
        something = any(study.ready for study in self._studies)
        self.add_button.setEnabled(enabled and something and self.target.dataset is not None)

    def _show(
        self,
        studies: Sequence[CorrectedStudy],
        *,
        added: Mapping[Path, Sequence[str]] | None = None,
        failed: Mapping[Path, str] | None = None,
    ) -> None:
        self._studies = studies
        done, wrong = added or {}, failed or {}
        self.table.set_rows(
            [
                corrected_study_row(
                    study, added=study.folder in done, failure=wrong.get(study.folder, "")
                )
                for study in studies
            ]
        )
        header = self.table.horizontalHeader()
        header.resizeSection(STUDY, min(header.sectionSize(STUDY), STUDY_WIDTH))
        self.table.setVisible(bool(studies))

    def _set_dataset(self, dataset: RawDataset | None) -> None:
        if dataset is not self._dataset:
            self._dataset = dataset
            self.dataset_changed.emit(dataset)


def corrected_study_row(study: CorrectedStudy, *, added: bool = False, failure: str = "") -> Row:
    """Case, phases that are ready or were added, and what is open of the others."""
    problem = failure or study.problem
    ready = phases_text(study.ready) if study.ready else "–"
    if problem:
        return Row((study.case, "not added" if failure else "not usable"), problem, "blocking")
    if added:
        return Row((study.case, f"{ready}: added"), str(study.folder), "done")
    is_begun = bool(study.ready or study.open_slices)
    still_open = _open_text(study.open_slices) if is_begun else "not begun"
    return Row((study.case, ready, still_open), str(study.folder))


def phases_text(phases: Sequence[Phase]) -> str:
    """Phases in words."""
    if None in phases:
        return "the image"
    *first, last = map(str, sorted(phase for phase in phases if phase is not None))
    return f"phases {', '.join(first)} and {last}" if first else f"phase {last}"


def _open_text(counts: Mapping[Phase, int]) -> str:
    return ", ".join(
        str(count) if phase is None else f"{count} in phase {phase}"
        for phase, count in sorted(counts.items(), key=lambda item: item[0] or 0)
    )


def _what_is_ready(studies: Sequence[CorrectedStudy]) -> str:
    if not studies:
        return NO_REVIEWED_STUDY
    ready = [study for study in studies if study.ready]
    if not ready:
        return NOT_READY
    images = sum(len(study.ready) for study in ready)
    return f"{_number(images, 'image')} of {_number(len(ready), 'study')} can be trained on."


def _what_was_added(result: AddedStudies, studies: Sequence[CorrectedStudy]) -> list[str]:
    """How much was added, and a sentence for each study that was not."""
    images = sum(map(len, result.added.values()))
    first = f"Added {_number(images, 'image')} of {_number(len(result.added), 'study')}."
    called = {study.folder: study.case for study in studies}
    failures = [f"{called[folder]}: {sentence}" for folder, sentence in result.failed.items()]
    more = len(failures) - FAILURES_SHOWN
    rest = [f"{more} more could not be added: see the list."] if more > 0 else []
    return [first if images else "Nothing was added.", *failures[:FAILURES_SHOWN], *rest]


def _number(count: int, noun: str) -> str:
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else several}"
