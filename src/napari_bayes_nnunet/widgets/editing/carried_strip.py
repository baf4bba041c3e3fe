"""Strip of pictures of a carried correction, one for each phase it changes, to keep or to drop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from ...core.counts import format_count
from ...core.types import Place
from ..common.dock import MessageLabel
from ..layers.keys import key_text
from ..reading.thumbnails import LARGEST_PICTURE, SMALLEST_PICTURE
from .carried_pictures import CarriedPictures

KEEP: Final = "Keep in {phases}  {key}"
CARRIED_HELP: Final = (
    "The other phases as they would be; the change is bright. Untick a phase to leave it as it is. "
    "Click a picture to go to its phase."
)
IN_SIGHT: Final = "{first}–{last} of {count} shown"
PAGES: Final = {
    -1: ("‹", "Show the phases to the left."),
    1: ("›", "Show the phases to the right."),
}
"""Text and help of the buttons that scroll, by direction."""
_PAGE_STYLE: Final = "padding: 0; min-width: 22px; font-size: 20px"
_PLACE: Final = Qt.ItemDataRole.UserRole


class CarriedStrip(QWidget):
    """Strip that shows an offer; ``cell_chosen`` carries phase and slice of a clicked picture.

    Setters emit only ``shown_changed``, which carries whether there is an offer to show.
    ``room_changed`` is emitted when the pictures have more or less room.
    """

    keep_requested = Signal()
    drop_requested = Signal()
    cell_chosen = Signal(object, int)
    shown_changed = Signal(bool)
    room_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = MessageLabel()
        self.title.setWordWrap(False)  # or the area would make the strip higher than its place
        self.keep_button, self.drop_button = QPushButton(), QPushButton("Drop")
        for button in (self.keep_button, self.drop_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.drop_button.setToolTip("Leave all other phases as they are.")
        self.pictures = CarriedPictures()
        self.in_sight = QLabel()
        self.pages = {step: self._make_page_button(step) for step in PAGES}
        self._pressed: Place | None = None
        self.setToolTip(CARRIED_HELP)
        self.setAccessibleName("Carried correction")
        self.setAccessibleDescription(CARRIED_HELP)
        column = QVBoxLayout()
        column.addWidget(self.title)
        for button in (self.keep_button, self.drop_button):
            column.addWidget(button)
        column.addStretch(1)
        column.addWidget(self.in_sight)
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 2, 4, 2)
        row.addLayout(column)
        row.addWidget(self.pages[-1])
        row.addWidget(self.pictures, 1)
        row.addWidget(self.pages[1])
        for part in (self.in_sight, *self.pages.values()):
            _keep_room(part)
        self.keep_button.clicked.connect(self.keep_requested)
        self.drop_button.clicked.connect(self.drop_requested)
        self.pictures.itemChanged.connect(self._count)
        self.pictures.itemPressed.connect(self._on_pressed)
        self.pictures.itemClicked.connect(self._on_clicked)
        self.pictures.room_changed.connect(self.room_changed)
        self.pictures.scrolled.connect(self._show_in_sight)
        self._count()

    @property
    def ticked(self) -> tuple[Place, ...]:
        """The slices to keep."""
        ticked = Qt.CheckState.Checked
        return tuple(i.data(_PLACE) for i in self.pictures.items if i.checkState() == ticked)

    def show_offer(self, title: str, names: Mapping[Place, str]) -> None:
        """Show slices by name; those not shown before are ticked and have no picture yet."""
        self.title.show_message(title)
        with signals_blocked(self.pictures):  # they are counted once
            for item in self.pictures.items:
                if item.data(_PLACE) not in names:
                    self.pictures.takeItem(self.pictures.row(item))
            shown = {item.data(_PLACE): item for item in self.pictures.items}
            for place, name in names.items():
                (shown.get(place) or self._add(place)).setText(name)
        self._count()
        self.shown_changed.emit(True)

    def _add(self, place: Place) -> QListWidgetItem:
        item = QListWidgetItem(self.pictures)
        item.setData(_PLACE, place)
        item.setCheckState(Qt.CheckState.Checked)
        return item

    def picture_size(self, aspect: float) -> QSize:
        """Return the size of the pictures for which there is room, px; see `Thumbnails`."""
        room = self.pictures.viewport().height() - self.pictures.beside().height()
        height = min(max(room, SMALLEST_PICTURE), LARGEST_PICTURE / max(aspect, 1))
        return QSize(max(round(height * aspect), 1), round(height))

    def set_picture_size(self, size: QSize) -> None:
        """Leave room for pictures of this size, px, with their boxes and names."""
        self.pictures.set_picture_size(size)

    def set_picture(self, place: Place, picture: QPixmap) -> None:
        """Show the picture of a slice."""
        with signals_blocked(self.pictures):
            for item in self.pictures.items:
                if item.data(_PLACE) == place:
                    item.setIcon(QIcon(picture))

    def end_offer(self) -> None:
        """Show no slices."""
        self.pictures.clear()
        self.shown_changed.emit(False)

    def _make_page_button(self, step: int) -> QPushButton:
        text, help_text = PAGES[step]
        button = QPushButton(text)
        button.setToolTip(help_text)
        button.setAccessibleName(help_text)
        button.setStyleSheet(_PAGE_STYLE)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(lambda: self.pictures.turn_page(step))
        return button

    def _show_in_sight(self) -> None:
        """Show which of the pictures are in sight, unless all of them are."""
        bar, rows = self.pictures.horizontalScrollBar(), self.pictures.in_sight
        first, last, count = rows.start + 1, rows.stop, self.pictures.count()
        self.in_sight.setText(IN_SIGHT.format(first=first, last=last, count=count))
        self.pages[-1].setEnabled(bar.value() > bar.minimum())
        self.pages[1].setEnabled(bar.value() < bar.maximum())
        for part in (self.in_sight, *self.pages.values()):
            part.setVisible(bar.maximum() > bar.minimum())

    def _on_pressed(self, item: QListWidgetItem) -> None:
        """Note the picture under the mouse; Qt emits nothing while a box is being pressed."""
        self._pressed = item.data(_PLACE)

    def _on_clicked(self, item: QListWidgetItem) -> None:
        """Go to the phase of a picture, but stay where its box was clicked."""
        pressed, self._pressed = self._pressed, None
        if pressed is not None and pressed == item.data(_PLACE):
            self.cell_chosen.emit(*pressed)

    def _count(self) -> None:
        """Show how many slices are ticked, on a button wide enough for all of them."""
        self._show_count(self.pictures.count())
        self.keep_button.setMinimumWidth(self.keep_button.sizeHint().width())
        self._show_count(len(self.ticked))
        self.keep_button.setEnabled(bool(self.ticked))

    def _show_count(self, count: int) -> None:
        phases, key = format_count(count, "phase"), key_text("carry")
        self.keep_button.setText(KEEP.format(phases=phases, key=key))


def _keep_room(part: QWidget) -> None:
    """Let nothing move when a part of the strip is hidden."""
    policy = part.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    if isinstance(part, QPushButton):
        policy.setVerticalPolicy(QSizePolicy.Policy.Ignored)
        policy.setHorizontalPolicy(QSizePolicy.Policy.Fixed)
    part.setSizePolicy(policy)
