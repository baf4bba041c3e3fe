"""Strip of the slices of a structure: where the members see it, and where it begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QBrush,
    QColor,
    QFontMetrics,
    QHelpEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPalette,
)
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from ...core.counts import format_count
from ..common.dock import ThemeFont
from ..common.plotting import faint
from ..reading.slice_table import APEX, BASE, small_font

STRIP_HELP: Final = (
    "Bars: share of the members that see the structure in each slice. The line below them: slices "
    "that have it now. Hatched from above: share beyond the valve plane. Click to go to a slice."
)
BAR_HEIGHT: Final = 24
"""Height of a bar of all members, in pixels."""
WIDEST_CELL: Final = 40
_GAP, _LINE = 4, 3
_TRACK, _UNDRAWN = 36, 120
"""Opacities, of 255, behind the bars, and of bars in slices that lack the structure."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SlicePresence:
    """Slices of a phase in which a structure is seen and drawn.

    ``shares`` (Z,) of the models that see it, 0 … 1, None without a posterior; ``models`` is their
    number. ``drawn`` (Z,) says which slices have it now. ``current`` is the slice on screen.
    ``base_first`` says whether the first slice is basal, None if unknown. ``beyond`` (Z,) is the
    share of the structure beyond its valve plane, 0 … 1, None without a plane, and ``shifts`` (Z,)
    the distance of a slice from its neighbours in mm, NaN if unknown.
    """

    shares: NDArray[np.float64] | None
    drawn: NDArray[np.bool_]
    current: int
    beyond: NDArray[np.float64] | None = None
    shifts: NDArray[np.float64] | None = None
    models: int = 0
    base_first: bool | None = None
    color: str = "white"

    @property
    def order(self) -> tuple[int, ...]:
        """Slices from base to apex."""
        slices = tuple(range(len(self.drawn)))
        return slices[::-1] if self.base_first is False else slices

    def reading(self, z: int) -> str:
        """Return what is known about a slice, as text."""
        known = []
        if self.shares is not None:
            seeing = round(self.shares[z] * self.models)
            known.append(f"seen by {seeing} of {format_count(self.models, 'member')}")
        known.append("drawn" if self.drawn[z] else "not drawn")
        if self.beyond is not None and self.beyond[z]:
            known.append(f"{100 * self.beyond[z]:.0f} % beyond the valve plane")
        if self.shifts is not None and np.isfinite(self.shifts[z]):
            known.append(f"{self.shifts[z]:.1f} mm from the line between its neighbours")
        return f"Slice {z + 1}: {', '.join(known)}"


