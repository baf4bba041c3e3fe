"""The corrections a reader makes with the dock: each of them one step to undo, none ever lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from app_model.types import KeyCode, KeyMod
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...app.review.session import ReviewSession
from ...core.editing.contour import apply_contour, contour_region, fit_handles
from ...core.editing.level import apply_level
from ...core.editing.slice_edits import (
    copy_structures,
    interpolate_slice,
    nearest_sources,
    remove_structure,
)
from ...core.heart.measurements import canonical_structure
from ...core.types import Place
from ...io.study.arrays import of_phase
from ..layers.review_layers import set_slice
from ..layers.viewing import index_of
from .edit_watch import EditWatch, SliceChange

LEVEL, ALTERNATIVE, CONTOUR = "level", "alternative", "contour"
INTERPOLATE, COPY, ABSENT, REVERT = "interpolate", "copy", "absent", "revert"
UNDO: Final = "undo or redo"
UNDO_KEY: Final = KeyMod.CtrlCmd | KeyCode.KeyZ
REDO_KEY: Final = KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ
NOT_HERE: Final = "The {} is not in this slice."

Plane = NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Preview:
    """A slice that shows what is not taken yet; ``base`` (Y, X) are its labels."""

    place: Place
    base: Plane
    tool: str


class Corrections(QObject):
    """Edits the layer "edited" of one session, in one slice at a time.

    A level or an alternative is shown in place first: ``settle`` takes it, ``drop`` puts back what
    was there, and so does Ctrl+Z. ``changed`` tells that labels are others now, whoever changed
    them; ``undone`` the slices that were undone or redone, which need not be on screen; ``said``
    carries a sentence where something cannot be done.
    """

    changed = Signal()
    undone = Signal(object)
    said = Signal(str)

    def __init__(
        self, viewer: Any, session: ReviewSession, layer: Labels, *, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self._layer = layer
        self._preview: _Preview | None = None
        self._alternative = 0
        self._level: tuple[Place, int, float] | None = None
        self._tool = ""
        self._is_showing = False
        self.threshold: float | None = None
        self.watch = EditWatch(viewer, layer, self, limit=self._may_paint)
        self.watch.changed.connect(self._on_changed)
        viewer.mouse_drag_callbacks.insert(0, self._on_press)
        layer.bind_key(UNDO_KEY, lambda _: self.undo(), overwrite=True)
        layer.bind_key(REDO_KEY, lambda _: self.redo(), overwrite=True)

    @property
    def is_preview(self) -> bool:
        """Whether a level or an alternative is shown that is not taken yet."""
        return self._preview is not None

    @property
    def shown_alternative(self) -> int:
        """The number, from 1, of the alternative that is shown; 0 for the labels as they are."""
        return self._alternative

    def margin_at(self, place: Place, label: int) -> float:
        """The level a structure was brought to in a slice; 0 where it was changed otherwise."""
        found = self._level is not None and self._level[:2] == (place, label)
        return self._level[2] if self._level is not None and found else 0.0

    def level(self, place: Place, label: int, margin: float) -> None:
        """Show the structure grown or shrunk along the posterior; ``settle`` when it is right."""
        posterior = self._session.posterior_in(place)
        if posterior is None:
            self.said.emit("The probabilities of this phase are not there: paint instead.")
            return
        base = self._base(place, LEVEL)
        labels = apply_level(
            posterior, base, label=label, margin=margin, protected=self._protected_labels()
        )
        self._show(place, base, labels, LEVEL)
        self._level = place, label, margin

    def step_alternative(self, place: Place, step: int) -> None:
        """Show the next answer of the models, or the one before; the labels as they are in turn."""
        answers = self._session.alternatives_in(place)
        if not answers:
            self.said.emit("The models' answers of this phase are not there: paint instead.")
            return
        base = self._base(place, ALTERNATIVE)
        number = (self._alternative + step) % (len(answers) + 1)
        labels = base if number == 0 else self._unprotected(base, answers[number - 1].labels)
        self._show(place, base, labels, ALTERNATIVE)
        self._alternative = number

    def settle(self, tool: str = "") -> None:
        """Take what is shown, by this tool or by any, as one step to undo."""
        preview = self._preview
        if preview is None or tool not in ("", preview.tool):
            return
        self._forget()
        labels = self._session.labels_in(preview.place).copy()
        self._write(preview.place, preview.base, refresh=False)
        self._put(preview.place, labels, preview.tool, before=preview.base)

    def drop(self) -> None:
        """Put back what was there before something was shown."""
        preview = self._preview
        if preview is not None:
            self._forget()
            self._level = None
            self._write(preview.place, preview.base)

    def undo(self) -> None:
        """What is shown is put back, or else the last step."""
        if self._preview is not None:
            self.drop()
        else:
            self._layer.undo()

    def redo(self) -> None:
        """The step that was undone last."""
        self.drop()
        self._layer.redo()

    def revert(self, place: Place) -> None:
        """The slice as the ensemble predicted it."""
        self.drop()
        labels = self._session.predicted_in(place)
        self._put(place, self._unprotected(self._session.labels_in(place), labels), REVERT)

    def remove(self, place: Place, label: int) -> None:
        """The structure is absent in this slice."""
        self.settle()
        labels = self._session.labels_in(place)
        if not (labels == label).any():
            self.said.emit(NOT_HERE.format(self._name(label)))
            return
        # Beyond the base there is no wall either; at the apex it closes over the LV.
        both = label in self._of("LV") and self._session.is_basal(place)
        protected = self._protected_labels()
        for gone in (label, *(self._of("MYO") if both and label not in protected else ())):
            labels = remove_structure(labels, gone, protected=protected)
        self._put(place, labels, ABSENT)

    def interpolate(self, place: Place, label: int) -> None:
        """The structure as it is between the nearest corrected slices."""
        self.settle()
        phase, z = place
        try:
            sources = nearest_sources(z, self._session.neighbours_corrected(place) - {z})
        except ValueError as error:
            self.said.emit(str(error))
            return
        labels = interpolate_slice(
            of_phase(self._session.labels, phase),
            z,
            sources=sources,
            structures=[label],
            protected=self._protected_labels(),
        )
        self._put(place, labels, INTERPOLATE)

    def copy(self, place: Place, source: Place, label: int) -> None:
        """The structure as in a slice beside it, or in another phase."""
        self.settle()
        self._put(
            place,
            copy_structures(
                self._session.labels_in(source),
                self._session.labels_in(place),
                label=label,
                protected=self._protected_labels(),
            ),
            COPY,
        )

    def handles(self, place: Place, label: int) -> NDArray[np.float64] | None:
        """Handles of the structure's contour; None, and a sentence, where it is not there."""
        self.settle()
        mask = contour_region(self._session.labels_in(place), label, inner=self._inner(label))
        if not mask.any():
            sentence = NOT_HERE.removesuffix(".") + ": paint it, or take an alternative."
            self.said.emit(sentence.format(self._name(label)))
            return None
        handles: NDArray[np.float64] = fit_handles(mask)
        return handles

    def contour(
        self,
        place: Place,
        label: int,
        curve: NDArray[np.float64],
        *,
        start: NDArray[np.float64] | None = None,
    ) -> None:
        """The structure ends at a closed (m, 2) curve, that was ``start`` before it was moved."""
        self.settle()
        labels = apply_contour(
            self._session.labels_in(place),
            curve,
            label=label,
            start=start,
            inner=self._inner(label),
            over=self._shared_border(label),
            protected=self._protected_labels(),
        )
        self._put(place, labels, CONTOUR)

    def close(self) -> None:
        """Put back what is only shown, and let go of viewer and layer."""
        self.drop()
        self.watch.flush()
        self.watch.close()
        self._layer.bind_key(UNDO_KEY, None)
        self._layer.bind_key(REDO_KEY, None)
        if self._on_press in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._on_press)

    def _base(self, place: Place, tool: str) -> Plane:
        """The labels something is shown instead of; what another tool shows is taken first."""
        if self._preview is not None:
            if (self._preview.place, self._preview.tool) == (place, tool):
                return self._preview.base
            self.settle()
        return self._session.labels_in(place).copy()

    def _show(self, place: Place, base: Plane, labels: Plane, tool: str) -> None:
        """Show ``labels`` without a step to undo."""
        self._preview = _Preview(place, base, tool)
        self._session.preview = place, base
        self._level = None
        self._write(place, labels)

    def _forget(self) -> None:
        """Nothing is only shown any more."""
        self._preview = self._session.preview = None
        self._alternative = 0

    def _write(self, place: Place, labels: Plane, *, refresh: bool = True) -> None:
        """Past napari's history, which then need not know of every place of a slider."""
        self._layer.data[index_of(place)] = labels
        if refresh:
            self._is_showing = True
            self._layer.refresh(extent=False)
            self.watch.check()
            self._is_showing = False

    def _put(self, place: Place, labels: Plane, tool: str, *, before: Plane | None = None) -> None:
        """One step to undo."""
        if before is None:
            before = self._session.labels_in(place).copy()
        self._tool = tool
        changed = set_slice(self._layer, place, np.asarray(labels, self._layer.data.dtype))
        self.watch.check()
        self._tool = ""
        if tool != LEVEL:
            self._level = None
        if changed:
            self._session.note_change([place], tool=tool, before={place: before})
            self.changed.emit()
        else:
            self._layer.refresh(extent=False)

    def _on_changed(self, changes: Sequence[SliceChange], painted: bool) -> None:
        """Labels are others now. What this class has put there is noted by ``_put``."""
        if self._tool:
            return
        places = [change.place for change in changes]
        if self._is_showing:
            self._session.recount(places)
            self.changed.emit()
            return
        self._level = None
        self._follow(changes)
        tool = str(self._layer.mode) if painted else UNDO
        before = {change.place: self._before(change) for change in changes}
        self._session.note_change(places, tool=tool, before=before)
        self.changed.emit()
        if not painted:
            self.undone.emit(places)

    def _follow(self, changes: Sequence[SliceChange]) -> None:
        """A script has changed what is only shown: that stays when it is put back."""
        for change in changes:
            if self._preview is not None and change.place == self._preview.place:
                self._preview.base[change.rows, change.columns] = change.after

    def _before(self, change: SliceChange) -> Plane:
        labels = self._session.labels_in(change.place).copy()
        labels[change.rows, change.columns] = change.before
        return labels

    def _on_press(self, viewer: Any, event: Any) -> None:
        """Painting into what is only shown takes it."""
        painting = self._layer.mode not in ("pan_zoom", "transform", "pick")
        if painting and viewer.layers.selection.active is self._layer:
            self.settle()

    def _may_paint(self, change: SliceChange) -> NDArray[np.bool_]:
        """Protected structures stay, and the uncertain brush paints only where it is uncertain."""
        protected = list(self._protected_labels())
        fixed = np.isin(change.before, protected) | np.isin(change.after, protected)
        if self.threshold is None:
            return ~fixed
        entropy = self._session.entropy_in(change.place)[change.rows, change.columns]
        return ~fixed & (entropy > self.threshold)

    def _protected_labels(self) -> set[int]:
        structures, names = self._session.structures, self._session.state.protected
        return {structures[name] for name in names if name in structures}

    def _unprotected(self, labels: Plane, other: Plane) -> Plane:
        """``other``, but protected structures as in ``labels``."""
        return copy_structures(
            other.astype(np.uint8), labels.astype(np.uint8), protected=self._protected_labels()
        )

    def _name(self, label: int) -> str:
        structures = self._session.structures.items()
        return next(name for name, own in structures if own == label)

    def _of(self, structure: str) -> list[int]:
        """The labels of a structure of the heart, by its usual names."""
        structures = self._session.structures.items()
        return [label for name, label in structures if canonical_structure(name) == structure]

    def _inner(self, label: int) -> list[int]:
        """What lies in a wall: the contour of the myocardium runs around the LV too."""
        return self._of("LV") if label in self._of("MYO") else []

    def _shared_border(self, label: int) -> list[int]:
        """What gives way to a contour: the endocardium moves both ways."""
        return self._of("MYO") if label in self._of("LV") else []
