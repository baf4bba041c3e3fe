"""The buttons, the progress and the sentences of the dock Segment."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from .job import SegmentationProgress

_STEPS = 1000
A_FOLDER = "Segment a folder…"
SCALE = (
    "Entropy: 0 where all members are sure of one structure, {largest:.3g} bit where every one is "
    "equally probable. It is not a probability of error."
)


class RunForm(QWidget):
    """Signals up: what the user wants. Setters down: what is shown."""

    segment_requested = Signal()
    stop_requested = Signal()
    save_requested = Signal()
    review_requested = Signal()
    mutual_information_toggled = Signal(bool)
    folder_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.segment_button = QPushButton("Segment")
        self.stop_button = QPushButton("Stop")
        self.save_button = QPushButton("Save…")
        self.review_button = QPushButton("Review…")
        self.progress_text = QLabel()
        self.progress = QProgressBar()
        self.status = QLabel()
        self.scale = QLabel()
        self.mutual_information = QCheckBox("Show mutual information")
        self.folder_button = QPushButton(A_FOLDER)
        self._explain()
        self._lay_out()
        self.segment_button.clicked.connect(self.segment_requested)
        self.stop_button.clicked.connect(self.stop_requested)
        self.save_button.clicked.connect(self.save_requested)
        self.review_button.clicked.connect(self.review_requested)
        self.mutual_information.toggled.connect(self.mutual_information_toggled)
        self.folder_button.clicked.connect(self.folder_requested)
        self.set_running(False)
        self.set_result(None)

    def set_running(self, running: bool) -> None:
        """Enable the buttons that make sense, and show or hide the progress."""
        self.segment_button.setEnabled(not running)
        self.stop_button.setEnabled(running)
        for part in (self.progress, self.progress_text):
            part.setVisible(running)

    def set_result(self, largest_entropy: float | None) -> None:
        """Whether there is a result to save, and the end of its entropy scale in bit."""
        for button in (self.save_button, self.review_button):
            button.setEnabled(largest_entropy is not None)
        self.scale.setText(SCALE.format(largest=largest_entropy or 0.0))
        self.scale.setVisible(largest_entropy is not None)

    def show_stage(self, text: str) -> None:
        """Show that something of unknown duration goes on."""
        self.progress_text.setText(f"{text}…")
        self.progress.setRange(0, 0)

    def show_progress(self, progress: SegmentationProgress) -> None:
        """Show how many members are done."""
        self.progress_text.setText(str(progress))
        self.progress.setRange(0, _STEPS)
        self.progress.setValue(round(progress.fraction * _STEPS))

    def show_folder_progress(self, count: str) -> None:
        """How many studies of a folder are done, such as "3 of 60"; "" while none are segmented."""
        self.folder_button.setText(f"{A_FOLDER} {count}" if count else A_FOLDER)

    def say(self, *sentences: str) -> None:
        """Show sentences instead of those before."""
        text = "\n".join(sentence for sentence in sentences if sentence)
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def say_also(self, sentence: str) -> None:
        """Show one more sentence, once."""
        lines = self.status.text().splitlines()
        if sentence not in lines:
            self.say(*lines, sentence)

    def _explain(self) -> None:
        self.segment_button.setToolTip("Segment the image; the window stays free meanwhile.")
        self.stop_button.setToolTip("Stop within a second and keep what was found.")
        self.save_button.setToolTip(
            "Save labels, uncertainty maps and a report beside each other, with the geometry of "
            "the image."
        )
        self.review_button.setToolTip(
            "Go through the slices the models disagree on and correct them. A study, the folder "
            "that keeps the corrections, is made beside the image."
        )
        self.mutual_information.setToolTip(
            "The part of the entropy on which the members disagree with each other, in bit; the "
            "rest is where each member by itself is unsure."
        )

        self.folder_button.setToolTip(
            "Segment all studies of a folder, NIfTI and DICOM, with this ensemble and these "
            "options. A window of its own shows how far it is; it can be closed meanwhile."
        )

    def _lay_out(self) -> None:
        self.status.setWordWrap(True)
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        buttons = QHBoxLayout()
        buttons.addWidget(self.segment_button, 2)
        buttons.addWidget(self.stop_button, 1)
        below = QHBoxLayout()
        below.addWidget(self.review_button, 2)
        below.addWidget(self.save_button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(buttons)
        for part in (self.progress_text, self.progress, self.status):
            column.addWidget(part)
        column.addLayout(below)
        column.addWidget(self.mutual_information)
        column.addWidget(self.scale)
        column.addWidget(self.folder_button)
        self.scale.setWordWrap(True)
        self.say()
