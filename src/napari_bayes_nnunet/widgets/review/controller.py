"""Controller of a review: from a key, a button or a stroke of the reader to the changed labels.

It reads from top to bottom: the parts of a review and their connections, the opening and closing of
a study, what follows a change, the check before an action, and then the actions themselves: ways
through the queue, decisions, corrections and settings. `ReviewView` shows what they lead to.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...app.review.valve_points import hinges_of
from ...core.counts import format_count
from ...core.heart.function import Patient
from ...core.heart.long_axis import cutting_line, slice_numbers
from ...core.heart.normal_ranges import NormalRanges
from ...core.heart.valve_plane import HingesKey
from ...core.heart.wall import Insertions
from ...core.types import Mask, Phase, Place
from ..common.background import after_frame
from ..common.connections import Connections
from ..common.dock import DockContent
from ..editing.brush_region import PAINTING, BrushRegion
from ..editing.carry import Carrying
from ..editing.contour_handles import ContourHandles
from ..editing.correction_form import END_BUTTONS
from ..editing.corrections import COMMENT, LEVEL, PUSH, TOOL_WORDS, Corrections
from ..editing.drawing_tools import PUSH_HELP, SCRIBBLE_BUTTONS, PushTool, ScribbleTool
from ..editing.insertion_points import InsertionPoints
from ..layers.cine_player import CinePlayer
from ..layers.keys import ANSWER_KEYS, KEYS, STRUCTURE_KEYS, KeyAction, ReviewKeys
from ..layers.line_layer import Line, LineLayer, line_color
from ..layers.structure_contours import CONTOURS
from ..layers.viewing import shown_orientation
from ..layers.wheel import ReviewWheel
from ..layers.window_level import WindowLevel
from ..reading.picture import LayerRemovedError, OpenedStudy, ReviewPicture
from ..reading.second_view import LINE_COLOR
from ..reading.slice_pictures import SlicePictures
from ..reading.thumbnails import NO_LANDMARKS
from ..reading.uncertainty_view import OutlineLayers
from .export import ReviewExporter
from .forms import WALL, ReviewForms
from .saver import StudySaver
from .view import NOT_SEGMENTED, ReviewView

WAS_HIDDEN: Final = "The image or the labels were hidden. Check the slice, then repeat the action."
DOCK_WAS_BEHIND: Final = (
    "The Review dock was behind another one. Check the slice, then repeat the action."
)
QUEUE_EMPTY: Final = "The queue is empty."
QUEUE_STARTS: Final = "This is the first slice of the queue."
QUEUE_WRAPPED: Final = "The queue has ended. This is its first open slice."
LAST_OPEN: Final = "This is the last open slice of the queue."
ALL_ACCEPTED: Final = "All slices accepted. Continue with Save."
PAINTS: Final = "Clicks and drags now change the labels ({tool}). Press Z to stop."
ASKED: Final = "{finding} Press Enter to accept the slice anyway."
ACCEPTED: Final = "{slice}: accepted{answer}. {count} in the queue."
WITH_ANSWER: Final = " with answer {number}, which was on screen"
REVIEW_FINISHED: Final = "Finished. Open slices stay as they are. Continue with Save."
CINE_STOPPED: Final = "The cine was stopped. Look at this slice, then accept it."
COMMENT_KEEPS_FLAG: Final = (
    "A slice with a comment stays flagged. Delete the comment, or accept the slice."
)
LINE_PIXELS, LINE_OPACITY = 1.8, 0.8
"""Width and opacity of the line of a long axis."""
LEVEL_STEP: Final = 0.1
"""Margin by which the keys grow or shrink a structure."""
FROM_PREDICTION: Final = (
    "The level starts from the prediction: it replaces your correction of the {structure} in this "
    "slice. Ctrl+Z returns to it."
)
NOTHING_TO_COPY: Final = "There is no {} with labels to copy from."


class ReviewController(QObject):
    """Controller of the review of one study.

    The steps of `open` show the study; until the last one is done, keys and forms do nothing and
    labels cannot be edited. ``said`` carries messages for the reader, ``reported`` those about a
    slice that is no longer on screen, and ``lost`` the name of a removed layer, after which the
    study must be closed.
    """

    said = Signal(str)
    reported = Signal(str)
    lost = Signal(str)

    def __init__(
        self, viewer: Any, opened: OpenedStudy, forms: ReviewForms, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.session, self._window = opened.session, opened.window
        self.forms = forms
        self.saver = StudySaver(self.session, opened.lock, self)
        self.picture = ReviewPicture(viewer, opened, display=forms.display.display, parent=self)
        image, edited = self.picture.image, self.picture.edited
        self.corrections = Corrections(viewer, self.session, edited, parent=self)
        self.player = CinePlayer(viewer, image, self)
        self.outlines = OutlineLayers(
            viewer, image, self.session.study.posteriors.get, self.session.structures, self
        )
        self.view = ReviewView(
            self.session, forms, self.picture, self.corrections, self.player,
            read_only=self.saver.read_only,
        )  # fmt: skip
        self.contour = ContourHandles(viewer, image, self)
        self._contour: tuple[int, NDArray[np.float64]] = 0, np.zeros((0, 2))  # label, curve before
        self.scribble = ScribbleTool(viewer, image, edited, self)
        self.push = PushTool(viewer, image, edited, self._outline, self)
        self._drawing = {"scribble": self.scribble, "push": self.push}
        others = self.scribble, self.push, self.contour
        self.insertions = InsertionPoints(viewer, image, others, self)
        self._long_axis = LineLayer(viewer, image, "long axis", pixels=LINE_PIXELS, below=CONTOURS)
        self.brush = BrushRegion(viewer, image, edited, self.corrections, self)
        self.carrying = Carrying(
            self.session, self.corrections, forms.carried, self.make_pictures, self
        )
        self.window_level = WindowLevel(viewer, image, self._window)
        self.wheel: ReviewWheel | None = None
        self.keys: ReviewKeys | None = None
        self.exporter = ReviewExporter(
            self.session, opened.image, forms.export, self, end_drawing=self.end_drawing
        )
        self._actions = self._make_actions()
        self._brief_keys: ReviewKeys | None = None  # while an answer is on screen, or A has asked
        self._is_asked = False  # whether to accept a slice with a finding
        self._seen_place: Place | None = None  # the slice that was drawn last
        # Lists and numbers follow the frame, so that the image of a new slice is drawn first.
        self._soon = after_frame(self.view.show_edited, self)
        self._followed = Connections()
        self._place_soon = after_frame(self._show_place, self)
        self._view_soon = after_frame(self.view.show_view, self)
        self._other_soon = after_frame(self._show_other, self)
        self._save_soon = after_frame(self.saver.save, self)

    def _make_actions(self) -> Mapping[str, tuple[str, KeyAction]]:
        """Return what keys and buttons do: action → part of `ReviewView.reasons`, and function.

        The function is called only if the part can be used; the part "" can always be.
        """
        view, corrections = self.view, self.corrections
        return {
            "next": ("", partial(self.step, 1)),
            "previous": ("", partial(self.step, -1)),
            "most uncertain": ("", self.centre),
            "ED or ES": ("ED or ES", self._show_other_landmark),
            "slice to base": ("", partial(self._step_slice, -1)),
            "slice to apex": ("", partial(self._step_slice, 1)),
            "fit": ("", self.picture.zoom_to_heart),
            **{name: ("", partial(self._choose, n)) for n, name in enumerate(STRUCTURE_KEYS)},
            "next structure": ("", self._choose_next_structure),
            "move": ("", self._end_tool),
            "brush": ("brush", partial(self._toggle_brush, "paint")),
            "eraser": ("brush", partial(self._toggle_brush, "erase")),
            "shrink": ("level", partial(self._step_level, 1)),
            "grow": ("level", partial(self._step_level, -1)),
            "previous phase": ("", partial(self.step_phase, -1)),
            "next phase": ("", partial(self.step_phase, 1)),
            "play": ("", self.player.toggle),
            "accept": ("", self._accept_seen),
            "accept anyway": ("accept", self._accept),
            "leave open": ("", lambda: self.said.emit("")),
            "undo": ("", corrections.undo),
            **dict.fromkeys(("redo", "redo as elsewhere"), ("", corrections.redo)),
            "flag": ("accept", self._flag),
            "next view": ("", self.forms.view.choose_next),
            "outline or fill": ("", self.forms.display.toggle_fill),
            "previous alternative": ("alternatives", partial(self._step_alternative, -1)),
            "next alternative": ("alternatives", partial(self._step_alternative, 1)),
            "use answer": ("", self._use_answer),
            "discard answer": ("", lambda: self.corrections.discard_preview()),
            **{name: ("", partial(self._toggle_drawing, name)) for name in self._drawing},
            "contour": ("contour", self._edit_contour),
            "apply contour": ("", self.contour.apply),
            "cancel contour": ("", self.contour.cancel),
            "interpolate": (
                "interpolate", lambda: corrections.interpolate(view.place, view.label)
            ),
            "revert": ("revert", lambda: corrections.revert(view.place)),
            "bring back": ("bring back", lambda: corrections.bring_back(view.place[0])),
            "valve plane": ("valve plane", lambda: corrections.remove_atria(view.place[0])),
            "absent": ("absent", lambda: corrections.remove(view.place, view.label)),
            "carry": ("carry", self._carry),
            **{name: ("base or apex", partial(self._move_end, name)) for name in END_BUTTONS},
        }  # fmt: skip

    def _connect(self) -> None:
        """Connect the parts, so that the reader's requests take effect."""
        forms = self.forms
        for requested in (forms.corrections.requested, forms.slice.requested):
            requested.connect(self.act)
        self._connect_views(forms)
        self._connect_tools(forms)
        forms.queue.changed.connect(self.refresh_queue)
        forms.stop.target_changed.connect(self.view.show_advice)
        forms.stop.finish_requested.connect(self._finish)
        forms.slice.comment_changed.connect(self.comment)
        forms.numbers.patient.patient_changed.connect(self._on_patient_changed)
        forms.numbers.ranges_chosen.connect(self._on_ranges_chosen)
        forms.numbers.as_muscle.clicked.connect(self._on_rule_chosen)
        forms.numbers.by_valve.clicked.connect(self._on_rule_chosen)
        forms.volumes.phases_changed.connect(self._on_landmarks_changed)
        for part in (self.corrections, self.picture, self.carrying):
            part.said.connect(self.said)
        self.carrying.started.connect(self.reported)
        self.corrections.changed.connect(self._on_corrected)
        self.corrections.preview_ended.connect(self._on_preview_ended)
        self.corrections.undone.connect(self._on_undone)
        self.saver.changed.connect(self.carrying.refresh)

    def _connect_views(self, forms: ReviewForms) -> None:
        """Connect what chooses a slice, or how it is shown."""
        for part in (*forms.overviews, forms.numbers):
            part.cell_chosen.connect(self.go_to_queued)
        forms.table.row_chosen.connect(self.go_to_queued)
        forms.other.clicked.connect(partial(self.act, "ED or ES"))
        forms.other.turned.connect(self._step_slice)
        forms.long_axis.turned.connect(self._step_slice)
        forms.long_axis.slice_chosen.connect(self._on_slice_chosen)
        for event in (forms.second.chosen, self.player.stepped):  # moves come late while it plays
            event.connect(self.show_long_axis)
        forms.carried.cell_chosen.connect(self._on_carried_chosen)
        forms.corrections.strip.slice_chosen.connect(self._on_slice_chosen)
        forms.display.changed.connect(self.picture.set_display)
        forms.view.view_chosen.connect(self.outlines.set_view)
        self.outlines.view_changed.connect(forms.view.set_view)
        self.player.playing_changed.connect(self._on_playing_changed)
        self.picture.moved.connect(self._on_moved)
        self.picture.lost.connect(self.lost)

    def _connect_tools(self, forms: ReviewForms) -> None:
        """Connect the tools that need more than an action."""
        form = forms.corrections
        form.structures.structure_chosen.connect(self.choose_structure)
        form.locks.protection_toggled.connect(self._on_protection_toggled)
        form.level.level_moved.connect(self.show_level)
        form.level.level_released.connect(partial(self.corrections.accept_preview, LEVEL))
        form.copy_requested.connect(self._copy_from)
        form.brush_limited.connect(self._on_brush_limited)
        forms.carried.keep_requested.connect(partial(self.act, "carry"))
        self.contour.applied.connect(self._on_contour_applied)
        self.contour.cancelled.connect(self._show_tool)
        for name, tool in self._drawing.items():
            tool.active_changed.connect(partial(self._on_drawing_active, name))
            tool.pressed.connect(self.player.pause)
        self.scribble.drawn.connect(self._on_stroke)
        self.push.pushed.connect(self._on_pushed)
        self.push.released.connect(partial(self.corrections.accept_preview, PUSH))
        self.insertions.moved.connect(self._on_insertions_moved)
        forms.valves.moved.connect(self._on_valve_moved)
        # napari's keys X and M and its picker change the label without a word to the dock.
        self.picture.edited.events.selected_label.connect(self._on_label_chosen)
        self._soon.triggered.connect(self.show_long_axis)
        for shown in (self._soon.triggered, self._place_soon.triggered):
            shown.connect(self._show_insertions)
        forms.sections[WALL].toggled.connect(self._show_insertions)

    # Opening and closing

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
        self._on_turned()
        self._connect()
        self._on_moved(self.view.place)  # which may have changed meanwhile
        self._show_tool()
        keys = {name: partial(self.act, name) for name in self._actions if name in KEYS}
        for name in ANSWER_KEYS:
            del keys[name]  # otherwise they are keys of napari
        self.keys = ReviewKeys(self._viewer, keys, {"peek": self.outlines.peek})
        self.wheel = ReviewWheel(self._viewer, self._step_slice, self.step_phase)
        self.wheel.is_napari = self.forms.napari_wheel.isChecked()
        self.forms.napari_wheel.toggled.connect(partial(setattr, self.wheel, "is_napari"))
        self.picture.edited.editable = not self.saver.read_only
        self._follow()

    def _show_first_slice(self) -> None:
        """Show the slice at which the reader stopped, or the first slice of the queue."""
        self.view.show_setup()
        self.view.score()
        place = self.session.first_place(self.view.queue)
        self.picture.come_to_front()  # first, because the sliders are those of the image in front
        self.picture.go_to(place)
        name = self.view.queued_structure(place)
        self.choose_structure(name or self.forms.corrections.structure, draw=False)
        if self._window is not None:
            self.window_level.show_automatic()

    def end_drawing(self) -> None:
        """End a stroke of the brush, and apply a contour whose handles were moved."""
        self.corrections.watch.end_stroke()
        self.contour.leave()

    def close(self) -> None:
        """Save and disconnect from the viewer. Raises DataError if saving fails."""
        try:
            self._followed.close()
            self.contour.leave()
            for tool in self._drawing.values():
                tool.close()
            tools = self.brush, self.contour, self.insertions
            for part in (*tools, self.player, self.carrying, self.corrections, self.window_level):
                part.close()
            for open_part in (self._brief_keys, self.keys, self.wheel, self.outlines):
                if open_part is not None:
                    open_part.close()
            self._long_axis.remove()
            # Last, because discarding a preview counts as an edit.
            shown = self._soon, self._place_soon, self._view_soon, self._other_soon
            for soon in (*shown, self._save_soon):
                soon.cancel()
        finally:
            try:
                self.saver.close()
            finally:
                self.picture.leave(saved=not self.saver.has_unsaved)

    # After a change

    def _on_moved(self, place: Place) -> None:
        self._ask(False)
        lost = self.corrections.discard_preview()
        if self.contour.is_active and self.contour.place != place:
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
        self.show_long_axis()
        self._place_soon.throttle()

    def _show_place(self) -> None:
        self._seen_place = self.view.place
        self.view.show_place()

    def _on_playing_changed(self, playing: bool) -> None:
        self.forms.corrections.set_playing(playing, self.player.rate)
        if not playing:
            self.picture.note_place()  # later it would discard what the next action shows
            self._on_moved(self.view.place)

    def _on_corrected(self) -> None:
        self._ask(False)
        if not self.corrections.is_showing:  # a preview is not saved
            self.saver.note_change()
        self._soon.throttle()

    def _note_edit(self) -> None:
        self.saver.note_change()
        self._soon.throttle()

    def _note_decision(self) -> None:
        self._note_edit()
        self._save_soon.throttle()  # copying the labels would delay the image

    def _on_undone(self, places: list[Place]) -> None:
        """Show a slice that undo or redo has changed, and save soon, as after a decision."""
        if self.view.place not in places:
            self.picture.go_to(places[0])
            if self.view.label not in self.corrections.undone_labels:
                self._choose_queued_structure()
        self._save_soon.throttle()

    # The pictures of the slices, which lie as the slices do on the screen

    def _follow(self) -> None:
        """Follow the events that change how the slices lie on the canvas."""
        viewer, camera, connect = (
            self._viewer,
            self._viewer.scene.camera.events,
            self._followed.connect,
        )
        connect(self._on_turned, viewer.dims.events.order, camera.orientation)
        connect(self._view_soon.throttle, camera.zoom, camera.center, viewer.canvas.events.size)
        connect(self._other_soon.throttle, self.picture.image.events.contrast_limits)
        connect(self._on_mode, self.picture.edited.events.mode)

    def make_pictures(
        self, *, around: Mask | None = None, window: tuple[float, float] | None = None
    ) -> SlicePictures:
        """Return pictures of the slices as they lie on the screen now; see `SlicePictures`."""
        image = self.picture.image
        window = window or self._window or tuple(image.contrast_limits)
        orientation = shown_orientation(self._viewer)
        return SlicePictures(self.session, image.data, window, orientation, around=around)

    def _on_turned(self, event: object = None) -> None:
        pictures = self.make_pictures()
        self.forms.thumbnails.set_pictures(pictures)
        self._other_soon.throttle()
        self.carrying.redraw()

    def show_long_axis(self) -> None:
        """Show the chosen long axis at the slice on screen, and where it cuts this slice."""
        info, plane, place = self.session.study.info, self.forms.second.plane, self.view.place
        self.view.show_on_long_axis(place)
        ends = None
        if plane is not None:
            numbers = slice_numbers(info.geometry.affine, plane.affine, z=place[1])
            ends = cutting_line(numbers, 0, (info.shape[-2], info.shape[-1]))
        if ends is not None:
            color = line_color(LINE_COLOR, LINE_OPACITY)
            self._long_axis.draw([Line(ends, color, closed=False)], place)
        self._long_axis.show(ends is not None)

    def _show_other(self) -> None:
        """Show the other phase with the contrast and the place of the canvas."""
        image = self.picture.image
        whole, window = np.ones(image.data.shape[-2:], bool), tuple(image.contrast_limits)
        self.forms.other.set_pictures(self.make_pictures(around=whole, window=window))
        self.view.show_view()

    # Before an action

    def act(self, action: str) -> None:
        """Do what a key or a button asks for, if it is possible in the slice on screen."""
        part, do = self._actions[action]
        self._ask(False)
        if not part or self.allows(part):
            do()

    def allows(self, part: str) -> bool:
        """Stop the cine; return whether an action is possible, and show the reason if not.

        Nothing is decided or changed while image, labels or findings are hidden. A contour being
        edited is ended first, because it would hide the result.
        """
        display, dock = self.forms.display, self.parent()
        self._ask(False)
        self.player.stop()
        self.corrections.watch.end_stroke()  # else it would be a part of the action
        if self.picture.reveal():
            if not display.fill.isChecked():
                display.contours.setChecked(True)
            self.said.emit(WAS_HIDDEN)
            return False
        if isinstance(dock, DockContent) and dock.raise_if_behind():
            self.said.emit(DOCK_WAS_BEHIND)
            return False
        reason = self.view.why_not(part)
        if not reason and part != "contour":
            self.contour.leave()
        self.said.emit(reason)
        return not reason

    # Ways through the queue, the slices and the phases

    def go_to_queued(self, phase: Phase, z: int) -> None:
        """Show a slice, and choose the structure that the queue names for it.

        The wheel, the sliders and the keys for slices and phases keep the structure, so that a
        reader can correct one structure through the whole heart. So does a tool that draws.
        """
        place = phase, z
        name = None if self._draws else self.view.queued_structure(place)
        if name is not None and place != self.view.place:
            self.corrections.discard_preview(LEVEL)  # which is of the slice on screen
            self.choose_structure(name, draw=False)  # first, so that the slice is drawn once
        self.picture.show_slice(place)
        if not self._draws:
            self._choose_queued_structure()

    @property
    def _draws(self) -> bool:
        """Whether the next drag of the mouse changes the chosen structure."""
        is_painting = self.picture.edited.mode in PAINTING
        return is_painting or any(tool.is_active for tool in self._drawing.values())

    def step(self, step: int) -> None:
        """Stop the cine and show the next (+1) or previous (-1) slice of the queue.

        After the last slice the queue starts again, with its first slice that is not accepted.
        """
        self.player.stop()  # or the queue would be followed from the phase that is played
        queue, now = self.view.queue, self.view.place
        place, said = self.session.after(now, queue, step=step), ""
        if place is None and (step < 0 or not queue):
            said = QUEUE_STARTS if queue else QUEUE_EMPTY
        elif place is None:
            place = self.session.next_open(now, queue)
            is_accepted = self.session.state_of(now) == "accepted"
            said = QUEUE_WRAPPED if place else ALL_ACCEPTED if is_accepted else LAST_OPEN
        if place is not None:
            self.go_to_queued(*place)
        if said:
            self.said.emit(said)

    def _show_other_landmark(self) -> None:
        """Show the same slice at ES, or at ED if ES is on screen."""
        place = self.view.other_place
        if place is None:
            self.said.emit(NO_LANDMARKS)
            return
        self.picture.show_slice(place)

    def step_phase(self, step: int) -> None:
        """Stop the cine and show the same slice in the next or previous phase, in a loop."""
        self.player.pause()
        phase, z = self.view.place
        if phase is not None:
            count = self.session.labels.shape[0]
            self.picture.go_to(((phase - 1 + step) % count + 1, z))

    def _step_slice(self, step: int) -> None:
        """Stop the cine and show the next slice towards the apex (+1) or the base (-1)."""
        self.player.pause()
        phase, z = self.view.place
        z += -step if self.session.base_is_first is False else step
        if 0 <= z < self.session.slices:
            self.picture.go_to((phase, z))

    def centre(self) -> None:
        """Centre on the voxel on which the members disagree most."""
        place = self.view.place
        if place[0] in self.session.phases:
            self.picture.centre_on(*self.session.most_uncertain_in(place))
        else:
            self.said.emit(NOT_SEGMENTED)

    def _choose_queued_structure(self) -> None:
        name = self.view.queued_structure(self.view.place)
        if name is not None and name != self.forms.corrections.structure:
            self.choose_structure(name)

    def _on_carried_chosen(self, phase: Phase, z: int) -> None:
        self.player.pause()
        self.picture.show_slice((phase, z))

    def _on_slice_chosen(self, z: int) -> None:
        self.picture.show_slice((self.view.place[0], z))

    # Decisions

    def _accept_seen(self) -> None:
        """Accept the slice unless it is not drawn yet, so that nobody can have looked at it."""
        if self.view.place == self._seen_place or self.player.is_playing:
            self.accept()

    def accept(self) -> None:
        """Accept the slice as shown, and show the next one; ask first if it has a finding.

        Only another key accepts it then, because the same one is pressed for slice after slice.
        """
        if self.player.is_playing:
            self.player.stop()
            self.said.emit(CINE_STOPPED)
            return
        if not self.allows("accept"):
            return
        finding = self.view.finding_in(self.view.place)
        if finding:
            self._ask(True)
            self.said.emit(ASKED.format(finding=finding))
        else:
            self._accept()

    def _ask(self, is_asked: bool) -> None:
        """Ask whether to accept a slice with a finding, or end this question."""
        if is_asked != self._is_asked:
            self._is_asked = is_asked
            self.forms.slice.ask(is_asked)
            self._bind_brief_keys()

    def _accept(self) -> None:
        session, queue, place = self.session, self.view.queue, self.view.place
        number = self.corrections.shown_alternative
        answer = WITH_ANSWER.format(number=number) if number else ""
        self.corrections.accept_preview()
        self.corrections.decide(place, lambda: session.decide(place, "accepted"), "acceptance")
        next_place = session.next_open(place, queue)
        session.change(finished=False)
        if next_place is not None:
            self.go_to_queued(*next_place)
            progress = session.progress(queue)
            count = format_count(progress.total - progress.done, "open slice")
            done = ACCEPTED.format(slice=session.title_of(place), answer=answer, count=count)
            self.reported.emit(self.view.new_offer() or done)
        else:
            session.finish()
            self.said.emit(ALL_ACCEPTED)
        self._note_decision()

    def _finish(self) -> None:
        """Finish the review before all slices are accepted."""
        self.session.finish()
        self._note_decision()
        self.said.emit(REVIEW_FINISHED)

    def _flag(self) -> None:
        """Flag the slice, or remove its flag."""
        self.corrections.accept_preview()
        place = self.view.place
        decision = self.session.state.decisions.get(place)
        if decision is None or decision.state != "flagged":
            self.corrections.decide(place, lambda: self.session.decide(place, "flagged"), "flag")
        elif not decision.comment:
            self.corrections.decide(place, lambda: self.session.unflag(place), "flag removal")
        else:
            self.said.emit(COMMENT_KEEPS_FLAG)
            return
        self.session.change(finished=False)
        self._note_decision()

    def comment(self, text: str) -> None:
        """Set the comment of the slice; a slice without a decision becomes flagged."""
        if self.allows("accept"):
            self.corrections.accept_preview()
            place = self.view.place
            decide = partial(self.session.comment_on, place, text)
            self.corrections.decide(place, decide, COMMENT)
            self._note_edit()
        self.view.show_marks()

    # Corrections of the structure in the slice on screen

    def choose_structure(self, name: str, *, draw: bool = True) -> None:
        """Correct this structure from now on; show it at once, or in the next slice."""
        self.corrections.accept_preview(LEVEL)
        self.forms.corrections.structures.set_structure(name)
        self.picture.set_structure(self.view.label)
        for tool in self._drawing.values():
            tool.set_color(self.view.color)
        self.brush.set_color(self.view.color)
        self.outlines.set_structure(name, draw=draw)
        if draw:
            self.view.show_structure()

    def _choose(self, number: int) -> None:
        """Correct the structure with this number, from 0, if there are so many."""
        for name in [*self.session.structures][number : number + 1]:
            self.choose_structure(name)

    def _on_label_chosen(self) -> None:
        """Follow napari's keys to another structure, but never to the background."""
        label = self.picture.edited.selected_label
        if label != self.view.label:
            names = (name for name, value in self.session.structures.items() if value == label)
            self.choose_structure(next(names, self.forms.corrections.structure))

    def _choose_next_structure(self) -> None:
        names = [*self.session.structures]
        self._choose((names.index(self.forms.corrections.structure) + 1) % len(names))

    def _toggle_brush(self, mode: str) -> None:
        """Start or stop napari's brush or eraser."""
        edited = self.picture.edited
        self.picture.select_edited()
        edited.mode = "pan_zoom" if edited.mode == mode else mode
        self._show_tool()  # a click on a button has changed it

    def _end_tool(self) -> None:
        """Let drags move the image again; handles that were moved are applied."""
        self._stop_drawing()
        self.contour.leave()
        self.picture.select_edited()
        self.picture.edited.mode = "pan_zoom"
        self._show_tool()

    def _on_mode(self) -> None:
        """Say which tool of napari changes the labels from now on."""
        mode = str(self.picture.edited.mode)
        self._show_tool()
        tool = TOOL_WORDS.get(mode, mode)
        self.said.emit(PAINTS.format(tool=tool) if mode in PAINTING else "")

    def _show_tool(self) -> None:
        """Show which tool has the mouse."""
        self.forms.corrections.set_tool(self._tool)

    @property
    def _tool(self) -> str:
        """The tool that has the mouse, "" for one of napari without a button."""
        if self.contour.is_active:
            return "contour"
        modes = {"pan_zoom": "move", "paint": "brush", "erase": "eraser"}
        active = (name for name, tool in self._drawing.items() if tool.is_active)
        return next(active, modes.get(str(self.picture.edited.mode), ""))

    def _step_level(self, direction: int) -> None:
        """Shrink (+1) or grow (−1) the structure by one step, as one undo step."""
        place, label = self.view.place, self.view.label
        margin = self.corrections.margin_at(place, label) or 0.0
        self.show_level(max(-1.0, min(1.0, margin + direction * LEVEL_STEP)))
        self.corrections.accept_preview(LEVEL)

    def show_level(self, margin: float) -> None:
        """Preview the structure at a level."""
        if self.allows("level"):
            place, label = self.view.place, self.view.label
            was_corrected = self.corrections.margin_at(place, label) is None
            self.corrections.show_level(place, label, margin)
            if was_corrected and self.corrections.is_level_preview:
                name = self.session.structure_name(label)
                self.said.emit(FROM_PREDICTION.format(structure=name))
            if not self.corrections.is_level_preview:
                self.view.show_structure()  # the slider returns to the level that is drawn

    def _step_alternative(self, step: int) -> None:
        """Preview the next or previous alternative; Enter keeps it, Escape returns."""
        self.corrections.step_alternative(self.view.place, step)
        self._bind_brief_keys()
        self.view.show_alternative()
        self._soon.throttle()  # an answer like the labels on screen changes none of them

    def _on_preview_ended(self) -> None:
        self._bind_brief_keys()
        self._place_soon.throttle()

    def _bind_brief_keys(self) -> None:
        """Let Enter and Escape answer the question, or else keep or drop the answer on screen."""
        if self._brief_keys is not None:
            self._brief_keys.close()
            self._brief_keys = None
        is_answer = self.corrections.is_preview and not self.corrections.is_level_preview
        actions = ("accept anyway", "leave open") if self._is_asked else ANSWER_KEYS
        if self._is_asked or is_answer:
            does = [partial(self.act, action) for action in actions]
            self._brief_keys = ReviewKeys(self._viewer, dict(zip(ANSWER_KEYS, does, strict=True)))

    def _use_answer(self) -> None:
        self.corrections.accept_preview()
        self.view.show_alternative()

    def _edit_contour(self) -> None:
        """Show handles on the outline of the structure."""
        self._stop_drawing()
        place, label = self.view.place, self.view.label
        bent = self.corrections.fit_contour(place, label)
        if bent is not None:
            self.contour.start(bent, place=place, color=self.view.color)
            self._contour = label, bent.curve
        self._show_tool()

    def _on_contour_applied(self, curve: NDArray[np.float64]) -> None:
        self._show_tool()
        label, start = self._contour
        self.corrections.apply_contour(self.contour.place, label, curve, start=start)

    def _move_end(self, action: str) -> None:
        """Move the base or the apex of the structure by one slice, and show this slice."""
        _, end, outwards = END_BUTTONS[action]
        place, label, show = self.view.place, self.view.label, self.picture.show_slice
        self.corrections.move_end(place, label, end, outwards=outwards, show=show)

    def _toggle_drawing(self, name: str) -> None:
        """Start or stop a tool that draws with the mouse."""
        tool = self._drawing[name]
        if tool.is_active:
            tool.stop()
        elif self.allows(name):
            self._stop_drawing()
            tool.start()
        self._show_tool()

    def _stop_drawing(self) -> None:
        for tool in self._drawing.values():
            tool.stop()

    def _on_drawing_active(self, name: str, active: bool) -> None:
        self.window_level.needs_shift = self.scribble.is_active
        self.corrections.discard_preview(PUSH)  # of a drag that the end of the tool cut off
        helps = {"scribble": SCRIBBLE_BUTTONS, "push": PUSH_HELP}
        self.said.emit(helps[name] if active else "")
        self._show_tool()

    def _outline(self) -> NDArray[np.float64] | None:
        """Return the contour to push, if it can be pushed now."""
        if not self.allows("push"):
            return None
        return self.corrections.outline(self.view.place, self.view.label)

    def _on_pushed(self, curve: NDArray[np.float64], start: NDArray[np.float64]) -> None:
        self.corrections.show_push(self.view.place, self.view.label, curve, start)

    def _show_insertions(self, *_: object) -> None:
        """Show the insertions of the RV in the slice on screen while the wall is shown."""
        place = self.view.place
        is_shown = self.forms.sections[WALL].isExpanded() and place[0] in self.session.end_phases
        wall = self.session.wall_in(place) if is_shown else None
        self.insertions.show(place, wall.insertions if wall else None)

    def _on_insertions_moved(self, place: Place, insertions: Insertions) -> None:
        if self.allows("accept"):
            move = partial(self.session.move_insertions, place, insertions)
            self.corrections.decide(place, move, "insertions of the RV")
            self._note_decision()
        else:
            self._show_insertions()

    def _on_valve_moved(self, key: HingesKey, pixels: NDArray[np.float64]) -> None:
        plane = self.forms.second.plane
        if plane is not None and self.allows("accept"):
            move = partial(self.session.move_hinges, key, hinges_of(plane, pixels))
            self.corrections.decide(self.view.place, move, "valve points")
            self._note_decision()
        self.show_long_axis()

    def _on_stroke(self, stroke: Mask, inside: bool) -> None:
        if self.allows("scribble"):
            self.corrections.scribble(self.view.place, self.view.label, stroke, inside=inside)

    def _copy_from(self, where: str) -> None:
        """Copy the structure from ``where``, one of ``COPIES``."""
        if not self.allows("copy"):
            return
        source = self.session.neighbour(self.view.place, where)
        if source is None:
            self.said.emit(NOTHING_TO_COPY.format(where))
        else:
            self.corrections.copy(self.view.place, source, self.view.label)

    def _carry(self) -> None:
        """Carry the correction of the slice to the other phases, or keep what was carried."""
        if self.carrying.is_offering:
            self.carrying.keep()
        else:
            self.carrying.carry(self.view.place, self.picture.image.data)

    def _on_brush_limited(self, bits: float | None) -> None:
        self.corrections.threshold = bits
        self.brush.refresh()

    # Settings of the review

    def refresh_queue(self) -> None:
        """Score the slices with the settings of the form; update queue and heat grid."""
        self.session.change(**self.forms.queue.choices, finished=False)
        self._show_scores()
        self.saver.note_change()

    def _show_scores(self) -> None:
        """Show the slices in the order of the queue, and everything that depends on this order."""
        self.view.score()
        self.view.show_scores()
        self.view.show_marks()
        self.view.show_numbers()

    def _on_patient_changed(self, patient: Patient) -> None:
        self.session.change(patient=patient)
        self._note_edit()

    def _on_ranges_chosen(self, ranges: NormalRanges) -> None:
        self.session.ranges = ranges
        self.view.show_numbers()

    def _on_rule_chosen(self) -> None:
        """Show the numbers by the rule that was chosen last, or by none."""
        form = self.forms.numbers
        self.session.change(
            papillary_as_muscle=form.as_muscle.isChecked(), by_valve_plane=form.by_valve.isChecked()
        )
        self._note_edit()

    def _on_landmarks_changed(self, ed: int, es: int) -> None:
        # The program finds ED and ES, too; only what a reader has chosen is work to be kept.
        self.session.change(ed=ed, es=es, landmarks_chosen=True)
        self.view.show_landmarks()
        self._show_scores()
        self.saver.note_change()
        self.said.emit("\n".join(self.session.number_warnings()))

    def _on_protection_toggled(self, name: str, protected: bool) -> None:
        names = {*self.session.state.protected} - {name} | ({name} if protected else set())
        self.session.change(protected=tuple(sorted(names)))
        self.brush.refresh()
        self.view.show_usable()
        self.saver.note_change()
