"""Picture of one slice with the labels of a dataset in their colours."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from ...app.dataset.label_example import LabelExample
from ...core.heart.structures import structure_colors

PICTURE_HEIGHT = 150
"""Largest height of the picture in pixels."""
PICTURE_WIDTH = 300
LABEL_OPACITY = 0.55
SLICE_CAPTION = "{case}, slice {slice}: {names}"
COLORED_NAME = "<span style='color:{color}'>■</span>&nbsp;{name}"


class LabelPicture(QWidget):
    """A slice of ``example`` and the names of its values, in the colours that they will have."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.example: LabelExample | None = None
        self.picture = QLabel()
        self.caption = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.caption.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.picture)
        column.addWidget(self.caption)
        self.set_example(None, {})

    def set_example(self, example: LabelExample | None, names: Mapping[int, str]) -> None:
        """Show ``example`` with ``names`` of values; None hides the picture."""
        self.example = example
        self.set_names(names)

    def set_names(self, names: Mapping[int, str]) -> None:
        """Draw again, with the colours of these ``names`` of values."""
        self.setVisible(self.example is not None)
        if self.example is None:
            return
        colors = label_colors(names)
        pixels = colored(self.example, colors)
        height, width = pixels.shape[:2]
        image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        tall = height * self.example.spacing[0]
        wide = width * self.example.spacing[1]
        scale = min(PICTURE_HEIGHT / tall, PICTURE_WIDTH / wide)
        self.picture.setPixmap(
            QPixmap.fromImage(image).scaled(
                max(1, round(wide * scale)),
                max(1, round(tall * scale)),
                Qt.AspectRatioMode.IgnoreAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        )
        shown = " &nbsp; ".join(
            COLORED_NAME.format(color=colors[value], name=escape(name))
            for value, name in sorted(names.items())
            if value
        )
        case = escape(self.example.case)
        self.caption.setText(SLICE_CAPTION.format(case=case, slice=self.example.z + 1, names=shown))


def label_colors(names: Mapping[int, str]) -> dict[int, str]:
    """Return "#RRGGBB" of each value above 0, even of equal and of empty names."""
    # Spaces make equal names different and do not change their meaning.
    return structure_colors({name + " " * value: value for value, name in names.items()})


def colored(example: LabelExample, colors: Mapping[int, str]) -> np.ndarray:
    """Return the slice as (Y, X, 3) uint8, with the labels over the image."""
    pixels = np.repeat(example.image[..., np.newaxis], 3, axis=2).astype(np.float32)
    for value, color in colors.items():
        rgb = np.array(QColor(color).getRgb()[:3], np.float32)
        chosen = example.labels == value
        pixels[chosen] = (1 - LABEL_OPACITY) * pixels[chosen] + LABEL_OPACITY * rgb
    return np.ascontiguousarray(pixels.round().astype(np.uint8))
