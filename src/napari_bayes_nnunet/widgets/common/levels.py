"""Levels of messages and rows, and their colours."""

from __future__ import annotations

from typing import Literal

from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QWidget

Level = Literal["fine", "warning", "blocking", "done"]
ON_DARK: dict[Level, str] = {"warning": "#FFB347", "blocking": "#FF7B72", "done": "#8E939C"}
ON_LIGHT: dict[Level, str] = {"warning": "#8A4B00", "blocking": "#B3261E", "done": "#6B7078"}
"""Amber, red, and grey for what needs no attention, readable on the theme's background."""


def level_color(level: Level, widget: QWidget) -> str:
    """Return the colour of a level in the window of ``widget``, "" for that of other texts."""
    background = widget.window().palette().color(QPalette.ColorRole.Window)
    return (ON_DARK if background.lightness() < 128 else ON_LIGHT).get(level, "")
