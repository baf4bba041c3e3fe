"""Tools that correct the structure in the slice on screen, for their form and their keys."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from qtpy.QtCore import QObject, Signal

from ...app.review.ends import End
from ...core.types import Mask
from ..editing.brush_region import BrushRegion
from ..editing.contour_edit import ContourEdit
from ..editing.corrections import LEVEL
from ..editing.scribble_tool import ScribbleTool
from ..reading.uncertainty_view import OutlineLayers
from .action_check import ActionCheck
from .context import ReviewContext
from .view import ReviewView

NOTHING_TO_COPY: Final = "There is no {} with labels to copy from."


class CorrectionTools(QObject):
    """Correction tools, each of which first checks whether it can be used in the slice on screen.

    The tools that draw with the mouse, and the ``outlines`` of the models, follow the chosen
    structure. ``said`` carries messages for the reader.
    """

    said = Signal(str)

    def __init__(
        self,
        viewer: Any,
        context: ReviewContext,
        view: ReviewView,
        check: ActionCheck,
        *,
        contour: ContourEdit,
        outlines: OutlineLayers,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._context, self._view, self._check = context, view, check
        self._session, self._picture = context.session, context.picture
        self._corrections, self._form = context.corrections, context.forms.corrections
        self._contour, self._outlines = contour, outlines
        image, edited = self._picture.image, self._picture.edited
        self.scribble = ScribbleTool(viewer, image, edited, self)
        self.brush = BrushRegion(viewer, image, edited, self._corrections, self)

    @property
    def is_drawing(self) -> bool:
        """Whether the reader is drawing one structure in slice after slice."""
        return self.scribble.is_active or self._picture.edited.mode != "pan_zoom"

    def choose_structure(self, name: str, *, draw: bool = True) -> None:
        """Correct this structure from now on; show it at once, or in the next slice."""
        self._corrections.accept_preview(LEVEL)
        self._form.set_structure(name)
        self._picture.set_structure(self._context.label)
        for tool in (self.scribble, self.brush):
            tool.set_color(self._context.color)
        self._outlines.set_structure(name, draw=draw)
        if draw:
            self._view.show_structure()

    def show_level(self, margin: float) -> None:
        """Preview the structure at a level."""
        if self._check.allows("level"):
            self._corrections.show_level(self._context.place, self._context.label, margin)
            if not self._corrections.is_level_preview:
                self._view.show_structure()  # the slider returns to the level that is drawn

    def step_alternative(self, step: int) -> None:
        """Preview the next or previous alternative."""
        if self._check.allows("alternatives"):
            self._corrections.step_alternative(self._context.place, step)
            self._view.show_alternative()

    def edit_contour(self) -> None:
        """Show handles on the outline of the structure."""
        if self._check.allows("contour"):
            self.scribble.stop()
            context = self._context
            self._contour.start(
                self._picture.image, context.place, context.label, color=context.color
            )

    def move_end(self, end: End, outwards: bool) -> None:
        """Move the base or the apex of the structure by one slice, and show this slice."""
        if self._check.allows("base or apex"):
            place, label, show = self._context.place, self._context.label, self._picture.show_slice
            self._corrections.move_end(place, label, end, outwards=outwards, show=show)

    def toggle_scribble(self) -> None:
        """Start or stop drawing strokes with the mouse."""
        if self.scribble.is_active:
            self.scribble.stop()
        elif self._check.allows("scribble"):
            self.scribble.start()
        self._form.set_scribble_active(self.scribble.is_active)

    def copy_from(self, where: str) -> None:
        """Copy the structure from ``where``, one of ``COPIES``."""
        if not self._check.allows("copy"):
            return
        source = self._session.neighbour(self._context.place, where)
        if source is None:
            self.said.emit(NOTHING_TO_COPY.format(where))
        else:
            self._corrections.copy(self._context.place, source, self._context.label)

    def interpolate(self) -> None:
        """Interpolate the structure between the nearest corrected slices."""
        if self._check.allows("interpolate"):
            self._corrections.interpolate(self._context.place, self._context.label)

    def revert(self) -> None:
        """Return the slice to the prediction."""
        if self._check.allows("revert"):
            self._corrections.revert(self._context.place)

    def bring_back(self) -> None:
        """Draw what was removed from the phase because it lies apart from the heart."""
        if self._check.allows("bring back"):
            self._corrections.bring_back(self._context.place[0])

    def remove(self) -> None:
        """Remove the structure from the slice."""
        if self._check.allows("absent"):
            self._corrections.remove(self._context.place, self._context.label)

    def connect_form(self) -> None:
        """Connect the form and the strokes to the tools."""
        form = self._form
        form.structure_chosen.connect(self.choose_structure)
        form.level_moved.connect(self.show_level)
        form.level_released.connect(partial(self._corrections.accept_preview, LEVEL))
        form.alternative_requested.connect(self.step_alternative)
        form.alternative_taken.connect(self._on_alternative_taken)
        form.end_moved.connect(self.move_end)
        form.scribble_requested.connect(self.toggle_scribble)
        form.contour_requested.connect(self.edit_contour)
        form.contour_applied.connect(self._contour.handles.apply)
        form.contour_cancelled.connect(self._contour.handles.cancel)
        form.brush_limited.connect(self._on_brush_limited)
        form.copy_requested.connect(self.copy_from)
        form.interpolate_requested.connect(self.interpolate)
        form.revert_requested.connect(self.revert)
        form.bring_back_requested.connect(self.bring_back)
        form.absent_requested.connect(self.remove)
        self._contour.active_changed.connect(form.set_contour_active)
        self.scribble.active_changed.connect(form.set_scribble_active)
        self.scribble.pressed.connect(self._context.player.pause)
        self.scribble.drawn.connect(self._on_stroke)

    def close(self) -> None:
        """End the tools and disconnect them from the viewer."""
        self.scribble.close()
        self.brush.close()

    def _on_alternative_taken(self) -> None:
        self._corrections.accept_preview()
        self._view.show_alternative()

    def _on_brush_limited(self, bits: float | None) -> None:
        self._corrections.threshold = bits
        self.brush.refresh()

    def _on_stroke(self, stroke: Mask, inside: bool) -> None:
        if self._check.allows("scribble"):
            self._corrections.scribble(
                self._context.place, self._context.label, stroke, inside=inside
            )
