"""Slice, phase and title of the map on the canvas while no study is being reviewed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari.layers import Image, Layer

from ...core.steps import drain
from ...core.types import Phase
from ..layers.result_layers import UNCERTAINTY_MAPS, result_layers
from ..reading.caption import CAPTION_KEY, CanvasCaption


class ResultCaption:
    """Caption of one image, with the title of its map that is visible.

    It gives way to the caption of a review, and returns when the study is closed.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._image: Image | None = None
        self._landmarks: tuple[Phase, Phase] = (None, None)
        self._provisional: frozenset[Phase] = frozenset()
        self._maps: list[Layer] = []
        self.caption: CanvasCaption | None = None
        layers, overlays = viewer.layers.events, viewer.canvas.overlays.events
        self._layer_events = (layers.inserted, layers.removed)
        self._overlay_events = (overlays.added, overlays.removed)
        for signal in self._layer_events:
            signal.connect(self._follow)
        for signal in self._overlay_events:
            signal.connect(self._on_overlay)

    def set_image(self, image: Image | None) -> None:
        """Show the caption of another image; None for none."""
        if image is not self._image:
            self._image = image
            self._remove()
        self._show()

    def set_landmarks(self, ed: Phase, es: Phase) -> None:
        """Name the phases of ED and ES, from 1; None if unknown."""
        self._landmarks = ed, es
        if self.caption is not None:
            self.caption.set_landmarks(ed, es)

    def set_provisional(self, phases: Iterable[Phase]) -> None:
        """Mark phases that have only a first look."""
        self._provisional = frozenset(phases)
        if self.caption is not None:
            self.caption.set_provisional(self._provisional)

    def close(self) -> None:
        """Remove the caption and disconnect from the viewer."""
        for signal in self._layer_events:
            signal.disconnect(self._follow)
        for signal in self._overlay_events:
            signal.disconnect(self._on_overlay)
        self._image = None
        self._remove()
        self._follow()

    def _show(self) -> None:
        is_reviewed = CAPTION_KEY in self._viewer.canvas.overlays
        if self._image is not None and self.caption is None and not is_reviewed:
            self.caption = CanvasCaption(self._viewer, self._image, name="result")
            self.caption.set_landmarks(*self._landmarks)
            self.caption.set_provisional(self._provisional)
            drain(self.caption.show())
        self._follow()

    def _remove(self) -> None:
        caption, self.caption = self.caption, None
        if caption is not None:
            caption.close()

    def _on_overlay(self, event: Any) -> None:
        """Give way to the caption of a review, and return after it."""
        if event.key != CAPTION_KEY:
            return
        if CAPTION_KEY in self._viewer.canvas.overlays:
            self._remove()
        else:
            self._show()

    def _follow(self, event: object = None) -> None:
        """Follow the visibility of the maps that are in the viewer now."""
        for layer in self._maps:
            layer.events.visible.disconnect(self._show_title)
        layers = result_layers(self._viewer, self._image) if self._image is not None else {}
        self._maps = [layer for role, layer in layers.items() if role in UNCERTAINTY_MAPS]
        for layer in self._maps:
            layer.events.visible.connect(self._show_title)
        self._show_title()

    def _show_title(self, event: object = None) -> None:
        if self.caption is None or self._image is None:
            return
        layers = result_layers(self._viewer, self._image)
        shown = [role for role in UNCERTAINTY_MAPS if role in layers and layers[role].visible]
        self.caption.set_title(UNCERTAINTY_MAPS[shown[0]].view if shown else "")
