"""The slice on screen at the other of ED and ES, next to the canvas."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...core.types import Place
from ..common.dock import ThemeFont
from ..layers.viewing import Rectangle
from .slice_pictures import SlicePicture, SlicePictures, paint_picture

OTHER_HELP: Final = "The same slice at the other of ED and ES. Click to correct it (T)."
TITLE_MARGIN: Final = 8
"""Pixels between the title and the edge."""
BEHIND_TITLE: Final = QColor(0, 0, 0, 160)


class PictureBeside(QWidget):
    """Picture next to the canvas, with a title; the wheel turns to other slices.

    It is painted instead of a second canvas of napari, which would have keys, layers and a context
    of OpenGL of its own. ``turned`` asks for the next slice (+1) or the previous one (−1).
    """

    turned = Signal(int)

    def __init__(self, help_text: str) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumWidth(1)
        self.setToolTip(help_text)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.place: Place | None = None
        self._title = ""
        ThemeFont(self)

    def show_slice(self, place: Place | None, title: str) -> None:
        """Show a slice with this title; None shows only the title."""
        if (place, title) != (self.place, self._title):
            self.place, self._title = place, title
            self._draw_anew()

    def paint(self, painter: QPainter) -> None:
        """Paint the picture below the title."""

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the picture, and the title in the corner."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
        self.paint(painter)
        room = self.rect().adjusted(TITLE_MARGIN, TITLE_MARGIN, -TITLE_MARGIN, -TITLE_MARGIN)
        flags = Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
        title = painter.boundingRect(room, flags, self._title)
        painter.fillRect(
            title.adjusted(-TITLE_MARGIN, -TITLE_MARGIN, TITLE_MARGIN, TITLE_MARGIN), BEHIND_TITLE
        )
        painter.setPen(Qt.GlobalColor.white)
        painter.drawText(room, flags, self._title)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Ask for another slice, as the wheel over the canvas does."""
        # A touchpad also turns the wheel sideways.
        if event.angleDelta().y():
            self.turned.emit(-1 if event.angleDelta().y() > 0 else 1)

    def _draw_anew(self) -> None:
        self.update()


class OtherPhase(PictureBeside):
    """Picture of the slice with its contours, in step with the canvas; it cannot be edited.

    It shows what is in the middle of the canvas, as large as there is room for. ``clicked`` asks
    for the phase that is shown here.
    """

    clicked = Signal()

    def __init__(self) -> None:
        super().__init__(OTHER_HELP)
        self._pictures: SlicePictures | None = None
        self._picture: SlicePicture | None = None
        self._slice: Rectangle = 0, 0, 1, 1  # on the canvas
        self._canvas = 1, 1

    def set_pictures(self, pictures: SlicePictures) -> None:
        """Draw these pictures, for example after the canvas was turned."""
        self._pictures = pictures
        self._draw_anew()

    def set_view(self, place: Rectangle, canvas: tuple[int, int]) -> None:
        """Show what a canvas of (height, width) px shows, where the slice lies at ``place``."""
        self._slice, self._canvas = place, canvas
        self.update()

    def refresh(self) -> None:
        """Draw the slice again if its labels have changed."""
        pictures, picture = self._pictures, self._picture
        if pictures is None or picture is None or self.place is None:
            return
        if not pictures.is_current(self.place, picture):
            self._draw_anew()

    def paint(self, painter: QPainter) -> None:
        """Paint the slice as it lies on the canvas."""
        if self._pictures is None or self.place is None:
            return
        self._picture = self._picture or self._pictures.draw(self.place)
        (rows, columns), (left, top, *size) = self._canvas, self._slice
        scale = min(self.width() / columns, self.height() / rows)
        left = self.width() / 2 + (left - columns / 2) * scale
        top = self.height() / 2 + (top - rows / 2) * scale
        place = QRectF(left, top, size[0] * scale, size[1] * scale)
        paint_picture(painter, place, self._picture, self._pictures.colors)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for the phase that is shown here."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit()

    def _draw_anew(self) -> None:
        """Draw the picture when it is painted next, so never while it is hidden."""
        self._picture = None
        self.update()
