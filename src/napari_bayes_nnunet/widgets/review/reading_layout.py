"""Layout of the window that gives it to the picture."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow

LAYER_DOCKS: Final = ("layer list", "layer controls")
"""Names of napari's docks that are folded away. Docks of plugins stay."""


class ReadingLayout:
    """Folds napari's layer docks away, and brings them back as they were."""

    def __init__(self) -> None:
        self._window: QMainWindow | None = None
        self._sizes: dict[str, QSize] = {}

    @property
    def is_on(self) -> bool:
        """Whether the docks are folded away."""
        return self._window is not None

    def enter(self, window: QMainWindow | None) -> None:
        """Fold the docks of ``window`` away; nothing happens without a window."""
        if self.is_on or window is None:
            return
        self._window = window
        for dock in _layer_docks(window):
            if not dock.isHidden():
                self._sizes[dock.objectName()] = dock.size()
                dock.hide()

    def leave(self) -> None:
        """Show the docks that were folded away, in their sizes."""
        window, self._window = self._window, None
        sizes, self._sizes = self._sizes, {}
        if window is None:
            return
        docks = [dock for dock in _layer_docks(window) if dock.objectName() in sizes]
        for dock in docks:
            dock.show()
        docked = [dock for dock in docks if not dock.isFloating()]
        for orientation in (Qt.Orientation.Horizontal, Qt.Orientation.Vertical):
            is_width = orientation == Qt.Orientation.Horizontal
            lengths = [sizes[dock.objectName()] for dock in docked]
            pixels = [size.width() if is_width else size.height() for size in lengths]
            window.resizeDocks(docked, pixels, orientation)


def _layer_docks(window: QMainWindow) -> list[QDockWidget]:
    return [dock for dock in window.findChildren(QDockWidget) if dock.objectName() in LAYER_DOCKS]
