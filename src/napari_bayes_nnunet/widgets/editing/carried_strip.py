"""Strip of pictures of a carried correction, one for each phase it changes, to keep or to drop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qtpy.QtCore import (
    QAbstractItemModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import (
    QColor,
    QFont,
    QIcon,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPalette,
    QPen,
    QPixmap,
    QResizeEvent,
)
from qtpy.QtWidgets import (
    QLabel,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)
from superqt.utils import signals_blocked

from ...core.counts import format_count
from ...core.types import Place
from ..common.dock import MessageLabel, QuietScrollBar, column_layout, explained, row_layout
from ..layers.keys import key_text
from ..reading.marks import ACCEPTED, INK, RIM, draw_mark
from ..reading.thumbnails import LARGEST_PICTURE, SMALLEST_PICTURE

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
_GAP: Final = 6
"""Room around a picture and its name, px."""
_PALE: Final = 0.3
"""Opacity of a picture whose phase stays as it is."""
_KEYS: Final = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Space)
_INSET: Final = 3
_SHADE: Final = QColor(0, 0, 0, 190)


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

    def __init__(self) -> None:
        super().__init__()
        self.title = MessageLabel()
        self.title.setWordWrap(False)  # or the area would make the strip higher than its place
        self.keep_button = explained(QPushButton(), CARRIED_HELP)
        self.drop_button = explained(QPushButton("Drop"), "Leave all other phases as they are.")
        self.pictures = CarriedPictures()
        self.in_sight = QLabel()
        self.pages = {step: self._make_page_button(step) for step in PAGES}
        self._pressed: Place | None = None
        self.setToolTip(CARRIED_HELP)
        self.setAccessibleName("Carried correction")
        self.setAccessibleDescription(CARRIED_HELP)
        buttons = self.keep_button, self.drop_button
        column = column_layout(None, self.title, *buttons, None, self.in_sight)
        parts = column, self.pages[-1], self.pictures, self.pages[1]
        row_layout(self, *parts, wide=self.pictures).setContentsMargins(4, 2, 4, 2)
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
        button = explained(QPushButton(text), help_text)
        button.setAccessibleName(help_text)
        button.setStyleSheet(_PAGE_STYLE)
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


class CarriedPictures(QListWidget):
    """Row of pictures with boxes to tick, which leaves the keys of the review to the window.

    ``room_changed`` is emitted when the height of the pictures or the font of their names changes,
    ``scrolled`` when other pictures come into sight.
    """

    room_changed = Signal()
    scrolled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setItemDelegate(_PictureDelegate(self))
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(False)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QListView.SelectionMode.NoSelection)
        self.setFrameShape(QListView.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setHorizontalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # The bar keeps its room, so that pictures keep their size when there is more to scroll.
        bar = QuietScrollBar(Qt.Orientation.Horizontal)
        self.setHorizontalScrollBar(bar)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        bar.valueChanged.connect(self.scrolled)
        bar.rangeChanged.connect(self.scrolled)

    @property
    def items(self) -> list[QListWidgetItem]:
        """All pictures, from left to right."""
        items = (self.item(row) for row in range(self.count()))
        return [item for item in items if item is not None]

    @property
    def in_sight(self) -> range:
        """Rows of the pictures that are more than half in sight."""
        view = self.viewport().rect()
        seen = [view.contains(self.visualItemRect(item).center()) for item in self.items]
        first = seen.index(True) if any(seen) else 0
        return range(first, first + sum(seen))

    def turn_page(self, step: int) -> None:
        """Scroll by as many pictures as are in sight, to the left (−1) or right (1)."""
        rows = self.in_sight
        # In a narrow strip no picture may be more than half in sight.
        first = rows.start + step * max(len(rows), 1)
        self.horizontalScrollBar().setValue(first * self.gridSize().width())

    def beside(self) -> QSize:
        """Return the room that a cell needs beyond its picture, for gaps and the name, px."""
        return QSize(0, self.fontMetrics().height()) + QSize(_GAP, _GAP) * 2

    def set_picture_size(self, size: QSize) -> None:
        """Leave room for pictures of this size, px, with their names."""
        metrics = self.fontMetrics()
        # In a large font, names that are cut off would all be the same letters.
        names = [metrics.horizontalAdvance(item.text()) for item in self.items]
        cell = size.expandedTo(QSize(max(names, default=0), 0)) + self.beside()
        self.setIconSize(size)
        self.setGridSize(cell)
        with signals_blocked(self):
            for item in self.items:
                item.setSizeHint(cell)
        self.scrolled.emit()

    def picture_room(self, cell: QRect) -> QRect:
        """Return the room of a picture in its cell."""
        size = self.iconSize()
        left = cell.left() + (cell.width() - size.width()) // 2
        return QRect(left, cell.top() + _GAP, size.width(), size.height())

    def box_room(self, cell: QRect) -> QRect:
        """Return the room of a box, in the upper left corner of its picture."""
        side = self.fontMetrics().height()
        return QRect(self.picture_room(cell).topLeft(), QSize(side, side)).translated(
            _INSET, _INSET
        )

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Report another height."""
        super().resizeEvent(event)
        self.scrolled.emit()
        if event.size().height() != event.oldSize().height():
            self.room_changed.emit()

    def changeEvent(self, event: QEvent) -> None:
        """Report another font."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.room_changed.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Move or tick with the keys for it, and leave all other keys to the window."""
        if event.key() in _KEYS:
            super().keyPressEvent(event)
        else:
            event.ignore()


