"""The navigator of a review: slices × phases, coloured by how much the models disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal
from qtpy.QtGui import (
    QFontMetrics,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
    QResizeEvent,
)
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from .heat_painter import NOT_SEGMENTED, Frame, HeatPainter, arranged, height_of, small_font
from .heat_scale import HeatScale
from .marks import MARKS

Phase: TypeAlias = int | None
Cell: TypeAlias = tuple[Phase, int]
"""Phase, from 1, None in a 3D image; and slice, from 0."""
OUTLINE = 3
STEPS: Mapping[Qt.Key, tuple[int, int]] = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}
"""Key → rows down, columns to the right."""
HELP = (
    "Every slice of every phase, base above and apex below where that is known. Bright: the models "
    "disagree. A click or the arrow keys go there."
)


class HeatGrid(QWidget):
    """A cell for each slice and phase; ``cell_chosen`` carries the phase and the slice (from 0).

    It is emitted for clicks and arrow keys only, never by a setter.
    """

    cell_chosen = Signal(object, int)
    _is_made = False

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scores: NDArray[np.float64] = np.zeros((0, 0))
        self._marks: Mapping[Cell, Set[str]] = {}
        self._current: Cell | None = None
        self._frame = Frame()
        self._scale = HeatScale(1.0, "")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Slices and phases by score")
        self.setAccessibleDescription(HELP)
        self._is_made = True
        self._arrange()

    @property
    def current(self) -> Cell | None:
        """The phase and the slice that are outlined, None where none is."""
        return self._current

    def set_scores(
        self,
        scores: NDArray[Any],
        phases: Sequence[Phase],
        unit: str,
        *,
        top: float | None = None,
    ) -> None:
        """Show (Z, P) ``scores`` in ``unit``, a column for each of ``phases``.

        What is not known is NaN. The colours reach up to ``top``, the largest score if left out.
        ValueError where there are not as many columns as phases.
        """
        scores = np.asarray(scores, dtype=np.float64)
        if scores.ndim != 2 or scores.shape[1] != len(phases):
            expected = f"(Z, {len(phases)})"
            raise ValueError(f"The scores of {len(phases)} phases are {expected}: {scores.shape}.")
        largest = float(np.nanmax(scores, initial=0.0)) if scores.size else 0.0
        self._scores = scores
        gaps = not np.isfinite(scores).all()
        self._frame = replace(self._frame, phases=tuple(phases), has_gaps=bool(gaps))
        self._scale = HeatScale(largest if top is None else top, unit)
        self._arrange()

    def set_ends(self, base_first: bool | None) -> None:
        """Say whether the first slice is the base's (else the last is), None for unknown."""
        self._frame = replace(self._frame, base_first=base_first)
        self._arrange()

    def set_marks(self, marks: Mapping[Cell, Set[str]]) -> None:
        """Mark cells as reviewed, flagged, edited (``review_marks.MARKS``), all others as not."""
        new = {cell: frozenset(names) for cell, names in marks.items() if names}
        unknown = set[str]().union(*new.values()) - set(MARKS)
        if unknown:
            raise ValueError(f"Marks are {', '.join(MARKS)}; not {', '.join(sorted(unknown))}.")
        changed = {c for c in new.keys() | self._marks.keys() if new.get(c) != self._marks.get(c)}
        self._marks = new
        for cell in changed:
            self._update_cell(cell)

    def set_current(self, phase: Phase, z: int | None) -> None:
        """Outline the cell of slice ``z`` in ``phase``; no cell where ``z`` is None."""
        before, self._current = self._current, None if z is None else (phase, z)
        for cell in (before, self._current):
            if cell is not None:
                self._update_cell(cell)

    def set_landmarks(self, ed: Phase, es: Phase) -> None:
        """Head the columns of end-diastole and end-systole, None for unknown."""
        known = {name: phase for name, phase in (("ED", ed), ("ES", es)) if phase is not None}
        self._frame = replace(self._frame, landmarks=known)
        self.update()

    def cell_rect(self, phase: Phase, z: int) -> QRect:
        """Where a cell is drawn, px; an empty rectangle for a cell that is not there."""
        if phase not in self._frame.phases or not 0 <= z < len(self._scores):
            return QRect()
        return self._plan.cell(z, self._frame.phases.index(phase))

    def reading(self, phase: Phase, z: int) -> str:
        """What is known of a cell, in words."""
        landmarks = [name for name, at in self._frame.landmarks.items() if at == phase]
        place = f"Slice {z + 1}"
        if phase is not None:
            place += f", phase {phase}" + "".join(f" ({name})" for name in landmarks)
        score = self._scores[z, self._frame.phases.index(phase)]
        if not np.isfinite(score):
            return f"{place}: {NOT_SEGMENTED}"
        marks = self._marks.get((phase, z), frozenset())
        done = ", ".join(mark for mark in MARKS if mark in marks) or "not reviewed"
        return f"{place}: {self._scale.text(score)}\n{done}"

    def sizeHint(self) -> QSize:
        """As high as the slices need."""
        return QSize(320, height_of(self._plan, self._metrics()))

    def minimumSizeHint(self) -> QSize:
        """Narrow docks get narrow cells."""
        return QSize(120, height_of(self._plan, self._metrics()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the cells another width."""
        super().resizeEvent(event)
        self._arrange()

    def changeEvent(self, event: QEvent) -> None:
        """Take another font."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and self._is_made:
            self._arrange()

    def event(self, event: QEvent) -> bool:
        """Say what is under the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            cell = self._cell_at(event.pos())
            text = self.reading(*cell) if cell is not None else HELP
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the cell."""
        cell = self._cell_at(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and cell is not None:
            self._choose(cell)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to a neighbour; all other keys are left to the window."""
        step = STEPS.get(Qt.Key(event.key()))
        if step is None or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            super().keyPressEvent(event)
            return
        cell = self._neighbour(self._current, *step)
        if cell is not None:
            self._choose(cell)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw what has changed."""
        painter = QPainter(self)
        painter.setFont(small_font(self.font()))
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        drawing = HeatPainter(painter, self._plan, self._frame, self._scale, ink)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)  # cells lie on whole px
        if not self._plan.area.contains(event.rect()):
            drawing.draw_frame()
            drawing.draw_legend()
        self._draw_cells(drawing, event.rect())
        painter.end()

    def _draw_cells(self, drawing: HeatPainter, changed: QRect) -> None:
        for column, phase in enumerate(self._frame.phases):
            for z in range(len(self._scores)):
                room = self._plan.cell(z, column)
                if room.intersects(changed):
                    marks = self._marks.get((phase, z), frozenset())
                    drawing.draw_cell(room, float(self._scores[z, column]), marks)
        if self._current is not None and not (room := self.cell_rect(*self._current)).isEmpty():
            drawing.draw_outline(room)

    def _arrange(self) -> None:
        """Plan the cells anew, and ask for the height they need."""
        slices, metrics = len(self._scores), self._metrics()
        self._plan = arranged(self._frame, slices, width=self.width(), metrics=metrics)
        self.updateGeometry()
        self.update()

    def _metrics(self) -> QFontMetrics:
        return QFontMetrics(small_font(self.font()))

    def _update_cell(self, cell: Cell) -> None:
        room = self.cell_rect(*cell)
        self.update(room.adjusted(-OUTLINE, -OUTLINE, OUTLINE, OUTLINE))

    def _cell_at(self, point: QPoint) -> Cell | None:
        found = self._plan.at(point)
        return None if found is None else (self._frame.phases[found[1]], found[0])

    def _choose(self, cell: Cell) -> None:
        phase, z = cell
        if np.isfinite(self._scores[z, self._frame.phases.index(phase)]):
            self.set_current(phase, z)
            self.cell_chosen.emit(phase, z)

    def _neighbour(self, cell: Cell | None, down: int, right: int) -> Cell | None:
        """The next cell in a direction that was segmented, the same where there is none."""
        if cell is None or self.cell_rect(*cell).isEmpty():
            return self._first()
        row, column = self._plan.row(cell[1]) + down, self._frame.phases.index(cell[0]) + right
        while 0 <= row < len(self._scores) and 0 <= column < len(self._frame.phases):
            z = self._plan.row(row)
            if np.isfinite(self._scores[z, column]):
                return self._frame.phases[column], z
            row, column = row + down, column + right
        return cell

    def _first(self) -> Cell | None:
        """The first cell that was segmented, from the base of the first phase on."""
        for column, phase in enumerate(self._frame.phases):
            for z in map(self._plan.row, range(len(self._scores))):
                if np.isfinite(self._scores[z, column]):
                    return phase, z
        return None
