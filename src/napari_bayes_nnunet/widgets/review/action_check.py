"""Check before an action of the reader: the slice that it would change must be in view."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QObject, Signal

from ..editing.contour_edit import ContourEdit
from .context import ReviewContext
from .view import ReviewView

WAS_HIDDEN: Final = "The image or the labels were hidden. Check the slice, then repeat the action."
WAS_COVERED: Final = "Another image covered this slice. Check the slice, then repeat the action."


class ActionCheck(QObject):
    """Check before a decision or a correction; ``said`` carries the reason against it, or "".

    Nothing is decided or changed while another image covers this one, or while image or labels
    are hidden. A contour being edited is ended first, because it would hide the result.
    """

    said = Signal(str)

    def __init__(
        self, context: ReviewContext, view: ReviewView, contour: ContourEdit, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._player, self._picture = context.player, context.picture
        self._display = context.forms.display
        self._view = view
        self._contour = contour

    def allows(self, part: str) -> bool:
        """Stop the cine; return whether the action is possible, and show the reason if not."""
        self._player.stop()
        if self._picture.uncover():
            self.said.emit(WAS_COVERED)
            return False
        if self._picture.reveal():
            if not self._display.fill.isChecked():
                self._display.contours.setChecked(True)
            self.said.emit(WAS_HIDDEN)
            return False
        reason = self._view.why_not(part)
        if not reason and part != "contour":
            self._contour.leave()
        self.said.emit(reason)
        return not reason
