"""Corrections of the edited labels, each of them one undo step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...app.review.ends import (
    IS_LOCKED,
    End,
    ShapeSource,
    move_end,
    walls_of,
    without_atria,
)
from ...app.review.session import Decided, ReviewSession
from ...core import InputError
from ...core.counts import format_count
from ...core.editing.closed_curve import BentCurve
from ...core.editing.contour import apply_contour, contour_region
from ...core.editing.level import apply_level
from ...core.editing.presence import remove_at_end
from ...core.editing.scribble import Scribbled, apply_scribble
from ...core.editing.slice_edits import (
    copy_structures,
    interpolate_slice,
    nearest_sources,
)
from ...core.editing.smooth_contours import contour_around
from ...core.heart.measurements import voxel_ml
from ...core.problems import Problem
from ...core.types import Mask, Phase, Place
from ...io.study.arrays import select_phase
from ..common.wording import in_the_window
from ..layers.review_layers import set_slices
from ..layers.viewing import index_of
from .edit_watch import EditWatch, SliceChange

LEVEL, ALTERNATIVE, CONTOUR, PUSH = "level", "alternative", "contour", "push"
INTERPOLATE, COPY, ABSENT, REVERT = "interpolate", "copy", "absent", "revert"
BRING_BACK: Final = "bring back"
ENDS: Final = "base or apex"
VALVE_PLANE: Final = "valve plane"
SCRIBBLE: Final = "scribble"
COMMENT: Final = "comment"
UNDO: Final = "undo or redo"
REMOVED: Final = "Removed from this slice: {structures}."
REVERTED: Final = "This slice is as predicted again."
BEYOND_REMOVED: Final = "What lies in the atrium was removed from {slices}. Undo with Ctrl+Z."
BROUGHT_BACK: Final = "What was removed is back in {slices}. Undo with Ctrl+Z."
AS_PREDICTED: Final = "This slice is as predicted. Nothing was changed."
COPIED: Final = "The {structure} was copied from {source}."
SAME_THERE: Final = "The {structure} is the same in {source}. Nothing was changed."
NOT_THERE: Final = "The {structure} is not in {source}. Mark it as absent to remove it here."
NOT_HERE: Final = "The {} is not in this slice."
INTERPOLATED: Final = "The {} was interpolated between slices {below} and {above}."
ALSO_CHANGED: Final = "Also changed in this slice: {changes}."
LEAST_CHANGE: Final = 0.1
"""Volume of another structure, in mL, from which its change is said."""
END_MOVED: Final[Mapping[ShapeSource | None, str]] = {
    None: "removed {}.",
    ShapeSource.PREDICTION: "the {} was added, as predicted.",
    ShapeSource.MEMBERS: "the {} was added, as {members} drew it.",
    ShapeSource.NEIGHBOUR: "the {} was copied from the next slice, as it was not predicted here.",
}
"""Sentence after a step of base or apex, by the source of the shape."""
BY_LEVEL: Final = "The {structure} follows the stroke."
BY_ALTERNATIVE: Final = "The {structure} follows the stroke: answer {number}, from {members}."
VOLUMES: Final = "In this slice: {before:.1f} mL before, {after:.1f} mL now."
ALREADY_INSIDE: Final = "This stroke is already inside the {}."
ALREADY_OUTSIDE: Final = "This stroke is already outside the {}."
NOT_KEPT: Final = (
    "Answer {number} was not kept. To keep an answer, press Enter while it is on screen, or accept "
    "the slice."
)
NO_CONTOUR: Final = "The {} is not in this slice. Paint it, or use an answer of the members."
NOT_A_STRUCTURE: Final = "{label} is not a structure of this study. Choose one of {structures}."
UNDONE: Final = "Undone: {what} ({slices})."
REDONE: Final = "Redone: {what} ({slices})."
TOOL_WORDS: Final[Mapping[str, str]] = {
    "paint": "brush", "erase": "eraser", ALTERNATIVE: "answer of the members",
    ABSENT: "marked absent", REVERT: "return to the prediction",
}  # fmt: skip
"""Steps whose names are not those of their tools."""
REOPENED: Final = "{slice} was changed after it was accepted, so it is open again."
NOTHING_TO_UNDO: Final = "There is nothing to undo."
NOTHING_TO_REDO: Final = "There is nothing to redo."
NO_POSTERIOR: Final = "The posterior of this phase is missing. Correct the slice by hand."

Plane = NDArray[Any]
"""(Y, X) labels of a slice."""


@dataclass(eq=False)
class _Step:
    """Step to undo or redo, on top of ``item`` of napari's history of the labels.

    ``what`` it was in words. A decision has a ``place``, and the ``other`` one to put there.
    """

    what: str
    item: Any = None
    place: Place | None = None
    other: Decided = (None, None, None, MappingProxyType({}))


class Corrections(QObject):
    """Corrections of the layer "edited" of one session, one slice at a time.

    A level or an alternative is first a preview: ``accept_preview`` keeps it, ``discard_preview``
    or Ctrl+Z restores the labels; both emit ``preview_ended``. A preview costs nothing: it is not
    measured, marked or logged. Decisions of the reader are steps of undo and redo, too.

    ``changed`` is emitted after every change of the labels, also by napari's tools; ``is_showing``
    is then true if only a preview appears or disappears. ``undone`` carries the slices of an undo
    or redo, which may not be on screen, and ``undone_labels`` are the labels that it put or
    removed; ``said`` carries a message on what a correction did, or why it is impossible.
    """

    changed = Signal()
    preview_ended = Signal()
    undone = Signal(object)
    said = Signal(str)

    def __init__(
        self, viewer: Any, session: ReviewSession, layer: Labels, *, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._layer = layer
        self._preview_tool = ""  # of the preview of the session, "" without one
        self.shown_alternative = 0
        """Number, from 1, of the alternative on screen; 0 for the current labels."""
        # Place and label → level set last, and the (Y, X) mask drawn at it.
        self._levels: dict[tuple[Place, int], tuple[float, Mask]] = {}
        self._tool = self._reopened = ""
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._taking = "", ""  # sentence and words of the step that is being undone or redone
        self.undone_labels: set[int] = set()
        self.is_showing = False
        self.threshold: float | None = None
        self.watch = EditWatch(viewer, layer, self._may_paint, self)
        self.watch.changed.connect(self._on_changed)
        # First, so that a preview is accepted before anything else acts on the press.
        viewer.mouse_drag_callbacks.insert(0, self._on_press)

    @property
    def is_preview(self) -> bool:
        """Whether a level or an alternative is shown but not yet accepted."""
        return bool(self._preview_tool)

    @property
    def is_level_preview(self) -> bool:
        """Whether a level is shown but not yet accepted: the reader may be moving the slider."""
        return self._preview_tool == LEVEL

    def margin_at(self, place: Place, label: int) -> float | None:
        """Return the level at which a structure is drawn in a slice, 0 if it is as predicted.

        None if another tool changed the structure.
        """
        drawn = self._session.labels_in(place) == label
        margin, mask = self._levels.get((place, label), (0.0, None))
        # Undo or another tool may have changed what the level drew.
        if mask is not None and np.array_equal(mask, drawn):
            return margin
        is_predicted = np.array_equal(self._session.predicted_in(place) == label, drawn)
        return 0.0 if is_predicted else None

    def has_other_answer(self, place: Place) -> bool:
        """Return whether an answer of the members would change a slice, or is on screen."""
        if self._preview_tool == ALTERNATIVE:
            return True
        labels = self._session.labels_in(place)
        return any(
            not np.array_equal(self._keep_locked(labels, answer.labels), labels)
            for answer in self._session.alternatives_in(place)
        )

    def show_level(self, place: Place, label: int, margin: float) -> None:
        """Preview the structure grown or shrunk along the posterior."""
        if self._is_locked(label):
            return
        posterior = self._session.posterior_in(place)
        if posterior is None:
            self.said.emit(NO_POSTERIOR)
            return
        base = self._base(place, LEVEL)
        labels = apply_level(
            posterior, base, label=label, margin=margin, protected=self._session.protected_labels
        )
        self._show(place, base, labels, LEVEL)
        self._levels[place, label] = margin, labels == label

    def step_alternative(self, place: Place, step: int) -> None:
        """Preview the next or previous alternative, in a loop that includes the current labels."""
        alternatives = self._session.alternatives_in(place)
        if not alternatives:
            self.said.emit(NO_POSTERIOR)
            return
        base = self._base(place, ALTERNATIVE)
        number = (self.shown_alternative + step) % (len(alternatives) + 1)
        # Number 0 returns to the labels under the preview.
        labels = base if number == 0 else self._keep_locked(base, alternatives[number - 1].labels)
        self._show(place, base, labels, ALTERNATIVE)
        self.shown_alternative = number

    def accept_preview(self, tool: str = "") -> None:
        """Keep the preview of this tool, or of any tool, as one undo step."""
        preview, shown = self._session.preview, self._preview_tool
        if preview is None or tool not in ("", shown):
            return
        self._forget()
        place, base = preview
        labels = self._session.labels_in(place).copy()
        # The labels below the preview return first, so that the undo step begins with them.
        self._write(place, base, refresh=False)
        self._put(place, labels, shown)
        if shown == PUSH:
            self._tell(self._given_way(base, place, self._layer.selected_label))

    def discard_preview(self, tool: str = "") -> str:
        """Restore the labels under the preview of this tool, or of any tool.

        Returns a sentence if an answer of the models was on screen, else "".
        """
        preview, shown, number = self._session.preview, self._preview_tool, self.shown_alternative
        if preview is None or tool not in ("", shown):
            return ""
        self._forget()
        self._write(*preview)
        is_answer = shown == ALTERNATIVE and number > 0
        return NOT_KEPT.format(number=number) if is_answer else ""

    def undo(self) -> None:
        """Discard the preview, take back what is being drawn, or undo the last step."""
        # During a stroke Ctrl+Z means the stroke, not the correction before it.
        if not self.is_preview and self.watch.take_back():
            return
        if self.is_preview:
            self.said.emit(self.discard_preview())
            return
        layer = self._layer
        # napari does not show its histories, but only their ends tell whose step is undone next.
        histories = layer._undo_history, layer._redo_history
        if not self._take_step(layer.undo, self._done, self._undone, *histories, UNDONE):
            self.said.emit(NOTHING_TO_UNDO)

    def redo(self) -> None:
        """Redo the step that was undone last."""
        self.watch.end_stroke()
        self.discard_preview()
        layer = self._layer
        histories = layer._redo_history, layer._undo_history
        if not self._take_step(layer.redo, self._undone, self._done, *histories, REDONE):
            self.said.emit(NOTHING_TO_REDO)

    def decide(self, place: Place, decide: Callable[[], object], what: str) -> None:
        """Decide on a slice by ``decide``, as a step that undo takes back by itself.

        The letters of a comment on a slice are one step.
        """
        before = self._session.decided(place)
        decide()
        if _said(self._session.decided(place)) == _said(before):
            return
        last = self._done[-1] if self._done else None
        if last is not None and (last.what, last.place) == (what, place) and what == COMMENT:
            self._note_step(self._done.pop())
        else:
            self._note_step(_Step(what, place=place, other=before))

    def _note_step(self, step: _Step) -> None:
        step.item = _top(self._layer._undo_history)
        self._done.append(step)
        # After another step, what was undone cannot be redone.
        self._undone.clear()
        self._layer._redo_history.clear()  # as napari does after a stroke

    def _take_step(
        self,
        move: Callable[[], object],
        steps: list[_Step],
        others: list[_Step],
        history: Sequence[Any],
        other_history: Sequence[Any],
        said: str,
    ) -> bool:
        """Take the last of ``steps`` back by ``move`` and say so; return False if there is none.

        Changes that a script made in the labels are steps of napari's history only.
        """
        top = _top(history)
        known = bool(steps) and steps[-1].item is top
        if not known and top is None:
            return False
        step = steps.pop() if known else _Step("change", top)
        self._taking = said, step.what
        if step.place is None:
            move()
        else:
            now = self._session.decided(step.place)
            self._session.put_back(step.place, step.other, tool=UNDO)
            step.other, self.undone_labels = now, set()
            self._tell_undone([step.place])
            self.changed.emit()
        self._taking = "", ""
        step.item = _top(other_history)
        others.append(step)
        return True

    def _tell_undone(self, places: Sequence[Place]) -> None:
        self.undone.emit(places)
        said, what = self._taking
        one = self._session.name_of_slice(places[0])
        slices = one if len(places) == 1 else format_count(len(places), "slice")
        self.said.emit(said.format(what=what, slices=slices))

    def revert(self, place: Place) -> None:
        """Return the slice to the prediction."""
        self.discard_preview()
        labels = self._session.predicted_in(place)
        labels = self._keep_locked(self._session.labels_in(place), labels)
        self._tell(REVERTED if self._put(place, labels, REVERT) else AS_PREDICTED)

    def bring_back(self, phase: Phase) -> None:
        """Draw what was removed from a phase because it lies apart from the heart."""
        self.discard_preview()
        removed = self._session.removed_in(phase)
        slices: dict[Place, Plane] = {}
        for z in np.flatnonzero(removed.any(axis=(1, 2))).tolist():
            labels = self._session.labels_in((phase, z))
            slices[phase, z] = self.without_locked((phase, z), np.maximum(labels, removed[z]))
        if self.put_all(slices, BRING_BACK):
            self._tell(BROUGHT_BACK.format(slices=format_count(len(slices), "slice")))

    def remove_atria(self, phase: Phase) -> None:
        """Remove from a phase what lies beyond the planes of the valves."""
        self.accept_preview()
        slices = without_atria(self._session, phase)
        if self.put_all(slices, VALVE_PLANE):
            self._tell(BEYOND_REMOVED.format(slices=format_count(len(slices), "slice")))
        for finding in self._session.atrial_findings(phase)[:1]:  # what is left is locked
            self._is_locked(self._session.heart_labels[finding.structure])

    def remove(self, place: Place, label: int) -> None:
        """Remove a structure from a slice."""
        self.accept_preview()
        before = labels = self._session.labels_in(place).copy()
        if not (labels == label).any():
            self.said.emit(NOT_HERE.format(self._session.structure_name(label)))
            return
        if self._is_locked(label):
            return
        # Beyond the base there is no myocardium either; at the apex it closes over the LV.
        walls = walls_of(self._session, label) if self._session.is_basal(place) else ()
        protected = self._session.protected_labels
        labels = remove_at_end(labels, label, walls=walls, protected=protected)
        self._put(place, labels, ABSENT)
        self._tell(REMOVED.format(structures=self._names_of_removed(before, labels)))

    def move_end(
        self,
        place: Place,
        label: int,
        end: End,
        *,
        outwards: bool,
        show: Callable[[Place], object],
    ) -> None:
        """Move an end of a structure by one slice; ``show`` is called with the slice to change."""
        self.accept_preview()
        try:
            step = move_end(self._session, place, label, end, outwards=outwards)
        except Problem as error:
            self.said.emit(in_the_window(error))
            return
        # First the slice, so that the reader sees it change.
        show(step.place)
        before = self._session.labels_in(step.place).copy()
        self._put(step.place, step.labels, ENDS)
        members, name = format_count(step.members, "member"), self._session.structure_name(label)
        names = self._names_of_removed(before, step.labels) if step.source is None else name
        said = END_MOVED[step.source].format(names, members=members)
        self._tell(f"Slice {step.place[1] + 1}: {said}")

    def _names_of_removed(self, before: Plane, after: Plane) -> str:
        gone = np.setdiff1d(before, after)
        return ", ".join(name for name, value in self._session.structures.items() if value in gone)

    def scribble(self, place: Place, label: int, stroke: Mask, *, inside: bool) -> None:
        """Fit a structure to a (Y, X) stroke inside or outside it, by the posterior."""
        self.accept_preview()
        session, name = self._session, self._session.structure_name(label)
        posterior, labels = session.posterior_in(place), session.labels_in(place)
        if self._is_locked(label):
            return
        if posterior is None:
            self.said.emit(NO_POSTERIOR)
        elif stroke.any() and ((labels[stroke] == label) == inside).all():
            self.said.emit((ALREADY_INSIDE if inside else ALREADY_OUTSIDE).format(name))
        else:
            try:
                fitted = apply_scribble(
                    posterior,
                    labels,
                    stroke,
                    label=label,
                    inside=inside,
                    alternatives=session.alternatives_in(place),
                    protected=session.protected_labels,
                )
            except InputError as error:
                self.said.emit(in_the_window(error))
                return
            before = session.volume_in(place, label)
            if fitted.margin is not None:  # elsewhere in the slice the structure stays as it was
                level = apply_level(posterior, labels, label=label, margin=fitted.margin)
                if np.array_equal(level == label, fitted.labels == label):
                    self._levels[place, label] = fitted.margin, level == label
            self._put(place, fitted.labels, SCRIBBLE)
            volumes = VOLUMES.format(before=before, after=session.volume_in(place, label))
            self._tell(f"{self._source_of(place, name, fitted)} {volumes}")

    def _source_of(self, place: Place, name: str, fitted: Scribbled) -> str:
        """Return where the shape after a stroke comes from, as a sentence."""
        number = fitted.alternative
        if number is None:
            return BY_LEVEL.format(structure=name)
        members = self._session.alternatives_in(place)[number - 1].members
        count = format_count(len(members), "member")
        return BY_ALTERNATIVE.format(structure=name, number=number, members=count)

    def _is_locked(self, label: int) -> bool:
        """Return whether a structure must not change, and say so."""
        is_locked = label in self._session.protected_labels
        if is_locked:
            self.said.emit(IS_LOCKED.format(structure=self._session.structure_name(label)))
        return is_locked

    def interpolate(self, place: Place, label: int) -> None:
        """Interpolate a structure between the nearest corrected slices."""
        self.accept_preview()
        if self._is_locked(label):
            return
        phase, z = place
        try:
            sources = nearest_sources(z, self._session.corrected_slices(phase) - {z})
            labels = interpolate_slice(
                select_phase(self._session.labels, phase),
                z,
                sources=sources,
                structures=[label],
                protected=self._session.protected_labels,
            )
        except InputError as error:
            self.said.emit(in_the_window(error))
            return
        before = self._session.labels_in(place).copy()
        self._put(place, labels, INTERPOLATE)
        below, above = (source + 1 for source in sources)
        name = self._session.structure_name(label)
        said = INTERPOLATED.format(name, below=below, above=above)
        self._tell(f"{said} {self._given_way(before, place, label)}".strip())

    def _given_way(self, before: Plane, place: Place, label: int) -> str:
        """Return a sentence on the structures that a correction of another one has changed."""
        session, now = self._session, self._session.labels_in(place)
        changes = []
        for name, other in session.structures.items():
            count = np.count_nonzero(now == other) - np.count_nonzero(before == other)
            change = count * voxel_ml(session.spacing)
            # A voxel or two at a border always change.
            if other != label and abs(change) >= LEAST_CHANGE:
                changes.append(f"{name} {'+' if change > 0 else '−'}{abs(change):.1f} mL")
        return ALSO_CHANGED.format(changes=", ".join(changes)) if changes else ""

    def copy(self, place: Place, source: Place, label: int) -> None:
        """Copy a structure from another slice or phase."""
        self.accept_preview()
        if self._is_locked(label):
            return
        session, name = self._session, self._session.structure_name(label)
        there = session.name_of_slice(source)
        if not (session.labels_in(source) == label).any():
            self.said.emit(NOT_THERE.format(structure=name, source=there))
            return
        labels = copy_structures(
            session.labels_in(source),
            session.labels_in(place),
            label=label,
            protected=session.protected_labels,
        )
        said = COPIED if self._put(place, labels, COPY) else SAME_THERE
        self._tell(said.format(structure=name, source=there))

    def fit_contour(self, place: Place, label: int) -> BentCurve | None:
        """Return a structure's contour with handles; None if it is absent or locked."""
        outline = self.outline(place, label)
        return None if outline is None else BentCurve.with_handles(outline)

    def _region(self, place: Place, label: int) -> Mask | None:
        """Return what the contour of a structure encloses; None if it is absent or locked."""
        self.accept_preview()
        if self._is_locked(label):
            return None
        mask = contour_region(self._session.labels_in(place), label, inner=self._inner(label))
        if not mask.any():
            self.said.emit(NO_CONTOUR.format(self._session.structure_name(label)))
            return None
        return mask

    def apply_contour(
        self,
        place: Place,
        label: int,
        curve: NDArray[np.float64],
        *,
        start: NDArray[np.float64] | None = None,
    ) -> None:
        """Move a structure's border to a closed (m, 2) curve, ``start`` before the edit."""
        self.accept_preview()
        if not self._is_locked(label):
            before = self._session.labels_in(place).copy()
            self._put(place, self._with_contour(before, label, curve, start), CONTOUR)
            self._tell(self._given_way(before, place, label))

    def outline(self, place: Place, label: int) -> NDArray[np.float64] | None:
        """Return the closed (m, 2) contour of a structure; None if it is absent or locked."""
        region = self._region(place, label)
        return None if region is None else contour_around(region)

    def show_push(
        self, place: Place, label: int, curve: NDArray[np.float64], start: NDArray[np.float64]
    ) -> None:
        """Preview a structure whose contour is pushed from the closed curve ``start``."""
        base = self._base(place, PUSH)
        self._show(place, base, self._with_contour(base, label, curve, start), PUSH)

    def _with_contour(
        self,
        labels: Plane,
        label: int,
        curve: NDArray[np.float64],
        start: NDArray[np.float64] | None,
    ) -> Plane:
        return apply_contour(
            labels,
            curve,
            label=label,
            start=start,
            inner=self._inner(label),
            over=walls_of(self._session, label),
            protected=self._session.protected_labels,
        )

    def put_all(self, slices: Mapping[Place, Plane], tool: str) -> bool:
        """Write slices as one undo step and log the change; return whether they differ."""
        before = {place: self._session.labels_in(place).copy() for place in slices}
        data = self._layer.data.dtype
        self._tool, self._reopened = tool, ""
        changed = set_slices(
            self._layer, {place: np.asarray(plane, data) for place, plane in slices.items()}
        )
        # Now, while ``_tool`` tells that this is not a stroke of the reader.
        self.watch.check()
        self._tool = ""
        if changed:
            self._note_step(_Step(TOOL_WORDS.get(tool, tool)))
            self._note_reopened(self._session.note_change(slices, tool=tool, before=before))
            self._tell("")
            self.changed.emit()
        else:
            # An accepted preview was taken out of the labels without a refresh.
            self._layer.refresh(extent=False)
        return bool(changed)

    def _note_reopened(self, places: Sequence[Place]) -> None:
        titles = [self._session.title_of(place) for place in places[:1]]
        self._reopened = "".join(REOPENED.format(slice=title) for title in titles)

    def _tell(self, sentence: str) -> None:
        """Say what a correction did, and that it has reopened a slice."""
        if said := " ".join(filter(None, (sentence, self._reopened))):
            self.said.emit(said)

    def without_locked(self, place: Place, labels: Plane) -> Plane:
        """Return labels for a slice with no voxel of a locked structure gained or lost."""
        now, locked = self._session.labels_in(place), [*self._session.protected_labels]
        if not locked:
            return labels
        # A locked structure neither gives voxels away nor takes others.
        kept: Plane = np.where(np.isin(now, locked) | np.isin(labels, locked), now, labels)
        return kept

    def close(self) -> None:
        """Discard the preview and disconnect from viewer and layer."""
        self.discard_preview()
        self.watch.end_stroke()
        self.watch.close()
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)

    def _base(self, place: Place, tool: str) -> Plane:
        """Return a copy of the real labels, after accepting the preview of another tool."""
        if self._session.preview is not None:
            shown_in, base = self._session.preview
            if (shown_in, self._preview_tool) == (place, tool):
                return base
            self.accept_preview()
        return self._session.labels_in(place).copy()

    def _show(self, place: Place, base: Plane, labels: Plane, tool: str) -> None:
        """Preview ``labels`` without an undo step."""
        self._session.preview, self._preview_tool = (place, base), tool
        self._write(place, labels)

    def _forget(self) -> None:
        """Forget the preview; the layer is not changed."""
        self._session.preview, self._preview_tool, self.shown_alternative = None, "", 0
        self.preview_ended.emit()

    def _write(self, place: Place, labels: Plane, *, refresh: bool = True) -> None:
        """Write labels without an undo step, so that a slider does not fill napari's history."""
        self._layer.data[index_of(place)] = labels
        if refresh:
            self.is_showing = True
            self._layer.refresh(extent=False)
            self.watch.check()
            self.is_showing = False

    def _put(self, place: Place, labels: Plane, tool: str) -> bool:
        """Write one slice; see `put_all`."""
        return self.put_all({place: labels}, tool)

    def _on_changed(self, changes: Sequence[SliceChange], painted: bool) -> None:
        """Log changes of the labels, except those that ``_put`` logs itself."""
        if self._tool:
            return
        places = [change.place for change in changes]
        if self.is_showing:
            self.changed.emit()
            return
        self._follow(changes)
        tool = str(self._layer.mode) if painted else UNDO
        before = {change.place: self._before(change) for change in changes}
        reopened = self._session.note_change(places, tool=tool, before=before)
        if painted:
            self._note_step(_Step(TOOL_WORDS.get(tool, tool)))
            self._note_reopened(reopened)
            self._tell("")
        else:
            self.undone_labels = {
                int(label) for c in changes for label in np.union1d(c.before, c.after)
            }
            self._tell_undone(places)
        self.changed.emit()  # last, as it may have something to say

    def _follow(self, changes: Sequence[SliceChange]) -> None:
        """Keep changes that a script made under the preview when the preview is discarded."""
        preview = self._session.preview
        for change in changes:
            if preview is not None and change.place == preview[0]:
                preview[1][change.rows, change.columns] = change.after

    def _before(self, change: SliceChange) -> Plane:
        labels = self._session.labels_in(change.place).copy()
        labels[change.rows, change.columns] = change.before
        return labels

    def _on_press(self, viewer: Any, event: Any) -> None:
        """Remove the last message when the user paints, and accept a preview that is painted on."""
        painting = self._layer.mode not in ("pan_zoom", "transform", "pick")
        if painting and viewer.layers.selection.active is self._layer:
            self.said.emit("")
            self.accept_preview()

    def _may_paint(self, change: SliceChange) -> NDArray[np.bool_]:
        """Return (n,) True for voxels the brush may change: not protected, and uncertain enough.

        Only labels of structures can be painted, because others would count for no volume. If
        locks keep a stroke from changing anything, a message says so.
        """
        foreign = self._is_foreign(change)
        if foreign.any():
            label, names = int(change.after[foreign][0]), ", ".join(self._session.structures)
            self.said.emit(NOT_A_STRUCTURE.format(label=label, structures=names))
        paintable, painted = self._is_paintable(change), np.union1d(change.before, change.after)
        locked = np.intersect1d(painted, list(self._session.protected_labels))
        if locked.size and not paintable.any():
            self._is_locked(int(locked[0]))
        return paintable

    def _is_foreign(self, change: SliceChange) -> NDArray[np.bool_]:
        """Return (n,) True for voxels that get a label that is not a structure."""
        return ~np.isin(change.after, [0, *self._session.structures.values()])

    def _is_paintable(self, change: SliceChange) -> NDArray[np.bool_]:
        protected = list(self._session.protected_labels)
        fixed = np.isin(change.before, protected) | np.isin(change.after, protected)
        fixed |= self._is_foreign(change)
        if self.threshold is None:
            return ~fixed
        entropy = self._session.entropy_in(change.place)[change.rows, change.columns]
        return ~fixed & (entropy > self.threshold)

    def paintable_in(self, place: Place) -> Mask:
        """Return the (Y, X) mask of the voxels of a slice that the tool of napari may change."""
        labels = self._session.labels_in(place)
        rows, columns = (axis.ravel() for axis in np.indices(labels.shape))
        painted = 0 if self._layer.mode == "erase" else self._layer.selected_label
        after = np.full(labels.size, painted)
        change = SliceChange(place, rows, columns, labels.ravel(), after)
        return self._is_paintable(change).reshape(labels.shape)

    def _keep_locked(self, labels: Plane, new: Plane) -> Plane:
        """Return ``new`` labels for a slice, in which locked structures stay as in ``labels``."""
        source, target = new.astype(np.uint8), labels.astype(np.uint8)
        return copy_structures(source, target, protected=self._session.protected_labels)

    def _inner(self, label: int) -> list[int]:
        """Return the labels inside a wall: the contour of the myocardium also encloses the LV."""
        heart = self._session.heart_labels
        return [heart["LV"]] if label == heart.get("MYO") and "LV" in heart else []


def _said(decided: Decided) -> tuple[Any, ...]:
    """Return what a reader has said of a slice, without when, and after how many seconds."""
    decision, _, insertions, hinges = decided
    return insertions, hinges, *((decision.state, decision.comment) if decision else ())


def _top(history: Sequence[Any]) -> Any:
    """Return the last item of a history of napari, None if it is empty."""
    return history[-1] if history else None
