"""Pictures in as many columns as fit the width."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPixmap, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

NARROWEST, WIDEST = 160, 260
"""Width of a picture in pixels; text in a narrower one cannot be read."""
_GAP = 6


class PictureFlow(QWidget):
    """PNG files of one size, scaled to the width of the widget, which sets its own height."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures: list[QPixmap] = []
        self._scaled: list[QPixmap] = []
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    @property
    def pictures(self) -> Sequence[QPixmap]:
        """The pictures at their full size."""
        return self._pictures

    def set_pictures(self, pictures: Sequence[bytes]) -> None:
        """Show the contents of PNG files; hide the widget if there are none."""
        self._pictures = []
        for content in pictures:
            picture = QPixmap()
            picture.loadFromData(content, "PNG")
            self._pictures.append(picture)
        self.setVisible(bool(pictures))
        self._fit()

    def places(self) -> list[QRect]:
        """Return the rectangle of each picture."""
        if not self._pictures:
            return []
        columns = max(1, min(len(self._pictures), (self.width() + _GAP) // (NARROWEST + _GAP)))
        width = min(WIDEST, (self.width() - (columns - 1) * _GAP) // columns)
        size = self._pictures[0].size()
        height = round(width * size.height() / max(1, size.width()))
        return [
            QRect((n % columns) * (width + _GAP), (n // columns) * (height + _GAP), width, height)
            for n in range(len(self._pictures))
        ]

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the pictures to the width."""
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self._fit()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the pictures."""
        painter = QPainter(self)
        for place, picture in zip(self.places(), self._scaled, strict=True):
            painter.drawPixmap(place, picture)
        painter.end()

    def _fit(self) -> None:
        places, ratio = self.places(), self.devicePixelRatioF()
        self._scaled = [
            picture.scaled(
                place.size() * ratio,
                Qt.AspectRatioMode.IgnoreAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
            for place, picture in zip(places, self._pictures, strict=True)
        ]
        self.setFixedHeight(places[-1].bottom() + 1 if places else 0)
        self.update()
