"""Layout of thumbnails: a row for each phase, a column for each slice, from base to apex."""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass
from typing import Final, Literal

from .marks import ACCEPTED, FLAGGED

PixelBox = tuple[int, int, int, int]
"""Left, top, width and height, px."""
WIDEST_FRAME: Final = 3
OUTLINE_ROOM: Final = 2
"""Room around a frame for the outline of the slice on screen, px."""
INSET: Final = WIDEST_FRAME + OUTLINE_ROOM
"""Distance of a picture from the border of its cell, px."""
SMALLEST_PICTURE, LARGEST_PICTURE = 30, 160
"""Limits of the longer side of a picture, px."""
FrameKind = Literal["open", "flagged", "accepted", "unknown"]


@dataclass(frozen=True, kw_only=True)
class ThumbnailPlan:
    """Layout of ``rows`` × ``slices`` equal cells, px; the base is on the left.

    ``left`` and ``top`` are those of the first cell, ``width`` and ``height`` those of a cell.
    """

    rows: int
    slices: int
    left: int
    top: int
    width: int
    height: int
    base_first: bool = True

    @property
    def right(self) -> int:
        """The end of the last column."""
        return self.left + self.slices * self.width

    @property
    def bottom(self) -> int:
        """The end of the last row."""
        return self.top + self.rows * self.height

    def column(self, z: int) -> int:
        """Return the column of a slice, or the slice of a column."""
        return z if self.base_first else self.slices - 1 - z

    def cell(self, row: int, z: int) -> PixelBox:
        """Return the box of a cell, with the room for its outline."""
        left = self.left + self.column(z) * self.width
        return left, self.top + row * self.height, self.width, self.height

    def picture(self, row: int, z: int) -> PixelBox:
        """Return the box of the picture in a cell."""
        left, top, width, height = self.cell(row, z)
        return left + INSET, top + INSET, width - 2 * INSET, height - 2 * INSET

    def cell_at(self, x: int, y: int) -> tuple[int, int] | None:
        """Return row and slice at a point, None outside the cells."""
        if not (self.left <= x < self.right and self.top <= y < self.bottom):
            return None
        column = (x - self.left) // self.width
        return (y - self.top) // self.height, self.column(column)

    def neighbour(self, row: int, z: int, *, down: int = 0, right: int = 0) -> tuple[int, int]:
        """Return row and slice of a neighbour; at the border the same cell."""
        column = min(max(self.column(z) + right, 0), self.slices - 1)
        return min(max(row + down, 0), self.rows - 1), self.column(column)


def plan_thumbnails(
    rows: int,
    slices: int,
    *,
    left: int,
    top: int,
    room: tuple[int, int],
    aspect: float,
    base_first: bool = True,
) -> ThumbnailPlan:
    """Return the largest cells that fit into ``room``, (width, height) right of and below the text.

    ``aspect`` is width by height of a picture. Pictures are at least `SMALLEST_PICTURE` px, and may
    then need more than the room.
    """
    wide = room[0] // max(slices, 1) - 2 * INSET
    high = room[1] // max(rows, 1) - 2 * INSET
    height = min(high, wide / aspect, LARGEST_PICTURE / max(aspect, 1))
    height = max(height, SMALLEST_PICTURE / max(aspect, 1))
    return ThumbnailPlan(
        rows=rows,
        slices=slices,
        left=left,
        top=top,
        width=int(height * aspect) + 2 * INSET,
        height=int(height) + 2 * INSET,
        base_first=base_first,
    )


def needed_size(rows: int, slices: int, aspect: float) -> tuple[int, int]:
    """Return width and height of the smallest cells, px."""
    plan = plan_thumbnails(rows, slices, left=0, top=0, room=(0, 0), aspect=aspect)
    return plan.right, plan.bottom


@dataclass(frozen=True)
class ThumbnailFrame:
    """Frame of a thumbnail: ``kind`` gives colour and line, ``width`` is in px."""

    kind: FrameKind
    width: int


def choose_frame(score: float, top: float, marks: Set[str]) -> ThumbnailFrame:
    """Return the frame of a slice; open slices have wider frames the closer the score is to top."""
    if FLAGGED in marks:
        return ThumbnailFrame("flagged", WIDEST_FRAME)
    if ACCEPTED in marks:
        return ThumbnailFrame("accepted", 1)
    if not math.isfinite(score):
        return ThumbnailFrame("unknown", 1)
    share = min(max(score / top, 0.0), 1.0) if top > 0 else 0.0
    return ThumbnailFrame("open", 1 + round(share * (WIDEST_FRAME - 1)))
