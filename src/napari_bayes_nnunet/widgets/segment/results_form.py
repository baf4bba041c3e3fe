"""Numbers of the results of an image, one below the other, named by method."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from ...app.segmentation.methods import METHODS
from ..common.dock import LevelLabel
from ..layers.result import ResultNumbers
from ..reading.key_numbers import KeyNumbers
from ..reading.numbers import NOT_CLINICAL
from .curve_form import CurveForm

SHOW_HELP: Final = "Show the layers of this result and hide those of the others."
REMOVE_HELP: Final = "Remove this result and its layers."


class ResultsForm(QWidget):
    """The numbers of every result; with several, one of them is chosen for the canvas.

    ``chosen`` and ``remove_requested`` carry the name of a method.
    """

    chosen = Signal(str)
    remove_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._group = QButtonGroup(self)
        self.blocks: dict[str, ResultBlock] = {}
        self.caveat = LevelLabel(NOT_CLINICAL, level="done")
        self.caveat.setWordWrap(True)
        self._rows = QVBoxLayout()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._rows)
        self.curves = CurveForm()
        column.addWidget(self.curves)
        column.addWidget(self.caveat)
        self.set_results({}, "")

    def set_results(self, results: Mapping[str, ResultNumbers], chosen: str) -> None:
        """Show the numbers of the results by method; ``chosen`` is the method on the canvas."""
        if list(results) != list(self.blocks):
            self._make_blocks(list(results))
        for method, numbers in results.items():
            block = self.blocks[method]
            block.set_numbers(numbers)
            block.head.setVisible(len(results) > 1)
            block.show_button.setChecked(method == chosen)
        shown = results.get(chosen, ResultNumbers(measured={}))
        self.curves.set_curves(
            shown.curves,
            (shown.ed, shown.es),
            count=shown.count,
            by_student=shown.looks_by_student,
        )
        has_numbers = any(numbers.measured for numbers in results.values())
        self.caveat.setVisible(has_numbers)
        self.setVisible(bool(results))

    def _make_blocks(self, methods: list[str]) -> None:
        for block in self.blocks.values():
            self._group.removeButton(block.show_button)
            self._rows.removeWidget(block)
            block.hide()
            block.deleteLater()
        self.blocks = {method: ResultBlock(method) for method in methods}
        for method, block in self.blocks.items():
            self._group.addButton(block.show_button)
            self._rows.addWidget(block)
            block.show_button.clicked.connect(partial(self.chosen.emit, method))
            block.remove_button.clicked.connect(partial(self.remove_requested.emit, method))


class ResultBlock(QWidget):
    """Name of a method, with buttons to show and to remove its result, above its numbers."""

    def __init__(self, method: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        known = METHODS.get(method)
        self.head = QWidget()
        title = f"{known.title} ({method})" if known is not None else method
        self.show_button = QRadioButton(title)
        self.show_button.setToolTip(SHOW_HELP)
        self.remove_button = QPushButton("Remove")
        self.remove_button.setToolTip(REMOVE_HELP)
        self.numbers = KeyNumbers(in_review=False)
        row = QHBoxLayout(self.head)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.show_button, 1)
        row.addWidget(self.remove_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.head)
        column.addWidget(self.numbers)

    def set_numbers(self, numbers: ResultNumbers) -> None:
        """Show the numbers of the result, unless ED and ES are yet to be segmented."""
        finished = [len(curve.phases) - len(curve.provisional) for curve in numbers.curves]
        self.numbers.setVisible(bool(numbers.measured) or not finished or max(finished) > 1)
        self.numbers.set_numbers(
            numbers.measured, {}, ed=numbers.ed, es=numbers.es, compared=numbers.compared
        )
