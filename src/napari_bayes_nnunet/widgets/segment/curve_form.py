"""Volume curves of a cine in the Segment dock, while its phases are segmented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...app.segmentation.first_look import FEWEST_FOR_LOOKS
from ...core.heart.structures import CARDIAC
from ...core.heart.volume_curve import VolumeCurve
from ...core.types import Phase
from ..common.dock import LevelLabel

if TYPE_CHECKING:
    from ..reading.curves_plot import CurvesPlot

PROVISIONAL_NOTE: Final = "Open circles: provisional, from one model."
NOTE_BY_STUDENT: Final = (
    "Open circles: provisional, from the student, one model that answers for all."
)
LINES_NOTE: Final = " Dotted lines: ED phase {ed}, ES phase {es}."

HELP: Final = (
    "Volumes of LV and RV in every phase. An open circle is a first look by one model; it is "
    "replaced by a dot when the phase is segmented."
)


class CurveForm(QWidget):
    """Curves of LV and RV; hidden if there are few phases, or none is segmented."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot: CurvesPlot | None = None
        self.note = LevelLabel(level="done")
        self.note.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self.note)
        self.hide()

    def set_curves(
        self,
        curves: Sequence[VolumeCurve],
        measured: tuple[Phase, Phase] = (None, None),
        *,
        count: int,
        by_student: bool = False,
    ) -> None:
        """Draw the curves over all ``count`` phases of the cine, with dotted lines at ED and ES.

        These are the ``measured`` phases, or else those of the largest and the smallest volume.
        Without a segmented phase the image is not judged yet, so nothing is drawn.
        """
        phases = {phase for curve in curves for phase in curve.phases}
        is_judged = any(set(curve.phases) - curve.provisional for curve in curves)
        self.setVisible(is_judged and len(phases) >= FEWEST_FOR_LOOKS)
        if self.isHidden():
            return
        from ..reading.volume_plot import propose_landmarks

        ed, es = measured
        known = None if ed is None or es is None else (ed, es)
        landmarks = known or propose_landmarks(curves)
        self._plot(curves).draw(curves, range(1, count + 1), landmarks)
        lines = LINES_NOTE.format(ed=landmarks[0], es=landmarks[1]) if landmarks else ""
        self.note.setText((NOTE_BY_STUDENT if by_student else PROVISIONAL_NOTE) + lines)
        self.note.setVisible(any(curve.provisional for curve in curves))

    def _plot(self, curves: Sequence[VolumeCurve]) -> CurvesPlot:
        """Return the plot, made with the first curve: its import takes long."""
        if self.plot is None:
            from ..common.plotting import Legend
            from ..reading.curves_plot import CurvesPlot

            self.plot = CurvesPlot()
            legend = Legend("Volume")
            legend.setToolTip(HELP)
            legend.set_colors({c.structure: CARDIAC[c.structure] for c in curves})
            for row, part in enumerate((legend, self.plot)):
                self.layout().insertWidget(row, part)
        return self.plot
