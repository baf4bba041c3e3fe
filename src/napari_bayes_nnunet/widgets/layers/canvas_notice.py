"""Message on the canvas that disappears by itself."""

from __future__ import annotations

from textwrap import fill
from typing import Any, Final

from napari.components.overlays import TextOverlay
from qtpy.QtCore import QObject, QTimer

from ..common.canvas import put_overlay, remove_overlay

NOTICE_MS: Final = 3000
LETTER_MS: Final = 60
"""Time to read a letter, so that a long message stays longer: about 170 words a minute."""
NOTICE_WIDTH: Final = 40
"""Longest line in letters, ending before the letter at the upper edge; less on a narrow canvas."""
_NARROWEST: Final = 12
LETTER_PX: Final = 11
"""Mean width of a letter in the overlay, with some room."""
NOTICE_KEY: Final = "review_notice"
_SHADE = (0.0, 0.0, 0.0, 0.75)
_ABOVE_OTHERS: Final = 2 * 10**6
"""Drawn over what else may lie there in a narrow canvas, such as a colour bar."""


class CanvasNotice(QObject):
    """Message on the canvas until it can be read, below the caption in the upper left corner.

    napari puts the overlays of a corner one below the other, so that none covers another.
    """

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.overlay = self._put_overlay()
        self.timer = QTimer(self)
        self.timer.setSingleShot(True)
        self.timer.timeout.connect(self.hide)

    def show(self, text: str) -> None:
        """Show ``text`` for a while; "" hides the message at once."""
        if not text:
            self.hide()
            return
        if [*self._viewer.canvas.overlays][-1] != NOTICE_KEY:  # the caption is a new one
            self.overlay = self._put_overlay()
        fitting = self._viewer.canvas.size[1] // LETTER_PX - 3
        self.overlay.text = fill(text, min(NOTICE_WIDTH, max(fitting, _NARROWEST)))
        self.overlay.visible = True
        self.timer.start(max(NOTICE_MS, LETTER_MS * len(text)))

    def hide(self) -> None:
        """Hide the message."""
        self.timer.stop()
        self.overlay.visible = False

    def close(self) -> None:
        """Remove the message from the canvas."""
        self.timer.stop()
        remove_overlay(self._viewer, NOTICE_KEY, self.overlay)

    def _put_overlay(self) -> TextOverlay:
        """Put a new overlay on the canvas, after all others in the order of their corner."""
        overlay = TextOverlay(
            position="top_left",
            font_size=12,
            color="white",
            box_color=_SHADE,
            order=_ABOVE_OTHERS,
            visible=False,
        )
        put_overlay(self._viewer, NOTICE_KEY, overlay)
        return overlay
