"""Volume curves over the phases, with a choice of ED and ES."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ...core.heart.structures import CARDIAC
from ...core.heart.volume_curve import VolumeCurve
from ..common.form import NarrowComboBox
from ..common.plotting import Legend
from .curves_plot import CurvesPlot

_HELP = (
    "Volume of each phase ± one standard deviation of the models. Drag the lines to set "
    "end-diastole (ED) and end-systole (ES). Dotted: proposal."
)
ED_HELP = "Phase of end-diastole, with the largest ventricle."
ES_HELP = "Phase of end-systole, with the smallest ventricle."
PROPOSAL = " &nbsp; ┊&nbsp;proposal"
"""Entry of the legend for the dotted lines."""
PROPOSED_PHASES = "ED is phase {}, ES is phase {}."
PROPOSED_HELP = "Use the phases of the largest and the smallest volume."


class VolumePlot(QWidget):
    """Volume curves with ED and ES; hidden if there are fewer than two phases.

    ``phases_changed`` carries ED and ES when the user changes them.
    """

    phases_changed = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._proposal: tuple[int, int] | None = None
        self.plot = CurvesPlot()
        self.legend = Legend("Volume")
        self.ed_box, self.es_box = PhaseBox(), PhaseBox()
        self.proposed_button = QPushButton("Use proposal")
        self._explain()
        self._lay_out()
        self.plot.dragged.connect(self._on_dragged)
        self.ed_box.chosen.connect(self._on_chosen)
        self.es_box.chosen.connect(self._on_chosen)
        self.proposed_button.clicked.connect(self._on_proposed)
        self.set_curves(())

    @property
    def landmarks(self) -> tuple[int | None, int | None]:
        """The chosen phases of ED and ES."""
        return self.plot.landmarks

    def set_curves(self, curves: Sequence[VolumeCurve]) -> None:
        """Draw ``curves``; the LV, or else another structure, gives the proposal of ED and ES."""
        phases = sorted({phase for curve in curves for phase in curve.phases})
        self._proposal = propose_landmarks(curves)
        self.setVisible(len(phases) > 1)
        self.plot.draw(curves, phases, self._proposal)
        colors: dict[str, str] = {c.structure: CARDIAC[c.structure] for c in curves}
        self.legend.set_colors(colors, PROPOSAL if self._proposal is not None else "")
        for box in (self.ed_box, self.es_box):
            box.set_phases(phases)
        self.set_landmarks(*self.landmarks)

    def set_landmarks(self, ed: int | None, es: int | None) -> None:
        """Show the chosen phases (None if unknown) without a signal."""
        self.plot.set_landmarks(ed, es)
        self.ed_box.set_phase(ed)
        self.es_box.set_phase(es)
        self.proposed_button.setEnabled(self._proposal not in (None, (ed, es)))
        proposal = "" if self._proposal is None else PROPOSED_PHASES.format(*self._proposal)
        self.proposed_button.setToolTip(f"{PROPOSED_HELP} {proposal}".rstrip())

    def _explain(self) -> None:
        self.legend.setToolTip(_HELP)
        self.ed_box.setToolTip(ED_HELP)
        self.es_box.setToolTip(ES_HELP)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        for text, box in (("ED", self.ed_box), ("ES", self.es_box)):
            label = QLabel(text)
            label.setBuddy(box)
            label.setToolTip(box.toolTip())
            row.addWidget(label)
            row.addWidget(box, 1)
        row.addWidget(self.proposed_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self.legend)
        column.addWidget(self.plot)
        column.addLayout(row)

    def _choose(self, ed: int | None, es: int | None) -> None:
        """Set both phases, unless they are the same phase, and emit a change."""
        before = self.landmarks
        self.set_landmarks(*(before if ed == es else (ed, es)))
        ed, es = self.landmarks
        if ed is not None and es is not None and (ed, es) != before:
            self.phases_changed.emit(ed, es)

    def _on_dragged(self, ed: int, es: int) -> None:
        self.set_landmarks(ed, es)
        self.phases_changed.emit(ed, es)

    def _on_chosen(self) -> None:
        self._choose(self.ed_box.phase, self.es_box.phase)

    def _on_proposed(self) -> None:
        if self._proposal is not None:
            self._choose(*self._proposal)


def propose_landmarks(curves: Sequence[VolumeCurve]) -> tuple[int, int] | None:
    """Return ED and ES of the LV curve, or else of another curve; None if unknown."""
    for curve in sorted(curves, key=lambda curve: curve.structure != "LV"):
        if curve.ed is not None and curve.es is not None:
            return curve.ed, curve.es
    return None


class PhaseBox(NarrowComboBox):
    """Choice of a phase; ``chosen`` is emitted when the user changes it, not by setters."""

    chosen = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, letters=1)  # the space for an icon fits a second digit
        self.currentIndexChanged.connect(self.chosen)

    @property
    def phase(self) -> int | None:
        """The chosen phase, from 1; None if no phase is chosen."""
        phase = self.currentData()
        return None if phase is None else int(phase)

    def set_phases(self, phases: Sequence[int]) -> None:
        """Offer ``phases``, and clear the choice if they have changed."""
        if list(phases) == [self.itemData(index) for index in range(self.count())]:
            return
        before = self.blockSignals(True)
        self.clear()
        for phase in phases:
            self.addItem(str(phase), phase)
        self.setCurrentIndex(-1)
        self.blockSignals(before)

    def set_phase(self, phase: int | None) -> None:
        """Show ``phase``, or no phase if it is not offered."""
        before = self.blockSignals(True)
        self.setCurrentIndex(-1 if phase is None else self.findData(phase))
        self.blockSignals(before)
