"""Slice, phase, notes, title of the uncertainty and scale bar in the corners of the canvas."""

from __future__ import annotations

from collections.abc import Generator
from textwrap import wrap
from typing import Any, Final

from napari.components.overlays import ScaleBarOverlay, TextOverlay
from napari.layers import Image

from ...core.types import Phase
from ..common.canvas import SHADE, make_overlay, put_overlay, remove_overlay
from ..layers.metadata import layer_spacing
from ..layers.viewing import shown_place

_REVIEW: Final = "review"
CAPTION_KEY: Final = f"{_REVIEW}_caption"
TITLE_KEY: Final = f"{_REVIEW}_title"
SCALE_KEY: Final = f"{_REVIEW}_scale_bar"
SLICE_TEXT: Final = "Slice {number} of {count}"
PHASE_TEXT: Final = "phase {number} of {count}"
PROVISIONAL_TEXT: Final = "provisional"
_FONT_SIZE: Final = 10
_LETTER_PX: Final = 9
"""Mean width of a letter, with some room."""
_ROOM: Final = 2 * "\N{NO-BREAK SPACE}"
"""Room at the open end of a line, because napari takes texts for up to 4 % narrower."""


class CanvasCaption:
    """Caption of the slice on screen and scale bar, as overlays of our own over one image.

    Slices and phases count from 1. The caption is hidden in 3D and if the slices are not those of
    the image. The scale bar is hidden if the size of the voxels is unknown. ``name`` begins the
    keys of the overlays.
    """

    def __init__(self, viewer: Any, image: Image, *, name: str = _REVIEW) -> None:
        self._viewer = viewer
        self._image = image
        self._text_key, self._title_key, self._bar_key = (
            key.replace(_REVIEW, name) for key in (CAPTION_KEY, TITLE_KEY, SCALE_KEY)
        )
        self._landmarks: dict[int, str] = {}
        self._provisional: frozenset[Phase] = frozenset()
        self._note = self._title = ""
        self._units = ""
        look = {"font_size": _FONT_SIZE, "color": "white", "box_color": SHADE}
        self.text = TextOverlay(position="top_left", **look)
        self.title = TextOverlay(position="bottom_right", **look)
        self.bar = self._make_bar()

    def show(self) -> Generator[None, None, None]:
        """Show everything, in steps, because napari needs 30 to 60 ms for each new overlay.

        It also needs 30 ms to draw a text for the first time.
        """
        self.text.visible = False  # until the caption of another dock has given way
        put_overlay(self._viewer, self._text_key, self.text)
        for signal in self._signals():
            signal.connect(self._update)
        yield
        self._update()
        yield
        # Below the colour bar, which belongs to its layer.
        put_overlay(self._viewer, self._title_key, self.title)
        make_overlay(self.title)  # there may be no map yet
        self._update()
        yield
        self._put_bar()
        make_overlay(self.bar)
        for signal in self._layer_signals():
            signal.connect(self._update_bar)
        yield
        self._update_bar()

    def set_landmarks(self, ed: int | None, es: int | None) -> None:
        """Name the phases of ED and ES, from 1."""
        self._landmarks = {phase: name for phase, name in ((es, "ES"), (ed, "ED")) if phase}
        self._update()

    def set_provisional(self, phases: frozenset[Phase]) -> None:
        """Say of these phases, from 1, that they are provisional."""
        if phases != self._provisional:
            self._provisional = phases
            self._update()

    def set_note(self, note: str) -> None:
        """Add a line below slice and phase, or remove it ("")."""
        if note != self._note:
            self._note = note
            self._update()

    def set_title(self, title: str) -> None:
        """Name the uncertainty that is displayed, with its unit; "" for none."""
        if title != self._title:
            self._title = title
            self._update()

    def close(self) -> None:
        """Remove caption, title and scale bar."""
        for signal in self._signals():
            signal.disconnect(self._update)
        for signal in self._layer_signals():
            signal.disconnect(self._update_bar)
        ours = {self._text_key: self.text, self._title_key: self.title, self._bar_key: self.bar}
        for key, overlay in ours.items():
            remove_overlay(self._viewer, key, overlay)

    def _signals(self) -> tuple[Any, ...]:
        dims = self._viewer.dims.events
        return dims.point, dims.order, dims.ndisplay, self._viewer.canvas.events.size

    def _layer_signals(self) -> tuple[Any, ...]:
        layers, dims = self._viewer.layers.events, self._viewer.dims.events
        return layers.inserted, layers.removed, dims.order, dims.ndisplay

    def _update(self, event: object = None) -> None:
        parts = self._parts()
        # Half of the width, because the middle of each edge has a letter.
        fitting = max(1, self._viewer.canvas.size[1] // (2 * _LETTER_PX) - 2)
        first = " · ".join(parts)
        lines = [first] if len(first) <= fitting else parts
        lines = [*lines, *wrap(self._note, fitting)]
        title = [part for line in self._title.splitlines() for part in wrap(line, fitting)]
        texts = {
            self.text: "\n".join(line + _ROOM for line in lines),
            self.title: "\n".join(_ROOM + line for line in title),
        }
        for overlay, text in texts.items():
            if text != overlay.text:
                overlay.text = text
            overlay.visible = bool(parts and text)

    def _parts(self) -> list[str]:
        """Return slice and phase in words; nothing if no slice of the image is shown."""
        dims, image = self._viewer.dims, self._image
        in_plane = {dims.ndim - 2, dims.ndim - 1}
        if image not in self._viewer.layers or {*dims.displayed} != in_plane:
            return []
        phase, z = shown_place(self._viewer, image)
        parts = [SLICE_TEXT.format(number=z + 1, count=image.data.shape[-3])]
        if phase is not None:
            text = PHASE_TEXT.format(number=phase, count=image.data.shape[0])
            name = self._landmarks.get(phase)
            parts.append(f"{name} ({text})" if name else text)
            parts += [PROVISIONAL_TEXT] if phase in self._provisional else []
        return parts

    def _put_bar(self) -> None:
        """Add a scale bar, which takes its unit from the layers that are in the viewer now."""
        self._units = str(self._viewer.layers.units)
        self.bar = self._make_bar()
        put_overlay(self._viewer, self._bar_key, self.bar)

    def _make_bar(self) -> ScaleBarOverlay:
        return ScaleBarOverlay(
            position="bottom_left",
            font_size=_FONT_SIZE,
            colored=True,
            color="white",
            box_color=SHADE,
            visible=self._has_scale(),
        )

    def _update_bar(self, event: object = None) -> None:
        if str(self._viewer.layers.units) != self._units:
            self._put_bar()
        else:
            self.bar.visible = self._has_scale()

    def _has_scale(self) -> bool:
        """Return whether lengths on the screen are known."""
        units, dims = self._viewer.layers.units, self._viewer.dims
        if units is None or layer_spacing(self._image) is None:
            return False
        return all(units[axis].is_compatible_with("millimeter") for axis in dims.displayed)
