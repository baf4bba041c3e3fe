"""Numbers that stay in sight during a review."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from ...core.heart.function import Measured
from ...core.types import Phase
from ..common.dock import LevelLabel
from .numbers import format_value

KEY_NUMBERS: Final[Mapping[str, str]] = {
    "LV EF": "EF",
    "LV EDV": "EDV",
    "LV ESV": "ESV",
    "LV SV": "SV",
    "LV volume": "Volume",
    "LV mass": "Mass",
    "RV EF": "RV EF",
    "RV volume": "RV",
}
"""Name → title of its column, in the order of the columns."""
CHANGE_HELP: Final = "Change since the prediction"
NO_KEY_NUMBERS: Final = "No numbers. They need the labels RV, MYO or LV."
BOTH_PHASES: Final = "LV: ED phase {ed}, ES phase {es}"
ONE_PHASE_SHOWN: Final = "LV in this phase"
_ROWS = 5
TITLE, UNIT, VALUE, SPREAD, CHANGED = range(_ROWS)


@dataclass(frozen=True)
class _Column:
    """Labels of a number, from top to bottom."""

    labels: tuple[QLabel, ...]

    def fill(self, measured: Measured, predicted: Measured | None) -> None:
        change = math.nan if predicted is None else measured.value - predicted.value
        texts = (
            KEY_NUMBERS[measured.name],
            measured.unit,
            _short(measured.value),
            "" if math.isnan(measured.spread) else f"±{_short(measured.spread)}",
            _signed(change),
        )
        help_text = (
            f"{measured.title}: {format_value(measured.value)} ± "
            f"{format_value(measured.spread, like=measured.value)} {measured.unit}"
        )
        if texts[CHANGED]:
            help_text += f"\n{CHANGE_HELP}: {texts[CHANGED]} {measured.unit}"
        for label, text in zip(self.labels, texts, strict=False):
            label.setText(text or " ")  # an empty label has no height
            label.setToolTip(f"{help_text}\n{measured.help}")


class KeyNumbers(QWidget):
    """EF, volumes and mass with spread and change, in a table that keeps its height.

    Without ``shows_changes`` the table has no row for them.
    """

    def __init__(self, parent: QWidget | None = None, *, shows_changes: bool = True) -> None:
        super().__init__(parent)
        self._rows = _ROWS if shows_changes else CHANGED
        self._columns: dict[str, _Column] = {}
        self.caption = LevelLabel(" ", level="done", style="padding: 0")
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(4)
        self._grid.setVerticalSpacing(0)
        self.set_numbers({}, {})

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the numbers, from left to right."""
        return tuple(self._columns)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return title, unit, value, spread and change in the column of ``name``."""
        return tuple(label.text().strip() for label in self._columns[name].labels)

    def set_numbers(
        self,
        numbers: Mapping[str, Measured],
        predicted: Mapping[str, Measured],
        *,
        ed: Phase = None,
        es: Phase = None,
    ) -> None:
        """Show the key numbers among ``numbers``, and their change since the prediction."""
        names = [name for name in KEY_NUMBERS if name in numbers]
        if names != list(self._columns) or not names:
            self._make_columns(names)
        for name, column in self._columns.items():
            column.fill(numbers[name], predicted.get(name))
        has_phases = ed is not None and es is not None
        text = BOTH_PHASES.format(ed=ed, es=es) if has_phases else ONE_PHASE_SHOWN
        self.caption.setText(text if names else NO_KEY_NUMBERS)

    def _make_columns(self, names: list[str]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if item.widget() is not self.caption:
                item.widget().deleteLater()
        self._columns = {
            name: _Column(tuple(_label(row) for row in range(self._rows))) for name in names
        }
        self._grid.addWidget(self.caption, 0, 0, 1, max(len(names), 1))
        for number, column in enumerate(self._columns.values()):
            self._grid.setColumnStretch(number, 1)
            for row, label in enumerate(column.labels, start=1):
                self._grid.addWidget(label, row, number)


def _label(row: int) -> QLabel:
    fonts = {VALUE: "; font-weight: bold", CHANGED: "; font-style: italic"}
    # With napari's padding the columns would not fit a narrow dock.
    style = f"padding: 0{fonts.get(row, '')}"
    label = LevelLabel(" ", level="done" if row == UNIT else "fine", style=style)
    label.setAlignment(Qt.AlignmentFlag.AlignLeft)
    return label


def _short(value: float) -> str:
    """Return a value with one decimal, or as a whole number from 100 on."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.1f}"


def _signed(change: float) -> str:
    """Return a change with its sign, "" if it would be shown as 0."""
    if not math.isfinite(change) or abs(change) < 0.05:
        return ""
    return ("+" if change > 0 else "−") + _short(abs(change))
