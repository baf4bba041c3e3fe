"""Numbers that stay in sight during a review."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Final

from qtpy.QtWidgets import QWidget

from ...core.heart.function import Measured
from ...core.types import Phase
from ..common.dock import LevelLabel, MessageLabel, column_layout, row_layout
from .numbers import NumbersTable

KEY_NUMBERS: Final[Mapping[str, str]] = {
    "LV EF": "EF",
    "LV EDV": "EDV",
    "LV EDVi": "EDVi",
    "LV ESV": "ESV",
    "LV ESVi": "ESVi",
    "LV SV": "SV",
    "LV volume": "Volume",
    "LV mass": "Mass",
    "RV EF": "RV EF",
    "RV volume": "RV",
}
"""Name → title of its row, in the order of the rows."""
NO_KEY_NUMBERS: Final = "No numbers. They need RV, MYO or LV, and in a cine also ED and ES."
BOTH_PHASES: Final = "LV: ED {ed}, ES {es}"
ED_AND_ES_HELP: Final = "End-diastole (ED) and end-systole (ES) are these phases of the cine."
AMONG_PHASES: Final = "LV: ED {ed}, ES {es} of {count} phases"
AMONG_HELP: Final = (
    "Only these phases were compared. If ED or ES is another phase, EF, EDV, ESV and SV are those "
    "of other phases. To find them, segment ED and ES automatically, or all phases."
)
ONE_PHASE_SHOWN: Final = "LV in this phase"
BEAT_NUMBERS: Final = ("LV EF", "LV EDV", "LV ESV", "LV SV")
"""Numbers whose rows appear together, before ED and ES are both known."""
INDEXED_NUMBERS: Final = ("LV EDVi", "LV ESVi")
"""Numbers that have a row in a review before they are known, so that typing moves nothing."""
MISSING_HELP: Final = "This number needs ED and ES."
NO_INDEX_HELP: Final = "This number needs height and weight. Enter them in the section Numbers."


class KeyNumbers(QWidget):
    """EF, volumes and mass in a table that keeps its height, below a line on their phases.

    With ``in_review`` indexed volumes have a row before they are known, else the numbers are those
    of the prediction. ``head`` is that line, with room at its end.
    """

    def __init__(self, *, in_review: bool = True) -> None:
        super().__init__()
        self._in_review = in_review
        self.caption = LevelLabel(" ", level="done", style="padding: 0")
        self.table = NumbersTable(titles=KEY_NUMBERS, dense=True, is_prediction=not in_review)
        self.doubt = MessageLabel(level="warning")  # why no number has an interval
        self.head = row_layout(None, self.caption, wide=self.caption)
        column_layout(self, self.head, self.table, self.doubt).setSpacing(0)
        self.set_numbers({}, {})

    def set_numbers(
        self,
        numbers: Mapping[str, Measured],
        predicted: Mapping[str, Measured],
        open_slices: Mapping[str, int] | None = None,
        *,
        ed: Phase = None,
        es: Phase = None,
        compared: int = 0,
    ) -> None:
        """Show the key numbers among ``numbers``, as `NumbersTable` does.

        ED and ES were found among ``compared`` phases of the cine, 0 if among all.
        """
        names = self._names(numbers)
        missing = {name: _missing(name) for name in names if name not in numbers}
        self.table.set_numbers(
            {name: missing.get(name) or numbers[name] for name in names}, predicted, open_slices
        )
        has_phases = ed is not None and es is not None
        both = AMONG_PHASES if compared else BOTH_PHASES
        text = both.format(ed=ed, es=es, count=compared) if has_phases else ONE_PHASE_SHOWN
        self.caption.setText(text if names else NO_KEY_NUMBERS)
        self.caption.setWordWrap(not names)  # one line would widen the dock, and move its buttons
        help_text = AMONG_HELP if compared else ED_AND_ES_HELP
        self.caption.setToolTip(help_text if has_phases and names else "")

    def _names(self, numbers: Collection[str]) -> list[str]:
        """Return the names of the rows, those of a beat already if one of its phases is known."""
        names = {*numbers}
        if names & {*BEAT_NUMBERS}:
            names.update(BEAT_NUMBERS, INDEXED_NUMBERS if self._in_review else ())
        if names & {"RV EDV", "RV ESV"}:
            names.add("RV EF")
        return [name for name in KEY_NUMBERS if name in names]


def _missing(name: str) -> Measured:
    """Return a number that is shown as unknown, with the reason."""
    reason = NO_INDEX_HELP if name in INDEXED_NUMBERS else MISSING_HELP
    return Measured(name=name, title=name, value=math.nan, spread=math.nan, unit="", help=reason)
