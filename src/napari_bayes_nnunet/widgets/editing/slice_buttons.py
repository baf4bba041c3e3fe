"""Going through the queue: previous, next, accept, flag, and a comment on the slice."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QGridLayout, QLineEdit, QPushButton, QWidget

from ..review.keys import KEYS

COMMENT_HINT = "Comment on this slice"
LEAVING = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)


class SliceButtons(QWidget):
    """Signals up: what the user wants with the slice in sight; its key stands on every button.

    The keys themselves are bound by the window. ``comment_changed`` carries the text at every
    letter, so that nothing is lost; ``comment_left`` tells that the keys are for the picture again.
    """

    previous_requested = Signal()
    next_requested = Signal()
    accept_requested = Signal()
    flag_requested = Signal()
    comment_changed = Signal(str)
    comment_left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.previous_button = QPushButton(with_key("Previous", "previous"))
        self.next_button = QPushButton(with_key("Next", "next"))
        self.accept_button = QPushButton(with_key("Accept", "accept"))
        self.flag_button = QPushButton(with_key("Flag", "flag"))
        self.comment = CommentLine()
        self.comment.setPlaceholderText(COMMENT_HINT)
        self._explain()
        self._lay_out()
        self.previous_button.clicked.connect(self.previous_requested)
        self.next_button.clicked.connect(self.next_requested)
        self.accept_button.clicked.connect(self.accept_requested)
        self.flag_button.clicked.connect(self.flag_requested)
        self.comment.textEdited.connect(self.comment_changed)
        self.comment.left.connect(self.comment_left)

    def set_slice(self, *, reviewed: bool, flagged: bool, comment: str) -> None:
        """Show what was decided on the slice in sight; the cursor stays in an equal comment."""
        self.accept_button.setText(with_key("Accepted" if reviewed else "Accept", "accept"))
        self.flag_button.setText(with_key("Flagged" if flagged else "Flag", "flag"))
        if comment != self.comment.text():
            self.comment.setText(comment)

    def set_queue(self, *, has_previous: bool, has_next: bool) -> None:
        """Enable the way through the queue."""
        self.previous_button.setEnabled(has_previous)
        self.next_button.setEnabled(has_next)

    def _explain(self) -> None:
        self.previous_button.setToolTip("The slice before in the queue.")
        self.next_button.setToolTip("The next slice of the queue, without accepting this one.")
        self.accept_button.setToolTip(
            "The contours of this slice are right as they are now: keep them and go on."
        )
        self.flag_button.setToolTip(
            "Mark this slice to be looked at again, or by somebody else; once more takes the flag "
            "away."
        )
        self.comment.setToolTip("Kept in the study. Return goes back to the picture.")

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.previous_button, 0, 0)
        grid.addWidget(self.next_button, 0, 1)
        grid.addWidget(self.accept_button, 1, 0)
        grid.addWidget(self.flag_button, 1, 1)
        grid.addWidget(self.comment, 2, 0, 1, 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)


class CommentLine(QLineEdit):
    """A line that gives the keyboard back at Return and Escape."""

    left = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Write, or leave."""
        if event.key() in LEAVING:
            self.clearFocus()
            self.left.emit()
        else:
            super().keyPressEvent(event)


def with_key(text: str, action: str) -> str:
    """The text of a button with the key that does the same: "Previous  Shift+N"."""
    return f"{text}  {KEYS[action].replace('-', '+')}"
