"""What is known of a run over many studies, beside the results: its table and its page."""

from __future__ import annotations

from contextlib import suppress

from .page import CohortPage
from .row import StudyRow
from .table import CohortTable


class CohortSummary:
    """Both, as the studies end. What cannot be written meanwhile is written with what follows.

    On Windows a table that is open in Excel cannot be written: that ends no run.
    """

    def __init__(self, table: CohortTable, page: CohortPage) -> None:
        self._table, self._page = table, page
        self._rows: list[StudyRow] = []

    def add(self, row: StudyRow) -> None:
        """Another study ended."""
        self._rows.append(row)
        with suppress(OSError):
            self._table.append(row)
        with suppress(OSError):
            self._page.update(self._rows)

    def close(self) -> None:
        """Write both as a whole. Raises OSError where that is not possible now either."""
        try:
            self._table.finish(self._rows)
        finally:
            self._page.write(self._rows)
