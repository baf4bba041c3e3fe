"""Pictures of a shown case: image and labels above, reference and entropy below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.heart.structures import structure_colors
from ..report.figures import DPI, INK, MUTED, encode_png
from ..report.pictures import CropBox, crop_around, show_image
from .example_cases import ShownCase, ShownMethod
from .figures import FIGURE_WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BIT: Final = 1.0
"""Entropy shown brightest, in bit: that of two equally likely structures."""
PER_LINE: Final = 5
_COLUMNS: Final = 1 + PER_LINE
_TITLE: Final = 0.42
_GAP: Final = 0.05


def case_pictures(shown: ShownCase, structures: Sequence[str]) -> Iterator[bytes]:
    """Yield one PNG picture for every five methods, with columns as in Fig. 3 of the paper.

    ``structures`` are the titles of the labels 1, 2 … The reference is outlined in white.
    """
    drawn = [shown.reference > 0, *(method.labels > 0 for method in shown.methods)]
    box = crop_around(np.any(drawn, axis=0), shown.spacing)
    for first in range(0, len(shown.methods), PER_LINE):
        yield _picture(shown, shown.methods[first : first + PER_LINE], structures, box)


def _picture(
    shown: ShownCase, methods: Sequence[ShownMethod], structures: Sequence[str], box: CropBox
) -> bytes:
    from matplotlib.figure import Figure

    colors = structure_colors({name: n for n, name in enumerate(structures, start=1)})
    rows, columns = (side.stop - side.start for side in box)
    aspect = rows * shown.spacing[0] / (columns * shown.spacing[1])
    # A fixed width keeps few methods from being drawn larger than many.
    width = FIGURE_WIDTH / _COLUMNS
    height = width * aspect
    figure = Figure(
        figsize=((1 + len(methods)) * width, 2 * height + _TITLE), dpi=DPI, facecolor="white"
    )
    image = np.zeros(shown.reference.shape) if shown.image is None else shown.image
    grid = _Grid(figure, 1 + len(methods), height)
    show_image(grid.axes(0, 0), image[box])
    grid.title(0, "Image", "reference below")
    _show_labels(grid.axes(1, 0), image, shown.reference, colors, box)
    for column, method in enumerate(methods, start=1):
        above, below = grid.axes(0, column), grid.axes(1, column)
        _show_labels(above, image, method.labels, colors, box)
        _show_entropy(below, method.entropy, shown.reference.shape, box)
        _outline(above, shown.reference[box], "solid")
        _outline(below, shown.reference[box], "dotted")
        grid.title(column, method.name, f"Dice {method.dice:.3f}")
    return encode_png(figure)


class _Grid:
    """Layout of a picture with two rows."""

    def __init__(self, figure: Figure, columns: int, height: float) -> None:
        self._figure, self._columns = figure, columns
        self._total = float(figure.get_figheight())
        self._width = float(figure.get_figwidth()) / columns
        self._height = height

    def axes(self, row: int, column: int) -> Axes:
        """Add axes without a frame."""
        left = (column * self._width + _GAP / 2) / (self._columns * self._width)
        bottom = ((1 - row) * self._height + _GAP / 2) / self._total
        width = (self._width - _GAP) / (self._columns * self._width)
        axes = self._figure.add_axes((left, bottom, width, (self._height - _GAP) / self._total))
        axes.set_axis_off()
        return axes

    def title(self, column: int, name: str, below: str) -> None:
        """Write two lines above a column."""
        x = (column * self._width + _GAP / 2) / (self._columns * self._width)
        for text, inches, color, weight in (
            (name, 0.22, INK, "bold"),
            (below, 0.06, MUTED, "normal"),
        ):
            y = (2 * self._height + inches) / self._total
            size = min(7.5, 180 / max(1, len(text)))
            self._figure.text(x, y, text, fontsize=size, color=color, fontweight=weight)


def _show_labels(
    axes: Axes,
    image: NDArray[Any],
    labels: NDArray[np.integer],
    colors: dict[int, str],
    box: CropBox,
) -> None:
    from matplotlib.colors import to_rgba

    show_image(axes, image[box])
    table = np.zeros((max(colors, default=0) + 1, 4))
    for label, color in colors.items():
        table[label] = to_rgba(color, 0.62)
    axes.imshow(table[labels[box]], aspect="auto", interpolation="nearest")


def _show_entropy(
    axes: Axes, entropy: NDArray[Any] | None, shape: tuple[int, ...], box: CropBox
) -> None:
    values = np.zeros(shape) if entropy is None else entropy
    axes.imshow(
        values[box], cmap="inferno", vmin=0, vmax=MOST_BIT, aspect="auto", interpolation="nearest"
    )
    if entropy is None:
        axes.text(0.5, 0.5, "not saved", color="white", transform=axes.transAxes, ha="center")


def _outline(axes: Axes, reference: NDArray[np.integer], line: str) -> None:
    """Draw white lines around the structures of the reference."""
    padded = np.pad(reference, 1)
    rows, columns = (np.arange(-1, length + 1) for length in reference.shape)
    for label in np.unique(reference[reference > 0]):
        axes.contour(
            columns, rows, padded == label, levels=[0.5], colors=["white"], linewidths=0.7,
            linestyles=line,
        )  # fmt: skip
    axes.set(xlim=(-0.5, reference.shape[1] - 0.5), ylim=(reference.shape[0] - 0.5, -0.5))
