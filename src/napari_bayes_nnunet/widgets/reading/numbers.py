"""Numbers of the report during corrections, and the slices that make the EF uncertain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeGuard

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget
from superqt.utils import signals_blocked

from ...app.report.html import UNKNOWN
from ...app.review.comparisons import AS_MUSCLE, BY_VALVE_PLANE
from ...app.review.report_numbers import (
    OF_SITE,
    REVIEWED,
    format_change,
    format_interval,
    format_number,
    format_rounded,
    interval_level,
)
from ...core.heart.ef_contributions import Contribution
from ...core.heart.function import Comparison, Measured
from ...core.heart.normal_ranges import HIGH
from ...core.metrics.conformal import Coverage
from ...io import DataError
from ...io.heart.normal_ranges import NO_RANGES, PETERSEN, read_normal_ranges
from ..common.background import single_shot
from ..common.dialogs import choose_csv
from ..common.dock import (
    ContentScrollArea,
    LevelLabel,
    MessageLabel,
    SteadyLabel,
    column_layout,
    explained,
)
from ..common.form import NarrowComboBox
from ..common.levels import Level
from ..common.patient_pattern import labelled_row
from ..common.rows_table import Column, Row, RowsTable
from ..common.settings import Settings
from ..common.wording import in_the_window
from .patient_fields import PatientFields

CHOOSE_RANGES = "Choose a CSV file with normal ranges"
RANGES = {PETERSEN: "Petersen 2017 (UK Biobank)", NO_RANGES: "None", "": "From a CSV file…"}
NO_NUMBERS = "No numbers are available. They need the labels RV, MYO or LV."
CONTRIBUTIONS_TITLE = "Slices that contribute most to the spread of the EF"
NO_CONTRIBUTIONS = "No open slice adds to the spread of the EF."
CONTRIBUTIONS_HELP = (
    "Reduction of the EF spread, in points, if only this slice is accepted. Click to go to the "
    "slice."
)
_COLUMNS = (
    Column("Slice", "Slice number, counted from 1."),
    Column("Phase", "End-diastole (ED) or end-systole (ES)."),
    Column("Contribution to the spread", CONTRIBUTIONS_HELP),
)
_ROWS_SHOWN = 5
WIDEST_PX: Final = 500
LEAST_POINTS = 0.05
"""Least contribution that is not rounded to 0."""


class NumbersForm(QWidget):
    """Numbers, patient and contributing slices.

    ``cell_chosen`` carries the phase and the slice (from 0) of a chosen row, ``ranges_chosen`` the
    `NormalRanges`, which are remembered in ``settings``.
    """

    cell_chosen = Signal(object, int)
    ranges_chosen = Signal(object)

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._contributions: tuple[Contribution, ...] = ()
        self.nothing = MessageLabel(NO_NUMBERS)
        self.numbers = NumbersTable()
        self.patient = PatientFields()
        self.ranges, self.problem = NarrowComboBox(), MessageLabel(level="blocking")
        self._show_ranges()
        self.ranges.activated.connect(self._on_ranges_activated)
        self.as_muscle = explained(QCheckBox("Also count papillary muscles as muscle"), AS_MUSCLE)
        valve_rule = QCheckBox("Also end the volumes at the valve planes")
        self.by_valve = explained(valve_rule, BY_VALVE_PLANE)
        # A number has only one other value beside it, so each rule excludes the other.
        self.as_muscle.clicked.connect(lambda: self.by_valve.setChecked(False))
        self.by_valve.clicked.connect(lambda: self.as_muscle.setChecked(False))
        self.rules = MessageLabel()
        self.contributions_title = QLabel(CONTRIBUTIONS_TITLE)
        self.contributions_title.setWordWrap(True)
        self.contributions_title.setToolTip(CONTRIBUTIONS_HELP)
        self.slices = RowsTable(_COLUMNS, rows_shown=_ROWS_SHOWN, is_steady=True)
        self.slices.setAccessibleName(CONTRIBUTIONS_TITLE)
        column_layout(
            # The fields come first, because indexed values below must not move them.
            self, self.patient.native, labelled_row("Normal ranges", self.ranges), self.problem,
            self.as_muscle, self.by_valve, self.nothing, _Sideways(self.numbers), self.rules,
            self.contributions_title, self.slices,
        )  # fmt: skip
        self.slices.row_chosen.connect(self._on_row_chosen)
        self.set_contributions(())

    def set_numbers(
        self,
        numbers: Mapping[str, Measured],
        predicted: Mapping[str, Measured] | None = None,
        open_slices: Mapping[str, int] | None = None,
    ) -> None:
        """Show the numbers by name with their open slices, and ``predicted`` values that differ.

        Values that changed since the last call are highlighted for a moment.
        """
        self.nothing.show_message("" if numbers else NO_NUMBERS)
        self.numbers.set_numbers(numbers, predicted, open_slices)

    def _show_ranges(self) -> None:
        kept = self._settings.kept.normal_ranges
        self.ranges.set_choices({kept: Path(kept).name, **RANGES})
        self.ranges.choose(kept)

    def _on_ranges_activated(self) -> None:
        # Only the entry for another file has no value.
        choice = self.ranges.currentData() or choose_csv(self, CHOOSE_RANGES, "")
        self.problem.show_message("")
        try:
            self.ranges_chosen.emit(read_normal_ranges(choice or self._settings.kept.normal_ranges))
            # Only ranges that could be read are kept.
            self._settings.keep(normal_ranges=choice or self._settings.kept.normal_ranges)
        except DataError as error:
            self.problem.show_message(in_the_window(error))
        # The box shows what is kept, also after a file that could not be read.
        self._show_ranges()

    def set_contributions(
        self, slices: Sequence[Contribution], *, ed: int | None = None, es: int | None = None
    ) -> None:
        """List the slices that contribute to the EF spread, unless ED or ES is unknown.

        Slices that would change it by less than 0.1 points are left out.

        The list keeps its height, so that no button below moves after a decision.
        """
        self._contributions = tuple(s for s in slices if s.points >= LEAST_POINTS)
        names = {ed: "ED", es: "ES"} if ed != es else {}
        rows = [_make_row(s, names.get(s.phase, f"{s.phase}")) for s in self._contributions]
        with signals_blocked(self.slices):
            if rows != self.slices.rows:
                self.slices.set_rows(rows)
        self.contributions_title.setText(CONTRIBUTIONS_TITLE if rows else NO_CONTRIBUTIONS)
        for widget in (self.contributions_title, self.slices):
            widget.setVisible(bool(slices) or None not in (ed, es))

    def _on_row_chosen(self, row: Row | None) -> None:
        if row is not None:
            slice_ = self._contributions[self.slices.currentIndex().row()]
            self.cell_chosen.emit(slice_.phase, slice_.z)


class _Sideways(ContentScrollArea):
    """Area of the height of its content that scrolls it sideways if it is wide.

    In a large font the dock would grow beyond the screen.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__(content)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def minimumSizeHint(self) -> QSize:
        """Return the size of the content, with room for a scroll bar if it is too wide."""
        hint = self.widget().minimumSizeHint()
        bar = self.horizontalScrollBar().sizeHint().height() if hint.width() > WIDEST_PX else 0
        frame = 2 * self.frameWidth()
        return QSize(min(hint.width(), WIDEST_PX) + frame, hint.height() + bar + frame)

    def sizeHint(self) -> QSize:
        """Return the smallest size."""
        return self.minimumSizeHint()


