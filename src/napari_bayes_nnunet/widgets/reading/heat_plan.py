"""Where the cells of a heat grid lie: slices below each other, phases beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import QPoint, QRect

WIDEST, NARROWEST = 44, 2
"""Of a column, px: a few phases must not become beams, a hundred must still fit a dock."""
HEIGHTS = ((12, 17), (16, 15), (24, 12), (40, 8))
"""Up to so many slices, each so many px high."""
LOWEST = 4


@dataclass(frozen=True, kw_only=True)
class HeatPlan:
    """A grid of (slices, phases) cells, px.

    The first row is the base's: where ``base_first`` is False that is the last slice.
    """

    slices: int
    phases: int
    left: int
    top: int
    width: float
    height: int
    base_first: bool = True

    @property
    def area(self) -> QRect:
        """Around all cells."""
        right, below = round(self.phases * self.width), self.slices * self.height
        return QRect(self.left, self.top, right, below)

    def cell(self, z: int, column: int) -> QRect:
        """The room of a cell, the gap to its neighbours included."""
        left, right = round(column * self.width), round((column + 1) * self.width)
        top = self.top + self.row(z) * self.height
        return QRect(self.left + left, top, right - left, self.height)

    def at(self, point: QPoint) -> tuple[int, int] | None:
        """Slice and column at ``point``, None beside the cells."""
        if not self.area.contains(point):
            return None
        column = int((point.x() - self.left + 0.5) / self.width)
        row = (point.y() - self.top) // self.height
        return self.row(row), min(column, self.phases - 1)

    def row(self, z: int) -> int:
        """The row of a slice, and the slice of a row."""
        return z if self.base_first else self.slices - 1 - z


def plan_of(
    slices: int, phases: int, *, left: int, top: int, room: int, base_first: bool = True
) -> HeatPlan:
    """The largest seemly cells for ``room`` px beside ``left``."""
    share = room / max(phases, 1)
    # Whole px keep all columns alike; very narrow ones take what there is.
    width = min(float(int(share)) if share >= 4 else max(share, NARROWEST), WIDEST)
    return HeatPlan(
        slices=slices,
        phases=phases,
        left=left,
        top=top,
        width=width,
        height=next((height for most, height in HEIGHTS if slices <= most), LOWEST),
        base_first=base_first,
    )
