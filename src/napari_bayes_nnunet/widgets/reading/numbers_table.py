"""The measured numbers of a heart, one a row, with the spread of the models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from ...core.heart.function import Measured
from ..common.rows_table import COLORS

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
GREY = f"color: {COLORS['done']}"
UNKNOWN = "–"


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
        return UNKNOWN
    return f"{value:.2f}" if abs(value if like is None else like) < 9.995 else f"{value:.1f}"


def _labels(line: _Line) -> tuple[QLabel, ...]:
    return line.name, line.value, line.spread, line.unit, line.predicted


def _side(column: int) -> Qt.AlignmentFlag:
    is_text = column in (NAME, UNIT)
    return Qt.AlignmentFlag.AlignLeft if is_text else Qt.AlignmentFlag.AlignRight