def _make_row(slice_: Contribution, name: str) -> Row:
    return Row((str(slice_.z + 1), name, f"{slice_.points:.1f} points"))


INTERVAL_HELP = (
    "In {level} % of patients like those of the calibration the number lies in this range once all "
    "slices are corrected."
)
NO_INTERVAL = "No interval: none was calibrated for this number in a case like this."
INTERVAL_TEXT = "{level} % interval: {low} to {high} {unit}"
SPREAD_TEXT = (
    "Spread of the members: {spread} {unit}. Not an interval, because the members share errors."
)
BESIDE_HELP = "Normal range, or the value by the other rule that is ticked above."
OPEN_TEXT = "Slices still to accept in its phases: {}"
REVIEWED_TEXT = "No slice of its phases is open: it is reviewed."
CHANGE_HELP = "Change since the prediction."
PREDICTED_TEXT = "Prediction: {value} {unit}"
CHANGE = "Change"
HEADINGS = (
    ("", ""),
    ("Now", "Measured in the current contours."),
    ("", ""),
    ("", ""),
    (CHANGE, CHANGE_HELP),
    ("Normal", BESIDE_HELP),
    ("", ""),
)
NAME, VALUE, UNIT, INTERVAL, CHANGED, BESIDE, VERDICT = range(len(HEADINGS))
WIDEST_TEXTS = {
    VALUE: ["188.8"],
    INTERVAL: ["188.8–188.8", REVIEWED],
    CHANGED: ["+88.8", CHANGE],
}
"""Widest usual texts of a column, so that no number moves the next column."""
LATER_TEXTS = {NAME: ["LV mass index"], UNIT: ["L/min/m²"], BESIDE: ["48.8–88.8"], VERDICT: [HIGH]}
"""Those of columns that grow once the patient is known, so that typing does not widen the dock."""
COLUMN_LEVELS: Final[Mapping[int, Level]] = {UNIT: "done", VERDICT: "warning"}
PREDICTION_TITLE: Final = "Prediction"
FLASH_MS = 1500
PLAIN = "padding: 0"  # with napari's padding the columns would not fit a narrow dock
BOLD = f"{PLAIN}; font-weight: bold"
FLASH = f"{BOLD}; background: rgba(86, 180, 233, 110); border-radius: 2px"


