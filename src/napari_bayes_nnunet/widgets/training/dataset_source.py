"""Base class of the forms that choose or make a dataset."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ...io.dataset.raw_dataset import RawDataset


class DatasetSource(QWidget):
    """Form with a ``dataset``; ``dataset_changed`` carries the new RawDataset, or None."""

    dataset_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._dataset: RawDataset | None = None

    @property
    def dataset(self) -> RawDataset | None:
        """The dataset that was chosen or made, None if there is none."""
        return self._dataset

    def _set_dataset(self, dataset: RawDataset | None) -> None:
        if dataset is not self._dataset:
            self._dataset = dataset
            self.dataset_changed.emit(dataset)
