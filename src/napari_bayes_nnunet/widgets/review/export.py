"""Export of a review: files and training cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QCheckBox, QPushButton, QWidget

from ...app.review.corrected_studies import add_to_training_set
from ...app.review.export import export_review
from ...app.review.session import ReviewSession
from ...io.images.nifti import Volume
from ..common.background import Background
from ..common.dialogs import NOT_OPENED, open_path
from ..common.dock import MessageLabel, column_layout

EXPORT_HELP = (
    "Save the labels (NIfTI), the numbers (CSV) and a report with pictures of the corrected slices "
    "(HTML)."
)
NAMED_HELP = (
    "Write name, birth year, sex and date from the DICOM header, or the file's name, into the "
    "report. Labels and numbers stay without."
)
DICOM_HELP = (
    "Save the labels as DICOM SEG and the measurements as DICOM SR, for studies made from DICOM "
    "images. The files contain the patient's name."
)
TRAINING_HELP = (
    "Add each phase whose queued slices are all accepted to the training cases of an nnU-Net "
    "dataset. Then train one more cycle in the Train dock."
)


FILES_SAVED_IN = "Saved in {folder}: {names}."
OPEN_FOLDER = "Open folder"
NOTHING_SAVED = "Save something first; this opens its folder."


class ExportForm(QWidget):
    """Buttons of the exports; ``show_message`` shows the outcome.

    ``open_path`` opens a folder and returns False on failure. ``reported`` carries each message,
    because the form may be scrolled out of sight.
    """

    reported = Signal(str)

    def __init__(
        self, parent: QWidget | None = None, *, open_path: Callable[[Path], bool] = open_path
    ) -> None:
        super().__init__(parent)
        self._open_path = open_path
        self._folder: Path | None = None
        self.export_button = QPushButton("Save labels, numbers and report…")
        self.names_patient = QCheckBox("Report with the patient's name")
        self.dicom_button = QPushButton("Save DICOM SEG and SR…")
        self.training_button = QPushButton("Add to training set…")
        self.folder_button = QPushButton(OPEN_FOLDER)
        self.folder_button.setEnabled(False)
        self.status = MessageLabel()
        self.export_button.setToolTip(EXPORT_HELP)
        self.names_patient.setToolTip(NAMED_HELP)
        self.dicom_button.setToolTip(DICOM_HELP)
        self.training_button.setToolTip(TRAINING_HELP)
        self.folder_button.setToolTip(NOTHING_SAVED)
        saves = self.export_button, self.names_patient, self.dicom_button
        buttons = *saves, self.training_button, self.folder_button
        # The message is last, so that it moves no button.
        column_layout(self, *buttons, self.status)
        self.folder_button.clicked.connect(self._on_folder_clicked)

    def show_message(self, message: str) -> None:
        """Show a message instead of the previous one."""
        self.status.show_message(message)
        self.reported.emit(message)

    def show_saved(self, files: Sequence[Path]) -> None:
        """Show which files were written, and offer to open their folder."""
        folder, names = files[0].parent, ", ".join(file.name for file in files)
        self.show_message(FILES_SAVED_IN.format(folder=folder, names=names))
        self._folder = folder
        self.folder_button.setEnabled(True)
        self.folder_button.setToolTip(f"Open {folder} in the file manager.")

    def _on_folder_clicked(self) -> None:
        folder = self._folder
        if folder is not None and not (folder.exists() and self._open_path(folder)):
            self.show_message(NOT_OPENED.format(path=folder))


IMAGE_NEEDED = "Training cases need the image. Choose the image with Find image…"


class ReviewExporter(QObject):
    """Exporter of one session, in its state at the time of the request.

    ``end_drawing`` is called first, so that what is being drawn is exported, too.
    """

    def __init__(
        self,
        session: ReviewSession,
        image: Volume | None,
        form: ExportForm,
        parent: QObject | None = None,
        *,
        end_drawing: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(parent)
        self.session = session
        self._end_drawing = end_drawing
        self._image = image
        self._form = form
        self._background = Background(form)  # no result arrives after the form is deleted

    def export_to(self, folder: Path) -> None:
        """Write labels, numbers and report into ``folder``."""
        session = self._snapshot()
        queue = session.queue(session.scores())
        named = self._form.names_patient.isChecked()
        work = partial(
            export_review, session, self._image, folder, queue=queue, names_patient=named
        )
        self._run(f"Saving to {folder}…", work, self._form.show_saved)

    def export_dicom_to(self, folder: Path, *, images: Path) -> None:
        """Write labels and numbers as DICOM into ``folder``; ``images`` are those of the study."""
        work = partial(_export_dicom, self._snapshot(), images, folder)
        self._run(f"Saving to {folder}…", work, self._form.show_saved)

    def add_to_training_set(self, dataset: Path) -> None:
        """Add the reviewed phases to the training cases of a dataset."""
        if self._image is None:
            self._form.show_message(IMAGE_NEEDED)
        else:
            work = partial(add_to_training_set, self._snapshot(), self._image, dataset)
            self._run(f"Adding to {dataset.name}…", work, self._on_added)

    def _run(self, message: str, work: Callable[[], Any], on_result: Callable[[Any], None]) -> None:
        self._form.show_message(message)
        self._background.run(work, on_result, self._form.show_message)

    def _snapshot(self) -> ReviewSession:
        self._end_drawing()
        return self.session.snapshot()

    def _on_added(self, names: list[str]) -> None:
        self._form.show_message(
            f"Added {', '.join(names)}. Train one more cycle in the Train dock."
        )


def _export_dicom(session: ReviewSession, images: Path, folder: Path) -> list[Path]:
    # Imported here because loading it takes a moment.
    from ...app.review.dicom_export import export_session

    return export_session(session, images, folder)
