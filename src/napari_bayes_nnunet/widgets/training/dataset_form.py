"""The folder of an nnU-Net raw dataset."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...core.counts import format_count
from ...io.dataset.raw_dataset import RawDataset, read_dataset
from ..common.background import Background
from ..common.dock import MessageLabel, form_layout, row_label
from ..common.folder_row import DROP_HINT, FolderRow
from .dataset_source import DatasetSource

DATASET_HELP = "Folder with imagesTr, labelsTr and dataset.json."
READING_DATASET = "Reading {name}…"
DATASET_FOUND = "{cases}. Channels: {channels}. Structures: {structures}."


class DatasetFolderForm(DatasetSource):
    """Folder and summary of a dataset."""

    def __init__(
        self,
        *,
        read: Callable[[Path], RawDataset] = read_dataset,
        label: str = "Folder",
        hint: str = DROP_HINT,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._read = read
        self._background = Background(self)
        self.folder = FolderRow("Folder of an nnU-Net dataset", hint=hint)
        self.summary = MessageLabel()
        self.folder.setToolTip(DATASET_HELP)
        rows = form_layout()
        rows.addRow(row_label(label), self.folder)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows)
        column.addWidget(self.summary)
        self.folder.chosen.connect(self._on_chosen)

    def show_dataset(self, dataset: RawDataset) -> None:
        """Show the current contents of the chosen dataset."""
        self.summary.show_message(dataset_summary(dataset))
        self._set_dataset(dataset)

    def _on_chosen(self, path: Path | None) -> None:
        # Each choice has its own thread, because the last one may hang on a network drive.
        self._background.deleteLater()
        self._background = Background(self)
        self._set_dataset(None)
        self.summary.show_message("" if path is None else READING_DATASET.format(name=path.name))
        if path is not None:
            work = partial(self._read, path)
            callbacks = partial(self._on_read, path), partial(self._on_not_read, path)
            self._background.run(work, *callbacks)

    def _on_read(self, path: Path, dataset: RawDataset) -> None:
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
