"""Export of a review: files and training cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu, QPushButton

from ...app.evaluation.readings import compare_study
from ...app.review.accepted_slices import describe_open_slices
from ...app.review.corrected_studies import add_to_training_set
from ...app.review.export import export_review
from ...app.review.session import ReviewSession
from ...io.images.nifti import Volume
from ..common.background import Background
from ..common.dialogs import NOT_OPENED, open_path

EXPORT_HELP = (
    "Save the labels (NIfTI), the numbers (CSV) and a report with pictures of the corrected slices "
    "(HTML)."
)
NAMED_HELP = (
    "Write name, birth year, sex and date from the DICOM header, or the file's name, into the "
    "report. Labels and numbers do not name the patient."
)
DICOM_HELP = (
    "Save the labels as DICOM SEG and the measurements as DICOM SR, for studies made from DICOM "
    "images. The files contain the patient's name."
)
CONTOURS_HELP = (
    "Also write the smooth contours of each phase as RTSTRUCT, next to DICOM SEG and SR."
)
SEND_HELP = (
    "Send DICOM SEG and SR to an archive (PACS), after a question that names files, patient and "
    "archive."
)
TRAINING_HELP = (
    "Add each phase whose queued slices are all accepted to the training cases of an nnU-Net "
    "dataset. Then train one more cycle in the Train dock."
)


STUDY_HELP = "Save the study now. It is also saved after every decision and every half minute."
FILES_SAVED_IN = "Saved in {folder}: {names}."
OPEN_FOLDER = "Open folder"
NOTHING_SAVED = "Save something first; this opens its folder."


class SaveButton(QPushButton):
    """Button with a menu of all that can be saved; ``reported`` carries the outcome."""

    reported = Signal(str)

    def __init__(self) -> None:
        super().__init__("Save")
        self._folder: Path | None = None
        self.message = ""
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self.setMenu(self._menu)
        self.study_action = self._add("Study", STUDY_HELP)
        self.export_action = self._add("Labels, numbers and report…", EXPORT_HELP)
        self.dicom_action = self._add("DICOM SEG and SR…", DICOM_HELP)
        self.send_action = self._add("Send to archive…", SEND_HELP)
        self.training_action = self._add("Add to training set…", TRAINING_HELP)
        self._menu.addSeparator()
        self.names_patient = self._add("Report with the patient's name", NAMED_HELP)
        self.names_patient.setCheckable(True)
        self.dicom_contours = self._add("DICOM with contours", CONTOURS_HELP)
        self.dicom_contours.setCheckable(True)
        self.folder_action = self._add(OPEN_FOLDER, NOTHING_SAVED)
        self.folder_action.setEnabled(False)
        self.folder_action.triggered.connect(self._on_folder_wanted)

    def show_message(self, message: str) -> None:
        """Report a message."""
        self.message = message
        self.reported.emit(message)

    def show_saved(self, files: Sequence[Path], doubt: str = "") -> None:
        """Report after a ``doubt`` which files were written, and offer to open their folder."""
        folder, names = files[0].parent, ", ".join(file.name for file in files)
        self.show_message(f"{doubt} {FILES_SAVED_IN.format(folder=folder, names=names)}".strip())
        self._folder = folder
        self.folder_action.setEnabled(True)
        self.folder_action.setToolTip(f"Open {folder} in the file manager.")

    def show_page(self, page: Path) -> None:
        """Show a page in the browser."""
        is_open = open_path(page)
        self.show_message((COMPARED if is_open else NOT_OPENED).format(path=page))

    def _add(self, text: str, help_text: str) -> QAction:
        action = self._menu.addAction(text)
        action.setToolTip(help_text)
        return action

    def _on_folder_wanted(self) -> None:
        folder = self._folder
        if folder is not None and not (folder.exists() and open_path(folder)):
            self.show_message(NOT_OPENED.format(path=folder))


COMPARING, COMPARED = "Comparing the readings…", "The browser shows {path}."
IMAGE_NEEDED = "Training cases need the image. Choose the image with Find image…"


class ReviewExporter(QObject):
    """Exporter of one session, in its state at the time of the request.

    ``end_drawing`` is called first, so that what is being drawn is exported, too.
    """

    def __init__(
        self,
        session: ReviewSession,
        image: Volume | None,
        form: SaveButton,
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
        on_saved = partial(self._form.show_saved, doubt=describe_open_slices(session))
        self._run(f"Saving to {folder}…", work, on_saved)

    def export_dicom_to(self, folder: Path, *, images: Path) -> None:
        """Write labels and numbers as DICOM into ``folder``; ``images`` are those of the study."""
        contours = self._form.dicom_contours.isChecked()
        work = partial(_export_dicom, self._snapshot(), images, folder, contours=contours)
        self._run(f"Saving to {folder}…", work, self._form.show_saved)

    def compare(self) -> None:
        """Compare the finished readings of the study on a page in the browser."""
        work = partial(compare_study, self.session.study.folder)
        self._run(COMPARING, work, self._form.show_page)

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


def _export_dicom(
    session: ReviewSession, images: Path, folder: Path, *, contours: bool
) -> list[Path]:
    # Imported here because loading it takes a moment.
    from ...app.review.dicom_export import export_session

    return export_session(session, images, folder, contours=contours)
