"""A line in a plot over the phases that can be dragged from phase to phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QPointF
from qtpy.QtGui import QColor

from ..common.plotting import pen, pg

NAME_HEIGHT = 0.93
"""Where along the line its name stands, from 0 below to 1 above."""


class PhaseLine(pg.InfiniteLine):
    """Stands at phases only, its name towards the middle; hidden until it is put somewhere."""

    def __init__(self, name: str) -> None:
        self._allowed: Sequence[int] = ()
        self._put: int | None = None
        options = {"position": NAME_HEIGHT, "anchors": [(0, 0.5), (1, 0.5)]}
        super().__init__(angle=90, movable=True, label=name, labelOpts=options)
        self.hide()

    @property
    def phase(self) -> int | None:
        """Where the line stands, None while it is hidden."""
        return None if self._put is None else round(self.value())

    @property
    def has_moved(self) -> bool:
        """Whether it was dragged away from where it was put."""
        return self.phase != self._put

    def put(self, phase: int | None, allowed: Sequence[int]) -> None:
        """Stand at ``phase``, or nowhere; from now on it snaps to ``allowed``."""
        self._allowed, self._put = allowed, phase
        self.setVisible(phase is not None)
        if phase is not None:
            self.setValue(phase)

    def setPos(self, pos: Any) -> None:
        """Snap to the nearest phase."""
        x = pos.x() if isinstance(pos, QPointF) else pos
        if self._allowed:
            x = min(self._allowed, key=lambda phase: abs(phase - x))
        super().setPos(x)

    def recolor(self, foreground: QColor) -> None:
        """Draw the line and its name in the colour of the text."""
        self.setPen(pen(foreground))
        self.setHoverPen(pen(foreground, width=3))
        self.label.setColor(foreground)
