"""Button whose text is shortened to its width."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QPushButton, QSizePolicy, QStyle, QStyleOptionButton


class ElidingButton(QPushButton):
    """Button that takes the width it is given; ``title`` is its whole text.

    ``mode`` is the end at which the text is shortened, by default the middle.
    """

    def __init__(
        self, title: str, *, mode: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle
    ) -> None:
        super().__init__(title)
        self.title = title
        self._mode = mode
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def set_title(self, title: str) -> None:
        """Show ``title``, shortened if it is too long."""
        self.title = title
        self._elide()

    def minimumSizeHint(self) -> QSize:
        """Return the height of a button, and a width that any text can be shortened to."""
        return QSize(0, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Shorten the text to the new width."""
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        option = QStyleOptionButton()
        self.initStyleOption(option)
        element = QStyle.SubElement.SE_PushButtonContents
        width = self.style().subElementRect(element, option, self).width()
        # The arrow of a menu takes a part of the room.
        if self.menu() is not None:
            arrow = QStyle.PixelMetric.PM_MenuButtonIndicator
            width -= self.style().pixelMetric(arrow, option, self)
        self.setText(self.fontMetrics().elidedText(self.title, self._mode, width))
