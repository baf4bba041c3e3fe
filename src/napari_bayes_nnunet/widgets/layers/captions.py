"""Texts on the canvas: patient, slice and phase, title of the map, scale bar, messages, letters."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import chain
from textwrap import TextWrapper, fill, wrap
from typing import Any, ClassVar, Final
from weakref import WeakValueDictionary

from napari.components.overlays import ScaleBarOverlay, TextOverlay
from napari.layers import Image
from qtpy.QtCore import QObject

from ...core.heart.patient_record import PatientRecord
from ...core.steps import drain
from ...core.types import Phase
from ...io.images.geometry import Letters
from ..common.background import single_shot
from ..common.canvas import SHADE, make_overlay, put_overlay, remove_overlay, unwrap
from ..common.connections import Connections
from ..common.dock import LINE_BREAK
from .front import image_in_front, image_of_labels, is_covered, is_picture
from .metadata import layer_geometry, layer_patient, layer_spacing
from .result_layers import UNCERTAINTY_MAPS, result_layers
from .viewing import fit_sliders, shown_place, shows_slices

_REVIEW: Final = "review"
CAPTION_KEY: Final = f"{_REVIEW}_caption"
TITLE_KEY: Final = f"{_REVIEW}_title"
SCALE_KEY: Final = f"{_REVIEW}_scale_bar"
STRIP_KEY: Final = "patient_strip"
PATIENT_HIDDEN: Final = "Patient hidden"
SLICE_TEXT: Final = "Slice {number} of {count}"
PHASE_TEXT: Final = "phase {number} of {count}"
PROVISIONAL_TEXT: Final = "provisional contours of the first look"
_FONT_SIZE: Final = 10
_LETTER_PX: Final = 9
"""Mean width of a letter, with some room."""
_ROOM: Final = 2 * "\N{NO-BREAK SPACE}"
"""Room at the open end of a line, because napari takes texts for up to 4 % narrower."""
NOTICE_MS: Final = 3000
LETTER_MS: Final = 60
"""Time to read a letter, so that a long message stays longer: about 170 words a minute."""
NOTICE_WIDTH: Final = 40
"""Longest line in letters, ending before the letter at the upper edge; less on a narrow canvas."""
_NARROWEST: Final = 12
LETTER_PX: Final = 11
"""Mean width of a letter in the overlay, with some room."""
NOTICE_KEY: Final = "review_notice"
_SHADE = (0.0, 0.0, 0.0, 0.75)
_ABOVE_OTHERS: Final = 2 * 10**6
"""Drawn over what else may lie there in a narrow canvas, such as a colour bar."""
EDGES: Final[Mapping[str, str]] = {
    "top": "top_center",
    "bottom": "bottom_center",
    "left": "middle_left",
    "right": "middle_right",
}
LETTER_SIZE = 14
CHANGES: Final = ("inserted", "removed", "reordered", "visible", "opacity")
"""Events of layers after which another image may be in front."""


class CanvasCaption:
    """Caption of the slice on screen and scale bar, as overlays of our own over one image.

    Slices and phases count from 1. The caption is hidden in 3D and if the slices are not those of
    the image. The scale bar is hidden if the size of the voxels is unknown. ``name`` begins the
    keys of the overlays.
    """

    def __init__(self, viewer: Any, image: Image | None, *, name: str = _REVIEW) -> None:
        self._viewer = viewer
        self._image = image
        self._connections = Connections()
        self._text_key, self._title_key, self._bar_key = (
            key.replace(_REVIEW, name) for key in (CAPTION_KEY, TITLE_KEY, SCALE_KEY)
        )
        self._landmarks: dict[int, str] = {}
        self._provisional: frozenset[Phase] = frozenset()
        self._note = self._title = ""
        self._units = ""
        self.text, self.title = _text_at("top_left"), _text_at("bottom_right")
        self.bar = self._make_bar()

    def show(self) -> Generator[None, None, None]:
        """Show everything, in steps, because napari needs 30 to 60 ms for each new overlay.

        It also needs 30 ms to draw a text for the first time.
        """
        self.text.visible = False  # until the caption of another dock has given way
        put_overlay(self._viewer, self._text_key, self.text)
        dims, layers = self._viewer.dims.events, self._viewer.layers.events
        views, size = (dims.order, dims.ndisplay), self._viewer.canvas.events.size
        self._connections.connect(self._update, dims.point, *views, size)
        self._connections.connect(self._on_layers, layers)
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
        self._connections.connect(self._update_bar, layers.inserted, layers.removed, *views)
        yield
        self._update_bar()

    def set_landmarks(self, ed: int | None, es: int | None) -> None:
        """Name the phases of ED and ES, from 1."""
        self._landmarks = {phase: name for phase, name in ((es, "ES"), (ed, "ED")) if phase}
        self._update()

    def set_provisional(self, phases: Iterable[Phase]) -> None:
        """Say of these phases, from 1, that they are provisional."""
        self._provisional = frozenset(phases)
        self._update()

    def set_note(self, note: str) -> None:
        """Add a line below slice and phase, or remove it ("")."""
        self._note = note
        self._update()

    def set_title(self, title: str) -> None:
        """Name the uncertainty that is displayed, with its unit; "" for none."""
        self._title = title
        self._update()

    def close(self) -> None:
        """Remove caption, title and scale bar."""
        self._connections.close()
        ours = {self._text_key: self.text, self._title_key: self.title, self._bar_key: self.bar}
        for key, overlay in ours.items():
            remove_overlay(self._viewer, key, overlay)

    def _on_layers(self, event: Any) -> None:
        if event.type in CHANGES:
            self._update()

    def _update(self, event: object = None) -> None:
        parts = self._parts()
        # Without the room at the open end, and half of the letter of the edge.
        fitting = max(1, _fitting_letters(self._viewer) - len(_ROOM) - 1)
        first = " · ".join(parts)
        lines = [first] if len(first) <= fitting else parts
        lines = [*lines, *wrap(self._note, fitting, break_long_words=False)]
        parted = [wrap(line, fitting, break_long_words=False) for line in self._title.splitlines()]
        title = [part for line in parted for part in line]
        texts = {
            self.text: "\n".join(line + _ROOM for line in lines),
            self.title: "\n".join(_ROOM + line for line in title),
        }
        for overlay, text in texts.items():
            # A text that stays is not laid out again.
            if text != overlay.text:
                overlay.text = text
            overlay.visible = bool(parts and text)
        self.bar.visible = self._has_scale()

    def _parts(self) -> list[str]:
        """Return slice and phase in words; nothing if no slice of the image is shown."""
        viewer, image = self._viewer, self._image
        if image is None or image not in viewer.layers or not shows_slices(viewer):
            return []
        if is_covered(viewer, image):
            return []  # these would be words on another image
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
        # There are no common units while a layer in pixels lies among those in mm.
        units, dims = self._viewer.layers.units, self._viewer.dims
        if self._image is None or units is None or layer_spacing(self._image) is None:
            return False
        if is_covered(self._viewer, self._image):
            return False
        return all(units[axis].is_compatible_with("millimeter") for axis in dims.displayed)


def _text_at(position: str, size: int = _FONT_SIZE) -> TextOverlay:
    return TextOverlay(position=position, font_size=size, color="white", box_color=SHADE)


class ResultCaption(CanvasCaption):
    """Caption of the image in the Segment dock, with the title of its map that is visible.

    It is hidden while there is the caption of a review.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__(viewer, None, name="result")
        self._chosen: Image | None = None
        self._is_made = False
        overlays, self._followed = viewer.canvas.overlays.events, Connections()
        self._followed.connect(
            self._on_changed, viewer.layers.events, overlays.added, overlays.removed
        )

    def set_image(self, image: Image | None) -> None:
        """Show the caption of another image; None for none."""
        self._chosen = image
        self._follow()
        if image is not None and not self._is_made:
            self._is_made = True
            drain(self.show())

    def close(self) -> None:
        """Remove the caption and disconnect from the viewer."""
        self._followed.close()
        self._chosen = None
        self._follow()
        if self._is_made:
            super().close()

    def _on_changed(self, event: Any) -> None:
        if event.type in ("inserted", "removed", "visible", "added"):
            self._follow()

    def _follow(self) -> None:
        """Give way to the caption of a review, and show the title of the visible map."""
        is_reviewed = CAPTION_KEY in self._viewer.canvas.overlays
        self._image = None if is_reviewed else self._chosen
        layers = result_layers(self._viewer, self._image) if self._image is not None else {}
        shown = [role for role in UNCERTAINTY_MAPS if role in layers and layers[role].visible]
        self.set_title(UNCERTAINTY_MAPS[shown[0]].view if shown else "")
        if self._is_made:
            self._update_bar()


