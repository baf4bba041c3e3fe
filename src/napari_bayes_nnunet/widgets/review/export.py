"""Taking the outcome of a review along: files, and cases to train on."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ..common.sentence import Sentence

EXPORT_HELP = (
    "Labels as NIfTI on the grid of the image, the numbers as CSV, and a report with pictures of "
    "the corrected slices as one HTML file."
)
DICOM_HELP = (
    "Labels as DICOM SEG and measurements as DICOM SR, which refer to the images of the study: for "
    "studies of DICOM images, whose folder is asked for. As every DICOM file, they hold the "
    "patient's name."
)
TRAINING_HELP = (
    "Takes the phases of which all slices in the queue are accepted into the training part of an "
    "nnU-Net dataset; one more cycle of training (dock Train) then learns from them."
)


class ExportForm(QWidget):
    """Signals up: what the reader wants; ``say`` shows what came of it."""

    export_requested = Signal()
    dicom_requested = Signal()
    training_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.export_button = QPushButton("Labels, numbers and report…")
        self.dicom_button = QPushButton("DICOM SEG and SR…")
        self.training_button = QPushButton("Add to training set…")
        self.status = Sentence()
        self.export_button.setToolTip(EXPORT_HELP)
        self.dicom_button.setToolTip(DICOM_HELP)
        self.training_button.setToolTip(TRAINING_HELP)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.export_button, self.dicom_button, self.training_button, self.status):
            column.addWidget(part)
        self.export_button.clicked.connect(self.export_requested)
        self.dicom_button.clicked.connect(self.dicom_requested)
        self.training_button.clicked.connect(self.training_requested)

    def say(self, sentence: str) -> None:
        """Show a sentence instead of the one before."""
        self.status.say(sentence)
