"""Switches for contours, fill and smooth image, which are remembered."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QCheckBox, QWidget
from superqt.utils import signals_blocked

from .dock import row_layout
from .settings import Display, Settings


class DisplayForm(QWidget):
    """Three switches; ``changed`` carries the new `Display`.

    Without ``settings``, choices are not remembered. A form takes over what was chosen in another
    dock when it is shown, and by `refresh`.
    """

    changed = Signal(object)

    def __init__(self, settings: Settings | None = None, *, fill_key: str = "") -> None:
        super().__init__()
        self._settings = settings
        self.contours = QCheckBox("Contours")
        self.fill = QCheckBox(f"Fill  {fill_key}".strip())
        self.smooth = QCheckBox("Smooth image")
        self.contours.setToolTip("Draw smooth contours of the structures.")
        self.fill.setToolTip("Fill the structures with their colours, voxel by voxel.")
        self.smooth.setToolTip("Interpolate the image between its voxels.")
        for box in self._boxes():
            box.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # letters are keys of the review
        row_layout(self, *self._boxes(), None)
        self.refresh()
        for box in self._boxes():
            box.toggled.connect(self._on_toggled)

    @property
    def display(self) -> Display:
        """The choices."""
        return Display(
            contours=self.contours.isChecked(),
            fill=self.fill.isChecked(),
            smooth=self.smooth.isChecked(),
        )

    def set_display(self, display: Display) -> None:
        """Set all switches, and emit ``changed`` once if any of them changes."""
        if display == self.display:
            return
        for box, checked in zip(
            self._boxes(), (display.contours, display.fill, display.smooth), strict=True
        ):
            with signals_blocked(box):
                box.setChecked(checked)
        self.changed.emit(display)

    def toggle_fill(self) -> None:
        """Switch the fill, from what is on screen: another dock may have changed it meanwhile."""
        if self._settings is not None:
            self.refresh()
        self.set_display(replace(self.display, fill=not self.fill.isChecked()))
        self._keep()

    def showEvent(self, event: QShowEvent) -> None:
        """Take over the choices of another dock."""
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """Take over what was chosen in another dock."""
        self.set_display(self._settings.kept.display if self._settings is not None else Display())

    def _keep(self) -> None:
        if self._settings is not None:
            self._settings.keep(display=self.display)

    def _on_toggled(self) -> None:
        self._keep()
        self.changed.emit(self.display)

    def _boxes(self) -> tuple[QCheckBox, QCheckBox, QCheckBox]:
        return self.contours, self.fill, self.smooth
