"""A sentence in a dock, that is not there while there is nothing to say."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QLabel, QWidget


class Sentence(QLabel):
    """Wrapped to the dock's width; its text can be copied."""

    def __init__(self, text: str = "", *, color: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setMinimumSize(QSize(0, 0))
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        if color:
            self.setStyleSheet(f"color: {color}")
        self.say(text)

    def say(self, text: str) -> None:
        """Show ``text`` instead of what was there before."""
        self.setText(text)
        self.setVisible(bool(text))
