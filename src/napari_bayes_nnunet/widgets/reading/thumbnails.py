"""Thumbnails of the slices of one or two phases, with contours, score and state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from time import perf_counter
from typing import Final

from qtpy.QtCore import QPoint, QRect, QRectF, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QHideEvent, QPainter, QPen, QPixmap, QShowEvent
from qtpy.QtWidgets import QSizePolicy

from ...core.types import Phase, Place
from ..common.levels import level_color
from ..common.plotting import faint
from .marks import ACCEPTED, FLAGGED, MARKS, draw_mark
from .slice_pictures import SlicePicture, SlicePictures, render_picture
from .slice_table import AGREE, APEX, DISAGREE, GAP, SPACE, SliceTable, draw_legend

STEP_MS: Final = 30
"""Time after which drawing pauses, so that the window stays responsive.

Shorter steps would draw the whole window more often, because it holds an OpenGL canvas.
"""
THUMBNAIL_HELP: Final = (
    "All slices of ED and ES, from base to apex. The brighter and wider a frame, the more the "
    "members disagree. Click or use the arrow keys to go to a slice."
)
NO_LANDMARKS: Final = "ED and ES are unknown. Choose them in the volume curve."
WIDEST_FRAME: Final = 3
OUTLINE_ROOM: Final = 2
"""Room around a frame for the outline of the slice on screen, px."""
INSET: Final = WIDEST_FRAME + OUTLINE_ROOM
"""Distance of a picture from the border of its cell, px."""
SMALLEST_PICTURE, LARGEST_PICTURE = 30, 160
"""Limits of the longer side of a picture, px."""
LEGEND_WIDTH: Final = 60
"""Length of the colour scale, px."""
MARK_SHARE: Final = 0.25
"""Size of a mark relative to the height of a picture."""
SMALLEST_MARK, LARGEST_MARK = 9, 20
"""Limits of the size of a mark, px."""
LIGHT_FRAME: Final = 150
"""Lightness, of 255, from which a frame gets a dark edge on a light window."""


class Thumbnails(SliceTable):
    """Thumbnails of slices, a row for each phase, drawn in short steps while they are visible."""

    current_moved = Signal(QRect)
    """Carries the place of the slice on screen, so that it can be scrolled into view."""
    slices = Qt.Orientation.Horizontal
    skips_unknown = False
    outline = OUTLINE_ROOM, OUTLINE_ROOM, -OUTLINE_ROOM, -OUTLINE_ROOM

    def __init__(self) -> None:
        # Before the table, which arranges its cells while it is made.
        self._pictures: SlicePictures | None = None
        self._drawn: dict[Place, SlicePicture] = {}
        self._pixmaps: dict[Place, QPixmap] = {}
        self._waiting: list[Place] = []
        super().__init__("Thumbnails of the slices", THUMBNAIL_HELP)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._draw_waiting)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    @property
    def phases(self) -> Sequence[Phase]:
        """The phase of each row."""
        return self.slice_model.phases

    @property
    def is_drawing(self) -> bool:
        """Whether some pictures are not drawn yet."""
        return bool(self._waiting)

    def set_pictures(self, pictures: SlicePictures) -> None:
        """Draw these pictures."""
        self._pictures = pictures
        self._drawn.clear()
        self._arrange()

    def set_current(self, phase: Phase, z: int | None) -> None:
        """Mark slice ``z`` of ``phase`` as the one on screen; none if ``z`` is None."""
        before = self._current
        super().set_current(phase, z)
        # Only another slice is scrolled to, so that the reader may look elsewhere in the strip.
        if self.current not in (before, None):
            self.setAccessibleDescription(self.slice_model.reading(*self.current))
            self.current_moved.emit(self.cell_rect(*self.current))

    def refresh(self) -> None:
        """Draw those pictures again whose labels have changed; the first ones at once."""
        pictures = self._pictures
        if pictures is None:
            return
        drawn = self._drawn.items()
        changed = [place for place, picture in drawn if not pictures.is_current(place, picture)]
        for place in changed:
            del self._drawn[place]
        self._wait_for(changed)
        if changed and self.isVisible():
            self._draw_waiting()

    def fitting_height(self, most: int) -> int:
        """Return the height, up to ``most`` px, that the pictures fill in the width they have."""
        _, height = self.cell_size(most)
        return self._text_room[1] + len(self.phases) * height

    def cell_size(self, height: int | None = None) -> tuple[int, int]:
        """Return the largest cells that fit into the widget, or a widget of another height.

        Pictures are at least `SMALLEST_PICTURE` px, and may then need more than the room.
        """
        left, top = self._text_room
        right = 0 if self.slice_model.base_first is None else self.metrics.horizontalAdvance(APEX)
        room = self.width() - left - right - 2 * GAP, (height or self.height()) - top
        wide = room[0] // max(len(self.slice_model.scores), 1) - 2 * INSET
        high = room[1] // max(len(self.phases), 1) - 2 * INSET
        return self._cell_of(min(high, wide / self._aspect))

    def _cell_of(self, height: float) -> tuple[int, int]:
        """Return width and height of a cell with a picture of this height, within the limits."""
        longer = max(self._aspect, 1)
        height = max(min(height, LARGEST_PICTURE / longer), SMALLEST_PICTURE / longer)
        return int(height * self._aspect) + 2 * INSET, int(height) + 2 * INSET

    def sizeHint(self) -> QSize:
        """Return a low strip."""
        return self.minimumSizeHint().expandedTo(QSize(400, 140))

    def minimumSizeHint(self) -> QSize:
        """Return the room that the smallest pictures need."""
        (width, height), (left, top) = self._cell_of(0), self._text_room
        right = self.metrics.horizontalAdvance(APEX) + 2 * GAP
        across = left + len(self.slice_model.scores) * width + right
        return QSize(across, top + len(self.phases) * height)

    def showEvent(self, event: QShowEvent) -> None:
        """Draw the pictures."""
        super().showEvent(event)
        self._wait_for([])

    def hideEvent(self, event: QHideEvent) -> None:
        """Stop drawing while the thumbnails are hidden."""
        super().hideEvent(event)
        self._timer.stop()

    def draw_cell(self, painter: QPainter, room: QRect, place: Place) -> None:
        """Draw a picture with its frame and marks, or an empty box while there is none."""
        room = room.adjusted(INSET, INSET, -INSET, -INSET)
        pixmap = self._pixmaps.get(place)
        if pixmap is None:
            painter.fillRect(room, faint(QColor(level_color("done", self))))
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawPixmap(room, pixmap)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        pen = self._frame(place)
        if pen.color().lightness() > LIGHT_FRAME > self.ink.lightness():
            painter.setPen(self.ink)  # or it would hardly be seen on a light window
            edge = pen.width() + 1
            painter.drawRect(room.adjusted(-edge, -edge, edge - 1, edge - 1))
        painter.setPen(pen)
        half = pen.width() / 2
        painter.drawRect(QRectF(room).adjusted(-half, -half, half, half))
        side = min(max(MARK_SHARE * room.height(), SMALLEST_MARK), LARGEST_MARK)
        x = room.right() - side - 1
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # From the right corner to the left, so that they read in their order.
        for mark in reversed(list(MARKS)):
            if mark in self.slice_model.marks_of(place):
                draw_mark(painter, mark, QRectF(x, room.top() + 2, side, side))
                x -= side + 1
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _frame(self, place: Place) -> QPen:
        """Return the pen of a frame: by the state, or wider and brighter the higher the score."""
        score, marks = self.slice_model.score(place), self.slice_model.marks_of(place)
        color, width, style = self.ink, 1, Qt.PenStyle.SolidLine
        if FLAGGED in marks:
            color, width = QColor(level_color("warning", self)), WIDEST_FRAME
        elif ACCEPTED in marks:
            color = QColor(level_color("done", self))
        elif math.isfinite(score):
            scale = self.slice_model.scale
            share = min(max(score / scale.top, 0.0), 1.0)
            color, width = scale.color(score), 1 + round(share * (WIDEST_FRAME - 1))
        else:
            style = Qt.PenStyle.DotLine
        pen = QPen(color, width, style)
        pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
        return pen

    def draw_around(self, painter: QPainter, changed: QRect) -> None:
        """Draw the outline of the slice on screen, the focus, and a legend if there is room."""
        area = self.viewport().rect()
        painter.setPen(self.ink)
        if not self.phases:
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(area, flags, NO_LANDMARKS)
            return
        advance, line = self.metrics.horizontalAdvance, self.metrics.height()
        texts = [AGREE + DISAGREE, *MARKS]
        left = self._columns.length() + 2 * SPACE + advance(APEX)
        widest = max(map(advance, texts)) + LEGEND_WIDTH + 3 * GAP
        if left + widest + SPACE <= area.right() and len(texts) * line <= area.height():
            corner = QPoint(left, OUTLINE_ROOM)
            draw_legend(painter, self.slice_model.scale, corner, width=LEGEND_WIDTH, stacked=True)
        super().draw_around(painter, changed)
        if self.hasFocus():
            painter.setPen(faint(self.ink))
            painter.drawRect(area.adjusted(0, 0, -1, -1))

    def _arrange(self) -> None:
        """Fit the cells, and draw pictures again whose size has changed."""
        super()._arrange()
        places = [(phase, z) for phase in self.phases for z in range(len(self.slice_model.scores))]
        self._pixmaps = {p: pixmap for p, pixmap in self._pixmaps.items() if p in places}
        self._drawn = {p: picture for p, picture in self._drawn.items() if p in places}
        self._waiting = []
        self._wait_for([place for place in places if not self._is_sharp(place)])

    @property
    def _picture_size(self) -> QSize:
        width, height = self._columns.defaultSectionSize(), self._rows.defaultSectionSize()
        return QSize(width - 2 * INSET, height - 2 * INSET)

    def _is_sharp(self, place: Place) -> bool:
        """Return whether a thumbnail is drawn in the size in which it is shown."""
        pixmap = self._pixmaps.get(place)
        if pixmap is None or place not in self._drawn:
            return False
        # The window may have moved to a screen of another resolution.
        return bool(pixmap.size() == self._picture_size * self.devicePixelRatioF())

    def _wait_for(self, places: Sequence[Place]) -> None:
        """Draw ``places`` soon: first those that are empty, of these first that on screen."""
        if self._pictures is None:
            return
        self._waiting += [place for place in places if place not in self._waiting]
        self._waiting.sort(key=lambda place: (place in self._pixmaps, place != self._current))
        if self._waiting and self.isVisible():
            self._timer.start(0)

    def _draw_waiting(self) -> None:
        """Draw one picture, and more of them for a few milliseconds."""
        end = perf_counter() + STEP_MS / 1000
        while self._waiting:
            self._draw(self._waiting.pop(0))
            if perf_counter() >= end:
                break
        if not self._waiting:
            self._timer.stop()

    def _draw(self, place: Place) -> None:
        assert self._pictures is not None
        if place not in self._drawn:
            self._drawn[place] = self._pictures.draw(place)
        self._pixmaps[place] = render_picture(
            self._drawn[place],
            self._picture_size,
            self._pictures.colors,
            ratio=self.devicePixelRatioF(),
        )
        self.update(self.slice_model.cell(place))

    @property
    def _aspect(self) -> float:
        return self._pictures.aspect if self._pictures is not None else 1.0
