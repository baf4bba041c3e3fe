"""Which part of a case's name names the patient, shown on a name of the dataset."""

from __future__ import annotations

import re

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from ...io.dataset.raw_dataset import DEFAULT_PATIENT
from .dock import MessageLabel, row_label
from .rows_table import LEVEL_COLORS

OWN = "own"
PATTERNS = {
    DEFAULT_PATIENT: "All before _frame",
    r"^([^_]+)": "All before the first _",
    r"^(.+)_": "All before the last _",
    r"^(.+)$": "The whole name",
    OWN: "Own pattern…",
}
_HELP = (
    "Cases of one patient look alike: they must not be trained on and validated with at the same "
    "time. So say which part of a case's name names the patient."
)
GIVEN = "The training goes on with the patients it began with."
OWN_HELP = (
    "A regular expression; what its one group, in round brackets, matches is the patient. "
    "(patient\\d+) takes “patient” and the digits after it."
)
ONE_GROUP = "Put the patient's part of the pattern in round brackets, once, as in (patient\\d+)."
NO_PATTERN = "This is no regular expression: {error}."


class PatientForm(QWidget):
    """``changed`` tells that another pattern holds, or that there is none."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.choice = QComboBox()
        self.own = QLineEdit()
        self.example = MessageLabel()
        self.problem_text = MessageLabel(color=LEVEL_COLORS["blocking"])
        self.choice.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        for pattern, title in PATTERNS.items():
            self.choice.addItem(title, pattern)
            last = self.choice.count() - 1
            tip = OWN_HELP if pattern == OWN else pattern
            self.choice.setItemData(last, tip, Qt.ItemDataRole.ToolTipRole)
        self.choice.setToolTip(_HELP)
        self.own.setToolTip(OWN_HELP)
        self.own.setPlaceholderText(r"(patient\d+)")
        self.own.hide()
        self._lay_out()
        self.choice.currentIndexChanged.connect(self._on_changed)
        self.own.textChanged.connect(self._on_changed)

    @property
    def pattern(self) -> str | None:
        """The regular expression that is chosen, None while the user's own makes no sense."""
        if self.problem:
            return None
        chosen = str(self.choice.currentData())
        return str(self.own.text()) if chosen == OWN else chosen

    @property
    def problem(self) -> str:
        """What is wrong with the user's own pattern, "" where nothing is."""
        return str(self.problem_text.text())

    def set_given(self, given: bool) -> None:
        """Whether a training goes on, so that nothing is to be chosen here."""
        for part in (self.choice, self.own):
            part.setEnabled(not given)
        self.choice.setToolTip(GIVEN if given else _HELP)

    def show_example(self, text: str) -> None:
        """Show what the pattern makes of the dataset's names."""
        self.example.say(text)

    def _lay_out(self) -> None:
        below = QWidget()
        inner = QVBoxLayout(below)
        inner.setContentsMargins(0, 0, 0, 0)
        for part in (self.own, self.problem_text, self.example):
            inner.addWidget(part)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(labelled_row("Patient", self.choice))
        column.addLayout(labelled_row("", below))

    def _on_changed(self) -> None:
        is_own = self.choice.currentData() == OWN
        self.own.setVisible(is_own)
        self.problem_text.say(pattern_problem(self.own.text()) if is_own else "")
        if self.problem:
            self.example.say("")
        self.changed.emit()


def labelled_row(title: str, first: QWidget, *others: QWidget) -> QHBoxLayout:
    """A row of a form in which sentences may wrap; form layouts give those the wrong height."""
    row = QHBoxLayout()
    row.addWidget(row_label(title))
    row.addWidget(first, 1)
    for other in others:
        row.addWidget(other)
    return row


def pattern_problem(pattern: str) -> str:
    """Why ``pattern`` does not say what names the patient, "" where it does."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        return NO_PATTERN.format(error=error)
    return "" if groups == 1 else ONE_GROUP
