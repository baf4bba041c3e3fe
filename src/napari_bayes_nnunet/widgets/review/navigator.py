"""Navigation of the reader through the queue, the slices and the phases of a study."""

from __future__ import annotations

from functools import partial
from typing import Final

from qtpy.QtCore import QObject, Signal

from ...core.counts import format_count
from ...core.types import Phase, Place
from ..editing.corrections import LEVEL
from ..reading.thumbnails import NO_LANDMARKS
from .action_check import NOT_SEGMENTED, ActionCheck
from .context import ReviewContext
from .correction_tools import CorrectionTools
from .view import ReviewView

QUEUE_EMPTY: Final = "The queue is empty."
QUEUE_STARTS: Final = "This is the first slice of the queue."
QUEUE_WRAPPED: Final = "The queue has ended. This is its first open slice."
LAST_OPEN: Final = "This is the last open slice of the queue."
UNDONE: Final = "Changed by undo or redo: {slices}."
ALL_ACCEPTED: Final = "All slices accepted. Continue with Save and export."


class SliceNavigator(QObject):
    """Navigator that shows slices and, for each, chooses the structure that the queue names.

    ``said`` carries messages for the reader.
    """

    said = Signal(str)

    def __init__(
        self,
        context: ReviewContext,
        view: ReviewView,
        check: ActionCheck,
        tools: CorrectionTools,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._context, self._view = context, view
        self._session, self._forms = context.session, context.forms
        self._picture, self._player = context.picture, context.player
        self._check, self._tools = check, tools

    def go_to_queued(self, phase: Phase, z: int) -> None:
        """Show a slice, and choose the structure that the queue names for it."""
        place = phase, z
        name = self._view.queued_structure(place)
        if name is not None and place != self._context.place:
            self._context.corrections.discard_preview(LEVEL)  # which is of the slice on screen
            # First, so that the slice is drawn once.
            self._tools.choose_structure(name, draw=False)
        self._picture.show_slice(place)
        self._choose_queued_structure()

    def step(self, step: int) -> None:
        """Stop the cine and show the next (+1) or previous (-1) slice of the queue."""
        self._player.stop()  # or the queue would be followed from the phase that is played
        place = self._session.after(self._context.place, self._view.queue, step=step)
        if place is not None:
            self.go_to_queued(*place)
        elif step < 0 or not self._view.queue:
            self.said.emit(QUEUE_STARTS if self._view.queue else QUEUE_EMPTY)
        else:
            self._start_queue_again()

    def _start_queue_again(self) -> None:
        """Show the first slice of the queue that is not accepted."""
        place = self._session.next_open(self._context.place, self._view.queue)
        if place is not None:
            self.go_to_queued(*place)
            self.said.emit(QUEUE_WRAPPED)
        else:
            is_accepted = self._session.state_of(self._context.place) == "accepted"
            self.said.emit(ALL_ACCEPTED if is_accepted else LAST_OPEN)

    def other_landmark(self) -> None:
        """Show the same slice at ES, or at ED if ES is on screen."""
        ed, es = self._session.state.ed, self._session.state.es
        if not self._check.allows("ED or ES"):
            return
        if ed is None or es is None:
            self.said.emit(NO_LANDMARKS)
            return
        phase, z = self._context.place
        self._picture.show_slice((es if phase == ed else ed, z))
        self._follow_queue()

    def step_phase(self, step: int) -> None:
        """Stop the cine and show the same slice in the next or previous phase, in a loop."""
        self._player.pause()
        phase, z = self._context.place
        if phase is not None:
            count = self._session.labels.shape[0]
            self._picture.go_to(((phase - 1 + step) % count + 1, z))
            self._follow_queue()

    def centre(self) -> None:
        """Centre on the voxel on which the members disagree most."""
        if self._context.place[0] not in self._session.phases:
            self.said.emit(NOT_SEGMENTED)
            return
        self._picture.centre_on(*self._session.most_uncertain_in(self._context.place))

    def connect_forms(self) -> None:
        """Connect forms, sliders and undo, so that the slices they choose are shown."""
        forms, corrections = self._forms, self._forms.corrections
        forms.carried.cell_chosen.connect(self._on_carried_chosen)
        for part in (*forms.overviews, forms.numbers):
            part.cell_chosen.connect(self.go_to_queued)
        forms.table.row_chosen.connect(self.go_to_queued)
        forms.slice.previous_requested.connect(partial(self.step, -1))
        forms.slice.next_requested.connect(partial(self.step, 1))
        corrections.slice_chosen.connect(self._on_slice_chosen)
        corrections.most_uncertain_requested.connect(self.centre)
        corrections.landmark_requested.connect(self.other_landmark)
        self._picture.scrolled.connect(self._follow_queue)
        self._context.corrections.undone.connect(self._on_undone)

    def _choose_queued_structure(self) -> None:
        name = self._view.queued_structure(self._context.place)
        if name is not None and name != self._forms.corrections.structure:
            self._tools.choose_structure(name)

    def _follow_queue(self) -> None:
        """Choose the structure of the queued slice, unless the reader draws one in all slices."""
        if not self._player.is_playing and not self._tools.is_drawing:
            self._choose_queued_structure()

    def _on_carried_chosen(self, phase: Phase, z: int) -> None:
        self._player.pause()
        self._picture.show_slice((phase, z))

    def _on_slice_chosen(self, z: int) -> None:
        self._picture.show_slice((self._context.place[0], z))

    def _on_undone(self, places: list[Place]) -> None:
        """Show a slice that undo or redo has changed; name the slices if not all were on screen."""
        seen = self._context.place
        if seen not in places:
            self._picture.go_to(places[0])
            if self._context.label not in self._context.corrections.undone_labels:
                self._follow_queue()
        title = self._session.title_of(places[0])
        slices = title if len(places) == 1 else format_count(len(places), "slice")
        self.said.emit("" if places == [seen] else UNDONE.format(slices=slices))