class CanvasNotice(QObject):
    """Message on the canvas until it can be read, below the caption in the upper left corner.

    napari puts the overlays of a corner one below the other, so that none covers another.
    """

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.overlay = self._put_overlay()
        self.timer = single_shot(self, self.hide)

    def show(self, text: str) -> None:
        """Show ``text`` for a while; "" hides the message at once."""
        if not text:
            self.hide()
            return
        if [*self._viewer.canvas.overlays][-1] != NOTICE_KEY:  # the caption is a new one
            self.overlay = self._put_overlay()
        fitting = self._viewer.canvas.size[1] // LETTER_PX - 3
        self.overlay.text = fill(text, min(NOTICE_WIDTH, max(fitting, _NARROWEST)))
        self.overlay.visible = True
        self.timer.start(max(NOTICE_MS, LETTER_MS * len(text)))

    def hide(self) -> None:
        """Hide the message."""
        self.timer.stop()
        self.overlay.visible = False

    def close(self) -> None:
        """Remove the message from the canvas."""
        self.timer.stop()
        remove_overlay(self._viewer, NOTICE_KEY, self.overlay)

    def _put_overlay(self) -> TextOverlay:
        """Put a new overlay on the canvas, after all others in the order of their corner."""
        overlay = TextOverlay(
            position="top_left",
            font_size=12,
            color="white",
            box_color=_SHADE,
            order=_ABOVE_OTHERS,
            visible=False,
        )
        put_overlay(self._viewer, NOTICE_KEY, overlay)
        return overlay


