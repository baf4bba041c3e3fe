"""Second view of a review: the other of ED and ES, or a long axis with the slices as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPen, QTransform
from qtpy.QtWidgets import QStackedLayout, QWidget

from ...core.heart.intensity_window import image_window
from ...core.heart.long_axis import Affine, LongAxis, cutting_line, slice_numbers
from ...io.images.geometry import make_geometry
from ..common.dock import column_layout, explained
from ..common.form import NarrowComboBox
from ..common.grey import grey_image, grey_levels
from ..common.plotting import faint
from ..common.settings import Settings
from ..layers.viewing import PlaneOrientation, find_orientation
from .other_phase import OtherPhase, PictureBeside

OTHER_PHASE: Final = "Other of ED and ES"
SECOND_HELP: Final = "What to show next to the slice: its other phase, or a long axis."
LONG_AXIS_HELP: Final = (
    "The lines are the slices, the bold one is on screen. Click to go to one. At ED and ES, drag "
    "the points to the hinges of the valves."
)
LINE_COLOR: Final = "#FF6EC7"
"""Colour of slices on a long axis and of a long axis on slices; no structure has it."""
FAINT_LINE: Final = 110
"""Opacity of the slices that are not on screen, of 255."""
THIN_PX, BOLD_PX = 1.0, 2.5
AROUND_HEART_MM: Final = 20.0
"""Width of the band around the heart that is shown, with valves and atria."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShortAxisStack:
    """Where the short axis of a study lies: its ``affine``, and the number of slices and phases.

    ``heart`` are (n, 3) points of its heart in the patient, mm, which are to be seen.
    """

    affine: Affine
    slices: int
    phases: int
    heart: NDArray[np.float64]


