"""Letters at the edges of the canvas for the directions of the patient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from napari.components.overlays import TextOverlay

from ...io.images.geometry import Letters
from ..common.canvas import SHADE, put_overlay, remove_overlay
from .front import image_in_front
from .metadata import layer_geometry

EDGES: Final[Mapping[str, str]] = {
    "top": "top_center",
    "bottom": "bottom_center",
    "left": "middle_left",
    "right": "middle_right",
}
FONT_SIZE = 14
CHANGES: Final = ("inserted", "removed", "reordered", "visible", "opacity")
"""Events of layers after which another image may be in front."""


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


class PatientLetters:
    """The letters of the image in front; hidden in 3D and if the orientation is unknown."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._overlays = {
            edge: TextOverlay(
                position=position, font_size=FONT_SIZE, color="white", box_color=SHADE
            )
            for edge, position in EDGES.items()
        }
        for edge, overlay in self._overlays.items():
            put_overlay(viewer, _key(edge), overlay)
        for signal in self._signals():
            signal.connect(self._update)
        viewer.layers.events.connect(self._on_layers)
        self._update()

    def close(self) -> None:
        """Remove the letters."""
        for signal in self._signals():
            signal.disconnect(self._update)
        self._viewer.layers.events.disconnect(self._on_layers)
        for edge, overlay in self._overlays.items():
            remove_overlay(self._viewer, _key(edge), overlay)

    def _signals(self) -> tuple[Any, ...]:
        dims = self._viewer.dims.events
        return (dims.order, dims.ndisplay, dims.ndim, self._viewer.scene.camera.events.orientation)

    def _on_layers(self, event: Any) -> None:
        if event.type in CHANGES:
            self._update()

    def _update(self, event: object = None) -> None:
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


def has_letters(viewer: Any) -> bool:
    """Return whether a dock already shows letters in this viewer."""
    return any(_key(edge) in viewer.canvas.overlays for edge in EDGES)


def _key(edge: str) -> str:
    return f"patient_letter_{edge}"