def edge_letters(
    letters: Letters, displayed: tuple[int, int], directions: tuple[str, str]
) -> dict[str, str]:
    """Return the letter of each edge.

    ``displayed`` are the vertical and the horizontal axis, of (z, y, x) = (0, 1, 2).
    ``directions`` are theirs: "up" or "down", and "left" or "right".
    """
    (top, bottom), (left, right) = (letters[axis] for axis in displayed)
    if directions[0] == "up":
        top, bottom = bottom, top
    if directions[1] == "left":
        left, right = right, left
    return {"top": top, "bottom": bottom, "left": left, "right": right}


class FrontCaption:
    """Whose heart the image in front shows, and its letters at the edges of the canvas.

    The letters are hidden in 3D and if the orientation is unknown. The sliders go through this
    image only. The docks of a viewer share one, see `shared`.
    """

    _of_viewers: ClassVar[WeakValueDictionary[int, FrontCaption]] = WeakValueDictionary()

    @classmethod
    def shared(cls, viewer: Any) -> FrontCaption:
        """Return the caption of a viewer; each dock that asks for it releases it once."""
        viewer = unwrap(viewer)  # napari gives each dock another proxy of it
        caption = cls._of_viewers.get(id(viewer)) or cls(viewer)
        cls._of_viewers[id(viewer)] = caption
        caption._docks += 1
        return caption

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._docks = 0
        self._is_hidden = False
        self._strip = _text_at("top_left")
        put_overlay(viewer, STRIP_KEY, self._strip)
        self._overlays = {edge: _text_at(at, LETTER_SIZE) for edge, at in EDGES.items()}
        for edge, overlay in self._overlays.items():
            put_overlay(viewer, _key(edge), overlay)
        dims, turned = viewer.dims.events, viewer.scene.camera.events.orientation
        seen = turned, viewer.canvas.events.size
        self._connections = Connections()
        self._connections.connect(self._update, dims.order, dims.ndisplay, dims.ndim, *seen)
        self._connections.connect(self._fit_sliders, dims.range)
        self._connections.connect(self._on_layers, viewer.layers.events)
        self._update()
        self._fit_sliders()

    def hide_patient(self, is_hidden: bool) -> None:
        """Say only that the patient is hidden, or again whose heart it is."""
        self._is_hidden = is_hidden
        self._update()

    def release(self) -> None:
        """Remove patient and letters with the last dock; the sliders stay as they are."""
        self._docks -= 1
        if self._docks:
            return
        del self._of_viewers[id(self._viewer)]
        self._connections.close()
        for edge, overlay in self._overlays.items():
            remove_overlay(self._viewer, _key(edge), overlay)
        remove_overlay(self._viewer, STRIP_KEY, self._strip)

    def _on_layers(self, event: Any) -> None:
        if event.type == "inserted":
            self._give_units()
        if event.type in CHANGES:
            self._update()
            self._fit_sliders()

    def _give_units(self) -> None:
        """Give pictures in pixels the units of the image, or napari would drop those of both."""
        front = image_in_front(self._viewer)
        for layer in filter(is_picture, self._viewer.layers):
            in_pixels = "pixel" in map(str, layer.units)
            if front is not None and in_pixels and layer.ndim <= front.ndim:
                layer.units = front.units[front.ndim - layer.ndim :]

    def _fit_sliders(self, event: object = None) -> None:
        front = image_in_front(self._viewer)
        if front is not None:
            fit_sliders(self._viewer, front)

    def _update(self, event: object = None) -> None:
        front = image_in_front(self._viewer, opaque=True) or image_in_front(self._viewer)
        front = front or image_of_labels(self._viewer)
        parts = () if front is None else shown_parts(layer_patient(front), self._is_hidden)
        self._strip.text = "\n".join(line + _ROOM for line in _lines(parts, self._viewer))
        self._strip.visible = bool(parts)
        letters = self._letters()
        for edge, overlay in self._overlays.items():
            overlay.text = letters.get(edge, "")
            overlay.visible = bool(letters)

    def _letters(self) -> dict[str, str]:
        image = image_in_front(self._viewer)
        geometry = layer_geometry(image) if image is not None else None
        dims = self._viewer.dims
        letters = geometry.reliable_letters if geometry is not None else None
        if letters is None or dims.ndisplay != 2:
            return {}
        rows, columns = (int(axis) - (dims.ndim - 3) for axis in dims.displayed)
        if min(rows, columns) < 0:  # time is displayed
            return {}
        vertical, horizontal = self._viewer.scene.camera.orientation2d
        directions = (str(vertical), str(horizontal))
        return edge_letters(letters, (rows, columns), directions)


