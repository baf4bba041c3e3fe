"""Table of the studies of a cohort, failed studies first, then the latest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...app.messages import StudyDone
from ..common.dock import MessageLabel
from ..common.levels import Level
from ..common.rows_table import Column, Row, RowsTable
from ..common.wording import in_the_window

_COLUMNS = (
    Column("Study", "Folder of this study's results, inside the results folder."),
    Column("Outcome", "Done, finished before (by an earlier run), or failed."),
    Column("Remarks", "Reason of a failure, or notes. Click a row to read all of it."),
)
STUDY, STUDY_SHARE = 0, 0.42
_ROWS_SHOWN = 8
FEWEST_ROWS_HEIGHT = 120
WITHOUT_LIMIT = 16777215
"""QWIDGETSIZE_MAX, which PyQt does not export."""
_LEVELS: dict[str, Level] = {"failed": "blocking", "finished before": "done"}


class CohortList(QWidget):
    """Table of studies with the text of the chosen one; `refresh` shows the added studies."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._failed: list[Row] = []
        self._others: list[Row] = []
        self._images: Path | None = None
        self._study_width = 0
        self.table = RowsTable(_COLUMNS, rows_shown=_ROWS_SHOWN)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setAccessibleName("Studies, those that failed first")
        self.detail = MessageLabel()
        self.left_out = MessageLabel()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.table, 1)
        column.addWidget(self.detail)
        column.addWidget(self.left_out)
        column.addStretch(0)  # fills the space while the table is hidden
        self.table.row_chosen.connect(self._on_row_chosen)
        self.clear()

    @property
    def failed(self) -> int:
        """Number of failed studies."""
        return len(self._failed)

    @property
    def done(self) -> int:
        """Number of studies with results."""
        return len(self._others)

    def clear(self, images: Path | None = None) -> None:
        """Remove all studies; name files relative to the folder ``images`` from now on."""
        self._failed, self._others, self._images = [], [], images
        self.set_left_out(())
        self.refresh()
        self.detail.show_message("")

    def add(self, study: StudyDone) -> None:
        """Add a study that has ended."""
        row = cohort_row(study, images=self._images)
        (self._failed if study.outcome == "failed" else self._others).append(row)

    def refresh(self) -> None:
        """Show the added studies; the chosen row and the scroll position stay."""
        table, rows = self.table, [*self._failed, *reversed(self._others)]
        chosen, position = table.currentIndex().row(), table.verticalScrollBar().value()
        chosen_row = table.rows[chosen] if 0 <= chosen < len(table.rows) else None
        before = table.blockSignals(True)
        table.set_rows(rows)
        table.choose_row(next((i for i, row in enumerate(rows) if row is chosen_row), None))
        table.blockSignals(before)
        table.setMinimumHeight(min(table.height(), FEWEST_ROWS_HEIGHT))
        table.setMaximumHeight(WITHOUT_LIMIT)
        table.setVisible(bool(rows))
        self._study_width = table.columnWidth(STUDY)
        self._fit()
        table.verticalScrollBar().setValue(position)

    def set_left_out(self, sentences: Sequence[str]) -> None:
        """Show the kinds of files that are not studies, with their numbers."""
        self.left_out.show_message(f"Left out: {'; '.join(sentences)}." if sentences else "")

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the column of the studies to the width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = round(STUDY_SHARE * self.width())
        self.table.setColumnWidth(STUDY, min(self._study_width, room))

    def _on_row_chosen(self, row: Row | None) -> None:
        self.detail.show_message(row.help if row is not None else "")


def cohort_row(study: StudyDone, *, images: Path | None = None) -> Row:
    """Return the row of a study, with files named relative to ``images``."""
    text = in_the_window(study.sentence)
    if images is not None:
        text = text.replace(f"{images.absolute()}{os.sep}", "")
    line = " ".join(text.split())
    help_text = f"{study.case}: {text}" if text else f"{study.case}: {study.outcome}."
    return Row((study.case, study.outcome, line), help_text, _LEVELS.get(study.outcome, "fine"))
