"""Forms of the *Review* dock."""

from __future__ import annotations

from qtpy.compat import isalive
from qtpy.QtWidgets import QCheckBox, QWidget

from ..common.display_form import DisplayForm
from ..common.dock import CollapsibleSection, MessageLabel, TwoLineMessage, column_layout, explained
from ..common.settings import Settings, StopTarget
from ..editing.carried_strip import CarriedStrip
from ..editing.correction_form import CorrectionForm
from ..editing.slice_buttons import SliceButtons
from ..editing.valve_handles import ValveHandles
from ..layers.keys import KEYS
from ..reading.heat_grid import HeatGrid
from ..reading.key_numbers import KeyNumbers
from ..reading.numbers import NumbersForm
from ..reading.progress import ReviewProgressPanel
from ..reading.queue_form import QueueForm
from ..reading.queue_table import QueueTable
from ..reading.second_view import SecondView
from ..reading.stop_panel import StopPanel
from ..reading.thumbnails import Thumbnails
from ..reading.view_form import ViewForm
from ..reading.volume_plot import VolumePlot
from ..reading.wall_form import WallForm
from .export import SaveButton
from .reader_button import ReaderButton

QUEUE, LIMITS, PICTURE, UNCERTAINTY, NUMBERS, WALL = (
    "Order and target", "Locks and brush", "Picture", "Uncertainty", "Numbers", "Wall thickness",
)  # fmt: skip
WHEEL, WHEEL_HELP = (
    "Wheel zooms",
    "As elsewhere in napari. Otherwise the wheel shows the next slice, with Shift the next phase, "
    "and zooms with Ctrl.",
)
SAVE_SHARE = 10
"""Width of the save button relative to the other buttons of its row."""
OPEN_AT_FIRST = (QUEUE, PICTURE, UNCERTAINTY)


class ReviewForms(QWidget):
    """All forms of one study, which know neither study nor viewer.

    This widget holds the sections, which scroll; ``settings`` keep which of them are open.
    Queue and corrections come first, so that they are in sight without scrolling. ``key_numbers``
    have a fixed place above them, and ``foot`` one below the sections; ``thumbnails`` have one at
    the bottom of the window, in place of the heat grid, and ``carried`` in place of these.
    """

    def __init__(self, *, settings: Settings | None = None) -> None:
        super().__init__()
        self._settings = settings or Settings()
        self.key_numbers = KeyNumbers()
        self.reader = ReaderButton()
        self.key_numbers.head.addWidget(self.reader)
        self.key_numbers.caption.setMinimumWidth(1)  # the reader's name does not widen the dock
        self.queue = QueueForm()
        self.grid = HeatGrid()
        self.thumbnails = Thumbnails()
        self.second = SecondView(self._settings)
        self.other, self.long_axis = self.second.other, self.second.long_axis
        self.valves = ValveHandles(self.long_axis, self.long_axis.lie)
        self.carried = CarriedStrip()
        self.overviews = (self.grid, self.thumbnails)
        self._needs_grid, self._has_thumbnails = False, False
        self.table = QueueTable()
        self.finding = TwoLineMessage(level="warning")
        self.slice = SliceButtons()
        self.progress = ReviewProgressPanel()
        self.stop = StopPanel()
        target = self._settings.kept.stop_target
        if target is not None:
            self.stop.set_target(target.points, target.level)
        self.guide = MessageLabel()
        self.corrections = CorrectionForm()
        self.display = DisplayForm(self._settings, fill_key=KEYS["outline or fill"])
        self.napari_wheel = explained(QCheckBox(WHEEL), WHEEL_HELP)
        self.napari_wheel.setChecked(self._settings.kept.napari_wheel)
        self.napari_wheel.toggled.connect(lambda is_on: self._settings.keep(napari_wheel=is_on))
        self.view = ViewForm(self._settings)
        self.volumes = VolumePlot()
        self.numbers = NumbersForm(self._settings)
        self.wall = WallForm()
        self.export = SaveButton()
        self.sections: dict[str, CollapsibleSection] = {}
        tools = self.corrections, self.slice.comment, self.corrections.more
        self._column = column_layout(self, self.guide, self.table, *tools)
        self._add(QUEUE, self.grid, self.stop, self.queue)
        self._add(LIMITS, self.corrections.limits)
        self._add(PICTURE, self.display, self.napari_wheel, self.corrections.looks)
        self._add(UNCERTAINTY, self.view)
        self._add(NUMBERS, self.volumes, self.numbers)
        self._add(WALL, self.wall)
        self.slice.layout().addWidget(self.export, SAVE_SHARE)
        self.foot = QWidget()
        column_layout(self.foot, self.finding, self.progress, self.slice).setSpacing(4)

    def set_room(self, height: int) -> None:
        """Fit the queue to this height of the area that scrolls, px, above the corrections."""
        needed = self.corrections.sizeHint().height() + self._column.spacing()
        self.table.set_room(height - needed)

    def need_grid(self, is_needed: bool) -> None:
        """Show the heat grid also next to thumbnails, because more phases are reviewed."""
        self._needs_grid = is_needed
        self._show_grid()

    def show_thumbnails(self, are_shown: bool) -> None:
        """Show the heat grid unless the thumbnails take its place."""
        self._has_thumbnails = are_shown
        self._show_grid()

    def discard(self) -> None:
        """Keep the target, then delete all forms, including those with a fixed place."""
        if self.stop.was_changed:
            target = StopTarget(points=self.stop.target.value(), level=self.stop.level)
            self._settings.keep(stop_target=target)
        beside = self.corrections.tools, self.second
        parts = self.key_numbers, self.foot, *beside, self.thumbnails, self.carried, self
        for part in filter(isalive, parts):  # the window may be closing
            part.deleteLater()

    def _show_grid(self) -> None:
        self.grid.setVisible(self._needs_grid or not self._has_thumbnails)

    def _add(self, title: str, *parts: QWidget) -> None:
        content = QWidget()
        column_layout(content, *parts)
        section = self.sections[title] = CollapsibleSection(title, content)
        if self._settings.kept.open_sections.get(title, title in OPEN_AT_FIRST):
            section.expand()
        section.toggled.connect(
            lambda is_open: self._settings.add("open_sections", {title: is_open})
        )
        self._column.addWidget(section)
