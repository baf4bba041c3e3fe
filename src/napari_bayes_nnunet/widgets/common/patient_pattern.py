"""Form for the part of a case name that identifies the patient."""

from __future__ import annotations

import re

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QWidget

from ...io.dataset.patients import DEFAULT_PATIENT
from .dock import MessageLabel, ThemeFont, column_layout, row_label, row_layout
from .form import NarrowComboBox

OWN = "own"
PATTERNS = {
    DEFAULT_PATIENT: "Before the session or phase",
    r"^([^_]+)": "Before the first _",
    r"^(.+)_": "Before the last _",
    r"^(.+)$": "The whole name",
    OWN: "Own pattern…",
}
_HELP = (
    "Part of the case name that identifies the patient. Cases of one patient must stay on the same "
    "side of the split."
)
GIVEN = "A resumed training keeps its patients."
OWN_HELP = (
    "Regular expression with one group in round brackets, which matches the patient. "
    "(patient\\d+) matches “patient” and the digits after it."
)
ONE_GROUP = "Put one pair of round brackets around the patient's part, as in (patient\\d+)."
NO_PATTERN = "The pattern is not a regular expression ({error})."


class PatientForm(QWidget):
    """Choice of a pattern, or a field for the user's own; ``changed`` follows every edit."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.choice = NarrowComboBox()
        self.own = QLineEdit()
        ThemeFont(self.own)
        self.example = MessageLabel()
        self.problem_text = MessageLabel(level="blocking")
        self.choice.set_choices(PATTERNS, {**{p: p for p in PATTERNS}, OWN: OWN_HELP})
        self.choice.setToolTip(_HELP)
        self.own.setToolTip(OWN_HELP)
        self.own.setPlaceholderText(r"(patient\d+)")
        self.own.hide()
        self._lay_out()
        self.choice.currentIndexChanged.connect(self._on_changed)
        self.own.textChanged.connect(self._on_changed)

    @property
    def pattern(self) -> str | None:
        """The chosen regular expression, None while the user's own is not valid."""
        if self.problem:
            return None
        chosen = str(self.choice.currentData())
        return str(self.own.text()) if chosen == OWN else chosen

    @property
    def problem(self) -> str:
        """The problem of the user's own pattern, "" if there is none."""
        return str(self.problem_text.text())

    def set_given(self, given: bool) -> None:
        """Disable the choice for a training that is resumed; enable it otherwise."""
        for part in (self.choice, self.own):
            part.setEnabled(not given)
        self.choice.setToolTip(GIVEN if given else _HELP)

    def _lay_out(self) -> None:
        below = QWidget()
        column_layout(below, self.own, self.problem_text, self.example)
        column_layout(self, labelled_row("Patient", self.choice), labelled_row("", below))

    def _on_changed(self) -> None:
        is_own = self.choice.currentData() == OWN
        self.own.setVisible(is_own)
        self.problem_text.show_message(pattern_problem(self.own.text()) if is_own else "")
        if self.problem:
            self.example.show_message("")
        self.changed.emit()


def labelled_row(title: str, first: QWidget, *others: QWidget) -> QHBoxLayout:
    """Return a row of a form; QFormLayout gives sentences that wrap the wrong height."""
    return row_layout(None, row_label(title), first, *others, wide=first)


def pattern_problem(pattern: str) -> str:
    """Return why ``pattern`` does not identify a patient, "" if it does."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        return NO_PATTERN.format(error=error)
    return "" if groups == 1 else ONE_GROUP
