"""What to train on: an nnU-Net dataset, or two folders of which one is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QStandardItem
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from ..io.nnunet_dataset import RawDataset, read_dataset
from .background import Background
from .folder_row import FolderRow, dropped_directory
from .folders_form import FoldersForm
from .form_rows import form_layout, row_label
from .sentence import Sentence

DATASET, FOLDERS, STUDIES = range(3)
SOURCES = (
    ("An nnU-Net dataset", "A folder with imagesTr, labelsTr and dataset.json."),
    (
        "Two folders: images and labels",
        "NIfTI files, matched by their names; an nnU-Net dataset is written from them.",
    ),
    ("Corrected studies", "Comes with the review of contours."),
)


class DatasetFolderForm(QWidget):
    """A dataset folder and what is in it. ``dataset_changed`` carries the RawDataset, or None."""

    dataset_changed = Signal(object)

    def __init__(
        self,
        *,
        read: Callable[[Path], RawDataset] = read_dataset,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._read = read
        self._background = Background(self)
        self._dataset: RawDataset | None = None
        self.folder = FolderRow("Folder of an nnU-Net dataset")
        self.summary = Sentence()
        self.folder.setToolTip(SOURCES[DATASET][1])
        rows = form_layout()
        rows.addRow(row_label("Folder"), self.folder)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows)
        column.addWidget(self.summary)
        self.folder.chosen.connect(self._on_chosen)

    @property
    def dataset(self) -> RawDataset | None:
        """The dataset in the chosen folder."""
        return self._dataset

    def _on_chosen(self, path: Path | None) -> None:
        # A thread of its own for each choice: the one before may hang on a network drive.
        self._background.deleteLater()
        self._background = Background(self)
        self._set_dataset(None)
        self.summary.say("" if path is None else f"Looking into {path.name}…")
        if path is not None:
            work = partial(self._read, path)
            answers = partial(self._on_read, path), partial(self._on_not_read, path)
            self._background.run(work, *answers)

    def _on_read(self, path: Path, dataset: RawDataset) -> None:
        if path == self.folder.path:
            self.summary.say(summary(dataset))
            self._set_dataset(dataset)

    def _on_not_read(self, path: Path, sentence: str) -> None:
        if path == self.folder.path:
            self.summary.say(sentence)

    def _set_dataset(self, dataset: RawDataset | None) -> None:
        if dataset is not self._dataset:
            self._dataset = dataset
            self.dataset_changed.emit(dataset)


class TrainingDataForm(QWidget):
    """``dataset_changed`` carries the RawDataset to train on, or None while there is none."""

    dataset_changed = Signal(object)

    def __init__(
        self,
        *,
        folder: DatasetFolderForm | None = None,
        folders: FoldersForm | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._dataset: RawDataset | None = None
        self.source = QComboBox()
        self.folder = folder or DatasetFolderForm()
        self.folders = folders or FoldersForm()
        self._fill()
        rows = form_layout()
        rows.addRow(row_label("Source"), self.source)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows)
        column.addWidget(self.folder)
        column.addWidget(self.folders)
        self.setAcceptDrops(True)
        self.source.currentIndexChanged.connect(self._on_source_changed)
        self.folder.dataset_changed.connect(self._on_dataset_changed)
        self.folders.dataset_changed.connect(self._on_dataset_changed)
        self._on_source_changed(DATASET)

    @property
    def dataset(self) -> RawDataset | None:
        """The dataset to train on."""
        return self._dataset

    def choose(self, path: Path) -> None:
        """Take the nnU-Net dataset in ``path``."""
        self.source.setCurrentIndex(DATASET)
        self.folder.folder.choose(path)

    def _fill(self) -> None:
        self.source.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        for index, (title, help_text) in enumerate(SOURCES):
            self.source.addItem(title)
            self.source.setItemData(index, help_text, Qt.ItemDataRole.ToolTipRole)
        studies: QStandardItem = self.source.model().item(STUDIES)
        studies.setEnabled(False)

    def _on_source_changed(self, index: int) -> None:
        self.folder.setVisible(index == DATASET)
        self.folders.setVisible(index == FOLDERS)
        self.source.setToolTip(SOURCES[index][1])
        self._on_dataset_changed()

    def _on_dataset_changed(self, _: RawDataset | None = None) -> None:
        """Of the two forms only the one that is shown counts."""
        shown = self.folders if self.source.currentIndex() == FOLDERS else self.folder
        if shown.dataset is not self._dataset:
            self._dataset = shown.dataset
            self.dataset_changed.emit(self._dataset)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept one folder; the rows of the two folders take theirs themselves."""
        if dropped_directory(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take the dropped folder as nnU-Net dataset."""
        folder = dropped_directory(event)
        if folder is not None:
            event.acceptProposedAction()
            self.choose(folder)


def summary(dataset: RawDataset) -> str:
    """Cases, channels and structures of a dataset."""
    count = len(dataset.cases)
    structures = ", ".join(name for name, value in dataset.labels.items() if value)
    channels = ", ".join(dataset.channels)
    return f"{count} case{'' if count == 1 else 's'} of {channels}, with {structures}."
