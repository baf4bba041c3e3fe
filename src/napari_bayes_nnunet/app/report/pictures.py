"""Pictures of a report, as PNG: slices with outlines, and the volume curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.heart.structures import CARDIAC
from ...core.heart.volume_curve import VolumeCurve
from ...core.types import LabelMap
from ...io.images.geometry import Letters
from .figures import DPI, INK, encode_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CropBox: TypeAlias = tuple[slice, slice]

MARGIN_MM: Final = 12.0
SMALLEST_MM: Final = 70.0
_INCHES: Final = 3.0
_GAP: Final = 0.006


def slice_picture(
    image: NDArray[Any],
    before: LabelMap,
    after: LabelMap,
    *,
    spacing: tuple[float, float],
    colors: Mapping[int, str],
    box: CropBox,
    letters: Letters | None = None,
) -> bytes:
    """Return the part ``box`` of a slice twice, with outlines ``before`` and ``after`` review.

    The outlines before review are dotted in the second picture. All arrays (Y, X), ``spacing``
    (y, x) in mm, ``colors`` label → "#RRGGBB", ``letters`` of the patient's directions.
    """
    from matplotlib.figure import Figure

    rows, columns = (side.stop - side.start for side in box)
    aspect = rows * spacing[0] / (columns * spacing[1])
    figure = Figure(figsize=(2 * _INCHES, _INCHES * aspect), dpi=DPI, facecolor="white")
    image, before, after = image[box], before[box], after[box]
    for column, (title, labels) in enumerate((("Prediction", before), ("After review", after))):
        axes = figure.add_axes((column * (0.5 + _GAP / 2), 0, 0.5 - _GAP / 2, 1))
        show_image(axes, image)
        if labels is after:
            draw_outlines(axes, before, dict.fromkeys(colors, "white"), linestyles="dotted",
                     linewidths=0.9)  # fmt: skip
        draw_outlines(axes, labels, colors, linewidths=1.5)
        _write_on(axes, title, letters)
    return encode_png(figure)


def thumbnail(
    image: NDArray[Any],
    labels: LabelMap,
    *,
    spacing: tuple[float, float],
    colors: Mapping[int, str],
    box: CropBox,
) -> bytes:
    """Return the part ``box`` of a slice with outlines, small; arguments as for `slice_picture`."""
    from matplotlib.figure import Figure

    rows, columns = (side.stop - side.start for side in box)
    aspect = rows * spacing[0] / (columns * spacing[1])
    figure = Figure(figsize=(1, aspect), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    show_image(axes, image[box])
    draw_outlines(axes, labels[box], colors, linewidths=0.8)
    return encode_png(figure)


def crop_around(
    mask: NDArray[np.bool_], spacing: tuple[float, float], *, margin_mm: float = MARGIN_MM
) -> CropBox:
    """Return the box around the true voxels with a margin, or the whole slice if none is true."""
    sides = []
    for axis, step in enumerate(spacing):
        (indices,) = np.nonzero(mask.any(axis=1 - axis))
        low, high = (indices[0], indices[-1] + 1) if len(indices) else (0, mask.shape[axis])
        margin = max(margin_mm, (SMALLEST_MM - (high - low) * step) / 2) / step
        start, stop = math.floor(low - margin), math.ceil(high + margin)
        sides.append(slice(max(0, start), min(mask.shape[axis], stop)))
    return sides[0], sides[1]


def curve_picture(curves: Sequence[VolumeCurve], *, ed: int | None, es: int | None) -> bytes:
    """Return the volumes over the phases, and the phases of ED and ES."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.6, 2.9), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    highest = max(_curve(axes, curve) for curve in curves)
    axes.set_ylim(0, 1.15 * highest)
    first, last = curves[0].phases[0], curves[0].phases[-1]
    axes.set_xlim(first - 0.5, last + 0.5)
    for name, phase in (("ED", ed), ("ES", es)):
        if phase is not None and first <= phase <= last:
            axes.axvline(phase, color=INK, linewidth=0.8, linestyle="dotted")
            axes.text(phase + 0.1, 1.13 * highest, name, fontsize=9, fontweight="bold", va="top")
    axes.legend(loc="lower left", fontsize=9, frameon=False, ncols=len(curves))
    axes.tick_params(labelsize=9)
    axes.set_xlabel("phase", fontsize=9)
    axes.set_ylabel("volume, mL", fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    return encode_png(figure)


def _curve(axes: Axes, curve: VolumeCurve) -> float:
    """Draw one curve and return its highest volume."""
    axes.plot(
        curve.phases, curve.volumes, color=INK, linewidth=1.2, marker="o", markersize=5,
        markerfacecolor=CARDIAC[curve.structure], markeredgewidth=0.8, label=curve.structure,
    )  # fmt: skip
    return max(curve.volumes)


def show_image(axes: Axes, image: NDArray[Any]) -> None:
    """Draw a (Y, X) image in grey, clipped to the percentiles 1 and 99.5."""
    low, high = np.percentile(image, (1, 99.5))
    axes.imshow(
        image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect="auto",
        interpolation="bicubic",
    )  # fmt: skip


def draw_outlines(axes: Axes, labels: LabelMap, colors: Mapping[int, str], **line: Any) -> None:
    """Draw the outlines of (Y, X) ``labels``, label → "#RRGGBB", as lines of `Axes.contour`."""
    # Padding closes the outline of a structure that reaches the edge of the picture.
    padded = np.pad(labels, 1)
    rows, columns = (np.arange(-1, length + 1) for length in labels.shape)
    for label, color in colors.items():
        mask = padded == label
        if mask.any():
            axes.contour(columns, rows, mask, levels=[0.5], colors=[color], **line)
    axes.set_xlim(-0.5, labels.shape[1] - 0.5)
    axes.set_ylim(labels.shape[0] - 0.5, -0.5)
    axes.set_axis_off()


def _write_on(axes: Axes, title: str, letters: Letters | None) -> None:
    from matplotlib.patheffects import withStroke

    texts = [(0.02, 0.94, title, "left")]
    if letters is not None:
        _, (top, bottom), (left, right) = letters
        middle = ((0.5, 0.94, top), (0.5, 0.06, bottom), (0.03, 0.5, left), (0.97, 0.5, right))
        texts += [(x, y, letter, "center") for x, y, letter in middle]
    for x, y, text, side in texts:
        axes.text(
            x, y, text, transform=axes.transAxes, color="white", fontsize=8.5, ha=side,
            va="center", path_effects=[withStroke(linewidth=2, foreground="black")],
        )  # fmt: skip
