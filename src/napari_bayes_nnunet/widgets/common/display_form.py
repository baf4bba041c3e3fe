"""Switches for contours, fill and smooth image, which are remembered."""

from __future__ import annotations

from dataclasses import asdict, replace

from qtpy.QtCore import Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QCheckBox, QWidget
from superqt.utils import signals_blocked

from .dock import explained, row_layout
from .settings import Display, Settings

_CONTOURS_HELP = "Draw smooth contours of the structures."
_FILL_HELP = "Fill the structures with their colours, voxel by voxel."
_SMOOTH_HELP = "Interpolate the image between its voxels."


class DisplayForm(QWidget):
    """Three switches; ``changed`` carries the new `Display`.

    A form takes over what was chosen in another dock when it is shown, and by `refresh`.
    """

    changed = Signal(object)

    def __init__(self, settings: Settings, *, fill_key: str = "") -> None:
        super().__init__()
        self._settings = settings
        self.contours = explained(QCheckBox("Contours"), _CONTOURS_HELP)
        self.fill = explained(QCheckBox(f"Fill  {fill_key}".strip()), _FILL_HELP)
        self.smooth = explained(QCheckBox("Smooth image"), _SMOOTH_HELP)
        self._boxes = {"contours": self.contours, "fill": self.fill, "smooth": self.smooth}
        row_layout(self, *self._boxes.values(), None)
        self.refresh()
        for box in self._boxes.values():
            box.toggled.connect(self._on_toggled)

    @property
    def display(self) -> Display:
        """The choices."""
        return Display(**{name: box.isChecked() for name, box in self._boxes.items()})

    def set_display(self, display: Display) -> None:
        """Set all switches, and emit ``changed`` once if any of them changes."""
        if display == self.display:
            return
        for name, checked in asdict(display).items():
            with signals_blocked(self._boxes[name]):
                self._boxes[name].setChecked(checked)
        self.changed.emit(display)

    def toggle_fill(self) -> None:
        """Switch the fill, from what is on screen: another dock may have changed it meanwhile."""
        self.refresh()
        self.set_display(replace(self.display, fill=not self.fill.isChecked()))
        self._settings.keep(display=self.display)

    def showEvent(self, event: QShowEvent) -> None:
        """Take over the choices of another dock."""
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """Take over what was chosen in another dock."""
        self.set_display(self._settings.kept.display)

    def _on_toggled(self) -> None:
        self._settings.keep(display=self.display)
        self.changed.emit(self.display)
