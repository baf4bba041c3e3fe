"""Layout of the window with more room for the image."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow

LAYER_DOCKS: Final = ("layer list", "layer controls")
"""Names of napari's docks that are hidden. Docks of plugins stay."""


class ReadingLayout:
    """Layout of a window without napari's layer docks, which can be left again."""

    def __init__(self) -> None:
        self._window: QMainWindow | None = None
        self._hidden: list[str] = []
        self._sizes: dict[str, QSize] = {}

    @property
    def is_on(self) -> bool:
        """Whether the docks are hidden."""
        return self._window is not None

    def enter(self, window: QMainWindow | None) -> None:
        """Hide the docks of ``window``; nothing happens without a window."""
        if self.is_on or window is None:
            return
        self._window = window
        docks = {dock.objectName(): dock for dock in _docks_at_the_sides(window)}
        self._sizes = {name: dock.size() for name, dock in docks.items() if dock.isVisible()}
        self._hidden = [
            name for name in LAYER_DOCKS if name in docks and not docks[name].isHidden()
        ]
        for name in self._hidden:
            docks[name].hide()

    def leave(self) -> None:
        """Show the hidden docks again, and give all docks their former sizes."""
        window, self._window = self._window, None
        if window is None:
            return
        docks = _docks_at_the_sides(window)
        for dock in docks:
            if dock.objectName() in self._hidden:
                dock.show()
        sized = [dock for dock in docks if dock.objectName() in self._sizes and dock.isVisible()]
        sizes = [self._sizes[dock.objectName()] for dock in sized]
        window.resizeDocks(sized, [size.width() for size in sizes], Qt.Orientation.Horizontal)
        window.resizeDocks(sized, [size.height() for size in sizes], Qt.Orientation.Vertical)


def _docks_at_the_sides(window: QMainWindow) -> list[QDockWidget]:
    """Return the docks to the left and the right of the canvas, without floating ones."""
    sides = (Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea)
    docks = window.findChildren(QDockWidget)
    return [
        dock for dock in docks if window.dockWidgetArea(dock) in sides and not dock.isFloating()
    ]