class _PictureDelegate(QStyledItemDelegate):
    """Delegate that draws a box over the corner of its picture, legible on every theme.

    A picture without a tick is pale and its name is struck out.
    """

    def __init__(self, pictures: CarriedPictures) -> None:
        super().__init__(pictures)
        self._pictures = pictures

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        """Draw picture, name and box."""
        item = self._pictures.item(index.row())
        if item is None:
            return
        is_kept = item.checkState() == Qt.CheckState.Checked
        picture = self._pictures.picture_room(option.rect)
        painter.save()
        painter.setOpacity(1.0 if is_kept else _PALE)
        item.icon().paint(painter, picture)
        painter.setOpacity(1.0)
        self._draw_name(painter, option.rect, item.text(), is_kept)
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.drawRect(option.rect.adjusted(1, 1, -2, -2))
        _draw_box(painter, self._pictures.box_room(option.rect), is_kept)
        painter.restore()

    def editorEvent(
        self,
        event: QEvent,
        model: QAbstractItemModel,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> bool:
        """Tick or untick a picture whose box is clicked; return whether the event was used."""
        item = self._pictures.item(index.row())
        if item is None or not isinstance(event, QMouseEvent):
            return bool(super().editorEvent(event, model, option, index))
        is_left = event.button() == Qt.MouseButton.LeftButton
        room = self._pictures.box_room(option.rect)
        is_used = is_left and room.contains(event.position().toPoint())
        # Only the release ticks; the press is used as well, or it would count as one on the
        # picture.
        if is_used and event.type() == QEvent.Type.MouseButtonRelease:
            is_kept = item.checkState() == Qt.CheckState.Checked
            item.setCheckState(Qt.CheckState.Unchecked if is_kept else Qt.CheckState.Checked)
        return bool(is_used)

    def _draw_name(self, painter: QPainter, cell: QRect, name: str, is_kept: bool) -> None:
        font = QFont(self._pictures.font())
        # Not by the paleness of the picture alone, which a dark picture hides.
        font.setStrikeOut(not is_kept)
        painter.setFont(font)
        painter.setPen(self._pictures.palette().color(QPalette.ColorRole.Text))
        room = cell.adjusted(0, 0, 0, -_GAP // 2)
        painter.drawText(room, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignBottom, name)


def _draw_box(painter: QPainter, room: QRect, is_ticked: bool) -> None:
    """Draw a dark box with a white frame and, if ticked, a white tick."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(_SHADE)
    for color, width in ((RIM, 4.0), (INK, 2.0)):
        painter.setPen(QPen(color, width))
        painter.drawRoundedRect(QRectF(room), 2, 2)
        painter.setBrush(Qt.BrushStyle.NoBrush)
    if is_ticked:
        draw_mark(painter, ACCEPTED, QRectF(room).adjusted(2, 2, -2, -2))
