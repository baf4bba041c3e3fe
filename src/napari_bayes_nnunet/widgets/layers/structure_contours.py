"""Smooth contours of the structures in the displayed plane of an image.

They are drawn for the labels of a review, or else for the prediction, and dashed in phases that
have only a first look. Only the labels are painted and saved. Their layer is transparent while
contours are drawn for it, unless structures are filled, the brush is down or the tool is the
polygon.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Final, Protocol

import numpy as np
from napari.layers import Image, Labels, Layer
from numpy.typing import NDArray
from superqt.utils import QSignalThrottler

from ...core.editing.closed_curve import Points
from ...core.editing.smooth_contours import smooth_contours
from ...core.ensemble.stored_posterior import PlanePosterior, StoredPosterior
from ...core.heart.structures import structure_colors
from ...core.steps import drain
from ...core.types import Phase
from ..common.connections import Connections
from ..common.settings import Display
from .line_layer import Dash, Line, LineLayer, line_color
from .metadata import bayes_metadata
from .result_layers import CONTOUR_WIDTH
from .review_layers import find_layer
from .viewing import PlaneIndex, shown_plane

CONTOURS: Final = "contours"
"""Role of the layer, and key of its `StructureContours` in its metadata."""
CONTOUR_SOURCES: Final = ("edited", "prediction")
"""Roles of the labels that have contours; the first that is visible counts."""
CONTOUR_PIXELS: Final = 2.6
"""Width of the contours on the screen, where they are the strongest lines."""
PROVISIONAL_DASH: Final[Dash] = (4.0, 2.5)
"""Dash of the contours of a first look, in mm."""
FILLED, TRANSPARENT = 0.4, 0.0
"""Opacities of labels that have contours."""
STROKE_MS: Final = 30
"""Shortest time between two drawings during a stroke, which leaves time for the painting."""
SMOOTH, NEAREST = "catrom", "nearest"
"""Interpolations of the image; Catmull-Rom does not blur, unlike napari's "cubic"."""
_CACHE_SIZE: Final = 400
"""Number of cached planes, enough for a cine to play."""


class ContourSource(Protocol):
    """A result or study: its posteriors, and the (Z, Y, X) labels of phases with a look only."""

    @property
    def posteriors(self) -> Mapping[Phase, StoredPosterior]: ...

    @property
    def looks(self) -> Mapping[Phase, NDArray[Any]]: ...


