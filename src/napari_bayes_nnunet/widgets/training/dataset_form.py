"""Base class of the forms that choose or make a dataset, and the form for its folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ...core.counts import format_count
from ...io.dataset.raw_dataset import RawDataset, read_dataset
from ..common.background import Background
from ..common.dock import MessageLabel, column_layout, form_layout
from ..common.folder_row import DROP_HINT, FolderRow
from ..common.long_work import LongWork
from ..common.progress_row import ProgressRow
from ..common.rows_table import Column, Row, RowsTable

DATASET_HELP = "Folder with imagesTr, labelsTr and dataset.json."
READING_DATASET = "Reading {name}…"
DATASET_FOUND = "{cases}. Channels: {channels}. Structures: {structures}."


class DatasetSource(QWidget):
    """Form with a ``dataset``; ``dataset_changed`` carries the new RawDataset, or None."""

    dataset_changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.dataset: RawDataset | None = None

    def _set_dataset(self, dataset: RawDataset | None) -> None:
        if dataset is not self.dataset:
            self.dataset = dataset
            self.dataset_changed.emit(dataset)


class WorkForm(DatasetSource):
    """Form that makes a dataset of what it lists, in a thread that can be stopped."""

    def __init__(self, columns: Sequence[Column], *, hint: str) -> None:
        super().__init__()
        self._work = LongWork(self)
        self.summary = MessageLabel(hint)
        self.table = RowsTable(columns)
        self.detail = MessageLabel()
        self.progress = ProgressRow()
        self.table.row_chosen.connect(self._on_row_chosen)
        self.progress.stop_requested.connect(self._work.stop)
        self._work.progressed.connect(self.progress.progress)

    def _begin(self, text: str) -> None:
        self.summary.show_message("")
        self.progress.begin(text)

    def _end(self, sentence: str) -> None:
        self.progress.hide()
        self._enable(True)
        self.summary.show_message(sentence)

    def _enable(self, enabled: bool) -> None:
        """Let the user change the form."""
        raise NotImplementedError

    def _on_row_chosen(self, row: Row | None) -> None:
        has_problem = row is not None and row.level in ("blocking", "warning")
        self.detail.show_message(row.help if row is not None and has_problem else "")


class DatasetFolderForm(DatasetSource):
    """Folder and summary of a dataset."""

    def __init__(self, *, label: str = "Folder", hint: str = DROP_HINT) -> None:
        super().__init__()
        self._background = Background(self)
        self.folder = FolderRow("Folder of an nnU-Net dataset", hint=hint)
        self.summary = MessageLabel()
        self.folder.setToolTip(DATASET_HELP)
        column_layout(self, form_layout(**{label: self.folder}), self.summary)
        self.folder.chosen.connect(self._on_chosen)

    def show_dataset(self, dataset: RawDataset) -> None:
        """Show the current contents of the chosen dataset."""
        self.summary.show_message(dataset_summary(dataset))
        self._set_dataset(dataset)

    def _on_chosen(self, path: Path | None) -> None:
        # A hanging drive of the last folder must not delay this one.
        self._background = self._background.replaced()
        self._set_dataset(None)
        self.summary.show_message("" if path is None else READING_DATASET.format(name=path.name))
        if path is not None:
            work = partial(read_dataset, path)
            callbacks = partial(self._on_read, path), partial(self._on_not_read, path)
            self._background.run(work, *callbacks)

    def _on_read(self, path: Path, dataset: RawDataset) -> None:
        # Another folder may have been chosen meanwhile.
        if path == self.folder.path:
            self.show_dataset(dataset)

    def _on_not_read(self, path: Path, sentence: str) -> None:
        if path == self.folder.path:
            self.summary.show_message(sentence)


def dataset_summary(dataset: RawDataset) -> str:
    """Return a sentence on the cases, channels and structures of a dataset."""
    return DATASET_FOUND.format(
        cases=format_count(len(dataset.cases), "case"),
        channels=", ".join(dataset.channels),
        structures=", ".join(name for name, value in dataset.labels.items() if value),
    )
