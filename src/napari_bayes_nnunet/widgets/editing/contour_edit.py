"""Editing of a structure's contour, from labels to handles and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ...core.editing.closed_curve import draw_curve
from ...core.types import Place
from .contour_handles import ContourHandles
from .corrections import Corrections


class ContourEdit(QObject):
    """Edit of one contour at a time; ``active_changed`` carries whether one is being edited."""

    active_changed = Signal(bool)

    def __init__(
        self, viewer: Any, corrections: Corrections, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.handles = ContourHandles(viewer, self)
        self._corrections = corrections
        self._label = 0
        self._start: NDArray[np.float64] = np.zeros((0, 2))
        self.handles.applied.connect(self._on_applied)
        self.handles.cancelled.connect(self._on_cancelled)

    def start(self, image: Image, place: Place, label: int, *, color: str) -> None:
        """Show handles on the outline of a structure in the slice on screen."""
        handles = self._corrections.fit_contour(place, label)
        if handles is not None:
            self.handles.start(image, handles, place=place, color=color)
            self._label, self._start = label, draw_curve(handles)
            self.active_changed.emit(True)

    def leave(self) -> None:
        """Apply the contour if its handles were moved, so that no work is lost; else cancel."""
        if self.handles.is_moved:
            self.handles.apply()
        else:
            self.handles.cancel()

    def close(self) -> None:
        """End the edit and disconnect from the viewer."""
        self.leave()
        self.handles.close()

    def _on_applied(self, handles: NDArray[np.float64]) -> None:
        self.active_changed.emit(False)
        curve = draw_curve(handles)
        self._corrections.apply_contour(self.handles.place, self._label, curve, start=self._start)

    def _on_cancelled(self) -> None:
        self.active_changed.emit(False)
