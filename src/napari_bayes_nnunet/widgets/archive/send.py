"""Labels and numbers of a study, sent to an archive after a question."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QDialogButtonBox, QWidget

from ...app.review.session import ReviewSession
from ...core.counts import format_count
from ...io.known_archives import KnownArchive
from ..common.settings import Settings
from .archive_form import ArchiveForm, FieldsDialog

if TYPE_CHECKING:  # dicomweb-client, which is optional
    from ...io.archive import Archive

SEND_TITLE = "Send to archive"
QUESTION = "Send {files} of {patient} to this archive?\n\n{names}"


class SendDialog(FieldsDialog):
    """Question that names the files and the patient, with a choice of the archive."""

    def __init__(
        self, patient: str, names: Sequence[str], doubt: str, settings: Settings, parent: QWidget
    ) -> None:
        self.archive = ArchiveForm(settings)
        files = format_count(len(names), "file")
        question = QUESTION.format(files=files, patient=patient, names="\n".join(names))
        sentence = f"{question}\n\n{doubt}".rstrip()
        super().__init__(SEND_TITLE, sentence, {"Archive": self.archive}, parent)
        self.send_button = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        self.send_button.setText("Send")
        # Return, pressed too early, must not send anything.
        self.buttons.button(QDialogButtonBox.StandardButton.Cancel).setDefault(True)
        self.archive.changed.connect(self._on_archive_changed)
        self._on_archive_changed()

    def _on_archive_changed(self) -> None:
        chosen = self.archive.chosen
        self.send_button.setEnabled(chosen is not None)
        self.archive.names.setToolTip(chosen.url if chosen else self.archive.problem)


def ask_to_send(
    parent: QWidget, patient: str, names: Sequence[str], doubt: str, settings: Settings
) -> KnownArchive | None:
    """Ask the user; return the archive to send these files to, or None."""
    dialog = SendDialog(patient, names, doubt, settings, parent)
    return dialog.archive.chosen if dialog.is_agreed() else None


def send_study(
    session: ReviewSession, images: Path, archive: Archive, *, contours: bool
) -> Generator[Any, None, int]:
    """Write a session as DICOM into a temporary folder and send it; return the number of files.

    Raises DataError or AppError.
    """
    from ...app.review.dicom_export import export_session  # loading it takes a moment

    with TemporaryDirectory() as folder:
        written = export_session(session, images, Path(folder), contours=contours)
        files = [file for file in written if file.suffix == ".dcm"]
        yield from archive.store(files)
    return len(files)
