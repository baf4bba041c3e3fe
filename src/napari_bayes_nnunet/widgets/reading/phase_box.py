"""Choosing a phase of the heart cycle."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget


class PhaseBox(QComboBox):
    """``chosen`` tells that the user took another phase; setters are silent."""

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(2)
        self.currentIndexChanged.connect(self.chosen)

    @property
    def phase(self) -> int | None:
        """The chosen phase, from 1; None where none is."""
        phase = self.currentData()
        return None if phase is None else int(phase)

    def set_phases(self, phases: Sequence[int]) -> None:
        """Offer ``phases``; none is chosen where these are others than before."""
        if list(phases) == [self.itemData(place) for place in range(self.count())]:
            return
        before = self.blockSignals(True)
        self.clear()
        for phase in phases:
            self.addItem(str(phase), phase)
        self.setCurrentIndex(-1)
        self.blockSignals(before)

    def set_phase(self, phase: int | None) -> None:
        """Show ``phase``; none where it is not among those offered."""
        before = self.blockSignals(True)
        self.setCurrentIndex(-1 if phase is None else self.findData(phase))
        self.blockSignals(before)
