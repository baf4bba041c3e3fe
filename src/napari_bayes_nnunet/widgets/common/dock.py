"""Headings, rows, messages and scroll areas of all docks."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QIcon, QShowEvent
from qtpy.QtWidgets import (
    QWIDGETSIZE_MAX,
    QDockWidget,
    QFormLayout,
    QFrame,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QWidget,
)
from superqt import QCollapsible, QElidingLabel

from .levels import Level, level_color

DOCK_WIDTH = 360
"""Minimum width of a dock in pixels; laptop screens have no more to spare."""


def heading(text: str) -> QLabel:
    """Return the title of a part of a dock."""
    label = QLabel(f"<b>{text}</b>")
    label.setContentsMargins(0, 6, 0, 0)
    return label


def line() -> QFrame:
    """Return a horizontal line."""
    frame = QFrame()
    frame.setFrameShape(QFrame.Shape.HLine)
    return frame


def make_scrollable(content: QWidget) -> QScrollArea:
    """Return ``content`` in a vertical scroll area, so that small screens reach all buttons."""
    area = QScrollArea()
    area.setWidget(content)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


class DockContent(QWidget):
    """Base class of the docks, with hooks for closing; a tab in front only hides a dock."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Call `_on_dock_closed` when the dock is closed."""
        if event.type() == QEvent.Type.Close:
            self._on_dock_closed()
        return bool(super().eventFilter(watched, event))

    def event(self, event: QEvent) -> bool:
        """Watch the dock that this widget enters; call `_on_taken_out` when it leaves."""
        if event.type() == QEvent.Type.ParentChange:
            dock = self.parent()
            if isinstance(dock, QDockWidget):
                dock.installEventFilter(self)
            elif dock is None:
                self._on_taken_out()
        return bool(super().event(event))

    def _on_dock_closed(self) -> None:
        """Handle the closing of the dock, which may be shown again."""

    def _on_taken_out(self) -> None:
        """Release the viewer, because the dock was removed."""


LABEL_WIDTH = 84


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """Return an empty form without margins whose fields take the full width."""
    rows = QFormLayout(parent)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return rows


def row_label(text: str) -> QElidingLabel:
    """Return the label of a row, shortened if it is too long."""
    label = QElidingLabel(text)
    label.setFixedWidth(LABEL_WIDTH)
    label.setToolTip(text)
    return label


_FLAT = """
QPushButton, QPushButton:checked { text-align: left; border: 0; background: transparent; }
QPushButton:hover, QPushButton:focus { text-decoration: underline; }
"""


class CollapsibleSection(QCollapsible):
    """Content below a button that shows and hides it; hidden at first."""

    def __init__(self, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(title, parent, QIcon(), QIcon())  # its arrows ignore napari's theme
        self._title = title
        self.toggleButton().setStyleSheet(_FLAT)
        self.content().setParent(None)
        self.setContent(content)
        self.setDuration(0)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    def text(self) -> str:
        """Return the title."""
        return self._title

    def setText(self, text: str) -> None:
        """Set the title."""
        self._title = text
        super().setText(f"{'▾' if self.isExpanded() else '▸'} {text}")

    def _on_toggled(self, shown: bool) -> None:
        """Let shown content grow, and keep hidden content from taking the Tab key."""
        self.content().setMaximumHeight(QWIDGETSIZE_MAX)
        self.content().setVisible(shown)
        self.setText(self._title)


class MessageLabel(QLabel):
    """Text that wraps and can be copied, in the colour of its level; hidden while it is empty."""

    def __init__(
        self, text: str = "", *, level: Level = "fine", parent: QWidget | None = None
    ) -> None:
        self._level: Level = level
        self._is_styling = False
        super().__init__(parent)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)  # names from files may look like HTML
        self.setMinimumSize(QSize(0, 0))
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.say(text, level)

    def say(self, text: str, level: Level | None = None) -> None:
        """Show ``text`` in place of the previous text, in the same level unless one is given."""
        self._level = level or self._level
        self._take_color()
        self.setText(text)
        self.setVisible(bool(text))

    def changeEvent(self, event: QEvent) -> None:
        """Take the colour of the new theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._take_color()

    def showEvent(self, event: QShowEvent) -> None:
        """Take the colour of the window's theme."""
        super().showEvent(event)
        self._take_color()

    def _take_color(self) -> None:
        color = level_color(self._level, self)
        style = f"color: {color}" if color else ""
        if style != self.styleSheet() and not self._is_styling:
            self._is_styling = True  # setting a style emits another change
            self.setStyleSheet(style)
            self._is_styling = False
