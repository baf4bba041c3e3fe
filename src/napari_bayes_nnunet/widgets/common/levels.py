"""Levels of messages and rows, and their colours."""

from __future__ import annotations

from typing import Literal

from qtpy.QtCore import QEvent
from qtpy.QtGui import QPalette, QShowEvent
from qtpy.QtWidgets import QWidget

Level = Literal["fine", "warning", "blocking", "done"]
ON_DARK: dict[Level, str] = {"warning": "#FFB347", "blocking": "#FF7B72", "done": "#8E939C"}
ON_LIGHT: dict[Level, str] = {"warning": "#8A4B00", "blocking": "#B3261E", "done": "#6B7078"}
"""Amber, red, and grey for what needs no attention, readable on the theme's background."""


class Themed:
    """Mixin for widgets that take their colours from the theme, by `take_theme`."""

    def take_theme(self) -> None:
        """Take the colours of the window; also called while the widget is being made."""
        raise NotImplementedError

    def changeEvent(self, event: QEvent) -> None:
        """Take the colours of another theme."""
        super().changeEvent(event)  # type: ignore[misc]
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self.take_theme()

    def showEvent(self, event: QShowEvent) -> None:
        """Take the colours of the window."""
        super().showEvent(event)  # type: ignore[misc]
        self.take_theme()


def level_color(level: Level, widget: QWidget) -> str:
    """Return the colour of a level in the window of ``widget``, "" for that of other texts."""
    background = widget.window().palette().color(QPalette.ColorRole.Window)
    return (ON_DARK if background.lightness() < 128 else ON_LIGHT).get(level, "")
