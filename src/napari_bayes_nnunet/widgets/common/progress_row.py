"""Progress of background work: a bar that does not hold up the window, and a row to stop it."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QWidget,
)
from superqt import QElidingLabel

from .dock import column_layout, row_layout


class ProgressBar(QProgressBar):
    """Thin bar without text, painted with the rest of the window.

    Qt's own bar paints at once in each `setValue`, and with it the whole window and its canvas.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setTextVisible(False)
        self.setFixedHeight(8)

    def setValue(self, value: int) -> None:
        """Show ``value`` when the window is painted next."""
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)


class ProgressRow(QWidget):
    """Text, bar and stop button; hidden while nothing runs."""

    stop_requested = Signal()

    def __init__(self, *, can_stop: bool = True) -> None:
        super().__init__()
        self._words = ""
        self.text = QElidingLabel()
        self.text.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.bar = ProgressBar()
        self.stop_button = QPushButton("Stop")
        self.stop_button.setVisible(can_stop)
        row = row_layout(None, self.bar, self.stop_button, wide=self.bar)
        column_layout(self, self.text, row)
        self.stop_button.clicked.connect(self._on_stop_clicked)
        self.hide()

    def begin(self, words: str) -> None:
        """Show that work has started; `progress` fills {done} and {total} of ``words``."""
        self._words = words
        self.text.setText(words.partition(" {")[0] + "…")
        self.bar.setRange(0, 0)
        self.stop_button.setEnabled(True)
        self.show()

    def progress(self, step: tuple[int, int]) -> None:
        """Show that so many steps of a total are done."""
        done, total = step
        if not total:  # the number of steps is not known yet
            return
        if self.stop_button.isEnabled():
            self.text.setText(self._words.format(done=done, total=total))
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _on_stop_clicked(self) -> None:
        self.stop_button.setEnabled(False)
        self.text.setText("Stopping…")
        self.stop_requested.emit()
