"""Picture of single members' segmentations, as in Fig. 1 of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ...core.heart.structures import structure_colors
from ...io.files.case_names import safe_name
from ..report.figures import DPI, INK, MUTED
from ..report.pictures import crop_around, show_image
from .member_comparison import MemberCase, MemberSlice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH: Final = 11.0
_GAP: Final = 0.04
_TITLE: Final = 0.4
_FOOT: Final = 0.36
_LEFT: Final = 0.36
"""Margins in inches: between pictures, above, below and left of them."""


def picture_name(case: MemberCase) -> str:
    """Return the file name of the picture."""
    return f"members_{safe_name(case.case)}.png"


def draw_members(case: MemberCase) -> Figure:
    """Return a picture with rows of slices: image, members, ensemble and entropy.

    Entropy has the same scale in all slices. ``case`` has at least one slice.
    """
    from matplotlib.figure import Figure

    box = crop_around(np.any([row.heart for row in case.shown], axis=0), case.spacing)
    rows, columns = len(case.shown), 3 + len(case.members)
    width = (_WIDTH - _LEFT) / columns
    sides = [side.stop - side.start for side in box]
    height = width * sides[0] * case.spacing[0] / (sides[1] * case.spacing[1])
    figure = Figure(figsize=(_WIDTH, rows * height + _TITLE + _FOOT), dpi=DPI, facecolor="white")
    highest = max(0.1, *(float(row.entropy[box].max()) for row in case.shown))
    for number, row in enumerate(case.shown):
        bottom = _FOOT + (rows - 1 - number) * height
        panels = [_panel(figure, _LEFT + column * width, bottom, width, height)
                  for column in range(columns)]  # fmt: skip
        _draw_slice(panels, row, box, case, highest)
        _name_row(figure, row, number, bottom + height / 2)
    _name_columns(figure, case, width)
    _explain(figure, case, width, highest)
    return figure


def _panel(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes without a frame; all lengths in inches."""
    across, up = figure.get_size_inches()
    x, y = left + _GAP / 2, bottom + _GAP / 2
    axes = figure.add_axes((x / across, y / up, (width - _GAP) / across, (height - _GAP) / up))
    axes.set_axis_off()
    return axes


def _draw_slice(
    panels: list[Axes],
    row: MemberSlice,
    box: tuple[slice, slice],
    case: MemberCase,
    highest: float,
) -> None:
    image = row.image[box]
    table = _colors(case)
    show_image(panels[0], image)
    for panel, labels in zip(panels[1:-1], (*row.labels, row.pooled), strict=True):
        show_image(panel, image)
        panel.imshow(table[labels[box]], aspect="auto", interpolation="nearest")
    panels[-1].imshow(
        row.entropy[box], cmap="inferno", vmin=0, vmax=highest, aspect="auto",
        interpolation="nearest",
    )  # fmt: skip


def _colors(case: MemberCase) -> NDArray[np.float64]:
    """Return the (L, 4) colour of every label; the background is transparent."""
    from matplotlib.colors import to_rgba

    table = np.zeros((256, 4))
    for label, color in structure_colors(case.structures).items():
        table[label] = to_rgba(color, 0.62)
    return table


def _name_row(figure: Figure, row: MemberSlice, number: int, middle: float) -> None:
    across, up = figure.get_size_inches()
    kind = f"({'ab'[number]}) {'hard' if row.is_hard else 'easy'}"
    for text, left, color, weight in ((kind, 0.1, INK, "bold"),
                                      (f"slice {row.z}", 0.24, MUTED, "normal")):  # fmt: skip
        figure.text(
            left / across, middle / up, text, rotation=90, ha="center", va="center", fontsize=8,
            color=color, fontweight=weight,
        )  # fmt: skip


def _name_columns(figure: Figure, case: MemberCase, width: float) -> None:
    across, up = figure.get_size_inches()
    names = [("Image", ""), *(_member_name(member.cycle, member.epoch) for member in case.members)]
    names += [("Ensemble", f"of {case.count} members"), ("Entropy", "of the ensemble")]
    for column, lines in enumerate(names):
        x = (_LEFT + column * width + _GAP / 2) / across
        for text, above, color, weight in zip(
            lines, (0.21, 0.06), (INK, MUTED), ("bold", "normal"), strict=True
        ):
            y = 1 - (_TITLE - above) / up
            figure.text(x, y, text, fontsize=8, color=color, fontweight=weight)


def _member_name(cycle: int | None, epoch: int | None) -> tuple[str, str]:
    return ("Member" if cycle is None else f"Cycle {cycle + 1}",
            "" if epoch is None else f"epoch {epoch}")  # fmt: skip


def _explain(figure: Figure, case: MemberCase, width: float, highest: float) -> None:
    """Draw a legend of the structures, and the scale of the entropy below its column."""
    from matplotlib.patches import Patch

    across, up = figure.get_size_inches()
    colors = structure_colors(case.structures)
    patches = [Patch(color=colors[label], label=name) for name, label in case.structures.items()]
    figure.legend(
        handles=patches, loc="lower left", bbox_to_anchor=((_LEFT + width - 0.05) / across, 0),
        ncols=8, fontsize=8.5, frameon=False, handlelength=1.1, handleheight=0.8,
    )  # fmt: skip
    left = _LEFT + (2 + len(case.members)) * width + _GAP / 2
    bar = figure.add_axes((left / across, 0.21 / up, (width - _GAP) / across, 0.09 / up))
    bar.imshow(np.linspace(0, 1, 256)[None], cmap="inferno", aspect="auto")
    bar.set_axis_off()
    for x, side, text in ((0, "left", "0"), (1, "right", f"{highest:.1f} bit")):
        bar.text(x, -0.5, text, transform=bar.transAxes, ha=side, va="top", fontsize=8, color=INK)