def shown_parts(patient: PatientRecord, is_hidden: bool) -> tuple[str, ...]:
    """Return what may be shown of a patient, in the order of its importance."""
    return (PATIENT_HIDDEN,) if is_hidden else patient.parts


def _lines(parts: Sequence[str], viewer: Any) -> list[str]:
    """Return parts in lines that leave the middle of the canvas to its letter; none is cut."""
    fitting = max(_NARROWEST, _fitting_letters(viewer) - 4)  # capitals and digits are wide
    lines: list[str] = []
    for part in parts:
        longer = " · ".join([*lines[-1:], part])
        if len(longer) <= fitting:
            lines[-1:] = [longer]
        else:
            by_word = wrap(part, fitting, break_long_words=False, break_on_hyphens=False)
            lines += chain.from_iterable(map(_BySigns(fitting).wrap, by_word))
    return lines


class _BySigns(TextWrapper):
    """Wrapper of names of files, which have no spaces; they break as in `WholeLabel`."""

    wordsep_re = re.compile(rf"{LINE_BREAK}(?=\w)")


def _fitting_letters(viewer: Any) -> int:
    """Return the letters in half of the width, because the middle of each edge has one."""
    return max(1, int(viewer.canvas.size[1]) // (2 * _LETTER_PX) - 2)


def _key(edge: str) -> str:
    return f"patient_letter_{edge}"
