"""Small static plots in the colours of the window."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from typing import Any

import qtpy
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPalette, QWheelEvent
from qtpy.QtWidgets import QLabel, QToolTip

from .levels import Themed

_CHOICE = "PYQTGRAPH_QT_LIB"
_before = os.environ.get(_CHOICE)
# By default pyqtgraph uses the Qt that this variable names, or the first that it finds. With a Qt
# other than the window's, the first widget crashes the program.
os.environ[_CHOICE] = qtpy.API_NAME
try:
    import pyqtgraph as pg
finally:
    if _before is None:
        del os.environ[_CHOICE]
    else:
        os.environ[_CHOICE] = _before

# Import pyqtgraph only from here, so that it uses the right Qt.
__all__ = ["EPOCH_AXIS", "MEMBER_COLOR", "EpochPlot", "Legend", "faint", "pen", "pg", "readable"]

AXIS_WIDTH = 56  # px, the same for all, so that stacked plots line up
EPOCH_AXIS = "epoch, counted from 0"
MEMBER_COLOR = "#E69F00"
LIGHTEST = 0.3
"""Largest luminance of a line on white, for a contrast of 3 to 1."""


def pen(color: Any, *, width: float = 1.5, dashed: bool = False) -> Any:
    """Return a pen for a line of ``width`` px."""
    style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
    return pg.mkPen(color, width=width, style=style)


class EpochPlot(Themed, pg.PlotWidget):
    """A plot over epochs that ignores the wheel and shows `reading` of the epoch at the mouse."""

    def __init__(self, *, left: str, bottom: str = "", height: int) -> None:
        self._foreground: QColor | None = None
        self._is_made = False
        super().__init__(background=None, enableMenu=False)
        self._is_made = True
        self.setFixedHeight(height)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        self._prepare_axes(left, bottom)

    def reading(self, epoch: int) -> str:
        """Return a text about ``epoch``, "" for none."""
        return ""

    def recolor(self, foreground: QColor) -> None:
        """Recolour the axes after the theme has changed."""
        for name in ("left", "bottom"):
            axis = self.getAxis(name)
            axis.setTextPen(foreground)
            axis.setPen(faint(foreground))

    def show_epochs(self, epochs: int) -> None:
        """Set the range of the axis to ``epochs`` epochs, from 0."""
        last = max(epochs - 1, 1)
        self.setXRange(0, last, padding=0.02)

    def epoch_at(self, x: int, y: int) -> int | None:
        """Return the epoch at a point of the widget in px, None outside the axes."""
        box = self.getViewBox()
        scene = self.mapToScene(x, y)
        inside: QRectF = box.sceneBoundingRect()
        return round(box.mapSceneToView(scene).x()) if inside.contains(scene) else None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show the text of the epoch at the mouse."""
        super().mouseMoveEvent(event)
        point = event.position().toPoint()
        epoch = self.epoch_at(point.x(), point.y())
        text = self.reading(epoch) if epoch is not None else ""
        QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave the wheel to the scroll area."""
        event.ignore()

    def take_theme(self) -> None:
        """Recolour the plot if the colour of texts has changed."""
        foreground = self.palette().color(QPalette.ColorRole.WindowText)
        if self._is_made and foreground != self._foreground:
            self._foreground = foreground
            self.recolor(foreground)
            self.resetCachedContent()  # Qt keeps a picture of the previous background

    def _prepare_axes(self, left: str, bottom: str) -> None:
        self.getAxis("left").setWidth(AXIS_WIDTH)
        for name, text in (("left", left), ("bottom", bottom)):
            axis = self.getAxis(name)
            axis.enableAutoSIPrefix(False)  # no "(×0.001)" next to the name
            if text:
                axis.setLabel(text)
        lines = 2.4 if bottom else 1.4
        self.getAxis("bottom").setHeight(round(lines * self.fontMetrics().height()))
        # The topmost and rightmost numbers extend beyond the axes by half their size, and the name
        # of the lower axis by a few px.
        self.getPlotItem().layout.setContentsMargins(0, 8, 8, 5 if bottom else 0)


def faint(color: QColor, alpha: int = 90) -> QColor:
    """Return the colour with this opacity, 0 to 255."""
    thin = QColor(color)
    thin.setAlpha(alpha)
    return thin


def readable(color: str, foreground: QColor) -> QColor:
    """Return the colour for a line in a window with this text colour, darker on a light window.

    The yellow of the LV, for example, cannot be seen on white.
    """
    line = QColor(color)
    if foreground.lightness() < 128:
        while _luminance(line) > LIGHTEST:
            line = line.darker(105)
    return line


def _luminance(color: QColor) -> float:
    """Return the relative luminance of WCAG 2, from 0 (black) to 1 (white)."""
    parts = (color.redF(), color.greenF(), color.blueF())
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    luminance: float = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return luminance


class Legend(Themed, QLabel):
    """Title of a plot with `MORE`, and each name after a square in the colour of its line."""

    def __init__(self, title: str) -> None:
        self._title, self._more = title, ""
        self._colors: Mapping[str, str] = {}
        super().__init__()
        self.setWordWrap(True)
        self.set_colors({})

    def set_colors(self, colors: Mapping[str, str], more: str = "") -> None:
        """Show these names and colours, and ``more`` as HTML after them."""
        self._colors, self._more = dict(colors), more
        foreground = self.palette().color(QPalette.ColorRole.WindowText)
        parts = [
            f'<span style="color:{readable(color, foreground).name()}">■</span>&nbsp;{escape(name)}'
            for name, color in self._colors.items()
        ]
        self.setText(" &nbsp; ".join([f"{self._title} {MORE}", *parts]) + more)

    def take_theme(self) -> None:
        """Show the colours as they are readable in the window."""
        self.set_colors(self._colors, self._more)


MORE = "(?)"
"""Follows a title that has a tooltip."""