class LongAxisView(PictureBeside):
    """Picture of a long axis at the phase on screen, with the slices of the short axis as lines.

    ``slice_chosen`` carries the slice, from 0, that is nearest to a click.
    """

    slice_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__(LONG_AXIS_HELP)
        self.plane: LongAxis | None = None
        self._stack: ShortAxisStack | None = None
        self._window = 0.0, 1.0
        self._orientation = PlaneOrientation()

    def set_plane(self, plane: LongAxis, stack: ShortAxisStack) -> None:
        """Show another long axis of the same heart as the ``stack``."""
        self.plane, self._stack = plane, stack
        self._window = image_window(plane.voxels)
        # A stack of this one slice tells how it usually lies on the screen.
        thickness = float(np.linalg.norm(plane.affine[:3, 2]))
        grid = make_geometry(
            (1, *plane.voxels.shape[1:]), (thickness, *plane.spacing), affine=plane.affine
        )
        self._orientation = find_orientation(grid)
        self.update()

    def lie(self) -> QTransform:
        """Return the transformation from pixels (x, y) of the long axis to this picture, px."""
        assert self.plane is not None
        (top, left), (bottom, right) = self._seen()
        height, width = self.plane.spacing
        shown = QTransform.fromTranslate(-(left + right) / 2, -(top + bottom) / 2)
        shown *= QTransform.fromScale(width, height)
        sides = (right - left) * width, (bottom - top) * height  # mm
        turn = self._orientation
        if turn.transposed:
            # This matrix exchanges x and y, for which QTransform has no function.
            shown *= QTransform(0, 1, 1, 0, 0, 0)
            sides = sides[1], sides[0]
        scale = min(self.width() / sides[0], self.height() / sides[1])
        shown *= QTransform.fromScale(
            -scale if turn.is_mirrored else scale, -scale if turn.is_upside_down else scale
        )
        return shown * QTransform.fromTranslate(self.width() / 2, self.height() / 2)

    def _seen(self) -> NDArray[np.float64]:
        """Return the first and last (y, x) of the part around the heart."""
        assert self.plane is not None
        assert self._stack is not None
        pixels = self.plane.from_patient(self._stack.heart)
        margin = AROUND_HEART_MM / np.array(self.plane.spacing)
        ends = np.array([pixels.min(axis=0) - margin, pixels.max(axis=0) + margin])
        # Pixels reach half a pixel beyond their centres.
        return np.asarray(np.clip(ends, -0.5, np.array(self.plane.voxels.shape[1:]) - 0.5))

    def paint(self, painter: QPainter) -> None:
        """Paint the phase and the lines of the slices."""
        plane, stack = self.plane, self._stack
        if plane is None or stack is None or self.place is None:
            return
        phase, shown = self.place
        voxels = plane.voxels[plane.index_at(phase, stack.phases)]
        grey = grey_levels(voxels, self._window)
        rows, columns = grey.shape
        lie = self.lie()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setTransform(lie)
        painter.drawImage(QRectF(-0.5, -0.5, columns, rows), grey_image(grey))
        # Scaled with the picture, the lines would be as thick as its pixels.
        painter.resetTransform()
        numbers = slice_numbers(plane.affine, stack.affine)
        for z in range(stack.slices):
            ends = cutting_line(numbers, z, (rows, columns))
            if ends is not None:
                color = faint(QColor(LINE_COLOR), 255 if z == shown else FAINT_LINE)
                painter.setPen(QPen(color, BOLD_PX if z == shown else THIN_PX))
                first, last = (lie.map(QPointF(x, y)) for y, x in ends.tolist())
                painter.drawLine(first, last)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Ask for the slice that was clicked."""
        if event.button() != Qt.MouseButton.LeftButton or self.plane is None:
            return
        assert self._stack is not None
        back, _ = self.lie().inverted()
        pixel = back.map(event.position())
        number = slice_numbers(self.plane.affine, self._stack.affine) @ (pixel.y(), pixel.x(), 1)
        # A click beyond the stack goes to its first or last slice.
        self.slice_chosen.emit(int(np.clip(round(float(number)), 0, self._stack.slices - 1)))


class SecondView(QWidget):
    """The other phase or a long axis, as the reader chooses; ``settings`` keep the choice.

    Without long axes there is no choice. ``chosen`` is emitted after another one is shown.
    """

    chosen = Signal()

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._planes: dict[str, LongAxis] = {}
        self._stack: ShortAxisStack | None = None
        self.other, self.long_axis = OtherPhase(), LongAxisView()
        self.choice = explained(NarrowComboBox(), SECOND_HELP)
        self.choice.activated.connect(self._on_chosen)
        self._shown = QStackedLayout()
        self._shown.addWidget(self.other)
        self._shown.addWidget(self.long_axis)
        column = column_layout(self, self.choice, self._shown)
        column.setSpacing(0)
        column.setStretchFactor(self._shown, 1)
        self.choice.hide()

    @property
    def plane(self) -> LongAxis | None:
        """The long axis that is shown, or None."""
        # Before the window is shown, isVisible would be False, too.
        return None if self.isHidden() else self._planes.get(self.choice.currentData())

    def set_long_axes(
        self, planes: Sequence[LongAxis], stack: ShortAxisStack, *, has_other: bool
    ) -> None:
        """Offer the long axes of a study, and its other phase if it has one."""
        self._planes, self._stack = {plane.kind: plane for plane in planes}, stack
        other = {"": OTHER_PHASE} if has_other or not planes else {}
        self.choice.set_choices(other | {kind: kind for kind in self._planes})
        self.choice.choose(self._settings.kept.second_view)
        self.choice.setVisible(bool(planes))
        self._show()

    def _on_chosen(self, _: int) -> None:
        self._settings.keep(second_view=self.choice.currentData())
        self._show()
        self.chosen.emit()

    def _show(self) -> None:
        plane = self._planes.get(self.choice.currentData())
        if plane is not None and self._stack is not None:
            self.long_axis.set_plane(plane, self._stack)
        self._shown.setCurrentWidget(self.other if plane is None else self.long_axis)
