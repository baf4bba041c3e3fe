"""Slider that grows and shrinks a structure along the posterior."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent, QWheelEvent
from qtpy.QtWidgets import QLabel, QSlider, QWidget
from superqt.utils import signals_blocked

from ..common.dock import SteadyLabel, row_layout

SLIDER_STEPS = 255
"""Steps on each side of the prediction, as fine as probabilities are stored."""
EDITED_BY_HAND = "Edited"
WIDEST_VALUE = "0.88 smaller, 888.8 mL"
"""Widest usual text next to the slider, which keeps its length."""
ANSWER_SHOWN = "Answer {number}"
CATCH = 3
"""Steps around 0 that count as the prediction."""
MOVING = (
    Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp,
    Qt.Key.Key_PageDown, Qt.Key.Key_Home, Qt.Key.Key_End,
)  # fmt: skip
"""Keys that move a slider."""


def level_text(margin: float) -> str:
    """Return a margin in the words of the slider: "0.32 larger"."""
    if not margin:
        return "As predicted"
    return f"{abs(margin):.2f} {'larger' if margin < 0 else 'smaller'}"


class LevelSlider(QWidget):
    """Slider of the level. ``level_moved`` carries the margin, from 1 (left) to −1 (right).

    A voxel belongs to the structure if its probability exceeds that of every other by the margin,
    so the structure grows to the right; 0 is the prediction. ``level_released`` is emitted when
    the mouse button or the key is released.
    """

    level_moved = Signal(float)
    level_released = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.slider = _Slider(Qt.Orientation.Horizontal)
        self.slider.setRange(-SLIDER_STEPS, SLIDER_STEPS)
        self.slider.setSingleStep(5)
        self.slider.setPageStep(25)
        self.slider.setAccessibleName("Level")
        # A text that grows would widen the dock and move the whole window.
        self.value = SteadyLabel(WIDEST_VALUE)
        self._instead = ""
        self._volume: float | None = None
        ends = QLabel("−"), QLabel("+")
        row_layout(self, ends[0], self.slider, ends[1], self.value, wide=self.slider)
        self.slider.valueChanged.connect(self._on_moved)
        self.slider.released.connect(self.level_released)
        self.slider.zero_requested.connect(self._on_zero)
        self._show()

    @property
    def margin(self) -> float:
        """Margin, −1 to 1; above 0 the structure is smaller than predicted."""
        steps = self.slider.value()
        return 0.0 if abs(steps) <= CATCH else -steps / SLIDER_STEPS

    def set_level(self, margin: float | None, instead: str = EDITED_BY_HAND) -> None:
        """Show a margin without a signal; ``instead`` if the structure is not drawn at a level."""
        with signals_blocked(self.slider):
            self.slider.setValue(round(-(margin or 0) * SLIDER_STEPS))
        self._instead = instead if margin is None else ""
        self._show()

    def set_volume(self, volume: float | None) -> None:
        """Show the volume of the structure in this slice, mL."""
        self._volume = volume
        self._show()

    def _on_moved(self) -> None:
        self._instead = ""
        self._show()
        self.level_moved.emit(self.margin)

    def _on_zero(self) -> None:
        """Return to the prediction; emit the signals even if the slider is already there."""
        self.set_level(0)
        self.level_moved.emit(0.0)
        self.level_released.emit()

    def _show(self) -> None:
        level = self._instead or level_text(self.margin)
        volume = "" if self._volume is None else f", {self._volume:.1f} mL"
        self.value.setText(level + volume)


class _Slider(QSlider):
    """Slider that ignores the mouse wheel and returns to 0 at a double click."""

    zero_requested = Signal()
    released = Signal()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Emit ``released`` also after a click next to the handle, unlike ``sliderReleased``."""
        super().mouseReleaseEvent(event)
        self.released.emit()

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """Emit ``released`` for the keys that move the slider."""
        super().keyReleaseEvent(event)
        # A key that is held is released at each repeat, too.
        if event.key() in MOVING and not event.isAutoRepeat():
            self.released.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the wheel to the dock, so that scrolling does not change the level."""
        event.ignore()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Request the prediction."""
        self.zero_requested.emit()