class PresenceStrip(QWidget):
    """Strip of all slices from base to apex; ``slice_chosen`` carries a clicked one, from 0."""

    slice_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.presence: SlicePresence | None = None
        """The slices shown, None if there are none."""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Slices with the structure")
        self.setAccessibleDescription(STRIP_HELP)
        ThemeFont(self)

    def set_presence(self, presence: SlicePresence | None) -> None:
        """Show these slices."""
        self.presence = presence
        self.update()

    def cell_rect(self, z: int) -> QRect:
        """Return the rectangle of a slice, px, from the top of its bar to its number."""
        assert self.presence is not None
        left, width = self._room()
        column = self.presence.order.index(z)
        return QRect(left + column * width, 0, width, self.height())

    def sizeHint(self) -> QSize:
        """Return the height of bars, line and numbers."""
        return QSize(200, BAR_HEIGHT + 2 * _GAP + _LINE + self._metrics().height())

    def minimumSizeHint(self) -> QSize:
        """Return a narrow size: narrow docks get narrow bars."""
        return QSize(100, self.sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """Show the slice under the mouse as a tooltip."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            z, text = self._slice_at(event.pos()), STRIP_HELP
            if self.presence is not None and z is not None:
                text = f"{self.presence.reading(z)}\n{STRIP_HELP}"
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the clicked slice."""
        z = self._slice_at(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and z is not None:
            self.slice_chosen.emit(z)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw bars, numbers, the line of the slices that have the structure, base and apex."""
        presence = self.presence
        if presence is None or not len(presence.drawn):
            return
        painter = QPainter(self)
        painter.setFont(small_font(self.font()))
        numbered = self._numbered(presence)
        for z in presence.order:
            room = self.cell_rect(z)
            self._draw_bar(painter, presence, z, room)
            if z in numbered:
                self._draw_number(painter, z, room, is_current=z == presence.current)
        self._draw_line(painter, presence)
        if presence.base_first is not None:
            self._draw_ends(painter)
        # A traceback or a debugger that holds this frame would keep the painter active.
        painter.end()

    def _draw_bar(self, painter: QPainter, presence: SlicePresence, z: int, room: QRect) -> None:
        bar = QRect(room.left(), 0, max(room.width() - 1, 1), BAR_HEIGHT)
        painter.fillRect(bar, faint(self._ink(), _TRACK))
        if presence.shares is not None:
            color = QColor(presence.color)
            bar.setTop(BAR_HEIGHT - round(BAR_HEIGHT * float(presence.shares[z])))
            painter.fillRect(bar, color if presence.drawn[z] else faint(color, _UNDRAWN))
        if presence.beyond is not None:
            height = round(BAR_HEIGHT * float(presence.beyond[z]))
            beyond = QRect(room.left(), 0, bar.width(), height)
            painter.fillRect(beyond, QBrush(self._ink(), Qt.BrushStyle.BDiagPattern))

    def _draw_number(self, painter: QPainter, z: int, room: QRect, *, is_current: bool) -> None:
        top = BAR_HEIGHT + 2 * _GAP + _LINE - 1
        place = QRect(room.left(), top, room.width() - 1, self.height() - top)
        ink, paper = self._ink(), self.palette().color(QPalette.ColorRole.Window)
        if is_current:
            # The number of the slice on screen is shown whole, even above its neighbours.
            needed = painter.fontMetrics().horizontalAdvance(str(z + 1)) + 6
            grown = max(needed - place.width(), 0)
            place.adjust(-(grown // 2), 0, grown - grown // 2, 0)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(ink)
            painter.drawRoundedRect(QRectF(place), 3, 3)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.setPen(paper if is_current else ink)
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, str(z + 1))

    def _draw_line(self, painter: QPainter, presence: SlicePresence) -> None:
        """Draw a line under the slices that have the structure, with a tick at either end."""
        top = BAR_HEIGHT + _GAP - 1
        drawn = [z for z in presence.order if presence.drawn[z]]
        for z in drawn:
            room = self.cell_rect(z)
            painter.fillRect(QRect(room.left(), top, room.width(), _LINE), self._ink())
        if not drawn:
            return
        left, right = self.cell_rect(drawn[0]).left(), self.cell_rect(drawn[-1]).right()
        for x in (left, right - 1):
            painter.fillRect(QRect(x, 0, 2, top + _LINE), self._ink())

    def _draw_ends(self, painter: QPainter) -> None:
        left, width = self._room()
        assert self.presence is not None
        right = left + width * len(self.presence.drawn) + _GAP
        painter.setPen(self._ink())
        vertical = Qt.AlignmentFlag.AlignVCenter
        painter.drawText(
            QRect(0, 0, left - _GAP, BAR_HEIGHT), vertical | Qt.AlignmentFlag.AlignLeft, BASE
        )
        painter.drawText(QRect(right, 0, self.width(), BAR_HEIGHT), vertical, APEX)

    def _room(self) -> tuple[int, int]:
        """Return where the first slice begins and the width of a slice, px."""
        presence, metrics = self.presence, self._metrics()
        count = len(presence.drawn) if presence is not None else 0
        named = presence is not None and presence.base_first is not None
        left, right = (
            (metrics.horizontalAdvance(end) + _GAP if named else 0) for end in (BASE, APEX)
        )
        width = (self.width() - left - right) // max(count, 1)
        return left, max(min(width, WIDEST_CELL), 1)

    def _numbered(self, presence: SlicePresence) -> set[int]:
        """Return the slices whose numbers fit, the slice on screen always."""
        _, width = self._room()
        needed = self._metrics().horizontalAdvance(str(len(presence.drawn))) + 3
        # Rounded up: each how many numbers there is room for one.
        every = max(-(-needed // width), 1)
        near = {presence.current + step for step in range(1 - every, every)}
        fitting = {z for z in presence.order if z % every == 0} - near
        return fitting | {presence.current}

    def _slice_at(self, point: QPoint) -> int | None:
        slices = self.presence.order if self.presence is not None else ()
        return next((z for z in slices if self.cell_rect(z).contains(point)), None)

    def _ink(self) -> QColor:
        return self.palette().color(QPalette.ColorRole.WindowText)

    def _metrics(self) -> QFontMetrics:
        return QFontMetrics(small_font(self.font()))
