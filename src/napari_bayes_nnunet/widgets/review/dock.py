"""The dock "Review": a study is opened, gone through slice by slice, corrected and handed on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QDockWidget,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from ...app.prediction.output_files import dicom_files_of
from ...app.review.export import export_files
from ...io import DataError
from ...io.study.study import is_study
from ..common.background import Background
from ..common.dialogs import ask_to_replace
from ..common.dock import DOCK_WIDTH, CollapsibleSection, DockContent, MessageLabel, scrolling
from ..common.folder_drop import FolderDrop
from ..layers.metadata import bayes_metadata
from ..layers.result_layers import warm_up_imports
from ..reading.picture import OpenedStudy
from .controller import ReviewController
from .forms import ReviewForms
from .open_study import open_study
from .saver import EVERY_MS
from .study_list import CaseList

NO_STUDY = (
    "Open a study: a folder that “Review…” in the dock Segment or “bayes-nnunet predict --save "
    "study” has made. It can be dropped here."
)
WARM_UP_AFTER_MS = 1000
"""Not while the dock is being opened."""
LEAVE_S = 30.0
"""So long after a refusal closing again is taken for leave to lose what cannot be saved."""
CLOSE_AGAIN = "It stays open; close it once more to lose what was not saved."
WARNING_COLOR = "#FFB347"
Choose = Callable[[QWidget, str], str]
"""Asks for a folder or a file; "" for none."""


def choose_folder(parent: QWidget, title: str) -> str:
    """Ask for a folder."""
    return str(QFileDialog.getExistingDirectory(parent, title))


def choose_image(parent: QWidget, title: str) -> str:
    """Ask for a NIfTI file."""
    return str(QFileDialog.getOpenFileName(parent, title, "", "NIfTI (*.nii *.nii.gz)")[0])


class ReviewWidget(FolderDrop, DockContent):
    """Opens and closes studies; what is done with one is up to its desk.

    ``ask_folder`` and ``ask_image`` ask the reader; ``every_ms`` is how often is saved.
    """

    def __init__(
        self,
        napari_viewer: Any,
        *,
        every_ms: int = EVERY_MS,
        ask_folder: Choose = choose_folder,
        ask_image: Choose = choose_image,
        may_replace: Callable[[QWidget, Sequence[str]], bool] = ask_to_replace,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._every_ms = every_ms
        self._ask_folder = ask_folder
        self._ask_image = ask_image
        self._may_replace = may_replace
        self._background = Background(self)
        self._refused = ""
        self._opening: Path | None = None
        self._refused_at = -math.inf
        self.desk: ReviewController | None = None
        self.cases = CaseList()
        self.title = QElidingLabel()
        self.title.setStyleSheet("font-weight: bold")
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.open_button = QPushButton("Open study…")
        self.close_button = QPushButton("Close study")
        self.image_button = QPushButton("Find image…")
        self.problems = MessageLabel(color=WARNING_COLOR)
        self.status = MessageLabel(NO_STUDY)
        self.saved = MessageLabel()
        self.unsaved = MessageLabel(color=WARNING_COLOR)
        self._lay_out()
        self._connect()
        self._show_study(None)
        self._warm_up = QTimer(self)
        self._warm_up.setSingleShot(True)
        self._warm_up.timeout.connect(self._on_idle)
        self._warm_up.start(WARM_UP_AFTER_MS)
        self._open_what_is_shown()

    @property
    def forms(self) -> ReviewForms:
        """The forms of the study that is open."""
        assert self.desk is not None
        return self.desk.forms

    def open(self, folder: Path, *, image: Path | None = None) -> None:
        """Read a study in a thread and show it; the one before is saved and closed first."""
        self.close_study()
        if self.desk is not None:
            return
        self._opening = folder
        self.status.say(f"Opening {folder.name}…")
        work = partial(open_study, folder, image=image)
        arrived = partial(self._on_opened, folder), partial(self._on_not_opened, folder, image)
        self._background.run(work, *arrived)

    def list_studies(self, folder: Path) -> None:
        """Show the studies of ``folder`` as a list, the worst first."""
        self._cases_section.expand()
        self.cases.set_folder(folder)

    def close_study(self) -> None:
        """Save what is left of the study and take it away.

        What cannot be saved stays open, and is given up only when asked once more.
        """
        self._opening = None
        if self.desk is None or not self._is_saved():
            return
        self._take_away(NO_STUDY)

    def _is_saved(self) -> bool:
        """Save now. Where that fails it is said, and once more is taken for leave to lose it."""
        assert self.desk is not None
        try:
            self.desk.corrections.discard_preview()
            self.desk.corrections.watch.flush()
            self.desk.saver.save_now()
        except DataError as error:
            if monotonic() - self._refused_at < LEAVE_S:
                return True
            self._refused_at = monotonic()
            self.status.say(f"Not saved: {error} {CLOSE_AGAIN}")
            return False
        return True

    def _take_away(self, sentence: str) -> None:
        if self.desk is None:
            return
        desk, self.desk, self._refused_at = self.desk, None, -math.inf
        try:
            desk.close()
            self.status.say(sentence)
        except DataError as error:
            self.status.say(f"Not saved: {error}")
        desk.forms.deleteLater()
        desk.deleteLater()
        self._show_study(None)
        self.cases.refresh()

    def _on_idle(self) -> None:
        self._background.run(warm_up_imports, _ignore, _ignore)

    def _on_opened(self, folder: Path, opened: OpenedStudy) -> None:
        if folder != self._opening:
            opened.dismiss()
            return
        forms = ReviewForms()
        self._place.addWidget(forms)
        self.status.say(self._refused)
        self._refused = ""
        every_ms = self._every_ms
        try:
            self.desk = ReviewController(
                self._viewer, opened, forms, every_ms=every_ms, parent=self
            )
        except Exception:
            opened.dismiss()
            forms.deleteLater()
            raise
        finally:
            self._opening = None  # only now: the layers that came with it are no other study
        self.desk.said.connect(self.status.say)
        self.desk.lost.connect(self._on_lost, Qt.ConnectionType.QueuedConnection)
        self.desk.saver.told.connect(self._on_saved)
        self.desk.saver.failed.connect(self.unsaved.say)
        forms.export.export_requested.connect(self._on_export_requested)
        forms.export.dicom_requested.connect(self._on_dicom_requested)
        forms.export.training_requested.connect(self._on_training_requested)
        self._show_study(opened)

    def _on_not_opened(self, folder: Path, image: Path | None, sentence: str) -> None:
        if folder != self._opening:
            return
        self._opening = None
        if image is not None:
            self.open(folder)  # as before another image was chosen
        self._refused = sentence if image is not None else ""
        self.status.say(sentence)

    def _on_saved(self, sentence: str) -> None:
        """That it was saved is no reason to take away what is said."""
        self._refused_at = -math.inf
        self.saved.say(sentence)
        self.unsaved.say("")

    def _show_study(self, opened: OpenedStudy | None) -> None:
        self.close_button.setVisible(opened is not None)
        self.image_button.setVisible(opened is not None and opened.image is None)
        self.title.setVisible(opened is not None)
        self.saved.say("")
        self.unsaved.say("")
        if opened is None or self.desk is None:
            self.problems.say("")
            return
        info = opened.session.study.info
        self.title.setText(info.case)
        self.title.setToolTip(f"{info.case}\n{opened.session.study.folder}")
        sentences = (*opened.problems, *info.warnings)
        self.problems.say("\n".join(filter(None, sentences)))

    def _open_what_is_shown(self) -> None:
        """A study that was dropped on the window is reviewed as soon as the dock is there."""
        for layer in self._viewer.layers:
            self._open_study_of(layer)

    def _on_inserted(self, event: Any) -> None:
        """Only what is new: layers stay when their study is closed."""
        self._open_study_of(event.value)

    def _open_study_of(self, layer: Any) -> None:
        folder = bayes_metadata(layer).get("study")
        if folder and self.desk is None and self._opening is None and is_study(Path(folder)):
            self.open(Path(folder))

    def _lay_out(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.open_button)
        head.addWidget(self.close_button)
        column.addLayout(head)
        for part in (self.problems, self.image_button, self.status, self.unsaved, self.saved):
            column.addWidget(part)
        self._cases_section = CollapsibleSection("Studies of a folder", self.cases)
        column.addWidget(self._cases_section)
        self._place = QVBoxLayout()
        column.addLayout(self._place)
        column.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolling(content))
        self.setMinimumWidth(DOCK_WIDTH)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        self.open_button.clicked.connect(self._on_open_clicked)
        self.close_button.clicked.connect(self.close_study)
        self.image_button.clicked.connect(self._on_image_clicked)
        self.cases.study_chosen.connect(self.open)
        self._viewer.layers.events.inserted.connect(self._on_inserted)

    def _on_open_clicked(self) -> None:
        chosen = self._ask_folder(self, "The folder of a study, or of several")
        if not chosen:
            return
        if is_study(Path(chosen)):
            self.open(Path(chosen))
        else:
            self.list_studies(Path(chosen))

    def _on_image_clicked(self) -> None:
        assert self.desk is not None
        folder = self.desk.session.study.folder
        chosen = self._ask_image(self, "The image this study was made of")
        if chosen:
            self.open(folder, image=Path(chosen))

    def _on_lost(self, what: str) -> None:
        """The user has removed a layer; by now napari's list is whole again."""
        if self.desk is not None and self._is_saved():
            saved = "Nothing was saved" if self.desk.saver.read_only else "All is saved"
            self._take_away(
                f"The layer with the {what} was removed. {saved}: open the study again."
            )

    def _on_export_requested(self) -> None:
        assert self.desk is not None
        chosen = self._ask_folder(self, "Save labels, numbers and report in")
        if not chosen:
            return
        if self._is_free(export_files(self.desk.session, Path(chosen))):
            self.desk.outcome.export_to(Path(chosen))

    def _on_dicom_requested(self) -> None:
        assert self.desk is not None
        images = self._ask_folder(self, "The DICOM images of this study")
        chosen = self._ask_folder(self, "Save DICOM SEG and SR in") if images else ""
        info = self.desk.session.study.info
        labels, *others = dicom_files_of(info.case, info.phases)
        if chosen and self._is_free([Path(chosen) / name for name in (*labels, *others)]):
            self.desk.outcome.export_dicom_to(Path(chosen), images=Path(images))

    def _is_free(self, files: Sequence[Path]) -> bool:
        """Whether none of these files is there, or the user lets them be replaced."""
        names = [file.name for file in files if file.exists()]
        return not names or self._may_replace(self, names)

    def _on_training_requested(self) -> None:
        assert self.desk is not None
        chosen = self._ask_folder(self, "The nnU-Net dataset to train on")
        if chosen:
            self.desk.outcome.add_to_training_set(Path(chosen))

    def take(self, path: Path) -> None:
        """Open the study in a dropped folder, or list its studies."""
        (self.open if is_study(path) else self.list_studies)(path)

    def showEvent(self, event: QShowEvent) -> None:
        """Watch the window this is in: what is not saved yet is saved before it closes."""
        super().showEvent(event)
        if self.window() is not self:
            self.window().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Save when window or dock are closed; where that fails, they stay for once."""
        if event.type() == QEvent.Type.Close and self.desk is not None:
            if not self._is_saved():
                event.ignore()
                return True
            if isinstance(watched, QDockWidget):
                self.close_study()
        return bool(super().eventFilter(watched, event))

    def _on_taken_out(self) -> None:
        self._opening = None
        self._take_away(NO_STUDY)
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)


def _ignore(_: object) -> None:
    """What nobody waits for has ended."""
