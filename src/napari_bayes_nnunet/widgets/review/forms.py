"""Forms of the dock *Review*, one below the other."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...core.review.queue import REVIEW_SCORES
from ..common.display_form import DisplayForm
from ..common.dock import CollapsibleSection, heading
from ..common.settings import Settings
from ..editing.correction_form import CorrectionForm
from ..editing.slice_buttons import SliceButtons
from ..layers.keys import KEYS
from ..reading.heat_grid import HeatGrid
from ..reading.numbers import NumbersForm
from ..reading.progress import ReviewProgressPanel
from ..reading.queue_form import QueueForm
from ..reading.queue_table import QueueTable
from ..reading.view_form import ViewForm
from ..reading.volume_plot import VolumePlot
from .export import ExportForm


class ReviewForms(QWidget):
    """All forms of one study. They know neither study nor viewer."""

    def __init__(self, parent: QWidget | None = None, *, settings: Settings | None = None) -> None:
        super().__init__(parent)
        self.queue = QueueForm({s.name: (s.title, s.unit, s.help) for s in REVIEW_SCORES.values()})
        self.grid = HeatGrid()
        self.table = QueueTable()
        self.slice = SliceButtons()
        self.progress = ReviewProgressPanel()
        self.corrections = CorrectionForm()
        self.display = DisplayForm(settings, fill_key=KEYS["outline or fill"])
        self.view = ViewForm()
        self.volumes = VolumePlot()
        self.numbers = NumbersForm()
        self.export = ExportForm()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (
            *(heading("Where to look"), self.queue, self.grid, self.table),
            *(self.slice, self.progress),
            *(heading("Correct"), self.corrections),
            *(heading("Picture"), self.display),
            *(heading("Uncertainty"), self.view),
        ):
            column.addWidget(part)
        self._add_folded(column, "Numbers", self.volumes, self.numbers)
        self._add_folded(column, "Save and export", self.export)

    def _add_folded(self, column: QVBoxLayout, title: str, *parts: QWidget) -> None:
        content = QWidget()
        inner = QVBoxLayout(content)
        inner.setContentsMargins(0, 0, 0, 0)
        for part in parts:
            inner.addWidget(part)
        section = CollapsibleSection(title, content)
        if title == "Numbers":
            section.expand()
        column.addWidget(section)