class StructureContours:
    """Layer of the contours of one image, which follows sliders, labels and their layers.

    Its layer is hidden until `show`. It lives as long as its layer, which keeps it. If the user
    deletes the layer, the labels are shown as outlines, until the next slice has contours again.
    """

    def __init__(self, viewer: Any, image: Image, result: ContourSource, display: Display) -> None:
        self._viewer = viewer
        self._image = image
        self._result = result
        self._display = display
        self._followed: dict[Labels, Connections] = {}
        self._lines = LineLayer(viewer, image, CONTOURS, pixels=CONTOUR_PIXELS)
        self._cache: dict[tuple[int, str], _Drawing] = {}
        self._drawn: _Drawing | None = None
        self._stroke = QSignalThrottler(QSignalThrottler.EmissionPolicy.Leading)
        self._stroke.setTimeout(STROKE_MS)
        self._stroke.triggered.connect(self.draw)
        self._lines.make_hidden()
        self.layer.metadata["bayes"][CONTOURS] = self
        self.layer.events.visible.connect(self._on_shown)
        listen, layers, dims = Connections(), viewer.layers.events, viewer.dims.events
        listen.connect(self._on_layers_changed, layers.inserted, layers.removed)
        # After napari: it need not draw our lines in the slice that is left.
        listen.connect(self.draw, dims.point, position="last")
        listen.connect(self.draw, dims.order)
        listen.connect(self._on_shown, dims.ndisplay)
        # First, so that the labels are seen before the brush paints in them.
        viewer.mouse_drag_callbacks.insert(0, self._on_press)
        self._connections = listen

    def show(self) -> None:
        """Draw the contours for the first time, unless they are to be hidden."""
        if self.layer in self._viewer.layers:
            self.layer.visible = self._display.contours
            self._on_layers_changed()
            self.raise_above_labels()

    def __deepcopy__(self, memo: object) -> None:
        """Return None, because nothing is drawn in a copy of the layer."""

    @property
    def layer(self) -> Layer:
        """The layer of the contours."""
        assert self._lines.layer is not None
        return self._lines.layer

    @property
    def source(self) -> Labels | None:
        """The visible labels whose contours are drawn."""
        for role in CONTOUR_SOURCES:
            layer = find_layer(self._viewer, self._image, role)
            if isinstance(layer, Labels) and layer.visible:
                return layer
        return None

    def set_display(self, display: Display) -> None:
        """Show or hide the contours and the fill, as far as the choice has changed."""
        before, self._display = self._display, display
        if display.fill != before.fill:
            self._show_labels()
        if display.contours != before.contours:
            self.layer.visible = display.contours

    def set_result(self, result: ContourSource) -> None:
        """Use the posteriors and looks of another result, and follow its labels."""
        self._result = result
        self._on_layers_changed()
        self.draw()

    def raise_above_labels(self) -> None:
        """Move the contours above the labels."""
        layers = self._viewer.layers
        above = max((layers.index(layer) for layer in self._followed), default=-1)
        if layers.index(self.layer) < above:
            layers.move(layers.index(self.layer), above + 1)

    def draw(self) -> None:
        """Draw the contours of the displayed plane, unless they are already drawn."""
        source = self.source
        if not self.layer.visible:
            return
        drawing = self._drawing(source) if source is not None else None
        if drawing is not self._drawn:
            self._drawn = drawing
            if drawing is None:
                self._lines.draw_in([], (0,) * (self._image.ndim - 2))
            else:
                self._lines.draw_in(drawing.lines, drawing.index)

    def _drawing(self, source: Labels) -> _Drawing | None:
        """Return the contours of the displayed plane; None in 3D or outside the image."""
        index = shown_plane(self._viewer, source)
        numbers = [(i, size) for i, size in zip(index, source.data.shape, strict=True)]
        if sum(isinstance(number, slice) for number in index) != 2 or not all(
            isinstance(number, slice) or 0 <= number < size for number, size in numbers
        ):
            return None
        phase = _phase(index)
        look, posterior = self._result.looks.get(phase), self._result.posteriors.get(phase)
        # A phase with a look only has no labels in the layer.
        labels = np.asarray(source.data[index] if look is None else look[index[-3:]])
        dash = None if look is None else PROVISIONAL_DASH
        key = id(source), str(index)
        drawing = self._cache.get(key)
        if drawing is None or not drawing.is_of(labels, posterior, dash):
            # A dictionary keeps its order, so the oldest drawing goes first.
            while len(self._cache) >= _CACHE_SIZE:
                self._cache.pop(next(iter(self._cache)))
            structures = bayes_metadata(source)["structures"]
            drawing = _Drawing(index, labels, posterior, structures, dash)
            self._cache[key] = drawing
        return drawing

    def _show_labels(self) -> None:
        """Make labels that have contours transparent or filled; show others as outlines."""
        source = self.source if self.layer in self._viewer.layers else None
        flat = self._viewer.dims.ndisplay == 2
        for layer in self._followed:
            if source is not None and layer is source and flat:
                layer.contour = 0
                # napari draws its polygon as transparent as the labels.
                is_seen = self._display.fill or str(layer.mode) == "polygon"
                layer.opacity = FILLED if is_seen else TRANSPARENT
            else:
                layer.contour = CONTOUR_WIDTH if flat else 0
                layer.opacity = 1.0

    def _follow(self) -> None:
        """Follow the labels that are in the viewer now."""
        layers = [find_layer(self._viewer, self._image, role) for role in CONTOUR_SOURCES]
        present = [layer for layer in layers if isinstance(layer, Labels)]
        for layer in self._followed.keys() - {*present}:
            self._followed.pop(layer).close()
            if layer in self._viewer.layers:  # of another method: outlined if it is shown
                layer.contour, layer.opacity = CONTOUR_WIDTH, 1.0
        self._followed = {
            layer: self._followed.get(layer) or self._watch(layer) for layer in present
        }

    def _watch(self, layer: Labels) -> Connections:
        events, watched = layer.events, Connections()
        watched.connect(self.draw, events.set_data, events.paint)
        watched.connect(self._stroke.throttle, events.labels_update)
        watched.connect(self._on_shown, events.visible)
        watched.connect(self._show_labels, events.mode)
        return watched

    def _on_layers_changed(self) -> None:
        if self.layer not in self._viewer.layers:
            self._end()
            return
        before = [*self._followed]
        self._follow()
        if [*self._followed] != before:
            self._on_shown()

    def _on_shown(self) -> None:
        self._show_labels()
        self.draw()

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        """Show the labels themselves while the reader paints in them."""
        layer = self.source
        paints = layer is not None and str(layer.mode) in ("paint", "erase")
        if layer is None or not paints or viewer.layers.selection.active is not layer:
            return
        before = layer.opacity
        layer.opacity = max(before, FILLED)
        try:
            yield
            while event.type == "mouse_move":
                yield
        finally:  # a stroke can end without a release, if the window loses focus
            layer.opacity = before

    def _end(self) -> None:
        """Disconnect, because the layer was removed."""
        self._stroke.cancel()
        viewer = self._viewer
        self._connections.close()
        viewer.mouse_drag_callbacks.remove(self._on_press)
        self._show_labels()
        for watched in self._followed.values():
            watched.close()
        self._followed = {}
        self._lines.release()
        if self._image in viewer.layers and self._display.contours:
            self._draw_in_next_slice()

    def _draw_in_next_slice(self) -> None:
        """Let the next slice have contours again, in a new layer, unless there is one by then."""
        viewer, image = self._viewer, self._image
        moved = viewer.dims.events.point

        def draw_again(event: object) -> None:
            moved.disconnect(draw_again)
            if image in viewer.layers and find_contours(viewer, image) is None:
                show_contours(viewer, image, self._result, self._display)

        moved.connect(draw_again)


