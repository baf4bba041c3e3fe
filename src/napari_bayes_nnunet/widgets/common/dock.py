"""What the docks share in their looks: headings, lines, and a scroll area around everything."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QWidget

WIDTH = 360
"""Of a dock at its narrowest, pixels; laptops have no more to spare."""


def heading(text: str) -> QLabel:
    """The title of a part of a dock."""
    label = QLabel(f"<b>{text}</b>")
    label.setContentsMargins(0, 6, 0, 0)
    return label


def line() -> QFrame:
    """A horizontal line."""
    frame = QFrame()
    frame.setFrameShape(QFrame.Shape.HLine)
    return frame


def scrolling(content: QWidget) -> QScrollArea:
    """``content`` in an area that scrolls up and down: small screens lose the buttons otherwise."""
    area = QScrollArea()
    area.setWidget(content)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area
