"""Thumbnails of the slices of one or two phases, with contours, score and state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QPoint, QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QHelpEvent,
    QHideEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
    QShowEvent,
)
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolTip, QWidget

from ...core.types import Phase, Place
from .heat_grid import (
    APEX,
    ARROW_STEPS,
    BASE,
    GAP,
    HeatScale,
    check_scores,
    describe_slice,
    small_font,
)
from .slice_pictures import SlicePicture, SlicePictures
from .thumbnail_painter import ThumbnailPainter, render_picture
from .thumbnail_plan import ThumbnailPlan, choose_frame, needed_size, plan_thumbnails

STEP_MS: Final = 30
"""Time after which drawing pauses, so that the window stays responsive.

Shorter steps would draw the whole window more often, because it holds an OpenGL canvas.
"""
THUMBNAIL_HELP: Final = (
    "All slices of ED and ES, from base to apex. The brighter and wider a frame, the more the "
    "models disagree. Click or use the arrow keys to go to a slice."
)

NO_LANDMARKS: Final = "ED and ES are unknown. Choose them in the volume curve."


class Thumbnails(QWidget):
    """Thumbnails of slices, a row for each phase.

    ``cell_chosen`` carries phase and slice (from 0). It is emitted for clicks and arrow keys only,
    never by a setter. Pictures are drawn in short steps while the widget is visible.
    """

    cell_chosen = Signal(object, int)
    current_moved = Signal(QRect)
    """Carries the place of the slice on screen, so that it can be scrolled into view."""
    _is_made = False

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pictures: SlicePictures | None = None
        self._drawn: dict[Place, SlicePicture] = {}
        self._pixmaps: dict[Place, QPixmap] = {}
        self._waiting: list[Place] = []
        self._phases: tuple[Phase, ...] = ()
        self._scores: NDArray[np.float64] = np.zeros((0, 0))
        self._scale = HeatScale(1.0, "")
        self._landmarks: dict[str, Phase] = {}
        self._base_first: bool | None = None
        self._marks: Mapping[Place, Set[str]] = {}
        self._current: Place | None = None
        self._text = QLabel(self)  # napari's theme sets the font of labels only
        self._text.hide()
        self._text.installEventFilter(self)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._draw_waiting)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAccessibleName("Thumbnails of the slices")
        self.setAccessibleDescription(THUMBNAIL_HELP)
        self._is_made = True
        self._arrange()

    @property
    def current(self) -> Place | None:
        """The phase and slice on screen, None if it has no thumbnail."""
        return self._current if self._current in self._places() else None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phase of each row."""
        return self._phases

    @property
    def is_drawing(self) -> bool:
        """Whether some pictures are not drawn yet."""
        return bool(self._waiting)

    def set_pictures(self, pictures: SlicePictures) -> None:
        """Draw these pictures."""
        self._pictures = pictures
        self._drawn.clear()
        self._arrange()

    def set_scores(
        self, scores: NDArray[Any], phases: Sequence[Phase], unit: str, *, top: float
    ) -> None:
        """Show (Z, P) ``scores`` in ``unit``, a row for each of ``phases``.

        Unknown scores are NaN. The colours end at ``top``. Raises ValueError if the number of
        columns is not that of the phases.
        """
        self._scores, self._phases = check_scores(scores, phases), tuple(phases)
        self._scale = HeatScale(top, unit)
        self._arrange()

    def set_ends(self, base_first: bool | None) -> None:
        """Set whether the first slice is basal (True), the last is (False), or unknown (None)."""
        self._base_first = base_first
        self._arrange()

    def set_landmarks(self, ed: Phase, es: Phase) -> None:
        """Name the rows of end-diastole and end-systole; None if unknown."""
        known = (("ED", ed), ("ES", es))
        self._landmarks = {name: phase for name, phase in known if phase is not None}
        self._arrange()

    def set_marks(self, marks: Mapping[Place, Set[str]]) -> None:
        """Mark slices as accepted, flagged or edited (``marks.MARKS``) and clear all others."""
        before, self._marks = self._marks, {p: frozenset(m) for p, m in marks.items() if m}
        for place in before.keys() | self._marks.keys():
            if before.get(place) != self._marks.get(place):
                self._update_cell(place)

    def set_current(self, phase: Phase, z: int | None) -> None:
        """Mark slice ``z`` of ``phase`` as the one on screen; none if ``z`` is None."""
        before, self._current = self._current, None if z is None else (phase, z)
        if before == self._current:
            return
        for place in (before, self._current):
            if place is not None:
                self._update_cell(place)
        if self.current is not None:
            self.setAccessibleDescription(self.reading(*self.current))
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

    def cell_rect(self, phase: Phase, z: int) -> QRect:
        """Return the rectangle of a thumbnail, px; an empty one if there is none."""
        if (phase, z) not in self._places():
            return QRect()
        return QRect(*self._plan.cell(self._phases.index(phase), z))

    def reading(self, phase: Phase, z: int) -> str:
        """Return slice, phase, score and state as text."""
        score, marks = self._score((phase, z)), self._marks.get((phase, z), frozenset())
        return describe_slice((phase, z), score, marks, self._landmarks, self._scale)

    def fitting_height(self, most: int) -> int:
        """Return the height, up to ``most`` px, that the pictures fill in the width they have."""
        return self._plan_within(most).bottom

    def sizeHint(self) -> QSize:
        """Return a low strip."""
        return self.minimumSizeHint().expandedTo(QSize(400, 140))

    def minimumSizeHint(self) -> QSize:
        """Return the room that the smallest pictures need."""
        width, height = needed_size(len(self._phases), len(self._scores), self._aspect)
        left, top, right = self._text_room()
        return QSize(left + width + right, top + height)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Adapt the pictures to the room."""
        super().resizeEvent(event)
        self._arrange()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Adapt to another font."""
        if event.type() == QEvent.Type.FontChange and self._is_made:
            self._arrange()
        return bool(super().eventFilter(watched, event))

    def showEvent(self, event: QShowEvent) -> None:
        """Draw the pictures."""
        super().showEvent(event)
        if self._waiting:
            self._timer.start(0)

    def hideEvent(self, event: QHideEvent) -> None:
        """Stop drawing while the thumbnails are hidden."""
        super().hideEvent(event)
        self._timer.stop()

    def event(self, event: QEvent) -> bool:
        """Show the slice under the mouse as a tooltip."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            place = self._place_at(event.pos())
            text = self.reading(*place) if place is not None else THUMBNAIL_HELP
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go to the clicked slice."""
        place = self._place_at(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and place is not None:
            self._choose(place)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to a neighbour with the arrow keys; leave all other keys to the window."""
        step = ARROW_STEPS.get(Qt.Key(event.key()))
        if step is None or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            super().keyPressEvent(event)
        elif self._places():
            self._choose(self._neighbour(*step))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the changed part."""
        painter = QPainter(self)
        painter.setFont(self._font())
        drawing = ThumbnailPainter(painter, self._plan, self)
        if not self._phases:
            drawing.draw_message(NO_LANDMARKS, self.rect())
            return
        drawing.draw_numbers(self._base_first is not None)
        drawing.draw_names([self._row_name(phase) for phase in self._phases])
        for place in self._places():
            if self.cell_rect(*place).intersects(event.rect()):
                self._draw_cell(drawing, place)
        drawing.draw_legend(self._scale, self.rect())
        if self.current is not None:
            drawing.draw_outline(self._index(self.current))
        if self.hasFocus():
            drawing.draw_focus(self.rect())
        painter.end()

    def _draw_cell(self, drawing: ThumbnailPainter, place: Place) -> None:
        marks = self._marks.get(place, frozenset())
        score = self._score(place)
        index = self._index(place)
        drawing.draw_picture(index, self._pixmaps.get(place))
        drawing.draw_frame(index, choose_frame(score, self._scale.top, marks), self._color(score))
        drawing.draw_state(index, marks)

    def _arrange(self) -> None:
        """Update the layout, and draw pictures again whose size has changed."""
        self._plan = self._plan_within(self.height())
        places = self._places()
        self._pixmaps = {p: pixmap for p, pixmap in self._pixmaps.items() if p in places}
        self._drawn = {p: picture for p, picture in self._drawn.items() if p in places}
        self._waiting = []
        self._wait_for([place for place in places if not self._is_sharp(place)])
        self.updateGeometry()
        self.update()

    def _plan_within(self, height: int) -> ThumbnailPlan:
        left, top, right = self._text_room()
        return plan_thumbnails(
            len(self._phases),
            len(self._scores),
            left=left,
            top=top,
            room=(self.width() - left - right, height - top),
            aspect=self._aspect,
            base_first=self._base_first is not False,
        )

    def _is_sharp(self, place: Place) -> bool:
        """Return whether a thumbnail is drawn in the size in which it is shown."""
        pixmap = self._pixmaps.get(place)
        if pixmap is None or place not in self._drawn:
            return False
        _, _, width, height = self._plan.picture(*self._index(place))
        return bool(pixmap.size() == QSize(width, height) * self.devicePixelRatioF())

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
        _, _, width, height = self._plan.picture(*self._index(place))
        colors = self._pictures.colors
        self._pixmaps[place] = render_picture(
            self._drawn[place], QSize(width, height), colors, ratio=self.devicePixelRatioF()
        )
        self._update_cell(place)

    @property
    def _aspect(self) -> float:
        return self._pictures.aspect if self._pictures is not None else 1.0

    def _text_room(self) -> tuple[int, int, int]:
        """Return the room for text to the left, above and to the right, px."""
        metrics = QFontMetrics(self._font())
        known = self._base_first is not None
        texts = [self._row_name(phase) for phase in self._phases] + [BASE] * known
        left = max((metrics.horizontalAdvance(text) for text in texts), default=0)
        right = metrics.horizontalAdvance(APEX) if known else 0
        return left + 2 * GAP, metrics.height() + 1, right + 2 * GAP

    def _font(self) -> QFont:
        self._text.ensurePolished()
        return small_font(self._text.font())

    def _row_name(self, phase: Phase) -> str:
        names = [name for name, marked in self._landmarks.items() if marked == phase]
        return ", ".join(names) or ("" if phase is None else f"phase {phase}")

    def _places(self) -> list[Place]:
        return [(phase, z) for phase in self._phases for z in range(len(self._scores))]

    def _index(self, place: Place) -> tuple[int, int]:
        return self._phases.index(place[0]), place[1]

    def _score(self, place: Place) -> float:
        return float(self._scores[place[1], self._phases.index(place[0])])

    def _color(self, score: float) -> QColor:
        return self._scale.color(score if np.isfinite(score) else 0.0)

    def _update_cell(self, place: Place) -> None:
        self.update(self.cell_rect(*place))

    def _place_at(self, point: QPoint) -> Place | None:
        cell = self._plan.cell_at(point.x(), point.y())
        return None if cell is None else (self._phases[cell[0]], cell[1])

    def _choose(self, place: Place) -> None:
        self.set_current(*place)
        self.cell_chosen.emit(*place)

    def _neighbour(self, down: int, right: int) -> Place:
        """Return the next slice in a direction; the basal slice of the first phase at first."""
        if self.current is None:
            return self._phases[0], self._plan.column(0)
        row, z = self._plan.neighbour(*self._index(self.current), down=down, right=right)
        return self._phases[row], z
