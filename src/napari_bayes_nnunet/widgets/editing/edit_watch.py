"""Which slices of the edited labels have changed, whoever changed them, and by which voxels.

napari tells of a brush stroke but not of undo and redo, so the labels are compared with a copy
(one millisecond for a whole cine). Painting can be limited to some voxels; what it did elsewhere
is put back, and it stays one step to undo.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal
from superqt.utils import QSignalDebouncer

from ...core.types import Mask, Place
from ..layers.review_layers import set_slices
from ..layers.viewing import index_of


@dataclass(frozen=True, eq=False)
class SliceChange:
    """What has changed in one slice: (n,) ``rows`` and ``columns`` of the voxels, and their labels.

    ``before`` and ``after`` are (n,) uint8.
    """

    place: Place
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


Limit: TypeAlias = Callable[[SliceChange], Mask]
"""(n,) True where painting may have changed a voxel."""


class EditWatch(QObject):
    """Tells of every change of ``layer`` once: the slices, and whether napari's tools made it.

    ``changed(list[SliceChange], painted)``. Undo, redo and `set_slice` are told at once, with
    ``painted`` False; a stroke is told when it has ended, True, after ``limit`` was applied.
    """

    changed = Signal(object, bool)

    def __init__(
        self,
        viewer: Any,
        layer: Labels,
        parent: QObject | None = None,
        *,
        limit: Limit | None = None,
    ) -> None:
        super().__init__(parent)
        self.limit = limit
        self._viewer = viewer
        self._layer = layer
        self._array: NDArray[np.uint8] = layer.data
        self._copy = np.array(layer.data)
        self._point = viewer.dims.point
        self._strokes = 0
        self._is_putting_back = False
        self._later = QSignalDebouncer(parent=self)
        self._later.setTimeout(0)
        self._later.triggered.connect(self._on_painted)
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_drawn)

    def check(self) -> None:
        """Look for changes now: those that were made in the array itself tell nobody."""
        self._strokes = 0
        self._tell(self._changes(), painted=False)

    def flush(self) -> None:
        """Take in what has not been told yet: a stroke that has just ended, or a hidden change."""
        self._later.flush(restart_timer=False)
        self.check()

    def close(self) -> None:
        """Let go of the layer."""
        self._layer.events.paint.disconnect(self._on_paint)
        self._layer.events.set_data.disconnect(self._on_drawn)
        self._later.cancel()

    def _on_paint(self) -> None:
        """A step to undo was made. Some tools say so before they paint, so look a little later."""
        if not self._is_putting_back:
            self._strokes += 1
            self._later.throttle()

    def _on_painted(self) -> None:
        strokes, self._strokes = self._strokes, 0
        changes = self._changes() if strokes else []
        if changes and self.limit is not None:
            changes = self._limited(changes, strokes, self.limit)
        self._tell(changes, painted=True)

    def _on_drawn(self) -> None:
        """The slice was drawn anew. Where only another one is shown, there is nothing to find."""
        point, self._point = self._point, self._viewer.dims.point
        if point == self._point and not self._is_putting_back:
            self.check()

    def _tell(self, changes: Sequence[SliceChange], *, painted: bool) -> None:
        if changes:
            self.changed.emit(changes, painted)

    def _changes(self) -> list[SliceChange]:
        """What differs from the copy, which is brought up to date."""
        if self._layer.data is not self._array:
            self._take_back()
        data = self._array
        if _same(data, self._copy):
            return []
        found = _differences(self._copy, data)
        for change in found:
            self._copy[index_of(change.place)][change.rows, change.columns] = change.after
        return found

    def _take_back(self) -> None:
        """Another array was put into the layer: its labels count, but only ours is ever saved."""
        other = np.asarray(self._layer.data)
        if other.shape == self._array.shape and other.dtype.kind in "bui":
            self._array[...] = other
        self._is_putting_back = True
        self._layer.data = self._array
        self._is_putting_back = False

    def _limited(self, changes: list[SliceChange], strokes: int, limit: Limit) -> list[SliceChange]:
        """Put back what the last strokes did where they may not."""
        allowed = [limit(change) for change in changes]
        if all(mask.all() for mask in allowed):
            return changes
        kept = [_part(change, mask) for change, mask in zip(changes, allowed, strict=True)]
        slices = {}
        self._is_putting_back = True
        for _ in range(strokes):
            self._layer.undo()
        self._layer._redo_history.clear()  # else redo would bring back what was put back
        for change in kept:
            labels = np.array(self._layer.data[index_of(change.place)])
            labels[change.rows, change.columns] = change.after
            slices[change.place] = labels
        set_slices(self._layer, slices)
        self._is_putting_back = False
        self._changes()
        return [change for change in kept if len(change.rows)]


def _differences(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> list[SliceChange]:
    """Slice by slice, in their order."""
    shape = after.shape
    apart = (before != after).reshape(-1, *shape[-2:])
    found = []
    for number in np.flatnonzero(apart.any(axis=(1, 2))):
        index = tuple(int(i) for i in np.unravel_index(number, shape[:-2]))
        rows, columns = np.nonzero(apart[number])
        place: Place = (None, index[0]) if len(index) == 1 else (index[0] + 1, index[1])
        found.append(
            SliceChange(
                place, rows, columns, before[index][rows, columns], after[index][rows, columns]
            )
        )
    return found


def _part(change: SliceChange, mask: Mask) -> SliceChange:
    return SliceChange(
        change.place,
        change.rows[mask],
        change.columns[mask],
        change.before[mask],
        change.after[mask],
    )


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether all labels are equal; eight at a time where that is possible."""
    if one.flags.c_contiguous and other.flags.c_contiguous and one.nbytes % 8 == 0:
        return bool((one.reshape(-1).view(np.uint64) == other.reshape(-1).view(np.uint64)).all())
    return np.array_equal(one, other)
