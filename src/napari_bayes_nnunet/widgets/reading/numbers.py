"""The numbers of the report while they are being corrected, and what leaves them open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from ...app.review.export import PAPILLARY
from ...core.heart.ef_contributions import Contribution
from ...core.heart.function import Measured, Patient
from ..common.dock import MessageLabel
from ..common.rows_table import LEVEL_COLORS, Column, Row, RowsTable
from ..review.patient_fields import PatientFields

NOT_CLINICAL = "The spread of the models is not a clinical confidence interval."
NO_NUMBERS = "No numbers: they need the labels RV, MYO or LV."
_MOST = "Slices that add most to the spread of the EF"
MOST_HELP = (
    "By how many points of ejection fraction (EF) the spread would shrink if this slice alone were "
    "reviewed. A click goes there."
)
_COLUMNS = (
    Column("Slice", "Counted from 1 along the stack."),
    Column("Phase", "End-diastole (ED) or end-systole (ES)."),
    Column("Adds to the spread of the EF", MOST_HELP),
)
_ROWS_SHOWN = 5


class NumbersForm(QWidget):
    """``cell_chosen`` carries a phase and a slice (from 0)."""

    cell_chosen = Signal(object, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._contributions: tuple[Contribution, ...] = ()
        self.nothing = MessageLabel(NO_NUMBERS)
        self.numbers = NumbersTable()
        self.patient = PatientFields()
        self.caveat = MessageLabel(NOT_CLINICAL)
        self.papillary = MessageLabel(PAPILLARY)
        self.most = QLabel(_MOST)
        self.most.setWordWrap(True)
        self.most.setToolTip(MOST_HELP)
        self.slices = RowsTable(_COLUMNS, rows_shown=_ROWS_SHOWN)
        self.slices.setAccessibleName(_MOST)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (
            self.nothing, self.numbers, self.caveat, self.papillary, self.patient.native, self.most,
            self.slices,
        ):  # fmt: skip
            column.addWidget(part)
        self.slices.row_chosen.connect(self._on_row_chosen)
        self.set_contributions(())

    def set_numbers(
        self, numbers: Mapping[str, Measured], predicted: Mapping[str, Measured] | None = None
    ) -> None:
        """Show the numbers by name; those that differ from ``predicted`` with what that was.

        Values that changed since the last call are lit up for a moment.
        """
        self.nothing.say("" if numbers else NO_NUMBERS)
        self.numbers.set_numbers(numbers, predicted)

    def set_patient(self, patient: Patient) -> None:
        """Show what is known of the patient."""
        self.patient.set_patient(patient)

    def set_papillary(self, sentence: str) -> None:
        """Say whether papillary muscles are counted, where more is known than "as trained"."""
        self.papillary.say(sentence or PAPILLARY)

    def set_contributions(
        self, slices: Sequence[Contribution], *, ed: int | None = None, es: int | None = None
    ) -> None:
        """List the slices that leave the EF open, the most first; none hides the list."""
        self._contributions = tuple(slices)
        names = {ed: " (ED)", es: " (ES)"} if ed != es else {}
        rows = [_row(part, names.get(part.phase, "")) for part in slices]
        before = self.slices.blockSignals(True)
        if rows != self.slices.rows:
            self.slices.set_rows(rows)
        self.slices.blockSignals(before)
        for part in (self.most, self.slices):
            part.setVisible(bool(slices))

    def _on_row_chosen(self, row: Row | None) -> None:
        if row is not None:
            part = self._contributions[self.slices.currentIndex().row()]
            self.cell_chosen.emit(part.phase, part.z)


def _row(part: Contribution, name: str) -> Row:
    points = f"{part.points:.1f} points" if part.points >= 0.05 else "less than 0.1 points"
    return Row((str(part.z + 1), f"{part.phase}{name}", points))


HEADINGS = (
    ("", ""),
    ("Now", "Measured in the contours as they are now."),
    (
        "Spread",
        "Standard deviation over the models, of slices not reviewed yet. It is not a clinical "
        "confidence interval.",
    ),
    ("", ""),
    ("Was", "As predicted by the ensemble, where your corrections have changed it."),
)
NAME, VALUE, SPREAD, UNIT, PREDICTED = range(5)
FLASH_MS = 1500
FLASH = "background: rgba(86, 180, 233, 110); border-radius: 2px"
GREY = f"color: {LEVEL_COLORS['done']}"
_UNKNOWN = "–"


@dataclass(frozen=True)
class _Line:
    """The labels of one row."""

    name: QLabel
    value: QLabel
    spread: QLabel
    unit: QLabel
    predicted: QLabel


class NumbersTable(QWidget):
    """Values that another call has changed are lit up for a moment."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: dict[str, _Line] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(4)
        self._grid.setVerticalSpacing(1)
        self._grid.setColumnStretch(NAME, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(FLASH_MS)
        self._timer.timeout.connect(self._darken)

    @property
    def lit(self) -> set[str]:
        """The names of the numbers that are lit up."""
        return {name for name, line in self._lines.items() if line.value.styleSheet() == FLASH}

    def texts(self, name: str) -> tuple[str, ...]:
        """What the row of ``name`` says: name, value, spread, unit and predicted value."""
        return tuple(label.text() for label in _labels(self._lines[name]))

    def set_numbers(
        self, numbers: Mapping[str, Measured], predicted: Mapping[str, Measured] | None = None
    ) -> None:
        """Show ``numbers``, and beside those that differ what was ``predicted``."""
        if list(numbers) != list(self._lines):
            self._make_lines(numbers)
        self._darken()
        for name, measured in numbers.items():
            self._fill(self._lines[name], measured, (predicted or {}).get(name))
        if self.lit:
            self._timer.start()

    def _fill(self, line: _Line, measured: Measured, predicted: Measured | None) -> None:
        value = value_text(measured.value)
        if line.value.text() not in ("", value):
            line.value.setStyleSheet(FLASH)
        line.value.setText(value)
        line.spread.setText(f"± {value_text(measured.spread, like=measured.value)}")
        line.unit.setText(measured.unit)
        before = "" if predicted is None else value_text(predicted.value)
        line.predicted.setText("" if before == value else before)
        line.name.setToolTip(f"{measured.title}: {measured.help}")

    def _darken(self) -> None:
        for name in self.lit:
            self._lines[name].value.setStyleSheet("")

    def _make_lines(self, names: Mapping[str, Measured]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            item.widget().deleteLater()
        self._lines = {}
        for column, (text, help_text) in enumerate(HEADINGS if names else ()):
            heading = QLabel(text)
            heading.setStyleSheet(GREY)
            heading.setToolTip(help_text)
            self._grid.addWidget(heading, 0, column, _side(column))
        for row, name in enumerate(names, start=1):
            line = self._lines[name] = _Line(QLabel(name), *(QLabel() for _ in range(4)))
            line.predicted.setStyleSheet(GREY)
            for column, label in enumerate(_labels(line)):
                self._grid.addWidget(label, row, column, _side(column))


def value_text(value: float, *, like: float | None = None) -> str:
    """With as many digits as matter, or as ``like`` has: "142.3", "5.20"; a dash for unknown."""
    if not math.isfinite(value):
        return _UNKNOWN
    return f"{value:.2f}" if abs(value if like is None else like) < 9.995 else f"{value:.1f}"


def _labels(line: _Line) -> tuple[QLabel, ...]:
    return line.name, line.value, line.spread, line.unit, line.predicted


def _side(column: int) -> Qt.AlignmentFlag:
    is_text = column in (NAME, UNIT)
    return Qt.AlignmentFlag.AlignLeft if is_text else Qt.AlignmentFlag.AlignRight
