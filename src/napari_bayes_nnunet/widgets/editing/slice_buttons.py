"""Buttons for the slice on screen: previous, next, accept, flag and comment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from ..common.dock import ThemeFont, row_layout
from ..layers.keys import short_key

COMMENT_HINT = "Comment on this slice"
SLICE_BUTTONS: Final[Mapping[str, tuple[str, str, str]]] = {
    "previous": ("‹", "‹", "Show the previous slice of the queue. Key: Shift+N."),
    "next": ("Next ›", "Next ›", "Show the next slice of the queue without accepting this one."),
    "accept": ("Accept", "Accepted", "Accept the contours of this slice and show the next slice."),
    "flag": ("Flag", "Flagged", "Flag this slice for another look, or remove the flag."),
}  # fmt: skip
"""Action → text of its button, its text once it was done, and its help."""
ANYWAY: Final = "accept anyway"
SHARES: Final = {"previous": 3, "next": 12, "accept": 18, "flag": 10}
"""Widths of the buttons relative to each other, with room for every text."""


class SliceButtons(QWidget):
    """Buttons for the slice on screen, each with its key.

    ``requested`` carries the action of a button, as in `ReviewController.act`. The field for the
    ``comment`` is placed elsewhere, because the buttons never scroll; ``comment_changed`` carries
    its text after every letter, so that nothing is lost.
    """

    requested = Signal(str)
    comment_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.buttons = {action: QPushButton() for action in SLICE_BUTTONS}
        self.comment = QLineEdit()
        self.comment.setPlaceholderText(COMMENT_HINT)
        self.comment.setToolTip("Saved in the study. Press Return to go back to the image.")
        ThemeFont(self.comment)
        row = row_layout(self)
        row.setSpacing(4)
        for action, button in self.buttons.items():
            text, _, help_text = SLICE_BUTTONS[action]
            button.setText(text if action == "previous" else add_key(text, action))
            button.setToolTip(help_text)
            button.clicked.connect(partial(self._on_clicked, action))
            button.setMinimumWidth(1)  # no text widens the dock
            row.addWidget(button, SHARES[action])
        # Unlike textChanged, it is not emitted when another slice brings its comment.
        self.comment.textEdited.connect(self.comment_changed)
        self._state, self._is_asked = "", False

    def ask(self, is_asked: bool) -> None:
        """Let the button *Accept* accept the slice anyway, or accept it again."""
        self._is_asked = is_asked
        self.set_slice(self._state, comment=self.comment.text())

    def set_slice(self, state: str, *, comment: str) -> None:
        """Show the decision on the slice; an unchanged comment keeps its cursor.

        ``state`` is "accepted", "flagged" or "".
        """
        self._state = state
        for action, decided in (("accept", "accepted"), ("flag", "flagged")):
            text, done, _ = SLICE_BUTTONS[action]
            self.buttons[action].setText(done if state == decided else add_key(text, action))
        if self._is_asked:
            self.buttons["accept"].setText(add_key(SLICE_BUTTONS["accept"][0], "use answer"))
        if comment != self.comment.text():
            self.comment.setText(comment)

    def set_unusable(self, reason: str) -> None:
        """Disable *Accept* and *Flag* for a reason, or enable them ("")."""
        for action in ("accept", "flag"):
            self.buttons[action].setEnabled(not reason)
            self.buttons[action].setToolTip(reason or SLICE_BUTTONS[action][2])

    def _on_clicked(self, action: str, _: bool) -> None:
        self.requested.emit(ANYWAY if self._is_asked and action == "accept" else action)

    def set_queue(self, *, has_previous: bool, has_next: bool) -> None:
        """Enable the buttons *Previous* and *Next*."""
        self.buttons["previous"].setEnabled(has_previous)
        self.buttons["next"].setEnabled(has_next)


def key_button(text: str, action: str = "") -> QPushButton:
    """Return a button with the key of its action that takes no keyboard focus when clicked."""
    button = QPushButton(add_key(text, action).strip() if action else text)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def add_key(text: str, action: str) -> str:
    """Return the text of a button with the key of its action: "Next ›  N"."""
    return f"{text}  {short_key(action)}"
