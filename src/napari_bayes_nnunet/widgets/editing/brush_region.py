"""Hatching of the voxels that the uncertain brush may paint, while it is the tool."""

from __future__ import annotations

from typing import Any, Final

from napari.layers import Image, Labels
from qtpy.QtCore import QObject

from ...core.editing.outlines import hatch_lines
from ..common.canvas import unwrap
from ..common.connections import Connections
from ..layers.line_layer import Line, LineLayer, line_color
from ..layers.viewing import shown_place
from .corrections import Corrections

PAINTING: Final = ("paint", "erase", "fill", "polygon")
"""Modes of napari's tools that the limit applies to."""
HATCH_OPACITY: Final = 0.8
HATCH_PIXELS: Final = 1.2


class BrushRegion(QObject):
    """Hatching of the slice on screen that follows tool, slice, limit and locked structures."""

    def __init__(
        self,
        viewer: Any,
        image: Image,
        edited: Labels,
        corrections: Corrections,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image = image
        self._edited = edited
        self._corrections = corrections
        self._color = line_color("white", HATCH_OPACITY)
        self._lines = LineLayer(viewer, image, "brush region", pixels=HATCH_PIXELS)
        self._connections = Connections()
        dims, chosen = viewer.dims.events, viewer.layers.selection.events.active
        tools = edited.events.mode, edited.events.selected_label
        self._connections.connect(self.refresh, dims.point, dims.ndisplay, chosen, *tools)
        self._connections.connect(self.refresh, corrections.changed)

    @property
    def is_shown(self) -> bool:
        """Whether a tool of napari is chosen that the limit applies to."""
        active = unwrap(self._viewer.layers.selection.active)
        painting = active is self._edited and str(self._edited.mode) in PAINTING
        limited = self._corrections.threshold is not None
        return painting and limited and self._viewer.dims.ndisplay == 2

    def refresh(self) -> None:
        """Hatch what the tool may change in the slice on screen, or hide the hatching."""
        is_shown = self._image in self._viewer.layers and self.is_shown
        if is_shown:
            place = shown_place(self._viewer, self._image)
            # Lines leave the anatomy in sight.
            hatching = hatch_lines(self._corrections.paintable_in(place))
            lines = [Line(points, self._color, closed=False) for points in hatching]
            self._lines.draw(lines, place)
        self._lines.show(is_shown)

    def set_color(self, color: str) -> None:
        """Set the colour of the hatching, that of the structure to paint."""
        self._color = line_color(color, HATCH_OPACITY)
        self.refresh()

    def close(self) -> None:
        """Remove the hatching and disconnect from viewer and layer."""
        self._connections.close()
        self._lines.remove()
