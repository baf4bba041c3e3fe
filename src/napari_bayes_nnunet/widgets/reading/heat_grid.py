"""Grid of slices and phases for navigation, coloured by the disagreement of the members."""

from __future__ import annotations

import math

import numpy as np
from qtpy.QtCore import QPoint, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QBrush, QPainter
from qtpy.QtWidgets import QSizePolicy

from ...core.types import Place
from ..common.plotting import faint
from .marks import draw_marks
from .slice_table import GAP, NO_SCORE, SliceTable, draw_legend

HEAT_HELP = (
    "All slices and phases; bright where the members disagree. Base is at the top if known. Click "
    "or use the arrow keys to go to a slice."
)
WIDEST, NARROWEST = 44, 2
"""Limits of the column width, px, for few phases and for a hundred in a narrow dock."""
HEIGHTS = ((12, 17), (16, 15), (24, 12), (40, 8))
"""Largest number of slices, and the height of each, px."""
LOWEST = 4
LINE_HEIGHT = 13
"""Height of a line of text for which these sizes are made, px."""
SCALE_WIDTH = 90


class HeatGrid(SliceTable):
    """Grid with a cell for each slice and phase, and the meaning of colours and marks below."""

    def __init__(self) -> None:
        super().__init__("Slices and phases by score", HEAT_HELP)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def cell_size(self) -> tuple[int, int]:
        """Return the largest cells that fit into the width."""
        slices, phases = len(self.slice_model.scores), max(len(self.slice_model.phases), 1)
        share = (self.width() - self._text_room[0] - 2) // phases
        height = next((height for most, height in HEIGHTS if slices <= most), LOWEST)
        widest = round(self._growth * WIDEST)
        return min(max(share, NARROWEST), widest), round(self._growth * height)

    @property
    def _growth(self) -> float:
        """The size of the font relative to the smallest one that the cells are made for."""
        return max(float(self.metrics.height()) / LINE_HEIGHT, 1.0)

    @property
    def _hatching(self) -> QBrush:
        return QBrush(faint(self.ink), Qt.BrushStyle.BDiagPattern)

    def draw_cell(self, painter: QPainter, room: QRect, place: Place) -> None:
        """Draw a cell in the colour of its score, or hatched if that is unknown, and its marks."""
        score, marks = self.slice_model.score(place), self.slice_model.marks_of(place)
        # Narrow cells touch, because a gap would leave little of their colours.
        gap = 1 if min(room.width(), room.height()) > 4 else 0
        inside = room.adjusted(0, 0, -gap, -gap)
        known = math.isfinite(score)
        painter.fillRect(inside, self.slice_model.scale.color(score) if known else self._hatching)
        if marks:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            draw_marks(painter, marks, QRectF(inside))

    def draw_around(self, painter: QPainter, changed: QRect) -> None:
        """Draw the outline of the current cell, and the meaning of colours and marks below."""
        super().draw_around(painter, changed)
        below = self._rows.length()
        if changed.bottom() > below:
            painter.setPen(self.ink)
            corner, width = QPoint(0, below + GAP), round(SCALE_WIDTH * self._growth)
            end = draw_legend(painter, self.slice_model.scale, corner, width=width, stacked=False)
            if not np.isfinite(self.slice_model.scores).all():
                line = self.metrics.height()
                room = QRect(end.x(), end.y() - line + 5, line - 4, line - 4)
                painter.fillRect(room, self._hatching)
                painter.setPen(self.ink)
                painter.drawText(room.right() + GAP, end.y(), NO_SCORE)

    def sizeHint(self) -> QSize:
        """Return the size with the height that the slices and two lines below need."""
        height = self._text_room[1] + self._rows.length()
        return QSize(320, height + 2 * (self.metrics.height() + GAP) + GAP)

    def minimumSizeHint(self) -> QSize:
        """Return a narrow size: narrow docks get narrow cells."""
        return QSize(120, self.sizeHint().height())
