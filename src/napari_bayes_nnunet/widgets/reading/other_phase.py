"""The slice on screen at the other of ED and ES, next to the canvas."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QRect, QSize, Qt, Signal
from qtpy.QtGui import QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from ...core.types import Place
from ..common.dock import ThemeFont
from .slice_pictures import SlicePicture, SlicePictures, render_picture

OTHER_HELP: Final = "The same slice at the other of ED and ES. Click to correct it (T)."
MARGIN: Final = 8
"""Pixels between the title and the edge."""


class OtherPhase(QWidget):
    """Picture of the heart with its contours, as large as the room; it cannot be edited.

    It is painted instead of a second canvas of napari, which would have keys, layers and a context
    of OpenGL of its own. ``clicked`` asks for the phase that is shown here.
    """

    clicked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumWidth(1)
        self.setToolTip(OTHER_HELP)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.place: Place | None = None
        self._title = ""
        self._pictures: SlicePictures | None = None
        self._picture: SlicePicture | None = None
        ThemeFont(self)

    def set_pictures(self, pictures: SlicePictures) -> None:
        """Draw these pictures, for example after the canvas was turned."""
        self._pictures = pictures
        self._draw()

    def show_slice(self, place: Place | None, title: str) -> None:
        """Show a slice and the name of its phase; None for a study without another phase."""
        if place != self.place:
            self.place, self._title = place, title
            self._draw()

    def refresh(self) -> None:
        """Draw the slice again if its labels have changed."""
        pictures, picture = self._pictures, self._picture
        if pictures is None or picture is None or self.place is None:
            return
        if not pictures.is_current(self.place, picture):
            self._draw()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the slice in the middle, and the title in its corner."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
        if self._pictures is not None and self._picture is not None:
            aspect = self._pictures.aspect
            width = min(self.width(), round(self.height() * aspect))
            place = QRect(0, 0, width, round(width / aspect))
            place.moveCenter(self.rect().center())
            size, ratio = QSize(place.size()), self.devicePixelRatioF()
            colors = self._pictures.colors
            painter.drawPixmap(place, render_picture(self._picture, size, colors, ratio=ratio))
        painter.setPen(Qt.GlobalColor.white)
        painter.drawText(
            self.rect().adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN),
            Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap,
            self._title,
        )

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for the phase that is shown here."""
        self.clicked.emit()

    def _draw(self) -> None:
        pictures, place = self._pictures, self.place
        self._picture = None if pictures is None or place is None else pictures.draw(place)
        self.update()