class NumbersTable(QWidget):
    """Table of numbers; values that have changed are highlighted for a moment.

    Each row has the value, its interval, "reviewed" if none of its slices is open, the change since
    the prediction, and what it is compared with. ``titles`` are those of the rows, by name. In a
    ``dense`` table rows have one line: only tooltips have normal ranges of both sexes. Numbers
    that nobody has reviewed are called a prediction (``is_prediction``).
    """

    def __init__(
        self,
        *,
        titles: Mapping[str, str] | None = None,
        dense: bool = False,
        is_prediction: bool = False,
    ) -> None:
        super().__init__()
        self._titles = titles or {}
        self._value_title = PREDICTION_TITLE if is_prediction else HEADINGS[VALUE][0]
        self._dense = dense
        self._widest = WIDEST_TEXTS if dense else WIDEST_TEXTS | LATER_TEXTS
        if is_prediction:  # which does not change
            self._widest = {**self._widest, CHANGED: []}
        self.lines: dict[str, list[QLabel]] = {}
        """Name → labels of its row."""
        self._level: Coverage | None = None
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(4)
        self._grid.setVerticalSpacing(0 if dense else 1)
        self._grid.setColumnStretch(VERDICT, 1)
        self._timer = single_shot(self, self._end_highlight, FLASH_MS)

    @property
    def highlighted(self) -> set[str]:
        """The names of the highlighted numbers."""
        return {name for name, row in self.lines.items() if row[VALUE].styleSheet() == FLASH}

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of ``name`` from left to right."""
        return tuple(label.text() for label in self.lines[name])

    def set_numbers(
        self,
        numbers: Mapping[str, Measured],
        predicted: Mapping[str, Measured] | None = None,
        open_slices: Mapping[str, int] | None = None,
    ) -> None:
        """Show ``numbers``, whether they are reviewed, and their change since ``predicted``."""
        level = interval_level([*numbers.values(), *(predicted or {}).values()])
        if (list(numbers), level) != (list(self.lines), self._level):
            self._level = level
            self._make_lines(numbers)
        self._end_highlight()
        for name, measured in numbers.items():
            before, is_open = (predicted or {}).get(name), (open_slices or {}).get(name)
            self._fill(name, measured, before, is_open)
        if self.highlighted:
            self._timer.start()
        if (item := self._grid.itemAtPosition(0, BESIDE)) is not None:
            titles = (n.comparison.title for n in numbers.values() if self._shows(n.comparison))
            item.widget().setText(next(titles, ""))
            has_changed = any(row[CHANGED].text() for row in self.lines.values())
            self._grid.itemAtPosition(0, CHANGED).widget().setText(CHANGE if has_changed else "")

    def _fill(
        self, name: str, measured: Measured, predicted: Measured | None, open_slices: int | None
    ) -> None:
        row, value = self.lines[name], format_number(measured)
        # The first value of a row is no change.
        if row[VALUE].text() not in ("", value):
            row[VALUE].setStyleSheet(FLASH)
        beside, change = measured.comparison, format_change(predicted, measured)
        interval = format_interval(measured, self._level, to="–")
        texts = {
            VALUE: value,
            BESIDE: beside.text if self._shows(beside) else "",
            VERDICT: beside.verdict if beside else "",
            UNIT: measured.unit,
            INTERVAL: REVIEWED if open_slices == 0 else interval,
            CHANGED: "" if change in ("0", UNKNOWN) else change,
        }
        for column, text in texts.items():
            row[column].setText(text)
        lines = describe_number(measured, open_slices)
        if texts[CHANGED] and predicted is not None:
            before = format_number(predicted)
            lines.append(PREDICTED_TEXT.format(value=before, unit=measured.unit))
        help_text = "\n".join([*lines, measured.help])
        for label in row:
            label.setToolTip(help_text)

    def _shows(self, beside: Comparison | None) -> TypeGuard[Comparison]:
        return beside is not None and not (self._dense and "\n" in beside.text)

    def _end_highlight(self) -> None:
        for name in self.highlighted:
            self.lines[name][VALUE].setStyleSheet(BOLD)

    def _make_lines(self, names: Mapping[str, Measured]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            # A layout only lets go of its widgets, which would stay on screen.
            item.widget().deleteLater()
        self.lines = {}
        headings = [*HEADINGS]
        headings[VALUE] = self._value_title, HEADINGS[VALUE][1]
        if self._level:
            headings[INTERVAL] = f"{self._level} %", INTERVAL_HELP.format(level=self._level)
        for column, (text, help_text) in enumerate(headings if names else ()):
            is_empty = column in (NAME, UNIT, VERDICT)
            heading = (
                SteadyLabel(*self._widest.get(column, ()))
                if is_empty
                else LevelLabel(text, level="done", style=PLAIN)
            )
            heading.setToolTip(help_text)
            self._grid.addWidget(heading, 0, column, _side(column))
        for row, name in enumerate(names, start=1):
            line = [self._make_label(column) for column in range(len(HEADINGS))]
            line[NAME].setText(self._titles.get(name, name))
            line[VALUE].setStyleSheet(BOLD)
            self.lines[name] = line
            for column, label in enumerate(self.lines[name]):
                self._grid.addWidget(label, row, column, _side(column))

    def _make_label(self, column: int) -> QLabel:
        if column in COLUMN_LEVELS:
            return LevelLabel(level=COLUMN_LEVELS[column], style=PLAIN)
        label = SteadyLabel(*self._widest.get(column, ()))
        label.setAlignment(_side(column))
        return label


def describe_number(measured: Measured, open_slices: int | None) -> list[str]:
    """Return lines on a number: value, interval, spread, what it is compared with, open slices."""
    unit = measured.unit
    lines = [f"{measured.title}: {format_number(measured)} {unit}"]
    level = interval_level([measured])
    if level is not None:
        low, high = (format_rounded(end, unit) for end in measured.intervals[level])
        lines.append(INTERVAL_TEXT.format(level=level, low=low, high=high, unit=unit))
        lines.append(INTERVAL_HELP.format(level=level))
        lines += [OF_SITE.format(site=measured.site)] if measured.site else []
    elif open_slices:
        lines.append(NO_INTERVAL)
    if open_slices != 0 and not math.isnan(measured.spread):
        lines.append(SPREAD_TEXT.format(spread=format_rounded(measured.spread, unit), unit=unit))
    if measured.comparison is not None:
        lines += [*measured.comparison.lines, *measured.comparison.notes]
    if open_slices is not None:
        lines.append(OPEN_TEXT.format(open_slices) if open_slices else REVIEWED_TEXT)
    return lines


def _side(column: int) -> Qt.AlignmentFlag:
    is_text = column in (NAME, UNIT, VERDICT)
    return Qt.AlignmentFlag.AlignLeft if is_text else Qt.AlignmentFlag.AlignRight
