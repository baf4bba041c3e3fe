"""Controller of a review: joins the session, the layers and the forms of one study."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Signal

from ...core.heart.function import Patient
from ...core.types import Place
from ..common.window_thread import after_frame
from ..editing.contour_edit import ContourEdit
from ..editing.corrections import Corrections
from ..editing.ends_form import END_BUTTONS
from ..layers.captions import PatientLetters, has_letters
from ..layers.cine_player import CinePlayer
from ..layers.keys import KeyAction, ReviewKeys
from ..layers.window_level import WindowLevel
from ..reading.picture import LayerRemovedError, OpenedStudy, ReviewPicture
from ..reading.uncertainty_view import OutlineLayers
from .action_check import ActionCheck
from .carried_review import CarriedReview
from .context import ReviewContext
from .correction_tools import CorrectionTools
from .decisions import ReviewDecisions
from .export import ReviewExporter
from .forms import ReviewForms
from .navigator import SliceNavigator
from .saver import EVERY_MS, StudySaver
from .turned_thumbnails import TurnedThumbnails
from .view import ReviewView


class ReviewController(QObject):
    """Controller that makes the parts of a review, connects them and follows their changes.

    The steps of `open` show the study; until the last one is done, keys and forms do nothing and
    labels cannot be edited. ``said`` carries messages for the reader, ``reported`` those about a
    slice that is no longer on screen, and ``lost`` the name of a removed layer, after which the
    study must be closed.
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
        self.player = CinePlayer(viewer, self)
        self.context = context = ReviewContext(
            self.session, forms, self.picture, self.corrections, self.player
        )
        self.outlines = OutlineLayers(viewer, self)
        self.contour = ContourEdit(viewer, self.corrections, self)
        self.check = check = ActionCheck(
            context, self.contour, read_only=self.saver.read_only, parent=self
        )
        self.view = view = ReviewView(context, check)
        self.tools = CorrectionTools(
            viewer, context, view, check, contour=self.contour, outlines=self.outlines, parent=self
        )
        self.navigator = SliceNavigator(context, view, check, self.tools, self)
        self.decisions = ReviewDecisions(context, view, check, self.navigator, self)
        self._thumbnails = TurnedThumbnails(
            viewer, opened, self.picture.image, forms.thumbnails, parent=self
        )
        self.carried = CarriedReview(context, check, self._thumbnails, self)
        self.window_level = WindowLevel(viewer)
        self.letters = None if has_letters(viewer) else PatientLetters(viewer)
        self.keys: ReviewKeys | None = None
        self.exporter = ReviewExporter(
            self.session, opened.image, forms.export, self, end_drawing=self.end_drawing
        )
        self._soon = after_frame(self.view.show_edited, self)
        self._place_soon = after_frame(self.view.show_place, self)
        self._save_soon = after_frame(self.saver.save, self)

    # Settings of the review

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
        """Show the slices in the order of the queue, and everything that depends on this order."""
        self.view.score()
        self.view.show_scores()
        self.view.show_marks()
        self.view.show_numbers()

    def _on_patient_changed(self, patient: Patient) -> None:
        self.session.set_patient(patient)
        self._on_edited()

    def _on_landmarks_changed(self, ed: int, es: int) -> None:
        self.session.change(ed=ed, es=es, landmarks_chosen=True)
        self.view.show_landmarks()
        self._show_scores()
        self.saver.note_change()
        self.said.emit("\n".join(self.session.number_warnings()))

    def _on_protection_toggled(self, name: str, protected: bool) -> None:
        names = {*self.session.state.protected} - {name} | ({name} if protected else set())
        self.session.change(protected=tuple(sorted(names)))
        self.tools.brush.refresh()
        self.saver.note_change()

    # Events

    def _on_moved(self, place: Place) -> None:
        lost = self.corrections.discard_preview()
        handles = self.contour.handles
        if handles.is_active and handles.place != place:
            self.contour.leave()
        is_playing = self.player.is_playing
        if lost or not is_playing:
            self.said.emit(lost)  # an earlier message was about the previous slice
        if is_playing:
            self.view.show_in_overview(place)  # the rest follows when the cine stops
            return
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

    def _on_decided(self) -> None:
        self._on_edited()
        self._save_soon.throttle()  # copying the labels would delay the image

    def _on_scribble_active(self, active: bool) -> None:
        self.window_level.needs_shift = active

    def _on_playing_changed(self, playing: bool) -> None:
        self.forms.corrections.set_playing(playing, self.player.rate)
        if not playing:
            self.picture.note_place()  # later it would discard what the next action shows
            self._on_moved(self.context.place)

    def _actions(self) -> Mapping[str, KeyAction]:
        """Return the actions of the keys, by name."""
        navigator, decisions, tools = self.navigator, self.decisions, self.tools
        return {
            "next": partial(navigator.step, 1),
            "previous": partial(navigator.step, -1),
            "most uncertain": navigator.centre,
            "ED or ES": navigator.other_landmark,
            "previous phase": partial(navigator.step_phase, -1),
            "next phase": partial(navigator.step_phase, 1),
            "accept": decisions.accept,
            "flag": decisions.flag,
            "next view": self.forms.view.choose_next,
            "outline or fill": self.forms.display.toggle_fill,
            "previous alternative": partial(tools.step_alternative, -1),
            "next alternative": partial(tools.step_alternative, 1),
            "interpolate": tools.interpolate,
            "revert": tools.revert,
            "bring back": tools.bring_back,
            "absent": tools.remove,
            "scribble": tools.toggle_scribble,
            "carry": self.carried.carry,
            **{
                action: partial(tools.move_end, end, outwards)
                for action, (_, end, outwards) in END_BUTTONS.items()
            },
        }

    def _connect(self) -> None:
        """Connect the parts, so that the reader's requests take effect."""
        self.navigator.connect_forms()
        self.decisions.connect_forms()
        self.tools.connect_form()
        self._connect_forms(self.forms)
        steps = self.check, self.navigator, self.decisions, self.tools, self.carried.tool
        for part in (*steps, self.corrections, self.picture):
            part.said.connect(self.said)
        for reported in (self.decisions.reported, self.carried.tool.started):
            reported.connect(self.reported)
        self.decisions.decided.connect(self._on_decided)
        self.decisions.commented.connect(self.saver.note_change)
        self.outlines.view_changed.connect(self.forms.view.set_view)
        self.corrections.changed.connect(self._on_corrected)
        self.corrections.preview_ended.connect(self._place_soon.throttle)
        self.saver.changed.connect(self.carried.refresh)
        self.tools.scribble.active_changed.connect(self._on_scribble_active)
        self.player.playing_changed.connect(self._on_playing_changed)
        self.picture.moved.connect(self._on_moved)
        self.picture.lost.connect(self.lost)

    def _connect_forms(self, forms: ReviewForms) -> None:
        forms.queue.changed.connect(self.refresh_queue)
        forms.stop.target_changed.connect(self.view.show_advice)
        forms.display.changed.connect(self.picture.set_display)
        forms.view.view_chosen.connect(self.outlines.set_view)
        forms.numbers.patient.patient_changed.connect(self._on_patient_changed)
        forms.volumes.phases_changed.connect(self._on_landmarks_changed)
        forms.corrections.protection_toggled.connect(self._on_protection_toggled)
        forms.corrections.play_requested.connect(self.player.toggle)
        for requested in (forms.corrections.carry_requested, forms.carried.keep_requested):
            requested.connect(self.carried.carry)

    def open(self) -> Generator[None, None, None]:
        """Show the study as the reader left it, in steps between which the window responds.

        Raises LayerRemovedError if the user removes a layer that is needed. The caller must then
        close the study, as it must after any other error, or if it stops before the last step.
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
        posteriors = self.session.study.posteriors.get
        self.outlines.set_image(self.picture.image, posteriors, self.session.structures)
        self.outlines.make_lines()
        yield
        self.outlines.map_wanted.connect(self.picture.add_map)
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
        self._on_moved(self.context.place)  # which may have changed meanwhile
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
        self.tools.choose_structure(name or self.forms.corrections.structure, draw=False)
        self.player.set_layer(self.picture.image)
        self.window_level.set_layer(self.picture.image, self._window)
        if self._window is not None:
            self.window_level.show_automatic()

    def end_drawing(self) -> None:
        """End a stroke of the brush, and apply a contour whose handles were moved."""
        self.corrections.watch.end_stroke()
        self.contour.leave()

    def close(self) -> None:
        """Save and disconnect from the viewer. Raises DataError if saving fails."""
        try:
            tools = self.tools, self.contour, self.player, self.carried.tool
            for part in (*tools, self.corrections, self.window_level, self._thumbnails):
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
