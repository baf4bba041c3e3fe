"""Controller of a review: joins the session, the layers and the forms of one study."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, Final

from qtpy.QtCore import QObject, Signal

from ...app.review.ends import End
from ...core.counts import format_count
from ...core.heart.function import Patient
from ...core.heart.structures import structure_colors
from ...core.types import Mask, Phase, Place
from ..common.window_thread import after_frame
from ..editing.brush_region import BrushRegion
from ..editing.contour_edit import ContourEdit
from ..editing.correction_form import CorrectionForm
from ..editing.corrections import LEVEL, Corrections
from ..editing.ends_form import END_BUTTONS
from ..editing.scribble_tool import ScribbleTool
from ..layers.cine_player import CinePlayer
from ..layers.keys import ReviewKeys
from ..layers.orientation_letters import PatientLetters, has_letters
from ..layers.window_level import WindowLevel
from ..reading.picture import LayerRemovedError, OpenedStudy, ReviewPicture
from ..reading.thumbnails import NO_LANDMARKS
from ..reading.uncertainty_view import OutlineLayers
from .carried_review import CarriedReview
from .export import ReviewExporter
from .forms import ReviewForms
from .saver import EVERY_MS, StudySaver
from .turned_thumbnails import TurnedThumbnails
from .view import ReviewView

QUEUE_EMPTY: Final = "The queue is empty."
QUEUE_STARTS: Final = "This is the first slice of the queue."
QUEUE_WRAPPED: Final = "The queue has ended. This is its first open slice."
LAST_OPEN: Final = "This is the last open slice of the queue."
ACCEPTED: Final = "{slice}: accepted. {count} in the queue."
ALL_ACCEPTED: Final = "All slices of the queue are accepted. Continue with Save and export."
REVIEW_FINISHED: Final = "Finished. Open slices stay as predicted. Continue with Save and export."
CINE_STOPPED: Final = "The cine was stopped. Look at this slice, then accept it."
COMMENT_KEEPS_FLAG: Final = (
    "A slice with a comment stays flagged. Delete the comment, or accept the slice."
)
WAS_HIDDEN: Final = "The image or the labels were hidden. Check the slice, then repeat the action."
WAS_COVERED: Final = "Another image covered this slice. Check the slice, then repeat the action."
NOTHING_TO_COPY: Final = "There is no {} with labels to copy from."


class ReviewController(QObject):
    """Controller that carries out the reader's requests and updates forms and layers.

    The steps of `open` show the study; until the last, keys and forms do nothing and labels cannot
    be edited. ``said`` carries messages for the reader, ``reported`` those about a slice that is no
    longer on screen, ``lost`` the name of a removed layer, after which the study must be closed.
    """

    said = Signal(str)
    reported = Signal(str)
    lost = Signal(str)

    def __init__(
        self,
        viewer: Any,
        opened: OpenedStudy,
        forms: ReviewForms,
        *,
        every_ms: int = EVERY_MS,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.session, self._window = opened.session, opened.window
        self.forms = forms
        self.saver = StudySaver(self.session, opened.lock, every_ms=every_ms, parent=self)
        self.picture = ReviewPicture(viewer, opened, display=forms.display.display, parent=self)
        self.corrections = Corrections(viewer, self.session, self.picture.edited, parent=self)
        self.outlines = OutlineLayers(viewer, self)
        self.contour = ContourEdit(viewer, self.corrections, self)
        self.handles = self.contour.handles
        self.scribble = ScribbleTool(viewer, self.picture.image, self.picture.edited, self)
        self.brush = BrushRegion(
            viewer, self.picture.image, self.picture.edited, self.corrections, self
        )
        self.player = CinePlayer(viewer, self)
        self._thumbnails = TurnedThumbnails(
            viewer, opened, self.picture.image, forms.thumbnails, parent=self
        )
        self.carried = CarriedReview(
            self.session, self.corrections, forms.carried, self._thumbnails, parent=self
        )
        self.window_level = WindowLevel(viewer)
        # The Segment dock shows them for its image, which is in front with its study.
        self.letters = None if has_letters(viewer) else PatientLetters(viewer)
        self.keys: ReviewKeys | None = None
        self.exporter = ReviewExporter(self.session, opened.image, forms.export, self)
        self.view = ReviewView(self.session, forms, self.picture, self.corrections, self.player)
        self.view.read_only = self.saver.read_only
        self._soon = after_frame(self.view.show_edited, self)
        self._place_soon = after_frame(self.view.show_place, self)
        self._save_soon = after_frame(self.saver.save, self)

    # Through the queue

    @property
    def place(self) -> Place:
        """Phase and slice on screen, (phase, z)."""
        return self.picture.place

    @property
    def label(self) -> int:
        """Label of the structure to correct."""
        return self.session.structures[self.forms.corrections.structure]

    def go_to(self, phase: Phase, z: int) -> None:
        """Show the slice ``z`` of a phase."""
        self.picture.uncover()
        self.picture.return_to_heart()
        self.picture.go_to((phase, z))

    def go_to_queued(self, phase: Phase, z: int) -> None:
        """Show a slice, and choose the structure that the queue names for it."""
        name = self.view.queued_structure((phase, z))
        if name is not None and (phase, z) != self.place:
            self.corrections.discard_preview(LEVEL)  # which is of the slice on screen
            self._choose_structure(name, draw=False)  # first, so that the slice is drawn once
        self.go_to(phase, z)
        self._follow_queue()

    def _follow_queue(self) -> None:
        """Choose the structure of the queued slice on screen."""
        name = self.view.queued_structure(self.place)
        if name is not None and name != self.forms.corrections.structure:
            self._choose_structure(name)
            self._show_structure()

    def _on_scrolled(self) -> None:
        """Choose the structure of the queued slice, unless the reader draws one in all slices."""
        is_drawing = self.scribble.is_active or self.picture.edited.mode != "pan_zoom"
        if not self.player.is_playing and not is_drawing:
            self._follow_queue()

    def step(self, step: int) -> None:
        """Show the next (+1) or previous (-1) slice of the queue."""
        place = self.session.after(self.place, self.view.queue, step=step)
        if place is not None:
            self.go_to_queued(*place)
        elif step < 0 or not self.view.queue:
            self.said.emit(QUEUE_STARTS if self.view.queue else QUEUE_EMPTY)
        else:
            self._start_queue_again()

    def _start_queue_again(self) -> None:
        """Show the first slice of the queue that is not accepted."""
        place = self.session.next_open(self.place, self.view.queue)
        if place is not None:
            self.go_to_queued(*place)
            self.said.emit(QUEUE_WRAPPED)
        else:
            decision = self.session.state.decisions.get(self.place)
            is_accepted = decision is not None and decision.state == "accepted"
            self.said.emit(ALL_ACCEPTED if is_accepted else LAST_OPEN)

    def accept(self) -> None:
        """Accept the slice as shown, and show the next slice that is not accepted."""
        if self.player.is_playing:
            self.player.stop()
            self.said.emit(CINE_STOPPED)
            return
        if not self._can("accept"):
            return
        place = self.place
        self.corrections.accept_preview()
        self.session.decide(place, "accepted")
        next_place = self.session.next_open(place, self.view.queue)
        self.session.change(finished=next_place is None)
        if next_place is not None:
            self.go_to_queued(*next_place)
            progress = self.session.progress(self.view.queue)
            count = format_count(progress.total - progress.done, "open slice")
            done = ACCEPTED.format(slice=self.session.title_of(place), count=count)
            self.reported.emit(self.view.new_offer() or done)
        else:
            self.said.emit(ALL_ACCEPTED)
        self._save_decision()

    def finish(self) -> None:
        """Finish the review before all slices are accepted."""
        self.session.change(finished=True)
        self._save_decision()
        self.said.emit(REVIEW_FINISHED)

    def flag(self) -> None:
        """Flag the slice, or remove its flag."""
        if not self._can("accept"):
            return
        self.said.emit(self.corrections.discard_preview())
        decision = self.session.state.decisions.get(self.place)
        is_flagged = decision is not None and decision.state == "flagged"
        if is_flagged and decision is not None and decision.comment:
            self.said.emit(COMMENT_KEEPS_FLAG)
            return
        if is_flagged:
            self.session.unflag(self.place)
        else:
            self.session.decide(self.place, "flagged")
        self.session.change(finished=False)
        self._save_decision()

    def comment(self, text: str) -> None:
        """Set the comment of the slice; a slice without a decision becomes flagged."""
        if self._can("accept"):
            self.session.comment_on(self.place, text)
            self.saver.note_change()
        self.view.show_marks()

    def other_landmark(self) -> None:
        """Show the same slice at ES, or at ED if ES is on screen."""
        ed, es = self.session.state.ed, self.session.state.es
        if not self._can("ED or ES"):
            return
        if ed is None or es is None:
            self.said.emit(NO_LANDMARKS)
            return
        phase, z = self.place
        self.go_to(es if phase == ed else ed, z)
        self._on_scrolled()

    def step_phase(self, step: int) -> None:
        """Show the same slice in the next or previous phase, in a loop; stop the cine."""
        self.player.pause()
        phase, z = self.place
        if phase is not None:
            count = self.session.labels.shape[0]
            self.picture.go_to(((phase - 1 + step) % count + 1, z))
            self._on_scrolled()

    def centre(self) -> None:
        """Centre on the voxel on which the members disagree most."""
        self.picture.centre_on(*self.session.most_uncertain_in(self.place))

    # Corrections

    def show_level(self, margin: float) -> None:
        """Preview the structure at a level."""
        if self._can("level"):
            self.corrections.show_level(self.place, self.label, margin)

    def step_alternative(self, step: int) -> None:
        """Preview the next or previous alternative."""
        if self._can("alternatives"):
            self.corrections.step_alternative(self.place, step)
            self.view.show_alternative()

    def edit_contour(self) -> None:
        """Show handles on the outline of the structure."""
        if self._can("contour"):
            self.scribble.stop()
            color = structure_colors(self.session.structures)[self.label]
            self.contour.start(self.picture.image, self.place, self.label, color=color)

    def move_end(self, end: End, outwards: bool) -> None:
        """Move the base or the apex of the structure by one slice, and show this slice."""
        if self._can("base or apex"):
            self.corrections.move_end(
                self.place, self.label, end, outwards=outwards, show=lambda p: self.go_to(*p)
            )

    def toggle_scribble(self) -> None:
        """Let the mouse draw strokes, or end this."""
        if self.scribble.is_active:
            self.scribble.stop()
        elif self._can("scribble"):
            self.scribble.start()
        self.forms.corrections.set_scribble_active(self.scribble.is_active)

    def copy_from(self, where: str) -> None:
        """Copy the structure from ``where``, one of ``COPIES``."""
        source = self.session.neighbour(self.place, where)
        if source is None:
            self.said.emit(NOTHING_TO_COPY.format(where))
        elif self._can("copy"):
            self.corrections.copy(self.place, source, self.label)

    def carry(self) -> None:
        """Carry the correction of the slice to the other phases, or keep what was carried."""
        if self._can("carry") and not self.carried.keep():
            self.carried.tool.carry(self.place, self.picture.image.data)

    def interpolate(self) -> None:
        """Interpolate the structure between the nearest corrected slices."""
        if self._can("interpolate"):
            self.corrections.interpolate(self.place, self.label)

    def revert(self) -> None:
        """Return the slice to the prediction."""
        if self._can("revert"):
            self.corrections.revert(self.place)

    def remove(self) -> None:
        """Remove the structure from the slice."""
        if self._can("absent"):
            self.corrections.remove(self.place, self.label)

    def refresh_queue(self) -> None:
        """Score the slices with the settings of the form; update queue and heat grid."""
        form = self.forms.queue
        self.session.change(
            score=form.score,
            structure=form.structure,
            all_phases=form.takes_all_phases,
            leave_out_border=form.leaves_out_borders,
            finished=False,
        )
        self._show_scores()
        self.saver.note_change()

    def _show_scores(self) -> None:
        """Show the slices in the order of the queue, with what depends on it."""
        view = self.view
        for show in (view.score, view.show_scores, view.show_marks, view.show_numbers):
            show()

    # Events

    def _can(self, part: str) -> bool:
        """Stop the cine; return whether the action is possible, and show the reason if not.

        Nothing is decided or changed while another image covers this one, or while image or labels
        are hidden. A contour being edited is ended first, because it would hide the result.
        """
        self.player.stop()
        if self.picture.uncover():
            self.said.emit(WAS_COVERED)
            return False
        if self.picture.reveal():
            if not self.forms.display.fill.isChecked():
                self.forms.display.contours.setChecked(True)
            self.said.emit(WAS_HIDDEN)
            return False
        reason = self.view.why_not(part)
        if not reason and part != "contour":
            self.contour.leave()
        self.said.emit(reason)
        return not reason

    def _on_moved(self, place: Place) -> None:
        lost = self.corrections.discard_preview()
        if self.handles.is_active and self.handles.place != place:
            self.contour.leave()
        if self.player.is_playing:
            self.view.show_in_overview(place)  # the rest follows when the cine stops
            return
        self.said.emit(lost)  # an earlier message was about the previous slice
        if place != self.session.state.current:
            self.session.look_at(place)
            self.saver.note_change(is_work=False)
        self.picture.caption.set_note("")
        self._place_soon.throttle()

    def _on_corrected(self) -> None:
        if not self.corrections.is_showing:  # a preview is not saved
            self.saver.note_change()
        self._soon.throttle()

    def _on_edited(self) -> None:
        self.saver.note_change()
        self._soon.throttle()

    def _on_undone(self, places: list[Place]) -> None:
        """Show a slice that was changed by undo or redo, and no longer what the edit did."""
        self.said.emit("")
        if self.place not in places:
            self.picture.go_to(places[0])
            if self.label not in self.corrections.undone_labels:
                self._on_scrolled()

    def _save_decision(self) -> None:
        self._on_edited()
        self._save_soon.throttle()  # copying the labels would delay the image

    def _on_stroke(self, stroke: Mask, inside: bool) -> None:
        if self._can("scribble"):
            self.corrections.scribble(self.place, self.label, stroke, inside=inside)

    def _on_scribble_active(self, active: bool) -> None:
        self.forms.corrections.set_scribble_active(active)
        self.window_level.needs_shift = active

    def _on_structure_chosen(self, name: str) -> None:
        self._choose_structure(name)
        self._show_structure()

    def _choose_structure(self, name: str, *, draw: bool = True) -> None:
        """Correct this structure from now on; outline it at once, or in the next slice."""
        self.corrections.accept_preview(LEVEL)
        self.forms.corrections.set_structure(name)
        label = self.session.structures[name]
        self.picture.set_structure(label)
        color = structure_colors(self.session.structures)[label]
        for tool in (self.scribble, self.brush):
            tool.set_color(color)
        self.outlines.set_structure(name, draw=draw)

    def _show_structure(self) -> None:
        self.view.show_level()
        self.view.show_ends()

    def _on_protection_toggled(self, name: str, protected: bool) -> None:
        names = {*self.session.state.protected} - {name} | ({name} if protected else set())
        self.session.change(protected=tuple(sorted(names)))
        self.brush.refresh()
        self.saver.note_change()

    def _on_brush_limited(self, bits: float | None) -> None:
        self.corrections.threshold = bits
        self.brush.refresh()

    def _on_alternative_taken(self) -> None:
        self.corrections.accept_preview()
        self.view.show_alternative()

    def _on_playing_changed(self, playing: bool) -> None:
        self.forms.corrections.set_playing(playing, self.player.rate)
        if not playing:
            self.picture.note_place()  # later it would discard what the next action shows
            self._on_moved(self.place)

    def _on_patient_changed(self, patient: Patient) -> None:
        self.session.set_patient(patient)
        self._on_edited()

    def _on_landmarks_changed(self, ed: int, es: int) -> None:
        self.session.change(ed=ed, es=es)
        self.view.show_landmarks()
        self._show_scores()
        self.saver.note_change()
        self.said.emit(self.session.landmarks_doubt())

    def _actions(self) -> Mapping[str, Callable[[], object]]:
        """Return the actions of the keys."""
        return {
            "next": partial(self.step, 1),
            "previous": partial(self.step, -1),
            "accept": self.accept,
            "flag": self.flag,
            "most uncertain": self.centre,
            "next view": self.forms.view.choose_next,
            "outline or fill": self.forms.display.toggle_fill,
            "previous alternative": partial(self.step_alternative, -1),
            "next alternative": partial(self.step_alternative, 1),
            "interpolate": self.interpolate,
            "revert": self.revert,
            "ED or ES": self.other_landmark,
            "absent": self.remove,
            **{
                action: partial(self.move_end, end, outwards)
                for action, (_, end, outwards) in END_BUTTONS.items()
            },
            "scribble": self.toggle_scribble,
            "carry": self.carry,
            "previous phase": partial(self.step_phase, -1),
            "next phase": partial(self.step_phase, 1),
        }

    def _connect(self) -> None:
        forms, corrections = self.forms, self.forms.corrections
        forms.queue.changed.connect(self.refresh_queue)
        forms.carried.cell_chosen.connect(lambda *_: self.player.pause())
        forms.carried.cell_chosen.connect(self.go_to)
        forms.carried.keep_requested.connect(self.carry)
        for part in (*forms.overviews, forms.numbers):
            part.cell_chosen.connect(self.go_to_queued)
        forms.table.row_chosen.connect(self.go_to_queued)
        forms.slice.previous_requested.connect(partial(self.step, -1))
        forms.slice.next_requested.connect(partial(self.step, 1))
        forms.slice.accept_requested.connect(self.accept)
        forms.slice.flag_requested.connect(self.flag)
        forms.slice.comment_changed.connect(self.comment)
        forms.stop.target_changed.connect(self.view.show_advice)
        forms.stop.finish_requested.connect(self.finish)
        forms.display.changed.connect(self.picture.set_display)
        forms.view.view_chosen.connect(self.outlines.set_view)
        forms.numbers.patient.patient_changed.connect(self._on_patient_changed)
        forms.volumes.phases_changed.connect(self._on_landmarks_changed)
        self.outlines.map_wanted.connect(self.picture.add_map)
        self.outlines.view_changed.connect(forms.view.set_view)
        self.corrections.changed.connect(self._on_corrected)
        self.corrections.undone.connect(self._on_undone)
        for part in (self.corrections, self.carried.tool, self.picture):
            part.said.connect(self.said)
        self.carried.tool.started.connect(self.reported)
        self.saver.changed.connect(self.carried.refresh)
        self.scribble.active_changed.connect(self._on_scribble_active)
        self.scribble.pressed.connect(self.player.pause)
        self.scribble.drawn.connect(self._on_stroke)
        self.contour.active_changed.connect(corrections.set_contour_active)
        self.picture.moved.connect(self._on_moved)
        self.picture.scrolled.connect(self._on_scrolled)
        self.picture.lost.connect(self.lost)
        self._connect_corrections(corrections)

    def _connect_corrections(self, form: CorrectionForm) -> None:
        form.structure_chosen.connect(self._on_structure_chosen)
        form.protection_toggled.connect(self._on_protection_toggled)
        form.level_moved.connect(self.show_level)
        form.level_released.connect(partial(self.corrections.accept_preview, LEVEL))
        form.alternative_requested.connect(self.step_alternative)
        form.alternative_taken.connect(self._on_alternative_taken)
        form.end_moved.connect(self.move_end)
        form.slice_chosen.connect(lambda z: self.go_to(self.place[0], z))
        form.scribble_requested.connect(self.toggle_scribble)
        form.contour_requested.connect(self.edit_contour)
        form.contour_applied.connect(self.handles.apply)
        form.contour_cancelled.connect(self.handles.cancel)
        form.brush_limited.connect(self._on_brush_limited)
        form.interpolate_requested.connect(self.interpolate)
        form.revert_requested.connect(self.revert)
        form.absent_requested.connect(self.remove)
        form.carry_requested.connect(self.carry)
        form.copy_requested.connect(self.copy_from)
        form.most_uncertain_requested.connect(self.centre)
        form.landmark_requested.connect(self.other_landmark)
        form.play_requested.connect(self.player.toggle)
        self.player.playing_changed.connect(self._on_playing_changed)

    def open(self) -> Generator[None, None, None]:
        """Show the study as the reader left it, in steps between which the window answers.

        Raises LayerRemovedError if the user removes a layer that is needed. The caller must then
        close the study, as after any other error and if it does not do all steps.
        """
        for _ in self._steps():
            yield
            if self.picture.is_lost:
                raise LayerRemovedError

    def _steps(self) -> Generator[None, None, None]:
        yield
        self._show_first_slice()
        yield
        yield from self.picture.show()
        yield
        if self.letters is not None:
            self.letters.set_layer(self.picture.image)
            yield
        posteriors = self.session.study.posteriors.get
        self.outlines.set_image(self.picture.image, posteriors, self.session.structures)
        self.outlines.make_lines()
        yield
        self.outlines.set_view(self.forms.view.view)
        yield
        self.outlines.titled.connect(self.picture.caption.set_title)
        self.picture.caption.set_title(self.outlines.title)
        yield
        for show in (self.view.show_scores, self.view.show_marks, self.view.show_numbers):
            show()
            yield
        self._thumbnails.show()
        self._connect()
        self._on_moved(self.place)  # which may have changed meanwhile
        self.keys = ReviewKeys(self._viewer, self._actions(), {"peek": self.outlines.peek})
        self.picture.edited.editable = not self.saver.read_only

    def _show_first_slice(self) -> None:
        """Show the slice at which the reader stopped, or the first slice of the queue."""
        self.view.show_setup()
        self.view.score()
        place = self.session.first_place(self.view.queue)
        self.picture.go_to(place)
        self.picture.zoom_to_heart()
        name = self.view.queued_structure(place)
        self._choose_structure(name or self.forms.corrections.structure)
        self.player.set_layer(self.picture.image)
        self.window_level.set_layer(self.picture.image, self._window)
        if self._window is not None:
            self.window_level.show_automatic()

    def close(self) -> None:
        """Save and disconnect from the viewer. Raises DataError if saving fails."""
        try:
            for part in (
                *(self.scribble, self.brush, self.contour, self.player),
                *(self.carried.tool, self.corrections, self.window_level, self._thumbnails),
            ):
                part.close()
            for open_part in (self.keys, self.outlines, self.letters):
                if open_part is not None:
                    open_part.close()
            # Last, because discarding a preview counts as an edit.
            for soon in (self._soon, self._place_soon, self._save_soon):
                soon.cancel()
        finally:
            try:
                self.saver.close()
            finally:
                self.picture.leave(saved=not self.saver.has_unsaved)
