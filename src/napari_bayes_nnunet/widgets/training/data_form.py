"""The data to train on: a dataset, two folders of images and labels, or corrected studies."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ...io.dataset.raw_dataset import RawDataset
from ..common.dock import column_layout, form_layout
from ..common.folder_drop import FolderDrop
from ..common.form import NarrowComboBox
from .dataset_form import DATASET_HELP, DatasetFolderForm
from .folders_form import FoldersForm
from .studies_form import StudiesForm

DATASET, FOLDERS, STUDIES = range(3)
SOURCES = (
    ("An nnU-Net dataset", DATASET_HELP),
    (
        "Image and label folders",
        "NIfTI files, matched by name. An nnU-Net dataset is made from them.",
    ),
    (
        "Corrected studies",
        "Studies reviewed in the Review dock, added to an nnU-Net dataset.",
    ),
)


class TrainingDataForm(FolderDrop, QWidget):
    """The source of the training data. ``dataset_changed`` carries the RawDataset, or None.

    ``dataset`` is the one to train on.
    """

    dataset_changed = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.dataset: RawDataset | None = None
        self.source = NarrowComboBox()
        self.folder = DatasetFolderForm()
        self.folders = FoldersForm()
        self.studies = StudiesForm()
        self._forms: dict[int, DatasetFolderForm | FoldersForm | StudiesForm] = {
            DATASET: self.folder,
            FOLDERS: self.folders,
            STUDIES: self.studies,
        }
        self.source.set_choices(*(dict(enumerate(texts)) for texts in zip(*SOURCES, strict=True)))
        column_layout(self, form_layout(Source=self.source), *self._forms.values())
        for form in self._forms.values():
            form.dataset_changed.connect(self._on_dataset_changed)
        self.setAcceptDrops(True)
        self.source.currentIndexChanged.connect(self._on_source_changed)
        self._on_source_changed(DATASET)

    def choose(self, path: Path) -> None:
        """Choose the nnU-Net dataset in ``path``."""
        self.source.setCurrentIndex(DATASET)
        self.folder.folder.choose(path)

    def _on_source_changed(self, index: int) -> None:
        for source, form in self._forms.items():
            form.setVisible(source == index)
        self.source.setToolTip(SOURCES[index][1])
        self._on_dataset_changed()

    def _on_dataset_changed(self, _: RawDataset | None = None) -> None:
        """Use the dataset of the form that is shown."""
        shown = self._forms[self.source.currentIndex()]
        # The check reads every case, so the same dataset must not start it again.
        if shown.dataset is not self.dataset:
            self.dataset = shown.dataset
            self.dataset_changed.emit(self.dataset)

    def take_dropped(self, path: Path) -> None:
        """Choose a dropped folder as the dataset, or as studies while these are the source."""
        if self.source.currentIndex() == STUDIES:
            self.studies.take_dropped(path)
        else:
            self.choose(path)
