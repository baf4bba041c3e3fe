"""Detection of changes in the edited labels, by slice and voxel.

napari reports brush strokes but not undo and redo, so the labels are compared with a copy (one
millisecond for a whole cine). Painting can be limited to some voxels: changes elsewhere are
reverted, and the stroke stays one undo step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from napari.layers import Labels
from napari.layers.labels._labels_mouse_bindings import draw
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from superqt.utils import QSignalDebouncer

from ...core.types import Mask, Place
from ..common.connections import Connections
from ..layers.review_layers import set_slices
from ..layers.viewing import index_of


@dataclass(frozen=True, eq=False)
class SliceChange:
    """Changed voxels of one slice: (n,) ``rows`` and ``columns``.

    ``before`` and ``after`` are their labels, (n,) uint8.
    """

    place: Place
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


Limit: TypeAlias = Callable[[SliceChange], Mask]
"""Function that returns (n,) True for the voxels that painting may change."""


class EditWatch(QObject):
    """Watch on a labels layer that reports every change once.

    ``changed`` carries a list of SliceChange, and True if one of napari's tools painted. A stroke
    is reported when it has ended and ``limit`` was applied; undo, redo and `set_slice` at once.
    Stroke and polygon end with their slice: napari would go on with them in the next one.
    """

    changed = Signal(object, bool)

    def __init__(
        self, viewer: Any, layer: Labels, limit: Limit, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.limit = limit
        self._viewer = viewer
        self._layer = layer
        self._array: NDArray[np.uint8] = layer.data
        # napari tells of no change in the array itself, so it is compared with a copy.
        self._copy = np.array(layer.data)
        self._point = viewer.dims.point
        self._strokes = 0
        self._is_reverting = False
        self._later = QSignalDebouncer(parent=self)
        self._later.setTimeout(0)
        self._later.triggered.connect(self._on_painted)
        self._connections = Connections()
        self._connections.connect(self._on_paint, layer.events.paint)
        self._connections.connect(self._on_drawn, layer.events.set_data)
        self._connections.connect(self._on_point, viewer.dims.events.point)

    def check(self) -> None:
        """Look for changes now; napari reports none that were made in the array itself."""
        self._strokes = 0
        self._emit(self._changes(), painted=False)

    def end_stroke(self) -> None:
        """End a stroke that is being painted, and report it and changes in the array."""
        self._stop_painting()
        # napari ends a stroke only when the mouse button is released.
        self._layer._commit_stroke()
        self._later.flush(restart_timer=False)
        self.check()

    def take_back(self) -> bool:
        """Take back a stroke that is being painted, or the last corner of an unfinished polygon.

        Returns False if there is neither.
        """
        if self._is_painting:
            self._stop_painting()
            self._layer._abort_stroke()
            return True
        points = self._polygon.points if self._polygon.enabled else []
        if points:  # the last one is not a corner, it follows the mouse
            self._polygon.points = [*points[:-2], points[-1]] if len(points) > 2 else []
        return bool(points)

    def close(self) -> None:
        """Disconnect from viewer and layer."""
        self._connections.close()
        self._later.cancel()

    @property
    def _polygon(self) -> Any:
        return self._layer._overlays["polygon"]

    @property
    def _is_painting(self) -> bool:
        """Whether a stroke has begun and not ended, with or without a mouse button held."""
        stroke: Any = self._layer._overlays["brush_stroke"]
        return bool(stroke.active or self._layer._staged_history)

    def _stop_painting(self) -> None:
        """Let further moves of the mouse paint nothing."""
        stroke: Any = self._layer._overlays["brush_stroke"]
        stroke.active = False
        if draw in self._layer._mouse_drag_gen:
            self._layer._mouse_drag_gen[draw].close()

    def _on_point(self) -> None:
        if self._is_painting:
            self.end_stroke()
        self._stop_painting()  # a stroke that has changed nothing so far
        self._polygon.points = []

    def _on_paint(self) -> None:
        """Look for changes a little later, because some tools emit the event before they paint."""
        if not self._is_reverting:
            self._strokes += 1
            self._later.throttle()

    def _on_painted(self) -> None:
        strokes, self._strokes = self._strokes, 0
        changes = self._changes() if strokes else []
        if changes:
            changes = self._limited(changes, strokes)
        self._emit(changes, painted=True)

    def _on_drawn(self) -> None:
        """Look for changes when the same slice is drawn again; a stroke is reported at its end."""
        point, self._point = self._point, self._viewer.dims.point
        if point == self._point and not self._is_reverting and not self._is_painting:
            self.check()

    def _emit(self, changes: Sequence[SliceChange], *, painted: bool) -> None:
        if changes:
            self.changed.emit(changes, painted)

    def _changes(self) -> list[SliceChange]:
        """Return the differences from the copy, and update the copy."""
        if self._layer.data is not self._array:
            self._restore_array()
        data = self._array
        if _are_equal(data, self._copy):
            return []
        changes = _differences(self._copy, data)
        for change in changes:
            self._copy[index_of(change.place)][change.rows, change.columns] = change.after
        return changes

    def _restore_array(self) -> None:
        """Copy the labels of a foreign array into ours, the only one that is saved."""
        foreign = np.asarray(self._layer.data)
        same_shape = foreign.shape == self._array.shape and foreign.dtype.kind in "bui"
        # Other values would wrap around in the labels, which are uint8.
        if same_shape and foreign.min() >= 0 and foreign.max() <= np.iinfo(np.uint8).max:
            self._array[...] = foreign
        self._is_reverting = True
        self._layer.data = self._array
        self._is_reverting = False

    def _limited(self, changes: list[SliceChange], strokes: int) -> list[SliceChange]:
        """Revert the last strokes in voxels outside the limit; return the remaining changes."""
        allowed = [self.limit(change) for change in changes]
        if all(mask.all() for mask in allowed):
            return changes
        limited = [_part(change, mask) for change, mask in zip(changes, allowed, strict=True)]
        slices = {}
        self._is_reverting = True
        # Undone first, so that what remains of them is one undo step.
        for _ in range(strokes):
            self._layer.undo()
        self._layer._redo_history.clear()  # else redo would restore the reverted voxels
        for change in limited:
            labels = np.array(self._layer.data[index_of(change.place)])
            labels[change.rows, change.columns] = change.after
            slices[change.place] = labels
        set_slices(self._layer, slices)
        self._is_reverting = False
        # Only to renew the copy; the caller reports what remains.
        self._changes()
        return [change for change in limited if len(change.rows)]


def _differences(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> list[SliceChange]:
    """Return the differences of two (Z, Y, X) or (T, Z, Y, X) arrays, slice by slice."""
    shape = after.shape
    differs = (before != after).reshape(-1, *shape[-2:])
    changes = []
    for number in np.flatnonzero(differs.any(axis=(1, 2))):
        index = tuple(int(i) for i in np.unravel_index(number, shape[:-2]))
        rows, columns = np.nonzero(differs[number])
        place: Place = (None, index[0]) if len(index) == 1 else (index[0] + 1, index[1])
        changes.append(
            SliceChange(
                place, rows, columns, before[index][rows, columns], after[index][rows, columns]
            )
        )
    return changes


def _part(change: SliceChange, mask: Mask) -> SliceChange:
    return SliceChange(
        change.place,
        change.rows[mask],
        change.columns[mask],
        change.before[mask],
        change.after[mask],
    )


def _are_equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Return whether all labels are equal, comparing eight at a time if possible."""
    if a.flags.c_contiguous and b.flags.c_contiguous and a.nbytes % 8 == 0:
        return bool((a.reshape(-1).view(np.uint64) == b.reshape(-1).view(np.uint64)).all())
    return np.array_equal(a, b)
