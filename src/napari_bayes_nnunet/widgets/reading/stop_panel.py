"""Advice on the end of a review, with the target of the reader."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QPushButton, QWidget
from superqt.utils import signals_blocked

from ...app.review.stop_advice import DEFAULT_TARGET, LARGEST_TARGET, LEAST_TARGET
from ...core.metrics.conformal import COVERAGES, Coverage
from ..common.dock import MessageLabel, column_layout, explained, row_layout
from ..common.form import DecimalKeys, NarrowComboBox, WheelGuard

TARGET: Final = "Target ±"
TARGET_HELP: Final = (
    "Acceptable change of the LV EF, in points. At least ± 3, because two readings by one reader "
    "already differ by nearly as much."
)
LEVEL_HELP: Final = "Share of patients like those of the calibration in whom the target must hold."
ADVICE_HELP: Final = (
    "Correcting all further slices changes the LV EF by no more than this, in the chosen share of "
    "patients like those of the calibration. The interval of the LV EF is this range."
)
FINISH_HELP: Final = (
    "Mark the review as finished and leave the other slices as they are. Possible once the target "
    "is met and the advice names no slice."
)
_STEP: Final = 0.5


class StopPanel(QWidget):
    """Sentence on the change still to be expected, the target, and a button to finish.

    ``target_changed`` carries the target, in points of EF, and the share of patients, %. The panel
    is hidden without advice.
    """

    target_changed = Signal(float, int)
    finish_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.was_changed = False
        """Whether the reader has changed the target."""
        self.text = MessageLabel()
        self.target = QDoubleSpinBox()
        self.target.setRange(LEAST_TARGET, LARGEST_TARGET)
        self.target.setSingleStep(_STEP)
        self.target.setDecimals(1)
        self.target.setValue(DEFAULT_TARGET)
        self.target.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        # The wheel scrolls the dock; it must not change the target unseen.
        self.target.installEventFilter(WheelGuard(self))
        # In some languages Qt took 1,5 points for 15, a target that any review meets.
        DecimalKeys(self.target)
        self.levels = explained(NarrowComboBox(letters=4), LEVEL_HELP)
        self.levels.set_choices({level: f"{level} %" for level in sorted(COVERAGES, reverse=True)})
        self.finish_button = explained(QPushButton("Finish review"), FINISH_HELP)
        self.text.setToolTip(ADVICE_HELP)
        self.target.setToolTip(TARGET_HELP)
        row = row_layout(None, QLabel(TARGET), self.target, self.levels, None, self.finish_button)
        column_layout(self, self.text, row).setSpacing(2)
        self.target.valueChanged.connect(self._on_changed)
        self.levels.currentIndexChanged.connect(self._on_changed)
        self.finish_button.clicked.connect(self.finish_requested)
        self.set_advice("", may_stop=False)

    @property
    def level(self) -> Coverage:
        """Share of the patients, %."""
        return 80 if self.levels.currentData() == 80 else 90

    def set_target(self, points: float, level: int) -> None:
        """Show a target without a signal."""
        with signals_blocked(self):
            self.target.setValue(points)
            self.levels.choose(level)

    def set_advice(self, text: str, *, may_stop: bool) -> None:
        """Show the advice, and enable the button if the review may stop; "" hides the panel."""
        self.text.show_message(text)
        self.finish_button.setEnabled(may_stop)
        self.setVisible(bool(text))

    def _on_changed(self) -> None:
        # `set_target` blocks the signals, so this is a change by the reader.
        self.was_changed |= not self.signalsBlocked()
        self.target_changed.emit(self.target.value(), self.level)
