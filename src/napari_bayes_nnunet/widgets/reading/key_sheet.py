"""Sheet of all keys of the *Review* dock, shown by *Help → Keys*."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Final

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QLabel, QMainWindow, QMenu, QWidget

from ..common.dock import heading
from ..layers.keys import KEY_GROUPS, key_text

KEYS_TITLE: Final = "Keys"
SHEET_TITLE: Final = "Keys of the Review dock"
OF_NAPARI: Final = {"Ctrl+Z": "Undo a correction", "Ctrl+Shift+Z": "Redo it"}
"""Keys of napari that a reader needs."""
WITH_MOUSE: Final = {"Wheel": "Zoom", "Drag": "Move the image", "Right double-click": "Brightness"}
HELP_MENU: Final = "napari/help"
"""Identifier of napari's menu *Help*, which is also its name in Qt."""


class KeySheet(QDialog):
    """All keys with what they do, in two columns of groups."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(SHEET_TITLE)
        self.rows: dict[str, str] = {}
        columns = QHBoxLayout(self)
        columns.setSpacing(24)
        groups = key_groups()
        half = sum(map(len, groups.values())) // 2
        sides = (_side(), _side())
        for side in sides:
            columns.addLayout(side)
        for title, keys in groups.items():
            _add_group(sides[len(self.rows) >= half], title, keys)
            self.rows |= keys
        for side in sides:
            side.setRowStretch(side.rowCount(), 1)


def key_groups() -> dict[str, dict[str, str]]:
    """Return group → key as written on buttons → what it does."""
    sheet = {
        title: {key_text(action): text for action, (_, text) in actions.items()}
        for title, actions in KEY_GROUPS.items()
    }
    return {**sheet, "napari": OF_NAPARI, "Mouse": WITH_MOUSE}


class KeysAction(QAction):
    """Entry *Keys* of the menu *Help*; its parent is the window.

    napari rebuilds its menus when a plugin is registered, and its manifests cannot contribute
    to this one. So the entry joins the menu again whenever it is shown.
    """

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(KEYS_TITLE, window)
        self.triggered.connect(self._on_triggered)
        self._menu().aboutToShow.connect(self.join)
        self.join()

    def join(self) -> None:
        """Appear once in the menu, at its end."""
        if self not in self._menu().actions():
            self._menu().addAction(self)

    def _menu(self) -> QMenu:
        menu: QMenu = self.parent().findChild(QMenu, HELP_MENU)
        return menu

    def _on_triggered(self) -> None:
        show_keys(self.parent())


def add_keys_to_help(window: QMainWindow) -> None:
    """Add *Keys* to napari's menu *Help*, unless it is there; other windows have no such menu."""
    has_menu = window.findChild(QMenu, HELP_MENU) is not None
    if has_menu and not any(isinstance(child, KeysAction) for child in window.children()):
        KeysAction(window)


def show_keys(window: QWidget) -> KeySheet:
    """Show the sheet of keys next to the window, which can still be used."""
    for old in window.findChildren(KeySheet):
        old.close()
        old.deleteLater()
    sheet = KeySheet(window)
    sheet.show()
    return sheet


def _side() -> QGridLayout:
    grid = QGridLayout()
    grid.setHorizontalSpacing(12)
    grid.setVerticalSpacing(2)
    grid.setColumnStretch(1, 1)
    return grid


def _add_group(grid: QGridLayout, title: str, keys: Mapping[str, str]) -> None:
    grid.addWidget(heading(title), grid.rowCount(), 0, 1, 2)
    for key, text in keys.items():
        row = grid.rowCount()
        grid.addWidget(QLabel(f"<b>{escape(key)}</b>"), row, 0)
        grid.addWidget(QLabel(text), row, 1)
