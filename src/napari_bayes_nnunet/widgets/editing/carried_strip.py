"""Strip of pictures of a carried correction, one for each phase, to keep or to drop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QKeyEvent, QPixmap
from qtpy.QtWidgets import (
    QHBoxLayout,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QStyle,
    QVBoxLayout,
    QWidget,
)

from ...core.counts import format_count
from ...core.types import Place
from ..common.dock import MessageLabel
from ..layers.keys import key_text
from ..reading.thumbnail_plan import LARGEST_PICTURE

KEEP: Final = "Keep in {phases}  {key}"
CARRIED_HELP: Final = (
    "The slice in the other phases as it would be; what changes is bright. Untick a phase to leave "
    "it as it is. Click a picture to go to its phase."
)
_GAP: Final = 6
_LOWEST: Final = 60
"""Smallest height of a picture, px."""
_PLACE: Final = Qt.ItemDataRole.UserRole
_KEYS: Final = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Space)


class CarriedStrip(QWidget):
    """Strip that shows an offer; ``cell_chosen`` carries phase and slice of a clicked picture.

    Setters emit no signal but ``shown_changed``, which carries whether there is an offer to show.
    """

    keep_requested = Signal()
    drop_requested = Signal()
    cell_chosen = Signal(object, int)
    shown_changed = Signal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = MessageLabel()
        self.keep_button, self.drop_button = QPushButton(), QPushButton("Drop")
        for button in (self.keep_button, self.drop_button):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.drop_button.setToolTip("Leave all other phases as they are.")
        self.pictures = _Pictures()
        self.setToolTip(CARRIED_HELP)
        self.setAccessibleName("Carried correction")
        self.setAccessibleDescription(CARRIED_HELP)
        column = QVBoxLayout()
        column.addWidget(self.title)
        for button in (self.keep_button, self.drop_button):
            column.addWidget(button)
        column.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 2, 4, 2)
        row.addLayout(column)
        row.addWidget(self.pictures, 1)
        self.keep_button.clicked.connect(self.keep_requested)
        self.drop_button.clicked.connect(self.drop_requested)
        self.pictures.itemChanged.connect(self._count)
        self.pictures.itemClicked.connect(lambda item: self.cell_chosen.emit(*item.data(_PLACE)))
        self._count()

    @property
    def ticked(self) -> tuple[Place, ...]:
        """The slices to keep."""
        ticked = Qt.CheckState.Checked
        return tuple(i.data(_PLACE) for i in self._items() if i.checkState() == ticked)

    def show_offer(self, title: str, names: Mapping[Place, str]) -> None:
        """Show slices by name, still without pictures, and ticked unless they were unticked."""
        unticked = {item.data(_PLACE) for item in self._items()} - {*self.ticked}
        self.title.show_message(title)
        self.pictures.clear()
        for place, name in names.items():
            item = QListWidgetItem(name)
            item.setData(_PLACE, place)
            ticked = Qt.CheckState.Unchecked if place in unticked else Qt.CheckState.Checked
            item.setCheckState(ticked)
            self.pictures.addItem(item)
        self._count()
        self.shown_changed.emit(True)

    @property
    def picture_height(self) -> int:
        """Height of the pictures for which there is room, px."""
        bar = self.pictures.horizontalScrollBar().sizeHint().height()
        room = int(self.pictures.height() - bar - self._beside().height())
        return min(max(room, _LOWEST), LARGEST_PICTURE)

    def set_picture_size(self, size: QSize) -> None:
        """Leave room for pictures of this size, px, with their boxes and names."""
        self.pictures.setIconSize(size)
        self.pictures.setGridSize(size + self._beside())
        for item in self._items():
            item.setSizeHint(size + self._beside())

    def _beside(self) -> QSize:
        """Return the room for the box next to a picture and the name below it, px."""
        style = self.pictures.style()
        box = style.pixelMetric(QStyle.PixelMetric.PM_IndicatorWidth, None, self.pictures)
        return QSize(box, self.pictures.fontMetrics().height()) + QSize(_GAP, _GAP) * 2

    def set_picture(self, place: Place, picture: QPixmap) -> None:
        """Show the picture of a slice."""
        for item in self._items():
            if item.data(_PLACE) == place:
                item.setIcon(QIcon(picture))

    def end_offer(self) -> None:
        """Show no slices."""
        self.pictures.clear()
        self.shown_changed.emit(False)

    def _items(self) -> list[QListWidgetItem]:
        items = (self.pictures.item(row) for row in range(self.pictures.count()))
        return [item for item in items if item is not None]

    def _count(self) -> None:
        count = len(self.ticked)
        phases, key = format_count(count, "phase"), key_text("carry")
        self.keep_button.setText(KEEP.format(phases=phases, key=key))
        self.keep_button.setEnabled(count > 0)


class _Pictures(QListWidget):
    """Row of pictures with boxes to tick, which leaves the keys of the review to the window."""

    def __init__(self) -> None:
        super().__init__()
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QListView.SelectionMode.NoSelection)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setHorizontalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move or tick, and leave all other keys to the window."""
        if event.key() in _KEYS:
            super().keyPressEvent(event)
        else:
            event.ignore()
