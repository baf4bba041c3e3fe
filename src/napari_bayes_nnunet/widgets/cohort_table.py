"""The studies of a folder as they end: those that failed first, then the latest."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ..app.messages import StudyDone
from .fold_button import FoldButton
from .members_table import Column
from .plain_words import in_the_window
from .rows_table import Level, Row, RowsTable
from .sentence import Sentence

COLUMNS = (
    Column("Study", "Where its results are, seen from the folder of the results."),
    Column("Outcome", "done, finished before (its results were there already), or failed."),
    Column("Remarks", "Why it failed, or what there is to know. Click a row to read all of it."),
)
LEFT_OUT = (Column("Left out", "What is no image of a heart, or belongs to another image."),)
STUDY, STUDY_WIDTH = 0, 160
ROWS_SHOWN, LEFT_OUT_SHOWN = 8, 4
FEWEST_ROWS_HEIGHT = 120
WITHOUT_LIMIT = 16777215
"""QWIDGETSIZE_MAX, which Qt does not tell Python."""
DONE, BEFORE, FAILED = "done", "finished before", "failed"
LEVELS: dict[str, Level] = {FAILED: "blocking", BEFORE: "done"}


class CohortTable(QWidget):
    """Studies can be added by the thousand: they are shown at the next `refresh`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._failed: list[Row] = []
        self._others: list[Row] = []
        self.table = RowsTable(COLUMNS, rows_shown=ROWS_SHOWN)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setAccessibleName("Studies, those that failed first")
        self.detail = Sentence()
        self.left_out = RowsTable(LEFT_OUT, rows_shown=LEFT_OUT_SHOWN)
        self.left_out_fold = FoldButton("", self.left_out)
        self.left_out_detail = Sentence()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table, 1)
        for part in (self.detail, self.left_out_fold, self.left_out, self.left_out_detail):
            column.addWidget(part)
        self.table.row_chosen.connect(self._on_row_chosen)
        self.left_out.row_chosen.connect(self._on_left_out_chosen)
        self.left_out_fold.toggled.connect(self._on_left_out_folded)
        self.clear()

    @property
    def failed(self) -> int:
        """How many studies failed."""
        return len(self._failed)

    @property
    def done(self) -> int:
        """How many studies have results."""
        return len(self._others)

    def clear(self) -> None:
        """Show nothing."""
        self._failed, self._others = [], []
        self.set_left_out(())
        self.refresh()
        self.detail.say("")

    def add(self, study: StudyDone) -> None:
        """Take in a study that has ended."""
        (self._failed if study.outcome == FAILED else self._others).append(row_of(study))

    def refresh(self) -> None:
        """Show what was taken in; the row that was chosen stays so, and what is in sight too."""
        table, rows = self.table, [*self._failed, *reversed(self._others)]
        chosen, place = table.currentIndex().row(), table.verticalScrollBar().value()
        row = table.rows[chosen] if 0 <= chosen < len(table.rows) else None
        before = table.blockSignals(True)
        table.set_rows(rows)
        table.choose_row(next((i for i, one in enumerate(rows) if one is row), None))
        table.blockSignals(before)
        table.setMinimumHeight(min(table.height(), FEWEST_ROWS_HEIGHT))
        table.setMaximumHeight(WITHOUT_LIMIT)
        header = table.horizontalHeader()
        header.resizeSection(STUDY, min(header.sectionSize(STUDY), STUDY_WIDTH))
        table.verticalScrollBar().setValue(place)

    def set_left_out(self, sentences: Sequence[str]) -> None:
        """What was found in the folder and is no study, and why."""
        self.left_out.set_rows([Row((text,), text) for text in map(in_the_window, sentences)])
        count = len(sentences)
        self.left_out_fold.setText(f"{count} file{'' if count == 1 else 's'} left out")
        self.left_out_fold.setChecked(False)
        self.left_out_fold.setVisible(count > 0)

    def _on_row_chosen(self, row: Row | None) -> None:
        self.detail.say(row.help if row is not None else "")

    def _on_left_out_chosen(self, row: Row | None) -> None:
        self.left_out_detail.say(row.help if row is not None else "")

    def _on_left_out_folded(self, shown: bool) -> None:
        if not shown:
            self.left_out_detail.say("")


def row_of(study: StudyDone) -> Row:
    """Study, outcome, and what there is to know."""
    text = in_the_window(study.text)
    line = " ".join(text.split())
    help_text = f"{study.case}: {text}" if text else f"{study.case}: {study.outcome}."
    return Row((study.case, study.outcome, line), help_text, LEVELS.get(study.outcome, "fine"))
