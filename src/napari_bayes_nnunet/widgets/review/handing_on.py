"""What a reader takes out of a review, written in a thread while the window goes on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject

from ...app.review.export import add_to_training_set, export
from ...app.review.session import ReviewSession
from ...io.images.nifti import Volume
from ..common.background import Background
from .export import ExportForm

NO_IMAGE = "The image is needed to train on: choose it with Find image…."


class HandingOn(QObject):
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
        self._background = Background(self)

    def export_to(self, folder: Path) -> None:
        """Write labels, numbers and report into ``folder``."""
        self._form.say(f"Saving in {folder}…")
        session = self._session.snapshot()
        queue = session.queue(session.scores())
        work = partial(export, session, self._image, folder, queue=queue)
        self._background.run(work, self._on_exported, self._form.say)

    def export_dicom_to(self, folder: Path, *, images: Path) -> None:
        """Write labels and numbers as DICOM into ``folder``; ``images`` is what the study is of."""
        self._form.say(f"Saving in {folder}…")
        work = partial(_export_dicom, self._session.snapshot(), images, folder)
        self._background.run(work, self._on_exported, self._form.say)

    def add_to_training_set(self, dataset: Path) -> None:
        """Take the reviewed phases into the training part of a dataset."""
        if self._image is None:
            self._form.say(NO_IMAGE)
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
