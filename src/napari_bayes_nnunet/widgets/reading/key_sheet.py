"""Sheet of all keys of the *Review* dock, shown by *Help → Keys*."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import ClassVar, Final, TypeVar

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QLabel, QMainWindow, QMenu, QWidget

from ..common.dock import heading
from ..layers.keys import KEY_GROUPS, key_text

KEYS_TITLE: Final = "Keys"
SHEET_TITLE: Final = "Keys of the Review dock"
WITH_MOUSE: Final = {
    "Wheel": "Next or previous slice",
    "Shift+wheel": "Next or previous phase",
    "Ctrl+wheel": "Zoom",
    "Drag": "Move the image",
    "Right double-click": "Brightness",
}
HELP_MENU, VIEW_MENU = "napari/help", "napari/view"
"""Identifiers of napari's menus, which are also their names in Qt."""
HIDE_KEY: Final = "Shift+H"


class KeySheet(QDialog):
    """All keys with what they do, in two columns of groups."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(SHEET_TITLE)
        self.rows: dict[str, str] = {}
        columns = QHBoxLayout(self)
        columns.setSpacing(24)
        sides = (_side(), _side())
        for side in sides:
            columns.addLayout(side)
        for title, keys in key_groups().items():
            # A group is never torn apart. The sheet must fit the screen of a laptop.
            _add_group(min(sides, key=QGridLayout.rowCount), title, keys)
            self.rows |= keys
        for side in sides:
            side.setRowStretch(side.rowCount(), 1)


def key_groups() -> dict[str, dict[str, str]]:
    """Return group → key as written on buttons → what it does."""
    sheet = {
        title: {key_text(action): text for action, (_, text) in actions.items()}
        for title, actions in KEY_GROUPS.items()
    }
    sheet["Look"] |= {HIDE_KEY: "Hide whose heart it is, or show it"}
    return {**sheet, "Mouse": WITH_MOUSE}


class MenuAction(QAction):
    """Entry of one of napari's menus; its parent is the window.

    napari rebuilds its menus when a plugin is registered, and its manifests cannot contribute
    to these. So the entry joins the menu again whenever it is shown.
    """

    MENU: ClassVar[str]
    NAME: ClassVar[str]

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(self.NAME, window)
        self._menu().aboutToShow.connect(self.join)
        self.join()

    def join(self) -> None:
        """Appear once in the menu, at its end."""
        if self not in self._menu().actions():
            self._menu().addAction(self)

    def _menu(self) -> QMenu:
        menu: QMenu = self.parent().findChild(QMenu, self.MENU)
        return menu


class KeysAction(MenuAction):
    """Entry *Keys* of the menu *Help*."""

    MENU, NAME = HELP_MENU, KEYS_TITLE

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self.triggered.connect(lambda: show_keys(window))


class HidePatientAction(MenuAction):
    """Switch *Hide patient* of the menu *View*, which is off in every new window."""

    MENU, NAME = VIEW_MENU, "Hide patient"

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self.setCheckable(True)
        self.setShortcut(HIDE_KEY)


Entry = TypeVar("Entry", bound=MenuAction)


def menu_action(window: QMainWindow, kind: type[Entry]) -> Entry | None:
    """Return the entry of a menu of napari, made once; None for other windows, which lack it."""
    made = next((child for child in window.children() if isinstance(child, kind)), None)
    return made or (kind(window) if window.findChild(QMenu, kind.MENU) is not None else None)


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
