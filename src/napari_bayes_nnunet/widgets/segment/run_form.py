"""Buttons, progress, messages and numbers of the Segment dock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from qtpy.QtCore import Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QLabel,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ...app.messages import StageStarted
from ...app.segmentation.methods import METHODS
from ...app.segmentation.result import FEWEST_FOR_LOOKS
from ...core.ensemble.maps import ENTROPY, MAPS, UncertaintyMap
from ...core.heart.structures import CARDIAC
from ...core.heart.volume_curve import VolumeCurve
from ..common.dock import LevelLabel, MessageLabel, column_layout, row_layout, share_row
from ..common.eliding_button import ElidingButton
from ..common.progress_row import ProgressRow
from ..layers.result import ResultNumbers
from ..reading.key_numbers import KeyNumbers

if TYPE_CHECKING:
    from ..reading.volume_plot import CurvesPlot

SEGMENT_IMAGE = "Segment {title}"
SEGMENTING_IMAGE = "Segmenting {title}"
A_FOLDER = "Segment a folder…"
MORE_IN_REVIEW = "Review… also shows the uncertainty as lines and as outlines of the members."


class RunForm(QWidget):
    """Buttons, and setters for progress and messages.

    ``outcome`` has messages and numbers, whose height changes: it belongs below all controls.
    """

    map_chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.segment_button = ElidingButton(SEGMENT_IMAGE.format(title="").strip())
        self.stop_button = QPushButton("Stop")
        self.save_button = QPushButton("Save…")
        self.review_button = QPushButton("Review…")
        self.progress = ProgressRow(can_stop=False)
        self.status = MessageLabel()
        self.warnings = MessageLabel(level="warning")
        self.results = ResultsForm()
        self.outcome = QWidget()
        self.scale = QLabel()
        self.more = LevelLabel(MORE_IN_REVIEW, level="done")
        self.maps = QWidget()
        self.map_boxes = {m: QCheckBox(f"Show {m.title}") for m in MAPS.values() if m != ENTROPY}
        self.folder_button = QPushButton(A_FOLDER)
        self._explain()
        self._lay_out()
        for box in self.map_boxes.values():
            box.toggled.connect(partial(self._on_map_toggled, box))
        self._title = self._running_title = self._missing = ""
        self._is_outcome_far = False
        self.set_running(False)
        self.set_result(None)

    def showEvent(self, event: QShowEvent) -> None:
        """Give the hidden progress the height of any text in the font of the window."""
        super().showEvent(event)
        text = self.progress.text
        text.ensurePolished()
        text.setMinimumHeight(QLabel("…", text).sizeHint().height())

    def set_title(self, title: str) -> None:
        """Name what will be segmented, such as "patient011, ED and ES"; "" if nothing is open."""
        self._title = title
        self._name_button()

    def set_missing(self, reason: str) -> None:
        """Disable Segment and say why in its tooltip; "" if nothing is missing."""
        self._missing = reason
        self._name_button()

    def set_running(self, running: bool) -> None:
        """Enable Segment or Stop, show or hide the progress, and name what is being segmented."""
        self._is_running = running
        self._running_title = self._title if running else ""
        self._name_button()
        self.stop_button.setEnabled(running)
        self.progress.bar.setVisible(running)
        self._show_line()

    def set_outcome_far(self, is_far: bool) -> None:
        """Repeat the messages next to the buttons while ``outcome`` may be out of sight."""
        self._is_outcome_far = is_far
        self._show_line()

    @property
    def shown_map(self) -> UncertaintyMap:
        """The chosen map; the entropy unless another one is chosen."""
        return next((m for m, box in self.map_boxes.items() if box.isChecked()), ENTROPY)

    def set_result(self, classes: int | None) -> None:
        """Show the scale of the map for C classes; None if there is no result to save."""
        for button in (self.save_button, self.review_button):
            button.setEnabled(classes is not None)
        self._classes = classes
        self._show_scale()

    def show_stage(self, text: str) -> None:
        """Show a step of unknown duration; outside a run, leave the messages."""
        if self._is_running:
            self.progress.show_stage(StageStarted(text=text))

    def show_progress(self, stage: StageStarted) -> None:
        """Show the number of finished members."""
        self.progress.show_stage(stage)

    def show_folder_progress(self, count: str) -> None:
        """Show the progress of a cohort, such as "3 of 60"; "" if none is running."""
        self.folder_button.setText(f"{A_FOLDER} {count}" if count else A_FOLDER)

    def show_messages(self, *sentences: str) -> None:
        """Replace the messages."""
        self.status.show_message("\n".join(sentence for sentence in sentences if sentence))
        self._show_line()

    def add_message(self, sentence: str) -> None:
        """Add a message unless it is already shown."""
        lines = self.status.text().splitlines()
        # Phases often have the same note.
        if sentence not in lines:
            self.show_messages(*lines, sentence)

    def _show_line(self) -> None:
        """Show the progress, or the messages as far as they fit if they must be repeated."""
        is_shown = self._is_outcome_far and not self._is_running
        message = self.status.text().replace("\n", " ") if is_shown else ""
        text = self.progress.text
        if not self._is_running:
            text.setText(message or " ")  # an empty label has no height
        text.setToolTip(message)
        text.setVisible(self._is_running or bool(message))

    def _name_button(self) -> None:
        running, title = self._running_title, self._title
        text = (
            SEGMENTING_IMAGE.format(title=running)
            if running
            else SEGMENT_IMAGE.format(title=title).strip()
        )
        self.segment_button.set_title(text)
        self.segment_button.setToolTip(self._missing or f"{text} in the background.")
        self.segment_button.setEnabled(not self._is_running and not self._missing)

    def _show_scale(self) -> None:
        """Explain the scale of the map on screen, if there is a result."""
        shown = self.shown_map
        if self._classes is not None:
            self.scale.setText(shown.scale.format(largest=shown.end(self._classes)))
        for part in (self.scale, self.more):
            part.setVisible(self._classes is not None)

    def _on_map_toggled(self, box: QCheckBox, checked: bool) -> None:
        """Take the tick off the other maps, because one is shown at a time."""
        for other in self.map_boxes.values():
            if checked and other is not box:
                other.setChecked(False)
        self._show_scale()
        self.map_chosen.emit()

    def _explain(self) -> None:
        self.stop_button.setToolTip("Stop within a second and keep the result so far.")
        self.save_button.setToolTip(
            "Save the prediction: labels, uncertainty maps and numbers (JSON) in one folder. "
            "Corrections are saved in the Review dock."
        )
        self.review_button.setToolTip(
            "Review and correct the most uncertain slices. The study with the corrections is saved "
            "next to the image."
        )
        for entry, box in self.map_boxes.items():
            box.setToolTip(f"In place of the entropy. {entry.explained}")
        self.folder_button.setToolTip(
            "Segment all NIfTI and DICOM studies of a folder with this ensemble and these options, "
            "in a separate window."
        )

    def _lay_out(self) -> None:
        sides = QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum
        self.segment_button.setSizePolicy(*sides)  # napari's disabled buttons are higher
        buttons = share_row(None, {self.segment_button: 3, self.stop_button: 1})
        below = share_row(None, {self.review_button: 2, self.save_button: 1})
        for part in (self.progress.text, self.progress.bar):
            policy = part.sizePolicy()
            policy.setRetainSizeWhenHidden(True)  # a run moves no control
            part.setSizePolicy(policy)
        self.progress.show()
        last = self.folder_button, self.maps, self.outcome
        column_layout(self, buttons, self.progress, below, *last)
        column_layout(self.maps, *self.map_boxes.values())
        texts = self.status, self.warnings, self.results, self.scale, self.more
        column_layout(self.outcome, *texts)
        for text in (self.scale, self.more):
            text.setWordWrap(True)


PROVISIONAL_NOTE: Final = "Open circles: provisional, from one network."
LINES_NOTE: Final = " Dotted lines: ED phase {ed}, ES phase {es}."

HELP: Final = (
    "Volumes of LV and RV in every phase. An open circle is a first look by one network; it is "
    "replaced by a dot when the phase is segmented."
)


class CurveForm(QWidget):
    """Curves of LV and RV; hidden if there are few phases, or none is segmented."""

    def __init__(self) -> None:
        super().__init__()
        self.plot: CurvesPlot | None = None
        self.note = LevelLabel(level="done")
        self.note.setWordWrap(True)
        column_layout(self, self.note).setSpacing(3)
        self.hide()

    def set_numbers(self, numbers: ResultNumbers) -> None:
        """Draw the curves over all phases of the cine, with dotted lines at ED and ES.

        These are the measured phases, or else those of the largest and the smallest volume.
        Without a segmented phase the image is not judged yet, so nothing is drawn.
        """
        curves, ed, es = numbers.curves, numbers.ed, numbers.es
        phases = {phase for curve in curves for phase in curve.phases}
        is_judged = any(set(curve.phases) - curve.provisional for curve in curves)
        self.setVisible(is_judged and len(phases) >= FEWEST_FOR_LOOKS)
        if self.isHidden():
            return
        from ..reading.volume_plot import propose_landmarks

        known = None if ed is None or es is None else (ed, es)
        landmarks = known or propose_landmarks(curves)
        self._plot(curves).draw(curves, range(1, numbers.count + 1), landmarks)
        lines = LINES_NOTE.format(ed=landmarks[0], es=landmarks[1]) if landmarks else ""
        self.note.setText(PROVISIONAL_NOTE + lines)
        self.note.setVisible(any(curve.provisional for curve in curves))

    def _plot(self, curves: Sequence[VolumeCurve]) -> CurvesPlot:
        """Return the plot, made with the first curve: its import takes long."""
        if self.plot is None:
            from ..common.plotting import Legend
            from ..reading.volume_plot import CurvesPlot

            self.plot = CurvesPlot()
            legend = Legend("Volume")
            legend.setToolTip(HELP)
            legend.set_colors({c.structure: CARDIAC[c.structure] for c in curves})
            for row, part in enumerate((legend, self.plot)):
                self.layout().insertWidget(row, part)
        return self.plot


SHOW_HELP: Final = "Show the layers of this result and hide those of the others."
PREDICTED_NUMBERS: Final = "Without the corrections of a review"
REMOVE_HELP: Final = "Remove this result and its layers."


class ResultsForm(QWidget):
    """The numbers of every result; with several, one of them is chosen for the canvas.

    ``chosen`` and ``remove_requested`` carry the name of a method.
    """

    chosen = Signal(str)
    remove_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._group = QButtonGroup(self)
        self.blocks: dict[str, ResultBlock] = {}
        self._rows = QVBoxLayout()
        self.curves = CurveForm()
        self.kind = LevelLabel(PREDICTED_NUMBERS, level="done")
        self.kind.setWordWrap(True)
        column_layout(self, self.kind, self._rows, self.curves)
        self.set_results({}, "")

    def set_results(self, results: Mapping[str, ResultNumbers], chosen: str) -> None:
        """Show the numbers of the results by method; ``chosen`` is the method on the canvas."""
        if list(results) != list(self.blocks):
            self._make_blocks(list(results))
        for method, numbers in results.items():
            block = self.blocks[method]
            block.set_numbers(numbers)
            block.head.setVisible(len(results) > 1)
            block.show_button.setChecked(method == chosen)
        self.curves.set_numbers(results.get(chosen, ResultNumbers(measured={})))
        self.kind.setVisible(any(numbers.measured for numbers in results.values()))
        self.setVisible(bool(results))

    def _make_blocks(self, methods: list[str]) -> None:
        for block in self.blocks.values():
            self._group.removeButton(block.show_button)
            self._rows.removeWidget(block)
            block.hide()
            block.deleteLater()
        self.blocks = {method: ResultBlock(method) for method in methods}
        for method, block in self.blocks.items():
            self._group.addButton(block.show_button)
            self._rows.addWidget(block)
            block.show_button.clicked.connect(partial(self.chosen.emit, method))
            block.remove_button.clicked.connect(partial(self.remove_requested.emit, method))


class ResultBlock(QWidget):
    """Name of a method, with buttons to show and to remove its result, above its numbers."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.head = QWidget()
        self.show_button = QRadioButton(f"{METHODS[method].title} ({method})")
        self.show_button.setToolTip(SHOW_HELP)
        self.remove_button = QPushButton("Remove")
        self.remove_button.setToolTip(REMOVE_HELP)
        self.numbers = KeyNumbers(in_review=False)
        row_layout(self.head, self.show_button, self.remove_button, wide=self.show_button)
        column_layout(self, self.head, self.numbers).setSpacing(0)

    def set_numbers(self, numbers: ResultNumbers) -> None:
        """Show the numbers of the result, unless ED and ES are yet to be segmented."""
        finished = [len(curve.phases) - len(curve.provisional) for curve in numbers.curves]
        self.numbers.setVisible(bool(numbers.measured) or not finished or max(finished) > 1)
        self.numbers.set_numbers(
            numbers.measured, {}, ed=numbers.ed, es=numbers.es, compared=numbers.compared
        )
