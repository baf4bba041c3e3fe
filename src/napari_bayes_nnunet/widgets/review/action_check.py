"""Check before an action of the reader, such as whether the slice it would change is in view."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QObject, Signal

from ..editing.contour_edit import ContourEdit
from ..editing.corrections import NO_POSTERIOR
from .context import ReviewContext

EDITS: Final = (
    "level", "alternatives", "base or apex", "scribble", "contour", "uncertain brush",
    "interpolate", "revert", "bring back", "absent", "carry", "copy",
)  # fmt: skip
WAS_HIDDEN: Final = "The image or the labels were hidden. Check the slice, then repeat the action."
WAS_COVERED: Final = "Another image covered this slice. Check the slice, then repeat the action."
NO_SLICE_SHOWN: Final = (
    "No slice of the study is on screen. Return to the 2D view, or change the order of the visible "
    "axes (a button below the layer list) until the slices are back."
)
READ_ONLY: Final = "This study can only be viewed here. Changes would not be saved."
NOT_SEGMENTED: Final = "This phase was not segmented. Go to a segmented phase, such as ED or ES."
ONE_PHASE: Final = "There is only one phase."
NOTHING_REMOVED: Final = "Nothing was removed from this phase, or it is drawn already."
ONE_ALTERNATIVE: Final = "All models agree with the segmentation on screen."


class ActionCheck(QObject):
    """Check before a decision or a correction; ``said`` carries the reason against it, or "".

    Nothing is decided or changed while another image covers this one, or while image or labels
    are hidden. A contour being edited is ended first, because it would hide the result.
    """

    said = Signal(str)

    def __init__(
        self, context: ReviewContext, contour: ContourEdit, *, read_only: bool, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._context = context
        self._contour = contour
        self.read_only = read_only

    def allows(self, part: str) -> bool:
        """Stop the cine; return whether the action is possible, and show the reason if not."""
        picture, display = self._context.picture, self._context.forms.display
        self._context.player.stop()
        self._context.corrections.watch.end_stroke()  # else it would be a part of the action
        if picture.uncover():
            self.said.emit(WAS_COVERED)
            return False
        if picture.reveal():
            if not display.fill.isChecked():
                display.contours.setChecked(True)
            self.said.emit(WAS_HIDDEN)
            return False
        reason = self.why_not(part)
        if not reason and part != "contour":
            self._contour.leave()
        self.said.emit(reason)
        return not reason

    def why_not(self, part: str) -> str:
        """Return why an action is impossible in the slice on screen, or ""."""
        if not self._context.picture.shows_slices:
            return NO_SLICE_SHOWN
        if part == "accept" and self.read_only:
            return READ_ONLY
        if part == "accept":
            is_segmented = self._context.place[0] in self._context.session.phases
            return "" if is_segmented else NOT_SEGMENTED
        return self.reasons().get(part, "")

    def reasons(self) -> dict[str, str]:
        """Return which parts cannot be used in the slice on screen, part → reason."""
        context, session = self._context, self._context.session
        phase, _ = place = context.place
        reasons: dict[str, str] = {}
        if self.read_only:
            reasons |= dict.fromkeys(EDITS, READ_ONLY)
        elif phase not in session.phases:
            reasons |= dict.fromkeys(EDITS, NOT_SEGMENTED)
        elif phase not in session.study.posteriors:
            parts = ("level", "alternatives", "scribble", "bring back")
            reasons |= dict.fromkeys(parts, NO_POSTERIOR)
        else:
            if not context.corrections.has_other_answer(place):
                reasons["alternatives"] = ONE_ALTERNATIVE
            if not session.removed_in(phase).any():
                reasons["bring back"] = NOTHING_REMOVED
        if phase is None or len(session.phases) < 2:
            parts = ("ED or ES", "previous phase", "next phase", "carry")
            reasons |= dict.fromkeys(parts, ONE_PHASE)
        if context.player.count < 2:
            reasons["play"] = ONE_PHASE
        return reasons
