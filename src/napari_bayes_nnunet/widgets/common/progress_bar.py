"""A progress bar that does not hold up the window."""

from __future__ import annotations

from qtpy.QtWidgets import QProgressBar, QWidget


class ProgressBar(QProgressBar):
    """Thin bar without text, painted with the rest of the window.

    Qt's own bar paints at once in each `setValue`, and with it the whole window and its canvas.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextVisible(False)
        self.setMaximumHeight(8)

    def setValue(self, value: int) -> None:
        """Show ``value`` when the window is painted next."""
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)