class _Drawing:
    """Contours of one plane, with what they were computed from."""

    def __init__(
        self,
        index: PlaneIndex,
        labels: NDArray[Any],
        posterior: StoredPosterior | None,
        structures: Mapping[str, int],
        dash: Dash | None,
    ) -> None:
        self.index, self._dash = index, dash
        # The labels of a layer are changed in place.
        self._labels = labels.copy()
        self._posterior = posterior
        contours = smooth_contours(labels, structures.values(), _plane(posterior, index))
        colors = structure_colors(structures)
        self.lines = [
            Line(_from_the_top(points) if dash else points, line_color(colors[label]), dash)
            for label, loops in contours.items()
            for points in loops
        ]

    def is_of(
        self, labels: NDArray[Any], posterior: StoredPosterior | None, dash: Dash | None
    ) -> bool:
        """Return whether labels, posterior and dash are still the same."""
        is_same = posterior is self._posterior and dash == self._dash
        return is_same and np.array_equal(labels, self._labels)


def show_contours(
    viewer: Any, image: Image, result: ContourSource, display: Display
) -> StructureContours:
    """Draw contours of the labels of an image, with the posteriors and looks of its result."""
    return drain(steps_to_show_contours(viewer, image, result, display))


def steps_to_show_contours(
    viewer: Any, image: Image, result: ContourSource, display: Display
) -> Generator[None, None, StructureContours]:
    """Do the steps of `show_contours`: a new layer is drawn in a step of its own."""
    contours = find_contours(viewer, image)
    if contours is None:
        contours = StructureContours(viewer, image, result, display)
        yield
        contours.show()
    else:
        contours.set_display(display)
        contours.set_result(result)
        contours.raise_above_labels()
    return contours


def apply_display(
    viewer: Any, image: Image, display: Display, result: ContourSource | None = None
) -> None:
    """Show contours, fill and image as chosen.

    With its ``result``, contours that the user has deleted are drawn again.
    """
    if image in viewer.layers:
        image.interpolation2d = SMOOTH if display.smooth else NEAREST
    contours = find_contours(viewer, image)
    if contours is not None:
        contours.set_display(display)
    elif result is not None:
        show_contours(viewer, image, result, display)


def find_contours(viewer: Any, image: Image) -> StructureContours | None:
    """Return the contours of an image, None if it has none or the user has deleted them."""
    layer = find_layer(viewer, image, CONTOURS)
    contours = bayes_metadata(layer).get(CONTOURS) if layer is not None else None
    return contours if isinstance(contours, StructureContours) else None


def _from_the_top(points: Points) -> Points:
    """Return a closed contour from its topmost point to the right, so that dashes cover others.

    The outline of the LV and the hole of the myocardium are one line, which begins anywhere.
    """
    points = np.roll(points, -np.lexsort(np.round(points.T[::-1], 6))[0], axis=0)
    return points if points[1, 1] > points[-1, 1] else np.roll(points[::-1], 1, axis=0)


def _phase(index: PlaneIndex) -> Phase:
    """Return the phase of a plane; that of a plane along the time has no posterior."""
    if len(index) == 3:
        return None
    return -1 if isinstance(index[0], slice) else index[0] + 1


def _plane(posterior: StoredPosterior | None, index: PlaneIndex) -> PlanePosterior | None:
    return posterior.plane_at(index[-3:]) if posterior is not None else None
