"""Strip of pictures of a carried correction, one for each phase, to keep or to drop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QIcon, QKeyEvent, QPixmap, QResizeEvent
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
from superqt.utils import signals_blocked

from ...core.counts import format_count
from ...core.types import Place
from ..common.dock import MessageLabel, QuietScrollBar
from ..layers.keys import key_text
from ..reading.thumbnail_plan import LARGEST_PICTURE, SMALLEST_PICTURE

KEEP: Final = "Keep in {phases}  {key}"
CARRIED_HELP: Final = (
    "The other phases as they would be; the change is bright. Untick a phase to leave it as it is. "
    "Click a picture to go to its phase."
)
_GAP: Final = 6
_PLACE: Final = Qt.ItemDataRole.UserRole
_KEYS: Final = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Space)


class CarriedStrip(QWidget):
    """Strip that shows an offer; ``cell_chosen`` carries phase and slice of a clicked picture.

    Setters emit no signal but ``shown_changed``, which carries whether there is an offer to show.
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
        self.pictures = _Pictures()
        self._pressed: Place | None = None
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
        self.pictures.itemPressed.connect(self._on_pressed)
        self.pictures.itemClicked.connect(self._on_clicked)
        self.pictures.room_changed.connect(self.room_changed)
        self._count()

    @property
    def ticked(self) -> tuple[Place, ...]:
        """The slices to keep."""
        ticked = Qt.CheckState.Checked
        return tuple(i.data(_PLACE) for i in self._items() if i.checkState() == ticked)

    def show_offer(self, title: str, names: Mapping[Place, str]) -> None:
        """Show slices by name: those shown already as they are, others ticked, without pictures."""
        self.title.show_message(title)
        with signals_blocked(self.pictures):  # they are counted once
            for item in self._items():
                if item.data(_PLACE) not in names:
                    self.pictures.takeItem(self.pictures.row(item))
            shown = {item.data(_PLACE): item for item in self._items()}
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
        """Return the size of the pictures for which there is room, px; see `plan_thumbnails`."""
        room = self.pictures.viewport().height() - self._beside().height()
        height = min(max(room, SMALLEST_PICTURE), LARGEST_PICTURE / max(aspect, 1))
        return QSize(max(round(height * aspect), 1), round(height))

    def set_picture_size(self, size: QSize) -> None:
        """Leave room for pictures of this size, px, with their boxes and names."""
        metrics = self.pictures.fontMetrics()
        names = [metrics.horizontalAdvance(item.text()) + 2 * _GAP for item in self._items()]
        cell = size.expandedTo(QSize(max(names, default=0), 0)) + self._beside()
        self.pictures.setIconSize(size)
        self.pictures.setGridSize(cell)
        with signals_blocked(self.pictures):
            for item in self._items():
                item.setSizeHint(cell)

    def _beside(self) -> QSize:
        """Return the room for the box next to a picture and the name below it, px."""
        style = self.pictures.style()
        box = style.pixelMetric(QStyle.PixelMetric.PM_IndicatorWidth, None, self.pictures)
        return QSize(box, self.pictures.fontMetrics().height()) + QSize(_GAP, _GAP) * 2

    def set_picture(self, place: Place, picture: QPixmap) -> None:
        """Show the picture of a slice."""
        with signals_blocked(self.pictures):
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

    def _on_pressed(self, item: QListWidgetItem) -> None:
        """Note the picture under the mouse; Qt emits nothing while a box is being pressed."""
        self._pressed = item.data(_PLACE)

    def _on_clicked(self, item: QListWidgetItem) -> None:
        """Go to the phase of a picture, but stay where its box was clicked."""
        pressed, self._pressed = self._pressed, None
        if pressed is not None and pressed == item.data(_PLACE):
            self.cell_chosen.emit(*pressed)

    def _count(self) -> None:
        """Show how many slices are ticked; the button is as wide as all of them need."""
        key = key_text("carry")
        for count in (self.pictures.count(), len(self.ticked)):
            self.keep_button.setText(KEEP.format(phases=format_count(count, "phase"), key=key))
            if count == self.pictures.count():
                self.keep_button.setMinimumWidth(self.keep_button.sizeHint().width())
        self.keep_button.setEnabled(bool(self.ticked))


class _Pictures(QListWidget):
    """Row of pictures with boxes to tick, which leaves the keys of the review to the window.

    ``room_changed`` is emitted when the pictures have another height or the names another font.
    """

    room_changed = Signal()

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
        self.setHorizontalScrollBar(QuietScrollBar(Qt.Orientation.Horizontal))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Report another height."""
        super().resizeEvent(event)
        if event.size().height() != event.oldSize().height():
            self.room_changed.emit()

    def changeEvent(self, event: QEvent) -> None:
        """Report another font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.room_changed.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move or tick, and leave all other keys to the window."""
        if event.key() in _KEYS:
            super().keyPressEvent(event)
        else:
            event.ignore()
