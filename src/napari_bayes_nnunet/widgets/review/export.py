"""Taking the outcome of a review along: files, and cases to train on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ...app.review.export import add_to_training_set, export_review
from ...app.review.session import ReviewSession
from ...io.images.nifti import Volume
from ..common.background import Background
from ..common.dock import MessageLabel

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
        self.status = MessageLabel()
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


IMAGE_NEEDED = "The image is needed to train on: choose it with Find image…."


class ReviewExporter(QObject):
    """Files and training cases of one session, as it is when they are asked for."""

    def __init__(
        self,
        session: ReviewSession,
        image: Volume | None,
        form: ExportForm,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._image = image
        self._form = form
        self._background = Background(form)  # nothing arrives when it is gone

    def export_to(self, folder: Path) -> None:
        """Write labels, numbers and report into ``folder``."""
        self._form.say(f"Saving in {folder}…")
        session = self._session.snapshot()
        queue = session.queue(session.scores())
        work = partial(export_review, session, self._image, folder, queue=queue)
        self._background.run(work, self._on_exported, self._form.say)

    def export_dicom_to(self, folder: Path, *, images: Path) -> None:
        """Write labels and numbers as DICOM into ``folder``; ``images`` is what the study is of."""
        self._form.say(f"Saving in {folder}…")
        work = partial(_export_dicom, self._session.snapshot(), images, folder)
        self._background.run(work, self._on_exported, self._form.say)

    def add_to_training_set(self, dataset: Path) -> None:
        """Take the reviewed phases into the training part of a dataset."""
        if self._image is None:
            self._form.say(IMAGE_NEEDED)
            return
        self._form.say(f"Adding to {dataset.name}…")
        work = partial(add_to_training_set, self._session.snapshot(), self._image, dataset)
        self._background.run(work, self._on_added, self._form.say)

    def _on_exported(self, files: list[Path]) -> None:
        names = ", ".join(file.name for file in files)
        self._form.say(f"Saved {names} in {files[0].parent}.")

    def _on_added(self, names: list[str]) -> None:
        self._form.say(f"Added {', '.join(names)}. Train one more cycle in the dock Train.")


def _export_dicom(session: ReviewSession, images: Path, folder: Path) -> list[Path]:
    from ...app.review.dicom_export import (
        export_session,  # takes a moment to load, and is seldom needed
    )

    return export_session(session, images, folder)
