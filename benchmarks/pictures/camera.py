"""Small pictures of windows and their parts."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from qtpy.QtCore import QBuffer, QIODevice, QRect
from qtpy.QtGui import QPixmap
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

LARGEST_BYTES = 150_000
GREYS = (128, 64, 32, 24, 16, 12, 8)
FREQUENT, VIVID_COLORS = 8, 40
VIVID = 40
"""Range of red, green and blue from which a colour is that of a line rather than a grey."""
DRAWN_AFTER_MS = 1500
DOCK_WIDTH = 400


class Camera:
    """Camera that writes pictures to a folder; without one it takes none."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self.taken: list[Path] = []

    def take_window(self, viewer: Any, name: str) -> None:
        """Take a picture of the whole window."""
        if self._is_ready():
            self._save(viewer.screenshot(canvas_only=False, flash=False), name)

    def take_canvas(self, viewer: Any, name: str) -> None:
        """Take a picture of the canvas."""
        if self._is_ready():
            self._save(viewer.screenshot(flash=False), name)

    def take(self, part: QWidget, name: str) -> None:
        """Take a picture of a part of a window, or of a dialog."""
        if self._is_ready():
            self._save(_pixels(part.grab()), name)

    def take_whole_dock(self, dock: QWidget, name: str) -> None:
        """Take a picture of all that is in a dock, also of what would need scrolling."""
        if self._folder is None:
            return
        content = dock.layout().itemAt(0).widget().widget()
        content.setFixedWidth(DOCK_WIDTH)
        self._is_ready()  # parts whose height follows the width are laid out again
        height = content.layout().heightForWidth(DOCK_WIDTH)
        self._save(_pixels(content.grab(QRect(0, 0, DOCK_WIDTH, height))), name)
        content.setMinimumWidth(0)
        content.setMaximumWidth(16_777_215)

    def _is_ready(self) -> bool:
        """Wait until everything is drawn; return whether pictures are taken."""
        if self._folder is not None:
            QTest.qWait(DRAWN_AFTER_MS)
        return self._folder is not None

    def _save(self, pixels: NDArray[np.uint8], name: str) -> None:
        assert self._folder is not None
        file = self._folder / f"{name}.png"
        file.write_bytes(small_png(pixels))
        self.taken.append(file)


def small_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return RGB(A) pixels (Y, X, 3 or 4) as a PNG of at most 150 kB.

    It has the most frequent colours, the most colours of lines, and as many greys as this allows.
    """
    image = pixels[..., :3]
    for greys in GREYS:
        palette = Image.new("P", (1, 1))
        palette.putpalette(_palette(image.reshape(-1, 3), greys).ravel().tolist())
        file = io.BytesIO()
        small = Image.fromarray(image).quantize(palette=palette, dither=Image.Dither.NONE)
        small.save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST_BYTES:
            break
    return file.getvalue()


def _palette(colors: NDArray[np.uint8], greys: int) -> NDArray[np.uint8]:
    """Return a palette (P, 3) for colours (N, 3)."""
    seen, counts = np.unique(colors, axis=0, return_counts=True)
    often = seen[np.argsort(counts)[::-1][:FREQUENT]]
    levels = np.linspace(0, 255, greys).round().astype(np.uint8)
    parts = [often, np.repeat(levels[:, None], 3, axis=1)]
    vivid = colors[np.ptp(colors, axis=1) > VIVID]
    if len(vivid):
        few = Image.fromarray(vivid[None]).quantize(VIVID_COLORS, Image.Quantize.MEDIANCUT)
        parts.append(np.array(few.getpalette()[: 3 * VIVID_COLORS], np.uint8).reshape(-1, 3))
    return np.concatenate(parts)


def _pixels(pixmap: QPixmap) -> NDArray[np.uint8]:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    pixmap.save(buffer, "PNG")
    with Image.open(io.BytesIO(bytes(buffer.data()))) as image:
        return np.asarray(image.convert("RGB"))
