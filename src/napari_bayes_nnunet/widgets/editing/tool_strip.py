"""Strip of the correction tools beside the canvas, each an icon with a word and its key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qtpy.QtCore import QByteArray, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QIcon, QIconEngine, QPainter, QPalette, QPixmap
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy, QWidget

from ..common.dock import column_layout, line, row_layout
from ..layers.keys import short_key

ICONS: Final[Mapping[str, str]] = {
    "move": "M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3",
    "scribble": "M3 17c3-9 6-9 6-3s3 6 5 0 4-6 7-3",
    "push": "M3 12a6 6 0 1 0 12 0a6 6 0 1 0-12 0M15 12h6M18 9l3 3-3 3",
    "contour": "M12 5c5 0 7 3 7 7s-3 7-7 7-7-3-7-7 2-7 7-7zM10 3h4v4h-4zM3 10h4v4h-4z"
    "M17 10h4v4h-4zM10 17h4v4h-4z",
    "brush": "M20 3l-9 9M11 12c-3 0-4 2-4 4 0 2-2 4-4 4 4 2 10 1 10-5z",
    "eraser": "M8 20l-5-5 10-11 7 7-8 9zM8 10l7 7M8 20h12",
    "level": "M9 12a3 3 0 1 0 6 0a3 3 0 1 0-6 0M4 12a8 8 0 1 0 16 0a8 8 0 1 0-16 0",
    "alternatives": "M4 8l8-4 8 4-8 4zM4 12l8 4 8-4M4 16l8 4 8-4",
    "base": "M3 5h18M6 5c0 9 3 14 6 15 3-1 6-6 6-15",
    "apex": "M6 4c0 9 3 14 6 15 3-1 6-6 6-15M7 21h10",
    "revert": "M5 8h9a5 5 0 0 1 0 10H8M9 4L5 8l4 4",
}
"""Tool → its lines in a square of 24 × 24, as in the attribute ``d`` of an SVG path."""
PAIRS: Final[Mapping[str, tuple[str, str, str]]] = {
    "Level": ("level", "shrink", "grow"),
    "Answers": ("alternatives", "previous alternative", "next alternative"),
    "Base": ("base", "base outwards", "base inwards"),
    "Apex": ("apex", "apex inwards", "apex outwards"),
}
"""Row of two buttons → its icon and their actions."""
TOOLS: Final = "move", "scribble", "push", "contour", "brush", "eraser"
"""Tools for the mouse, of which one is chosen."""
ICON: Final = 18
"""Size in pixels."""
FAINT: Final = 0.35
"""Opacity of the icon of a tool that can do nothing."""


class ToolStrip(QWidget):
    """Column of the ``structures`` and of ``buttons``, action → button, made by its form."""

    def __init__(self, structures: QWidget, buttons: Mapping[str, QPushButton]) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        for action in (*TOOLS, "revert"):
            _add_icon(buttons[action], action)
        for action in TOOLS:
            buttons[action].setCheckable(True)
        tools: dict[str, QPushButton | QHBoxLayout] = {tool: buttons[tool] for tool in TOOLS}
        ends = buttons["apply contour"], buttons["cancel contour"]
        tools["contour"] = _row(buttons["contour"], *ends)
        pairs = [
            _pair(word, icon, buttons[first], buttons[second])
            for word, (icon, first, second) in PAIRS.items()
        ]
        parts = line(), *tools.values(), line(), *pairs, buttons["revert"], None
        column_layout(self, structures, *parts).setSpacing(3)


def _pair(word: str, icon: str, *buttons: QPushButton) -> QHBoxLayout:
    """Lay out two buttons behind their icon and word, which cannot be pressed."""
    name = QPushButton(word)
    name.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
    name.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    _add_icon(name, icon, "background: transparent")
    return _row(name, *buttons)


def _row(first: QPushButton, *buttons: QPushButton) -> QHBoxLayout:
    """Lay out a wide button and narrow ones behind it."""
    for button in buttons:
        button.setStyleSheet("padding: 3px 1px; min-width: 1.3em")
    row = row_layout(None, first, *buttons, wide=first)
    row.setSpacing(3)
    return row


def _add_icon(button: QPushButton, name: str, style: str = "") -> None:
    button.setIcon(QIcon(_Lines(ICONS[name], button)))
    button.setIconSize(QSize(ICON, ICON))
    button.setStyleSheet(f"text-align: left; padding: 3px 2px; {style}")


def pair_text(text: str, action: str) -> str:
    """Return the text of a button that moves something, with its key: "‹Q", "W›", "+"."""
    key = short_key(action)
    return {"‹": f"‹{key}", "›": f"{key}›"}.get(text, text)


class _Lines(QIconEngine):
    """Lines in the colour that a widget has when they are drawn."""

    def __init__(self, path: str, widget: QWidget) -> None:
        super().__init__()
        self._path, self._widget = path, widget

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        """Draw the lines, faint if the widget is disabled."""
        color = self._widget.palette().color(QPalette.ColorRole.ButtonText).name()
        opacity = FAINT if mode == QIcon.Mode.Disabled else 1.0
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path d="{self._path}"'
            f' stroke="{color}" stroke-opacity="{opacity}" stroke-width="1.6" fill="none"/></svg>'
        )
        QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(rect))

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        """Return the lines on a transparent ground."""
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, pixmap.rect(), mode, state)
        painter.end()
        return pixmap
