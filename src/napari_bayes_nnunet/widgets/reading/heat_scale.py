"""The colours of scores: one perceptual scale, dark where the models agree."""

from __future__ import annotations

import math
from functools import cache

from qtpy.QtCore import QRect
from qtpy.QtGui import QColor, QLinearGradient, QPainter

from ..common.plotting import pg

COLORMAP = "inferno"
"""As the entropy map has in the picture."""
STEPS = 256


class HeatScale:
    """Colours of the scores from 0 to ``top``, in ``unit``."""

    def __init__(self, top: float, unit: str) -> None:
        self.top = top if math.isfinite(top) and top > 0 else 1.0
        self.unit = unit
        self._colors = _colors()

    def color(self, score: float) -> QColor:
        """The colour of a score; beyond the ends that of the end."""
        step = round(score / self.top * (STEPS - 1))
        return self._colors[min(max(step, 0), STEPS - 1)]

    def text(self, score: float) -> str:
        """A score with its unit: "214 mm²·bit"."""
        return f"{number_text(score)} {self.unit}".strip()

    def draw(self, painter: QPainter, place: QRect) -> None:
        """A bar of the colours, from 0 on the left to the top on the right."""
        gradient = QLinearGradient(place.left(), 0, place.right(), 0)
        for step in range(0, STEPS, 15):
            gradient.setColorAt(step / (STEPS - 1), self._colors[step])
        painter.fillRect(place, gradient)


@cache
def _colors() -> tuple[QColor, ...]:
    table = pg.colormap.get(COLORMAP).getLookupTable(nPts=STEPS, alpha=False)
    return tuple(QColor(*map(int, color)) for color in table)


def number_text(score: float) -> str:
    """A score in three digits, without an exponent: "1240", "214", "3.2", "0.047"."""
    if not score or not math.isfinite(score):
        return "0" if not score else "–"
    digits = max(2 - math.floor(math.log10(abs(score))), 0)
    return f"{score:.{min(digits, 4)}f}"
