"""What an evaluation has found: the main numbers, reliability diagrams, and the way to the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ...app.evaluation.request import EvaluationOutcome
from ..common.dock import heading
from ..common.fold_button import FoldButton
from ..common.picture_flow import PictureFlow
from ..common.sentence import Sentence
from .results_table import EvaluationTable

BOLD = "Dice, and calibration error (ECE). Bold is the best; point at a number for its interval."
READING = (
    "Reliability: a bar that ends at the dashed line is as often right as it is sure. Red: too "
    "sure; pale: not sure enough."
)
NO_DIAGRAM = (
    "No reliability diagram: it needs probabilities (predict --save probabilities, or "
    "nnUNetv2_predict --save_probabilities)."
)
NOTES = "What was left out or assumed"
MADE = "{extent}; the report is in {folder}."
NOT_OPENED = "Nothing on this computer opens it: {path}"


def open_path(path: Path) -> bool:
    """Open a page in the browser, a folder in the file manager; whether that worked."""
    return bool(QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))))


class EvaluationResults(QWidget):
    """Hidden until there is an outcome. ``open_path`` opens a file or a folder."""

    def __init__(
        self, *, open_path: Callable[[Path], bool] = open_path, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._open_path = open_path
        self._outcome: EvaluationOutcome | None = None
        self.made = Sentence()
        self.table = EvaluationTable()
        self.bold = Sentence(BOLD)
        self.reading = Sentence()
        self.pictures = PictureFlow()
        self.notes = QWidget()
        self.notes_text = Sentence()
        self.notes_fold = FoldButton("", self.notes)
        self.report_button = QPushButton("Open the report")
        self.folder_button = QPushButton("Open folder")
        self.problem = Sentence()
        self.pictures.setAccessibleName("Reliability diagrams")
        self._lay_out()
        self.report_button.clicked.connect(self._on_report_clicked)
        self.folder_button.clicked.connect(self._on_folder_clicked)
        self.set_outcome(None)

    @property
    def outcome(self) -> EvaluationOutcome | None:
        """What is shown."""
        return self._outcome

    def set_outcome(self, outcome: EvaluationOutcome | None) -> None:
        """Show what was found, or nothing."""
        self._outcome = outcome
        self.problem.say("")
        if outcome is not None:
            self.made.say(MADE.format(extent=outcome.extent, folder=outcome.page.parent))
            self.table.set_table(outcome.table)
            self.reading.say(READING if outcome.pictures else NO_DIAGRAM)
            self.pictures.set_pictures(outcome.pictures)
            self._show_notes(outcome.notes)
            self.report_button.setToolTip(f"In the browser: {outcome.page}")
            self.folder_button.setToolTip(str(outcome.page.parent))
        self.setVisible(outcome is not None)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.report_button, 3)
        buttons.addWidget(self.folder_button, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Result"))
        column.addWidget(self.made)
        column.addLayout(buttons)
        for part in (
            self.problem, self.table, self.bold, self.pictures, self.reading, self.notes_fold,
            self.notes,
        ):  # fmt: skip
            column.addWidget(part)
        inner = QVBoxLayout(self.notes)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(self.notes_text)

    def _show_notes(self, notes: tuple[str, ...]) -> None:
        self.notes_text.say("\n\n".join(notes))
        self.notes_fold.setText(f"{NOTES} ({len(notes)})")
        self.notes_fold.setChecked(False)
        self.notes_fold.setVisible(bool(notes))

    def _on_report_clicked(self) -> None:
        if self._outcome is not None:
            self._open(self._outcome.page)

    def _on_folder_clicked(self) -> None:
        if self._outcome is not None:
            self._open(self._outcome.page.parent)

    def _open(self, path: Path) -> None:
        opened = path.exists() and self._open_path(path)
        self.problem.say("" if opened else NOT_OPENED.format(path=path))
