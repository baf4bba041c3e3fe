"""Row of pictures of a carried correction, each with a box to tick."""

from __future__ import annotations

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
from qtpy.QtGui import QColor, QFont, QKeyEvent, QMouseEvent, QPainter, QPalette, QPen, QResizeEvent
from qtpy.QtWidgets import (
    QListView,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)
from superqt.utils import signals_blocked

from ..common.dock import QuietScrollBar
from ..reading.marks import ACCEPTED, INK, RIM, draw_mark

_GAP: Final = 6
"""Room around a picture and its name, px."""
_PALE: Final = 0.3
"""Opacity of a picture whose phase stays as it is."""
_KEYS: Final = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Space)
_INSET: Final = 3
_SHADE: Final = QColor(0, 0, 0, 190)


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
        first = rows.start + step * max(len(rows), 1)
        self.horizontalScrollBar().setValue(first * self.gridSize().width())

    def beside(self) -> QSize:
        """Return the room that a cell needs beyond its picture, for gaps and the name, px."""
        return QSize(0, self.fontMetrics().height()) + QSize(_GAP, _GAP) * 2

    def set_picture_size(self, size: QSize) -> None:
        """Leave room for pictures of this size, px, with their names."""
        metrics = self.fontMetrics()
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
        if is_used and event.type() == QEvent.Type.MouseButtonRelease:
            is_kept = item.checkState() == Qt.CheckState.Checked
            item.setCheckState(Qt.CheckState.Unchecked if is_kept else Qt.CheckState.Checked)
        return bool(is_used)

    def _draw_name(self, painter: QPainter, cell: QRect, name: str, is_kept: bool) -> None:
        font = QFont(self._pictures.font())
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
