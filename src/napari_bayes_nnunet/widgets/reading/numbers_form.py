"""The numbers of the report while they are being corrected, and what leaves them open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ...app.review.export import PAPILLARY
from ...core.heart.ef_contributions import Contribution
from ...core.heart.function import Measured, Patient
from ..common.rows_table import Row, RowsTable
from ..common.sentence import Sentence
from ..review.patient_fields import PatientFields
from ..segment.members_table import Column
from .numbers_table import NumbersTable

NOT_CLINICAL = "The spread of the models is not a clinical confidence interval."
NO_NUMBERS = "No numbers: they need the labels RV, MYO or LV."
MOST = "Slices that add most to the spread of the EF"
MOST_HELP = (
    "By how many points of ejection fraction (EF) the spread would shrink if this slice alone were "
    "reviewed. A click goes there."
)
COLUMNS = (
    Column("Slice", "Counted from 1 along the stack."),
    Column("Phase", "End-diastole (ED) or end-systole (ES)."),
    Column("Adds to the spread of the EF", MOST_HELP),
)
ROWS_SHOWN = 5


class NumbersForm(QWidget):
    """``patient_changed`` carries a Patient; ``cell_chosen`` a phase and a slice (from 0)."""

    patient_changed = Signal(object)
    cell_chosen = Signal(object, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._contributions: tuple[Contribution, ...] = ()
        self.nothing = Sentence(NO_NUMBERS)
        self.numbers = NumbersTable()
        self.patient = PatientFields()
        self.caveat = Sentence(NOT_CLINICAL)
        self.papillary = Sentence(PAPILLARY)
        self.most = QLabel(MOST)
        self.most.setWordWrap(True)
        self.most.setToolTip(MOST_HELP)
        self.slices = RowsTable(COLUMNS, rows_shown=ROWS_SHOWN)
        self.slices.setAccessibleName(MOST)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (
            self.nothing, self.numbers, self.caveat, self.papillary, self.patient, self.most,
            self.slices,
        ):  # fmt: skip
            column.addWidget(part)
        self.patient.changed.connect(self.patient_changed)
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
