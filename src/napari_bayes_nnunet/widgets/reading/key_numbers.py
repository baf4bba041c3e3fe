"""Numbers that stay in sight during a review."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from ...app.review.report_numbers import format_interval, interval_level
from ...core.heart.function import Measured
from ...core.metrics.conformal import Coverage
from ...core.types import Phase
from ..common.dock import LevelLabel
from ..common.levels import Level
from .numbers import BESIDE_HELP, INTERVAL_HELP, OPEN_HELP, describe_number

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
NO_VALUE: Final = "–"
CHANGE_HELP: Final = "Change since the prediction"
NO_KEY_NUMBERS: Final = "No numbers. They need RV, MYO or LV, and in a cine also ED and ES."
BOTH_PHASES: Final = "LV: ED phase {ed}, ES phase {es}"
AMONG_PHASES: Final = "ED {ed}, ES {es}: largest, smallest LV of {count} phases"
AMONG_HELP: Final = (
    "Only these phases were compared. If ED or ES is another phase, EF, EDV, ESV and SV are those "
    "of other phases. To find them, segment ED and ES automatically, or all phases."
)
ONE_PHASE_SHOWN: Final = "LV in this phase"
BEAT_NUMBERS: Final[tuple[str, ...]] = ("LV EF", "LV EDV", "LV ESV", "LV SV")
"""Numbers whose columns appear together, before ED and ES are both known."""
MISSING_HELP: Final = "This number needs ED and ES."
INDEXED_HELP: Final = (
    "Divided by the body surface area, from height and weight in the section Numbers."
)
_ROWS = 9
TITLE, UNIT, VALUE, INTERVAL, VERDICT, BESIDE, OPEN, CHANGED, INDEXED = range(_ROWS)
ROW_TITLES: Final = {
    INTERVAL: ("{level} %", INTERVAL_HELP),
    BESIDE: ("Normal", BESIDE_HELP),
    OPEN: ("Open", OPEN_HELP),
    CHANGED: ("Change", f"{CHANGE_HELP}."),
    INDEXED: ("Per m²", INDEXED_HELP),
}


_LEVELS: Final[Mapping[int, Level]] = {UNIT: "done", VERDICT: "warning"}
WIDEST_TEXTS: Final = {VALUE: "88.8", INTERVAL: "88–88", BESIDE: "88–888", CHANGED: "−88.8"}
"""Widest usual text of each row; a column is so wide that no number moves the next column."""
LARGE: Final = {"LV EDV", "LV ESV", "LV volume", "LV mass", "RV volume"}
"""Numbers whose intervals usually have ends above 100."""


class SteadyLabel(LevelLabel):
    """Label that is wide enough for each of ``texts`` in the font in use."""

    def __init__(self, text: str, texts: Iterable[str], *, level: Level, style: str) -> None:
        self._texts = (*texts,)
        super().__init__(text, level=level, style=f"padding: 0{style}")

    def minimumSizeHint(self) -> QSize:
        """Return the size that fits all texts."""
        return self.sizeHint()

    def sizeHint(self) -> QSize:
        """Return the size that fits all texts."""
        advance = self.fontMetrics().horizontalAdvance
        widest = max((advance(text) for text in self._texts), default=0)
        return super().sizeHint().expandedTo(QSize(widest, 0))


class KeyNumbers(QWidget):
    """EF, volumes and mass with their intervals, in a table that keeps its height.

    ``in_review`` adds rows for the slices still to accept and for changes since the prediction. The
    row of the intervals is hidden if there are none, also none of ``predicted``.
    """

    def __init__(self, parent: QWidget | None = None, *, in_review: bool = True) -> None:
        super().__init__(parent)
        self._rows = _ROWS if in_review else VERDICT
        self._columns: dict[str, list[QLabel]] = {}
        """Name → labels of its column, from top to bottom."""
        self._titles: dict[int, tuple[QLabel, str]] = {}
        self._coverage: Coverage | None = None
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
        """Return the texts in the column of ``name``, without the indexed number."""
        return tuple(label.text().strip() for label in self._columns[name][:INDEXED])

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
        """Show the key numbers among ``numbers``, their open slices and their changes.

        ED and ES were found among ``compared`` phases of the cine, 0 if among all.
        """
        names = _column_names(numbers)
        coverage = interval_level([*numbers.values(), *predicted.values()])
        if names != list(self._columns) or not names or coverage != self._coverage:
            self._coverage = coverage
            self._make_columns(names)
        for name, labels in self._columns.items():
            texts, help_text = {TITLE: KEY_NUMBERS[name], VALUE: NO_VALUE}, MISSING_HELP
            if name in numbers:
                is_open = (open_slices or {}).get(name)
                texts, help_text = _describe(numbers[name], predicted.get(name), is_open, coverage)
                for index in {f"{name}i", f"{name} index"} & {*numbers}:
                    texts[INDEXED] = _short(numbers[index].value)
            for row, label in enumerate(labels):
                label.setText(texts.get(row) or " ")  # an empty label has no height
                label.setToolTip(help_text)
        beside = [number.comparison for number in numbers.values() if number.comparison]
        for row, (label, title) in self._titles.items():
            is_empty = all(not labels[row].text().strip() for labels in self._columns.values())
            title = beside[0].title if row == BESIDE and beside else title
            label.setText(" " if is_empty else title)  # the row keeps its height
            label.setHidden(row == BESIDE and not beside)
        for labels in self._columns.values():
            for label in labels[VERDICT:OPEN]:
                label.setVisible(bool(beside))
        has_phases = ed is not None and es is not None
        both = AMONG_PHASES if compared else BOTH_PHASES
        text = both.format(ed=ed, es=es, count=compared) if has_phases else ONE_PHASE_SHOWN
        self.caption.setText(text if names else NO_KEY_NUMBERS)
        self.caption.setWordWrap(not names)  # one line would widen the dock, and move its buttons
        self.caption.setToolTip(AMONG_HELP if compared and has_phases and names else "")

    def _make_columns(self, names: list[str]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if item.widget() is not self.caption:
                item.widget().deleteLater()
        self._columns = {name: [_label(name, row) for row in range(self._rows)] for name in names}
        self._grid.addWidget(self.caption, 0, 0, 1, len(names) + 1)
        self._titles = {}
        hidden = () if self._coverage else (INTERVAL,)
        # The spaces are the room between a title and the first number.
        titles = [f"{t.format(level=99)}  " for r, (t, _) in ROW_TITLES.items() if r < self._rows]
        for row, (text, help_text) in ROW_TITLES.items():
            if names and row < self._rows and row not in hidden:
                title = text.format(level=self._coverage)
                label = SteadyLabel(title, titles, level="done", style="")
                label.setToolTip(help_text.format(level=self._coverage))
                self._titles[row] = label, title
                self._grid.addWidget(label, row + 1, 0)
        for number, labels in enumerate(self._columns.values(), start=1):
            self._grid.setColumnStretch(number, 1)
            for row, label in enumerate(labels, start=1):
                self._grid.addWidget(label, row, number)
            labels[INTERVAL].setVisible(self._coverage is not None)


def _describe(
    measured: Measured,
    predicted: Measured | None,
    open_slices: int | None,
    coverage: Coverage | None,
) -> tuple[dict[int, str], str]:
    """Return the texts of a number by row, with the interval of ``coverage`` %, and its help."""
    change = math.nan if predicted is None else measured.value - predicted.value
    texts = {
        TITLE: KEY_NUMBERS[measured.name],
        UNIT: measured.unit,
        VALUE: _short(measured.value),
        INTERVAL: format_interval(measured, coverage, to="–"),
        OPEN: "" if open_slices is None else str(open_slices),
        CHANGED: _signed(change),
    }
    if measured.comparison is not None:
        texts |= {VERDICT: measured.comparison.verdict, BESIDE: measured.comparison.text}
    lines = describe_number(measured, open_slices)
    if texts[CHANGED]:
        lines.append(f"{CHANGE_HELP}: {texts[CHANGED]} {measured.unit}")
    return texts, "\n".join([*lines, measured.help])


def _column_names(numbers: Collection[str]) -> list[str]:
    """Return the names of the columns, those of a beat already if one of its phases is known."""
    names = {*numbers}
    if names & {*BEAT_NUMBERS}:
        names.update(BEAT_NUMBERS)
    if names & {"RV EDV", "RV ESV"}:
        names.add("RV EF")
    return [name for name in KEY_NUMBERS if name in names]


def _label(name: str, row: int) -> QLabel:
    fonts = {VALUE: "; font-weight: bold", CHANGED: "; font-style: italic"}
    # With napari's padding the columns would not fit a narrow dock.
    level = _LEVELS.get(row, "fine")
    widest = "188–188" if row == INTERVAL and name in LARGE else WIDEST_TEXTS.get(row, "")
    label = SteadyLabel(" ", [widest], level=level, style=fonts.get(row, ""))
    label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return label


def _short(value: float) -> str:
    """Return a value with one decimal, or as a whole number from 100 on."""
    if not math.isfinite(value):
        return NO_VALUE
    text = f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.1f}"
    return text.replace("-", "−")


def _signed(change: float) -> str:
    """Return a change with its sign, "" if it would be shown as 0."""
    if not math.isfinite(change) or abs(change) < 0.05:
        return ""
    return ("+" if change > 0 else "−") + _short(abs(change))
