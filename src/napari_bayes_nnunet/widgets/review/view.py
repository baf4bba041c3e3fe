"""View of a review: the state of the session in the forms, and what is possible in the slice."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...app.review.accepted_slices import measure_review
from ...app.review.comparisons import describe_rules
from ...app.review.ends import IS_LOCKED, slice_to_change
from ...app.review.findings import sentences_by_slice
from ...app.review.session import ReviewSession
from ...app.review.stop_advice import StopAdvice, advise, word_advice
from ...app.review.valve_points import points_on
from ...app.review.walls import steps_to_walls
from ...core.counts import format_count
from ...core.heart.slice_shifts import slice_shifts
from ...core.heart.structures import structure_colors
from ...core.problems import Problem
from ...core.review.queue import QueueItem
from ...core.types import Phase, Place
from ...io.study.arrays import select_phase
from ...io.study.review_state import ReviewState
from ..common.background import Turns
from ..common.wording import in_the_window
from ..editing.correction_form import END_BUTTONS
from ..editing.corrections import AS_PREDICTED, NO_CONTOUR, NO_POSTERIOR, NOT_HERE, Corrections
from ..editing.presence_strip import SlicePresence
from ..layers.cine_player import CinePlayer
from ..reading.picture import ReviewPicture
from ..reading.queue_table import QueueRow
from ..reading.second_view import ShortAxisStack
from .forms import WALL, ReviewForms

EDITS: Final = (
    "level", "alternatives", "base or apex", "scribble", "push", "contour", "brush",
    "uncertain brush", "interpolate", "revert", "bring back", "absent", "valve plane", "carry",
    "copy",
)  # fmt: skip
"""Parts of the form that change labels, which a study that can only be viewed does not allow."""
CHOSEN_ONLY: Final = (
    "level", "base or apex", "scribble", "push", "contour", "interpolate", "absent", "copy",
)  # fmt: skip
"""Parts that change the chosen structure only."""
NO_SLICE_SHOWN: Final = (
    "No slice of the study is on screen. Return to the 2D view, or change the order of the visible "
    "axes (a button below the layer list) until the slices are back."
)
READ_ONLY: Final = "This study can only be viewed here. Changes would not be saved."
NOT_SEGMENTED: Final = "This phase was not segmented. Go to a segmented phase, such as ED or ES."
ONE_PHASE: Final = "There is only one phase."
NOTHING_REMOVED: Final = "Nothing was removed from this phase, or it is drawn already."
NO_ATRIUM: Final = (
    "No slice of this phase lies beyond a valve plane. Mark the valves on a long axis at ED and ES."
)
ONE_ALTERNATIVE: Final = "All members agree with the segmentation on screen."

MOST_THUMBNAIL_ROWS: Final = 2
"""Number of phases up to which slices are shown as thumbnails."""
MAY_STOP: Final = "{advice} Finish the review, or continue with the queue."
HEART_STEP: Final = 11
"""Only one of so many voxels of the heart is looked at to find its place."""
ON_LONG_AXIS: Final = "{kind}, {slice}"
ALTERNATIVE: Final = "Answer {} of {}, from {} of {}"


def short_axis_stack(session: ReviewSession) -> ShortAxisStack:
    """Return where the short axis and its heart lie in the patient."""
    shape, affine = session.study.info.shape, session.study.info.geometry.affine
    phases = session.labels.reshape(-1, *shape[-3:])
    heart = np.argwhere(phases.any(axis=0))[::HEART_STEP]
    if not len(heart):
        heart = np.array([np.zeros(3), np.array(shape[-3:]) - 1])
    return ShortAxisStack(
        affine=affine,
        slices=shape[-3],
        phases=len(phases),
        heart=heart[:, ::-1] @ affine[:3, :3].T + affine[:3, 3],
    )


class ReviewView:
    """View of the session in ``forms``, with ``queue``, ``scores`` and ``advice`` on screen.

    ``read_only`` says that the study can only be viewed.
    """

    def __init__(
        self,
        session: ReviewSession,
        forms: ReviewForms,
        picture: ReviewPicture,
        corrections: Corrections,
        player: CinePlayer,
        *,
        read_only: bool,
    ) -> None:
        self._session, self._forms, self._picture = session, forms, picture
        self._corrections, self._player = corrections, player
        self.read_only = read_only
        self.scores: dict[Phase, dict[str, NDArray[np.float64]]] = {}
        self.queue: list[QueueItem] = []
        self.advice: StopAdvice | None = None
        self._advised: ReviewState | None = None  # None if the labels have changed since
        self._findings: dict[Place, str] = {}
        self._wall_turns = Turns(forms)
        forms.sections[WALL].toggled.connect(self.show_walls)
        corrections.changed.connect(self._on_corrected)

    @property
    def place(self) -> Place:
        """Phase and slice on screen, (phase, z)."""
        return self._picture.place

    @property
    def label(self) -> int:
        """Label of the structure to correct."""
        return self._session.structures[self._forms.corrections.structure]

    @property
    def color(self) -> str:
        """Colour of the structure to correct."""
        return structure_colors(self._session.structures)[self.label]

    @property
    def other_place(self) -> Place | None:
        """The slice on screen at ES, or at ED if ES is on screen; None without both."""
        state, (phase, z) = self._session.state, self.place
        if state.ed is None or state.es is None:
            return None
        return state.es if phase == state.ed else state.ed, z

    def why_not(self, part: str) -> str:
        """Return why an action is impossible in the slice on screen, or ""."""
        if not self._picture.shows_slices:
            return NO_SLICE_SHOWN
        if part == "accept" and self.read_only:
            return READ_ONLY
        if part == "accept":
            return "" if self.place[0] in self._session.phases else NOT_SEGMENTED
        return self.reasons().get(part, "")

    def reasons(self) -> dict[str, str]:
        """Return which parts cannot be used in the slice on screen, part → reason."""
        session, place = self._session, self.place
        phase, _ = place
        reasons: dict[str, str] = {}
        if self.read_only:
            reasons |= dict.fromkeys(EDITS, READ_ONLY)
        elif phase not in session.phases:
            reasons |= dict.fromkeys(EDITS, NOT_SEGMENTED)
        elif phase not in session.study.posteriors:
            parts = ("level", "alternatives", "scribble", "bring back")
            reasons |= dict.fromkeys(parts, NO_POSTERIOR)
        else:
            if not self._corrections.has_other_answer(place):
                reasons["alternatives"] = ONE_ALTERNATIVE
            if not session.removed_in(phase).any():
                reasons["bring back"] = NOTHING_REMOVED
            if not session.atrial_findings(phase):
                reasons["valve plane"] = NO_ATRIUM
        if phase is None or len(session.phases) < 2:
            parts = ("ED or ES", "previous phase", "next phase", "carry")
            reasons |= dict.fromkeys(parts, ONE_PHASE)
        if self._player.count < 2:
            reasons["play"] = ONE_PHASE
        return reasons

    def _without_effect(self) -> dict[str, str]:
        """Return what would change nothing in the slice on screen: part or action → reason.

        Their keys are not blocked, because they also end a contour that was edited.
        """
        session, place, label = self._session, self.place, self.label
        if place[0] not in session.phases:
            return {}
        name, labels = session.structure_name(label), session.labels_in(place)
        reasons: dict[str, str] = {}
        if np.array_equal(labels, session.predicted_in(place)):
            reasons["revert"] = AS_PREDICTED
        if label in session.protected_labels:
            return reasons | dict.fromkeys(CHOSEN_ONLY, IS_LOCKED.format(structure=name))
        if not (labels == label).any():
            reasons |= dict.fromkeys(("push", "contour"), NO_CONTOUR.format(name))
            reasons["absent"] = NOT_HERE.format(name)
        for action, (_, end, outwards) in END_BUTTONS.items():
            try:
                slice_to_change(session, place, label, end, outwards=outwards)
            except Problem as error:
                reasons[action] = in_the_window(error)
        return reasons

    def show_setup(self) -> None:
        """Show the settings of the review and the structures and phases of the study."""
        session, state, forms = self._session, self._session.state, self._forms
        forms.queue.set_structures(list(session.structures))
        forms.queue.structures.choose(state.structure)
        forms.queue.set_phases(len(session.phases))
        forms.queue.set_switches(
            all_phases=state.all_phases, leave_out_borders=state.leave_out_border
        )
        self.show_landmarks()
        forms.valves.is_locked = self.read_only
        forms.second.set_long_axes(
            session.study.long_axes,
            short_axis_stack(session),
            has_other=self.other_place is not None,
        )
        for overview in forms.overviews:
            overview.set_ends(session.base_is_first)
        forms.numbers.patient.set_patient(state.patient, session.study.patient.values)
        forms.numbers.as_muscle.setChecked(state.papillary_as_muscle)
        forms.numbers.as_muscle.setEnabled(session.voxels is not None)
        forms.numbers.by_valve.setChecked(state.by_valve_plane)
        forms.corrections.set_structures(session.structures)
        forms.corrections.locks.set_protected(state.protected)
        forms.corrections.set_largest_entropy(math.log2(session.study.info.classes))

    def show_landmarks(self) -> None:
        """Show which phases are ED and ES, in the overviews and on the canvas."""
        state = self._session.state
        for overview in self._forms.overviews:
            overview.set_landmarks(state.ed, state.es)
        self._picture.caption.set_landmarks(state.ed, state.es)
        self._picture.caption.set_provisional(self._session.study.looks)

    def show_edited(self) -> None:
        """Show thumbnails, numbers and marks after a change of the labels."""
        self._forms.thumbnails.refresh()
        self._forms.other.refresh()
        self.show_numbers()
        self.show_marks()

    def show_view(self) -> None:
        """Show the part of the slice that the canvas shows also at the other phase."""
        self._forms.other.set_view(*self._picture.seen)

    def score(self) -> None:
        """Score the slices with the settings of the review."""
        self.scores = self._session.scores()
        self.queue = self._session.queue(self.scores)

    def queued_structure(self, place: Place) -> str | None:
        """Return the structure that the queue names for a slice, unless it is locked."""
        names = {(item.phase, item.z): item.structure for item in self.queue}
        name = names.get(place)
        return None if name in self._session.state.protected else name

    def show_scores(self) -> None:
        """Show the scores: for up to two phases on the thumbnails, for more in the heat grid."""
        self._forms.queue.set_score(self._session.score, self._session.score_sentence)
        structure, phases = self._session.state.structure, self._session.phases
        table = np.full((self._session.slices, len(phases)), np.nan)
        for column, phase in enumerate(phases):
            if phase in self.scores:
                parts = self.scores[phase]
                chosen = [parts[structure]] if structure is not None else list(parts.values())
                table[:, column] = np.sum(chosen, axis=0)
        shown = self._session.end_phases
        unit, top = self._forms.queue.unit, float(np.nanmax(table, initial=0.0))
        self._forms.grid.set_scores(table, phases, unit, top=top)
        if len(shown) > MOST_THUMBNAIL_ROWS:
            shown = ()
        columns = [phases.index(phase) for phase in shown]
        self._forms.thumbnails.set_scores(table[:, columns], shown, unit, top=top)
        self._forms.need_grid(len(self._session.queue_phases) > MOST_THUMBNAIL_ROWS)

    def show_marks(self) -> None:
        """Show the decisions and edits of all slices in overview and table."""
        marks = self._session.marks()
        for overview in self._forms.overviews:
            overview.set_marks(marks)
        self._show_findings()
        rows = [
            QueueRow(
                item.phase,
                item.z,
                item.structure,
                item.score,
                ", ".join(sorted(marks.get((item.phase, item.z), ()))),
                self._findings.get((item.phase, item.z), ""),
                "" if item.phase is None else self._session.name_of(item.phase),
            )
            for item in self.queue
        ]
        self._forms.table.set_items(rows, self._forms.queue.unit)
        self.show_place()

    def _show_findings(self) -> None:
        """Find what contradicts anatomy or the cardiac cycle; append slices that the queue lacks.

        The queue keeps its order while its slices are corrected.
        """
        self._findings = sentences_by_slice(self._session)
        known = {(item.phase, item.z) for item in self.queue}
        found = self._session.with_findings((), self._session.state.structure)
        self.queue += [item for item in found if (item.phase, item.z) not in known]

    def finding_in(self, place: Place) -> str:
        """Return what contradicts anatomy or the cardiac cycle on screen, "" for nothing."""
        return sentences_by_slice(self._session.as_shown()).get(place, "")

    def show_place(self) -> None:
        """Show the current slice in overview, table and buttons."""
        place = self.place
        self._forms.finding.show_message(self._findings.get(place, ""))
        decision, state = self._session.state.decisions.get(place), self._session.state_of(place)
        self.show_in_overview(place)
        other = self.other_place
        self._forms.other.show_slice(other, self._session.title_of(other) if other else "")
        self._forms.table.set_current(*place)
        positions = {(item.phase, item.z): rank for rank, item in enumerate(self.queue, start=1)}
        self._forms.progress.set_position(positions.get(place))
        comment = decision.comment if decision is not None else ""
        self._forms.slice.set_slice(state, comment=comment)
        self._forms.slice.set_unusable(self.why_not("accept"))
        self._forms.slice.set_queue(
            has_previous=self._session.after(place, self.queue, step=-1) is not None,
            has_next=self._session.after(place, self.queue) is not None
            or self._session.next_open(place, self.queue) is not None,
        )
        self.show_alternative()
        self.show_structure()

    def show_in_overview(self, place: Place) -> None:
        """Mark a slice in heat grid and thumbnails."""
        for overview in self._forms.overviews:
            overview.set_current(*place)

    def show_on_long_axis(self, place: Place) -> None:
        """Show a slice on the long axis on screen, at its phase."""
        plane = self._forms.second.plane
        if plane is not None:
            title = ON_LONG_AXIS.format(kind=plane.kind, slice=self._session.name_of_slice(place))
            self._forms.long_axis.show_slice(place, title)
            self._forms.valves.set_points(points_on(self._session, place[0], plane))

    def show_alternative(self) -> None:
        """Show how many alternatives there are, and which of them is on screen."""
        alternatives = self._session.alternatives_in(self.place)
        number = self._corrections.shown_alternative
        members = [len(alternative.members) for alternative in alternatives]
        count, total = len(alternatives), sum(members)
        self._forms.corrections.set_alternative(number, count)
        note = ""
        if number:
            given = members[number - 1], format_count(total, "member")
            note = ALTERNATIVE.format(number, count, *given)
        self._picture.caption.set_note(note)

    def show_numbers(self) -> None:
        """Show the measurements, the volume curves and the progress of the review."""
        session, state = self._session, self._session.state
        (measured, open_slices), predicted = measure_review(session), session.predicted()
        self._forms.numbers.set_numbers(measured, predicted, open_slices)
        self._forms.numbers.rules.show_message("\n".join(describe_rules(session)))
        self._forms.key_numbers.set_numbers(
            measured,
            predicted,
            open_slices,
            ed=state.ed,
            es=state.es,
            compared=session.compared,
        )
        self._forms.numbers.set_contributions(
            session.numbers.contributions(state.ed, state.es), ed=state.ed, es=state.es
        )
        self._forms.key_numbers.doubt.show_message(word_advice(session, None))
        self._forms.volumes.set_curves(session.numbers.shown_curves())
        self._forms.volumes.set_landmarks(state.ed, state.es)
        self._forms.progress.set_progress(session.progress(self.queue))
        self.show_walls()
        if self._advised is not session.state:
            self.show_advice()

    def show_walls(self, *_: object) -> None:
        """Measure the wall in steps and show it, if its section is open."""
        self._wall_turns.cancel()
        if self._forms.sections[WALL].isExpanded():
            self._wall_turns.run(self._steps_to_walls())

    def _steps_to_walls(self) -> Generator[None, None, None]:
        self._forms.wall.set_walls((yield from steps_to_walls(self._session)))

    def new_offer(self) -> str:
        """Show the advice; return an offer to stop if the last advice was not to stop, else ""."""
        before = self.advice
        self.show_advice()
        advice = self.advice
        if advice is None or not advice.may_stop or (before is not None and before.may_stop):
            return ""
        return MAY_STOP.format(advice=word_advice(self._session, advice))

    def show_advice(self) -> None:
        """Show how far the LV EF may still change, and whether the review may stop."""
        session, form = self._session, self._forms.stop
        self._advised = session.state
        state = session.state
        by_rule = state.papillary_as_muscle or state.by_valve_plane  # without intervals
        advice = self.advice = None if by_rule else advise(session, form.target.value(), form.level)
        text = "" if advice is None else word_advice(session, advice)
        may_stop = advice is not None and advice.may_stop and not self.read_only
        form.set_advice(text, may_stop=may_stop and not session.state.finished)

    def _on_corrected(self) -> None:
        self._advised = None

    def show_usable(self) -> None:
        """Enable the corrections that change something in the slice on screen."""
        self._forms.corrections.set_unusable(self._without_effect() | self.reasons())

    def show_structure(self) -> None:
        """Show level, volume and ends of the structure to correct, and what can be used."""
        self._show_level()
        self._show_ends()
        self.show_usable()

    def _show_level(self) -> None:
        place, label = self.place, self.label
        self._forms.corrections.level.set_volume(self._session.volume_in(place, label))
        if not self._corrections.is_level_preview:
            self._forms.corrections.set_level(self._corrections.margin_at(place, label))

    def _show_ends(self) -> None:
        """Show in which slices of the phase the structure is seen and drawn."""
        session, (phase, z), label = self._session, self.place, self.label
        volume, posterior = select_phase(session.labels, phase), session.study.posteriors.get(phase)
        structure = next((name for name, n in session.heart_labels.items() if n == label), None)
        kept = None if structure is None else session.kept_in(phase, structure)
        self._forms.corrections.strip.set_presence(
            SlicePresence(
                shares=session.presence_in(phase, label),
                drawn=(volume == label).any(axis=(1, 2)),
                beyond=None if kept is None else np.clip(1 - kept, 0, 1),
                shifts=slice_shifts(volume == label, session.spacing),
                current=z,
                models=posterior.count if posterior is not None else 0,
                base_first=session.base_is_first,
                color=self.color,
            )
        )
