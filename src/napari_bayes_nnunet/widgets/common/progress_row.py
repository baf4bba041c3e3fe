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

from ...app.messages import StageStarted
from ...core.durations import duration_text
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
        self._words, self._is_stopping = "", False
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
        self._words, self._is_stopping = words, False
        self.stop_button.setEnabled(True)
        self.show_stage(StageStarted(text=words.partition(" {")[0]))
        self.show()

    def progress(self, step: tuple[int, int]) -> None:
        """Show that so many steps of a total are done."""
        done, total = step
        if total:  # else the number of steps is not known yet
            words = self._words.format(done=done, total=total)
            self.show_stage(StageStarted(text=words, done=done, total=total))

    def show_stage(self, stage: StageStarted) -> None:
        """Show a step of any job; once it is being stopped, only that of the bar."""
        if not self._is_stopping:
            eta, ending = stage.eta_seconds, "" if stage.total else "…"
            ending = f", {duration_text(eta)} left" if eta else ending
            self.text.setText(f"{stage.text}{ending}")
        self.bar.setRange(0, stage.total)
        self.bar.setValue(stage.done)

    def show_stopping(self) -> None:
        """Show that the work is being stopped, until it has ended."""
        self._is_stopping = True
        self.stop_button.setEnabled(False)
        self.text.setText("Stopping…")

    def _on_stop_clicked(self) -> None:
        self.show_stopping()
        self.stop_requested.emit()
