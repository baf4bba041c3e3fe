"""Views of the uncertainty, of which one is displayed at a time.

They are: nothing; the outlines of the regions with a probability of at least 10, 50 and 90 %; the
outlines of all members; each of the maps. Outlines are drawn in the displayed slice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from ...core.editing.outlines import level_outlines, member_outlines
from ...core.ensemble.maps import ENTROPY, MAPS, UncertaintyMap
from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.heart.structures import structure_colors
from ...core.types import Place
from ..common.connections import Connections
from ..layers.line_layer import Dash, Line, LineLayer, line_color
from ..layers.metadata import bayes_metadata
from ..layers.review_layers import find_layer
from ..layers.structure_contours import CONTOURS
from ..layers.viewing import shown_place

PosteriorOf: TypeAlias = Callable[[int | None], StoredPosterior | None]
"""Function that returns the posterior of a phase, None if it was not segmented."""


@dataclass(frozen=True)
class LineView:
    """View without a map: ``view`` is the entry of the switch, ``explained`` has two lines."""

    key: str
    view: str
    explained: str


UncertaintyView: TypeAlias = LineView | UncertaintyMap
NOTHING: Final = LineView(
    "nothing",
    "Nothing",
    "Only the contours of the labels. The queue still leads to uncertain slices.",
)
INCLUSION: Final = LineView(
    "inclusion",
    "Probability 10, 50, 90 %",
    "Dotted at 10 %, short dashes at 50 %, long dashes at 90 %. Where the lines part, the border "
    "is uncertain.",
)
MEMBER_LINES: Final = LineView(
    "members",
    "Outlines, one per member",
    "A dashed line for the structure of each member. Where the lines part, the members disagree.",
)
VIEWS: Final[Sequence[UncertaintyView]] = (NOTHING, INCLUSION, MEMBER_LINES, *MAPS.values())
OUTLINES: Final[Mapping[UncertaintyView, str]] = {
    INCLUSION: "Members: probability 10,\xa050,\xa090\xa0%",
    MEMBER_LINES: "Members: one outline each",
}
"""Title of the views that draw lines; it breaks at ordinary spaces only."""
ABSENT: Final = "{structure}: absent in this slice"
NO_ANSWERS: Final = "{shown}: this phase was not segmented"
NO_MAP: Final = "{shown}: not in this study"
LEVELS: Final = (0.1, 0.5, 0.9)
OPACITIES: Final = (0.7, 0.9, 1.0)
LEVEL_DASHES: Final[tuple[Dash, ...]] = ((0.8, 1.4), (1.7, 1.3), (3.4, 1.3))
"""Opacities and dashes of the outlines at these levels."""
MEMBER_OPACITY: Final = 0.5
MEMBER_DASH: Final[Dash] = (1.7, 1.3)
WIDTH: Final = 1.3
"""Width of the lines in pixels on the screen, less than that of the contours of the labels."""
_CACHE_SIZE: Final = 400
"""Number of cached drawings, enough for a cine to play with its outlines."""


@dataclass(frozen=True, eq=False)
class _Drawing:
    """The lines of one view in one slice, and its title."""

    title: str
    lines: Sequence[Line] = ()


class OutlineLayers(QObject):
    """Controller of one view over an image that follows slice, phase and structure.

    All lines of the members are in one layer, thin, dashed and below the contours of the labels, so
    that none is mistaken for one. Unused outlines are hidden rather than removed, because napari
    removes layers slowly. Outlines that the user has deleted are drawn again in the next slice.

    ``map_wanted`` carries the role of a missing uncertainty map, which the receiver must add at
    once. ``view_changed`` carries the view if the user chooses it in napari's layer list: a map
    that is shown or hidden there, or ``NOTHING`` if outlines are hidden. ``titled`` carries the
    title of what is displayed, with its unit, if it may have changed.
    """

    map_wanted = Signal(str)
    view_changed = Signal(object)
    titled = Signal(str)

    def __init__(
        self,
        viewer: Any,
        image: Image,
        posterior_of: PosteriorOf,
        structures: Mapping[str, int],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._image = viewer, image
        self._posterior_of, self._structures = posterior_of, structures
        self._structure = next(iter(structures), "")
        self._view: UncertaintyView = NOTHING
        self._peeked_from: UncertaintyView | None = None
        self._lines: LineLayer | None = None
        self._drawn: _Drawing | None = None
        self._cache: dict[tuple[Any, ...], _Drawing] = {}
        self._outline_view: UncertaintyView = INCLUSION
        self._watched = Connections()
        self._is_showing = True  # until the first view is chosen
        self._connections = Connections()
        self._connections.connect(self._on_moved, viewer.dims.events.point)
        self._connections.connect(self._on_inserted, viewer.layers.events.inserted)
        self._connections.connect(self._on_removed, viewer.layers.events.removed)

    @property
    def view(self) -> UncertaintyView:
        """The chosen view, also while peeking."""
        return self._peeked_from or self._view

    @property
    def title(self) -> str:
        """Title of the map, with its unit; for outlines, below the structure. "" for nothing."""
        view = self._view
        if self._image not in self._viewer.layers or view == NOTHING:
            return ""
        place = shown_place(self._viewer, self._image)
        if not isinstance(view, UncertaintyMap):
            return self._drawing(place).title
        if find_layer(self._viewer, self._image, view.title) is None:
            return NO_MAP.format(shown=view.view)
        is_segmented = self._posterior_of(place[0]) is not None
        return view.view if is_segmented else NO_ANSWERS.format(shown=view.view)

    def make_lines(self) -> None:
        """Make the layer of the outlines, so that the first view of them is quick."""
        if self._image in self._viewer.layers and self._lines is None:
            self._line_layer().make_hidden()

    def set_structure(self, name: str, *, draw: bool = True) -> None:
        """Choose the structure to outline, from the next slice on if it is not to ``draw`` now."""
        self._structure = name
        if draw:
            self._draw()

    def set_view(self, view: UncertaintyView) -> None:
        """Show this view only."""
        # What is chosen while the key is held is shown once it is released.
        if self._peeked_from is not None:
            self._peeked_from = view
        else:
            self._change(view)

    def peek(self, on: bool) -> None:
        """Show the entropy while ``on``, then return to the chosen view."""
        if on and self._peeked_from is None:
            self._peeked_from = self._view
            self._change(ENTROPY)
        elif not on and self._peeked_from is not None:
            view, self._peeked_from = self._peeked_from, None
            self._change(view)

    def close(self) -> None:
        """Remove the outlines and disconnect from the viewer; maps stay."""
        self._connections.close()
        self._remove_outlines()

    def _change(self, view: UncertaintyView) -> None:
        self._view = view
        if self._image not in self._viewer.layers:
            return
        self._is_showing = True
        try:
            for entry in MAPS.values():
                self._show_map(entry.title, entry == self._view)
            if self._lines is not None:  # first, because napari does not slice hidden layers
                self._lines.show(self._view in OUTLINES)
            self._draw()
        finally:
            self._is_showing = False
        self._watch()
        self.titled.emit(self.title)

    def _show_map(self, role: str, shown: bool) -> None:
        layer = find_layer(self._viewer, self._image, role)
        if layer is None and shown:
            self.map_wanted.emit(role)
            layer = find_layer(self._viewer, self._image, role)
        if layer is not None:
            layer.visible = shown

    def _draw(self) -> None:
        """Draw the outlines of the displayed slice and send its title, unless this is done."""
        if self._image not in self._viewer.layers or self._view not in OUTLINES:
            return
        self._outline_view = self._view
        place = shown_place(self._viewer, self._image)
        drawing = self._drawing(place)
        # The same drawing from the cache is on screen already.
        if drawing is not self._drawn:
            self._line_layer().draw(drawing.lines, place)
            self.titled.emit(drawing.title)
        self._drawn = drawing

    def _line_layer(self) -> LineLayer:
        if self._lines is None:
            self._lines = LineLayer(
                self._viewer, self._image, "outlines", pixels=WIDTH, below=CONTOURS
            )
        return self._lines

    def _drawing(self, place: Place) -> _Drawing:
        key = (place, self._structure, self._view)
        if key not in self._cache:
            if len(self._cache) >= _CACHE_SIZE:
                # A dict keeps its order, so the oldest drawing goes.
                self._cache.pop(next(iter(self._cache)))
            self._cache[key] = self._compute_drawing(place)
        return self._cache[key]

    def _compute_drawing(self, place: Place) -> _Drawing:
        structure, (phase, z) = self._structure, place
        posterior, label = self._posterior_of(phase), self._structures.get(structure)
        if posterior is None or label is None or not 0 < label < posterior.classes:
            return _Drawing(NO_ANSWERS.format(shown=structure))
        color = structure_colors(self._structures)[label]
        slice_ = posterior.slice_at(z)
        if self._view == MEMBER_LINES:
            faint = line_color(color, MEMBER_OPACITY)
            styles = [(faint, MEMBER_DASH, member) for member in member_outlines(slice_, label)]
        else:
            colors = [line_color(color, opacity) for opacity in OPACITIES]
            styles = [
                *zip(colors, LEVEL_DASHES, level_outlines(slice_, label, LEVELS), strict=True)
            ]
        lines = [Line(points, rgba, dash) for rgba, dash, loops in styles for points in loops]
        # Some members may draw a structure whose probability reaches no line.
        if not lines and not (slice_.members == label).any():
            return _Drawing(ABSENT.format(structure=structure))
        return _Drawing(f"{structure}\n{OUTLINES[self._view]}", lines)

    def _watch(self) -> None:
        """Follow the visibility of the maps and outlines that are in the viewer now."""
        self._watched.close()
        watched = [layer.events.visible for layer in self._viewer.layers if self._view_of(layer)]
        # Before the map that is shown hides the other one.
        self._watched.connect(self._on_visible, *watched, position="first")

    def _view_of(self, layer: Layer) -> UncertaintyView | None:
        """Return the view that a layer belongs to."""
        if self._lines is not None and self._lines.layer is layer:
            return self._outline_view
        role = str(bayes_metadata(layer).get("role"))
        view = next((entry for entry in MAPS.values() if entry.title == role), None)
        is_ours = view is not None and find_layer(self._viewer, self._image, role) is layer
        return view if is_ours else None

    def _on_visible(self, event: Any) -> None:
        self._follow(event.source)

    def _on_inserted(self, event: Any) -> None:
        if not self._is_showing and self._view_of(event.value):
            self._watch()
            if event.value.visible:
                self._follow(event.value)

    def _follow(self, layer: Layer) -> None:
        """Choose the view of a layer that was shown elsewhere, or nothing if it was hidden."""
        view = self._view_of(layer)
        # What this controller shows or hides is nobody's choice.
        if self._is_showing or view is None or layer.visible == (view == self._view):
            return
        self.set_view(view if layer.visible else NOTHING)
        self.view_changed.emit(self.view)

    def _remove_outlines(self) -> None:
        self._watched.close()
        lines, self._lines, self._drawn = self._lines, None, None
        if lines is not None:
            lines.remove()

    def _on_moved(self) -> None:
        self._draw()
        if isinstance(self._view, UncertaintyMap) and self._image in self._viewer.layers:
            self.titled.emit(self.title)  # an empty map does not say if nothing is uncertain

    def _on_removed(self, event: Any) -> None:
        """Follow the user in deleting the image; draw deleted outlines again in the next slice."""
        if event.value is self._image:
            self._remove_outlines()
        elif self._lines is not None and event.value is self._lines.layer:
            self._drawn = None
