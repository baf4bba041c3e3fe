"""Buttons for the slice on screen: previous, next, accept, flag and comment."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLineEdit, QPushButton, QWidget

from ..common.dock import ThemeFont
from ..layers.keys import key_text

COMMENT_HINT = "Comment on this slice"


class SliceButtons(QWidget):
    """Buttons for the slice on screen, each with its key; `ReviewKeys` binds the keys.

    The field for the ``comment`` is placed elsewhere, because the buttons never scroll.
    ``comment_changed`` carries the text after every letter, so that nothing is lost.
    """

    previous_requested = Signal()
    next_requested = Signal()
    accept_requested = Signal()
    flag_requested = Signal()
    comment_changed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.previous_button = QPushButton(add_key("‹ Previous slice", "previous"))
        self.next_button = QPushButton(add_key("Next slice ›", "next"))
        self.accept_button = QPushButton(add_key("Accept slice", "accept"))
        self.flag_button = QPushButton(add_key("Flag slice", "flag"))
        self.comment = QLineEdit()
        self.comment.setPlaceholderText(COMMENT_HINT)
        ThemeFont(self.comment)
        self._explain()
        self._lay_out()
        self.previous_button.clicked.connect(self.previous_requested)
        self.next_button.clicked.connect(self.next_requested)
        self.accept_button.clicked.connect(self.accept_requested)
        self.flag_button.clicked.connect(self.flag_requested)
        self.comment.textEdited.connect(self.comment_changed)

    def set_slice(self, *, accepted: bool, flagged: bool, comment: str) -> None:
        """Show the decision on the slice; an unchanged comment keeps its cursor."""
        self.accept_button.setText(add_key("Accepted" if accepted else "Accept slice", "accept"))
        self.flag_button.setText(add_key("Flagged" if flagged else "Flag slice", "flag"))
        if comment != self.comment.text():
            self.comment.setText(comment)

    def set_queue(self, *, has_previous: bool, has_next: bool) -> None:
        """Enable the buttons *Previous* and *Next*."""
        self.previous_button.setEnabled(has_previous)
        self.next_button.setEnabled(has_next)

    def _explain(self) -> None:
        self.previous_button.setToolTip("Show the previous slice of the queue.")
        self.next_button.setToolTip("Show the next slice of the queue without accepting this one.")
        self.accept_button.setToolTip("Accept the contours of this slice and show the next slice.")
        self.flag_button.setToolTip("Flag this slice for another look, or remove the flag.")
        self.comment.setToolTip("Saved in the study. Press Return to go back to the image.")

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.previous_button, 0, 0)
        grid.addWidget(self.next_button, 0, 1)
        grid.addWidget(self.accept_button, 1, 0)
        grid.addWidget(self.flag_button, 1, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)


def key_button(text: str, action: str = "") -> QPushButton:
    """Return a button with the key of its action that takes no keyboard focus when clicked."""
    button = QPushButton(add_key(text, action).strip() if action else text)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def add_key(text: str, action: str) -> str:
    """Return the text of a button with the key of its action: "Next slice ›  N"."""
    return f"{text}  {key_text(action)}"
