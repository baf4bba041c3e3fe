"""Decisions of the reader: slices accepted, flagged or commented on, and the end of the review."""

from __future__ import annotations

from typing import Final

from qtpy.QtCore import QObject, Signal

from ...core.counts import format_count
from .action_check import ActionCheck
from .context import ReviewContext
from .navigator import ALL_ACCEPTED, SliceNavigator
from .view import ReviewView

ACCEPTED: Final = "{slice}: accepted. {count} in the queue."
REVIEW_FINISHED: Final = "Finished. Open slices stay as they are. Continue with Save and export."
CINE_STOPPED: Final = "The cine was stopped. Look at this slice, then accept it."
COMMENT_KEEPS_FLAG: Final = (
    "A slice with a comment stays flagged. Delete the comment, or accept the slice."
)


class ReviewDecisions(QObject):
    """Decisions on the slice on screen, and on the whole review.

    ``decided`` and ``commented`` are emitted after a change to save. ``said`` carries messages for
    the reader, ``reported`` those about a slice that is no longer on screen.
    """

    said = Signal(str)
    reported = Signal(str)
    decided = Signal()
    commented = Signal()

    def __init__(
        self,
        context: ReviewContext,
        view: ReviewView,
        check: ActionCheck,
        navigator: SliceNavigator,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._context, self._session, self._view = context, context.session, view
        self._check, self._navigator = check, navigator

    def accept(self) -> None:
        """Accept the slice as shown, and show the next slice that is not accepted."""
        if self._context.player.is_playing:
            self._context.player.stop()
            self.said.emit(CINE_STOPPED)
            return
        if not self._check.allows("accept"):
            return
        session, queue, place = self._session, self._view.queue, self._context.place
        self._context.corrections.accept_preview()
        session.decide(place, "accepted")
        next_place = session.next_open(place, queue)
        session.change(finished=next_place is None)
        if next_place is not None:
            self._navigator.go_to_queued(*next_place)
            progress = session.progress(queue)
            count = format_count(progress.total - progress.done, "open slice")
            done = ACCEPTED.format(slice=session.title_of(place), count=count)
            self.reported.emit(self._view.new_offer() or done)
        else:
            self.said.emit(ALL_ACCEPTED)
        self.decided.emit()

    def finish(self) -> None:
        """Finish the review before all slices are accepted."""
        self._session.change(finished=True)
        self.decided.emit()
        self.said.emit(REVIEW_FINISHED)

    def flag(self) -> None:
        """Flag the slice, or remove its flag."""
        if not self._check.allows("accept"):
            return
        self.said.emit(self._context.corrections.discard_preview())
        place = self._context.place
        decision = self._session.state.decisions.get(place)
        if decision is None or decision.state != "flagged":
            self._session.decide(place, "flagged")
        elif not decision.comment:
            self._session.unflag(place)
        else:
            self.said.emit(COMMENT_KEEPS_FLAG)
            return
        self._session.change(finished=False)
        self.decided.emit()

    def comment(self, text: str) -> None:
        """Set the comment of the slice; a slice without a decision becomes flagged."""
        if self._check.allows("accept"):
            self._session.comment_on(self._context.place, text)
            self.commented.emit()
        self._view.show_marks()

    def connect_forms(self) -> None:
        """Connect the forms to the decisions."""
        forms = self._context.forms
        forms.slice.accept_requested.connect(self.accept)
        forms.slice.flag_requested.connect(self.flag)
        forms.slice.comment_changed.connect(self.comment)
        forms.stop.finish_requested.connect(self.finish)
