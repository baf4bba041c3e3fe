"""Garbage collections that are short while they would stop the window."""

from __future__ import annotations

import gc


class ShortCollections:
    """Python's garbage collections, which skip all objects that exist when this starts.

    A full collection looks at every object of napari. It stops the window for 0.2 s, at any time
    and whenever napari removes a layer. Nothing happens if another part of the program skips
    objects.
    """

    def __init__(self) -> None:
        self._is_ours = False

    def start(self) -> None:
        """Skip the objects that exist now; call this again when many long-lived ones were made."""
        self._is_ours = self._is_ours or gc.get_freeze_count() == 0
        if self._is_ours:
            gc.freeze()

    def end(self) -> None:
        """Look at all objects again, so that memory in reference cycles is freed."""
        if self._is_ours:
            gc.unfreeze()
            self._is_ours = False
