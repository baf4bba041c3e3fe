"""Thin lines over one slice of an image, as wide on the screen at every zoom.

napari's Vectors are used: of its layers they redraw quickest (30 outlines of 150 points in 15 ms,
Shapes in 80 ms), and every other piece left out makes a dotted line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Vectors
from numpy.typing import NDArray

from ...core.types import Place
from .review_layers import ReviewRole, lines_layer, put_on_top, take_away
from .viewing import index_of

Color = tuple[float, float, float, float]
NOTICED = 1.2
"""Change of the zoom from which the width is set anew."""


@dataclass(frozen=True, eq=False)
class Line:
    """A closed line through (m, 2) ``points`` (y, x) in voxels, the first one not repeated."""

    points: NDArray[np.float64]
    color: Color
    dotted: bool = False


class LineLayer:
    """The layer of one ``role`` over ``image``, ``pixels`` wide; there from the first drawing."""

    def __init__(self, viewer: Any, image: Image, role: ReviewRole, *, pixels: float) -> None:
        self._viewer = viewer
        self._image = image
        self._role = role
        self._pixels = pixels
        self.layer: Vectors | None = None
        viewer.scene.camera.events.zoom.connect(self._on_zoom)

    def draw(self, lines: Sequence[Line], place: Place) -> None:
        """Show these lines in a slice, in place of all others."""
        vectors, colors = segments_of(lines, index_of(place))
        if self.layer is None:
            width = self._width()
            self.layer = lines_layer(self._image, self._role, vectors, colors, width=width)
            put_on_top(self._viewer, self.layer)
            return
        same = len(colors) == len(self.layer.data) and (colors == self.layer.edge_color).all()
        # The extent of the image is the same with them, and finding it anew takes longest.
        with self.layer.events.data.blocker():
            self.layer.data = vectors
        if len(colors) and not same:
            self.layer.edge_color = colors

    def show(self, visible: bool) -> None:
        """Show the lines, or hide them and keep the layer."""
        if self.layer is not None and self.layer.visible != visible:
            self.layer.visible = visible

    def release(self) -> Vectors | None:
        """Give the layer up, for somebody to take away."""
        self._viewer.scene.camera.events.zoom.disconnect(self._on_zoom)
        layer, self.layer = self.layer, None
        return layer

    def remove(self) -> None:
        """Take the lines away."""
        take_away(self._viewer, self.release())

    def _on_zoom(self) -> None:
        if self.layer is None or self.layer not in self._viewer.layers:
            return
        change = self._width() / self.layer.edge_width
        if not 1 / NOTICED < change < NOTICED:
            self.layer.edge_width = self._width()

    def _width(self) -> float:
        """Of the lines now, in voxels."""
        step = float(np.mean(np.abs(self._image.scale[-2:])))
        return self._pixels / (float(self._viewer.scene.camera.zoom) * step)


def segments_of(
    lines: Sequence[Line], index: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n, 2, D) start and way of all pieces of the lines in the slice ``index``, (n, 4) colours."""
    starts, ways, colors = [np.zeros((0, 2))], [np.zeros((0, 2))], [np.zeros((0, 4))]
    for line in lines:
        every = 2 if line.dotted else 1
        starts.append(line.points[::every])
        ways.append((np.roll(line.points, -1, axis=0) - line.points)[::every])
        colors.append(np.tile(line.color, (len(starts[-1]), 1)))
    start = np.concatenate(starts)
    vectors = np.zeros((len(start), 2, len(index) + 2))
    vectors[:, 0, : len(index)] = index
    vectors[:, 0, len(index) :] = start
    vectors[:, 1, len(index) :] = np.concatenate(ways)
    return vectors, np.concatenate(colors)
