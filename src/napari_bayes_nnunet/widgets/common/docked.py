"""The content of a dock, which learns when the dock closes and when it leaves the window."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QDockWidget, QWidget


class Docked(QWidget):
    """Base of the docks. Tabs in front of a dock only hide it, and are not told of."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Tell when the dock is closed."""
        if event.type() == QEvent.Type.Close:
            self._on_dock_closed()
        return bool(super().eventFilter(watched, event))

    def event(self, event: QEvent) -> bool:
        """Watch the dock this comes into; tell when it is taken out again."""
        if event.type() == QEvent.Type.ParentChange:
            dock = self.parent()
            if isinstance(dock, QDockWidget):
                dock.installEventFilter(self)
            elif dock is None:
                self._on_taken_out()
        return bool(super().event(event))

    def _on_dock_closed(self) -> None:
        """The dock is closed; showing it goes on."""

    def _on_taken_out(self) -> None:
        """The dock is gone: let go of the viewer."""
