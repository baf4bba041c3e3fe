"""Volume curves over the phases, and a choice of ED and ES."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget
from superqt.utils import signals_blocked

from ...core.heart.measurements import Structure
from ...core.heart.structures import CARDIAC
from ...core.heart.volume_curve import VolumeCurve
from ..common.dock import column_layout, explained
from ..common.form import NarrowComboBox
from ..common.plotting import EpochPlot, Legend, faint, pen, pg, readable

_HELP = (
    "Volume of each phase. Drag the lines to set end-diastole (ED) and end-systole (ES). Dotted: "
    "proposal. Open circles: provisional, from the first look; segment a phase to use it."
)
ED_HELP = "Phase of end-diastole, with the largest ventricle."
ES_HELP = "Phase of end-systole, with the smallest ventricle."
PROPOSAL = " &nbsp; ┊&nbsp;proposal"
"""Entry of the legend for the dotted lines."""
PROVISIONAL: Final = " &nbsp; ○&nbsp;provisional"
"""Entry of the legend for open circles."""
PROPOSED_PHASES = "ED is phase {}, ES is phase {}."
PROPOSED_HELP = "Use the phases of the largest and the smallest volume."
_HEIGHT = 150
ED, ES = "ED", "ES"
_DOT = 5
HEADROOM = 0.2
"""Share of the highest volume that is kept free above it for the names of the lines."""
NAME_HEIGHT = 0.93
"""Height of the name on its line, from 0 (bottom) to 1 (top)."""


class VolumePlot(QWidget):
    """Volume curves with ED and ES; hidden if there are fewer than two phases.

    ``phases_changed`` carries ED and ES when the user changes them.
    """

    phases_changed = Signal(int, int)

    def __init__(self) -> None:
        super().__init__()
        self._proposal: tuple[int, int] | None = None
        self.plot = CurvesPlot()
        self.legend = Legend("Volume")
        self.ed_box, self.es_box = explained(PhaseBox(), ED_HELP), explained(PhaseBox(), ES_HELP)
        self.proposed_button = QPushButton("Use proposal")
        self.legend.setToolTip(_HELP)
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
        self.plot.draw(curves, phases, self._proposal)
        self.plot.setAccessibleDescription(". ".join(map(self.plot.reading, phases)))
        self.setVisible(len(self.plot.measured) > 1)
        colors: dict[str, str] = {c.structure: CARDIAC[c.structure] for c in curves}
        more = PROPOSAL if self._proposal is not None else ""
        more += PROVISIONAL if len(self.plot.measured) < len(phases) else ""
        self.legend.set_colors(colors, more)
        for box in (self.ed_box, self.es_box):
            box.set_phases(self.plot.measured)
        self.set_landmarks(*self.landmarks)

    def set_landmarks(self, ed: int | None, es: int | None) -> None:
        """Show the chosen phases (None if unknown) without a signal."""
        self.plot.set_landmarks(ed, es)
        self.ed_box.set_phase(ed)
        self.es_box.set_phase(es)
        self.proposed_button.setEnabled(self._proposal not in (None, (ed, es)))
        proposal = "" if self._proposal is None else PROPOSED_PHASES.format(*self._proposal)
        self.proposed_button.setToolTip(f"{PROPOSED_HELP} {proposal}".rstrip())

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
        column_layout(self, self.legend, self.plot, row).setSpacing(3)

    def _choose(self, ed: int | None, es: int | None) -> None:
        """Set both phases, which change places if one becomes the other, and emit a change."""
        before = self.landmarks
        if ed == es:
            ed, es = reversed(before)
        self.set_landmarks(ed, es)
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

    def __init__(self) -> None:
        super().__init__(letters=1)  # the space for an icon fits a second digit
        self.currentIndexChanged.connect(self.chosen)

    @property
    def phase(self) -> int | None:
        """The chosen phase, from 1; None if no phase is chosen."""
        phase = self.currentData()
        return None if phase is None else int(phase)

    def set_phases(self, phases: Sequence[int]) -> None:
        """Offer ``phases``, and clear the choice if they have changed."""
        if list(phases) != [self.itemData(index) for index in range(self.count())]:
            self.set_choices({phase: str(phase) for phase in phases})
            self.set_phase(None)

    def set_phase(self, phase: int | None) -> None:
        """Show ``phase``, or no phase if it is not offered."""
        with signals_blocked(self):
            self.setCurrentIndex(-1 if phase is None else self.findData(phase))


class CurvesPlot(EpochPlot):
    """Plot of volume curves; an epoch of ``EpochPlot`` is a phase here.

    ``dragged`` carries ED and ES after a line was dragged to another phase.
    """

    dragged = Signal(int, int)

    def __init__(self) -> None:
        self._curves: tuple[VolumeCurve, ...] = ()
        self.measured: tuple[int, ...] = ()
        """Phases that may be ED or ES, which are not provisional."""
        self._drawn: dict[Structure, _Curve] = {}
        self._proposed = [pg.InfiniteLine(), pg.InfiniteLine()]
        self._lines = {name: PhaseLine(name) for name in (ED, ES)}
        super().__init__(left="mL", bottom="phase", height=_HEIGHT)
        for line in (*self._proposed, *self._lines.values()):
            line.hide()
            # `draw` gives the range, so no item must be measured for it.
            self.addItem(line, ignoreBounds=True)
        for line in self._lines.values():
            line.sigPositionChangeFinished.connect(self._on_released)

    @property
    def landmarks(self) -> tuple[int | None, int | None]:
        """The phases of the lines ED and ES; None for a hidden line."""
        return self._lines[ED].phase, self._lines[ES].phase

    def draw(
        self,
        curves: Sequence[VolumeCurve],
        phases: Sequence[int],
        proposal: tuple[int, int] | None,
    ) -> None:
        """Draw ``curves`` over ``phases``, with dotted lines at the ``proposal`` of ED and ES."""
        self._curves = tuple(curves)
        looks = {phase for curve in curves for phase in curve.provisional}
        self.measured = tuple(phase for phase in phases if phase not in looks)
        for structure in self._drawn.keys() - {curve.structure for curve in curves}:
            for item in self._drawn.pop(structure).items:
                self.removeItem(item)
        for curve in curves:
            self._curve(curve.structure).draw(curve)
        for index, line in enumerate(self._proposed):
            line.setVisible(proposal is not None)
            line.setValue(0 if proposal is None else proposal[index])
        if phases:
            top = max((max(curve.volumes) for curve in curves if curve.volumes), default=0)
            self.setXRange(phases[0], phases[-1], padding=0.03)
            # From 0, because an axis that begins higher makes a beat look stronger.
            self.setYRange(0, (1 + HEADROOM) * max(top, 1), padding=0)

    def set_landmarks(self, ed: int | None, es: int | None) -> None:
        """Move the lines to these phases; None, or a phase without a volume, hides a line."""
        for name, phase, other in ((ED, ed, es), (ES, es, ed)):
            allowed = [p for p in self.measured if p != other]
            self._lines[name].put_at(phase if phase in allowed else None, allowed)

    def reading(self, epoch: int) -> str:
        """Return the volumes of a phase as text."""
        parts = [_describe_volume(curve, epoch) for curve in self._curves if epoch in curve.phases]
        return f"Phase {epoch}: {', '.join(parts)}" if parts else ""

    def recolor(self, foreground: QColor) -> None:
        """Draw the lines in the text colour."""
        super().recolor(foreground)
        for drawn in self._drawn.values():
            drawn.recolor(foreground)
        for line in self._lines.values():
            line.recolor(foreground)
        for line in self._proposed:
            line.setPen(pg.mkPen(faint(foreground), width=1.5, style=Qt.PenStyle.DotLine))

    def _curve(self, structure: Structure) -> _Curve:
        if structure not in self._drawn:
            self._drawn[structure] = _Curve(CARDIAC[structure])
            if self._foreground is not None:
                self._drawn[structure].recolor(self._foreground)
            for item in self._drawn[structure].items:
                self.addItem(item, ignoreBounds=True)
        return self._drawn[structure]

    def _on_released(self, line: PhaseLine) -> None:
        ed, es = self.landmarks
        if line.has_moved and ed is not None and es is not None:
            self.dragged.emit(ed, es)


class _Curve:
    """Items of one curve: a line, and a dot at each phase, which is open if it is provisional."""

    def __init__(self, color: str) -> None:
        self._color = color
        self.line = pg.PlotCurveItem(pen=pen(color), antialias=True)
        self._dots = pg.ScatterPlotItem(size=_DOT, brush=color, pen=None)
        self._circles = pg.ScatterPlotItem(size=_DOT + 2, brush=None, pen=color)
        self.items = self.line, self._dots, self._circles

    def recolor(self, foreground: QColor) -> None:
        """Draw in a colour that is readable next to texts in this one."""
        color = readable(self._color, foreground)
        self.line.setPen(pen(color))
        self._dots.setBrush(color)
        self._circles.setPen(color)

    def draw(self, curve: VolumeCurve) -> None:
        """Show ``curve``."""
        phases, volumes = np.array(curve.phases), np.array(curve.volumes)
        self.line.setData(phases, volumes)
        is_open = np.isin(phases, list(curve.provisional))
        self._dots.setData(x=phases[~is_open], y=volumes[~is_open])
        self._circles.setData(x=phases[is_open], y=volumes[is_open])


def _describe_volume(curve: VolumeCurve, phase: int) -> str:
    index = curve.phases.index(phase)
    provisional = " (provisional)" if phase in curve.provisional else ""
    return f"{curve.structure} {curve.volumes[index]:.1f} mL{provisional}"


class PhaseLine(pg.InfiniteLine):
    """A named vertical line that snaps to phases; hidden until `put_at` is called."""

    def __init__(self, name: str) -> None:
        self._allowed: Sequence[int] = ()
        self._put: int | None = None
        options = {"position": NAME_HEIGHT, "anchors": [(0, 0.5), (1, 0.5)]}
        super().__init__(angle=90, movable=True, label=name, labelOpts=options)
        self.hide()

    @property
    def phase(self) -> int | None:
        """The phase of the line, None if it is hidden."""
        return None if self._put is None else round(self.value())

    @property
    def has_moved(self) -> bool:
        """Whether the line was dragged to another phase than that of `put_at`."""
        return self.phase != self._put

    def put_at(self, phase: int | None, allowed: Sequence[int]) -> None:
        """Move to ``phase``, or hide for None; dragging then snaps to ``allowed``."""
        self._allowed, self._put = allowed, phase
        self.setVisible(phase is not None)
        if phase is not None:
            self.setValue(phase)

    def setPos(self, pos: Any) -> None:
        """Move to the nearest allowed phase."""
        # While the line is dragged, pyqtgraph gives a point.
        x = pos.x() if isinstance(pos, QPointF) else pos
        if self._allowed:
            x = min(self._allowed, key=lambda phase: abs(phase - x))
        super().setPos(x)

    def recolor(self, foreground: QColor) -> None:
        """Draw the line and its name in the text colour."""
        self.setPen(pen(foreground))
        self.setHoverPen(pen(foreground, width=3))
        self.label.setColor(foreground)
