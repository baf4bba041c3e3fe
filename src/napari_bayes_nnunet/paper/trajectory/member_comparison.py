"""Comparison of single members on an easy and a hard slice, as in Fig. 1 of the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...app import AppError
from ...app.report.figures import DPI, INK, MUTED
from ...app.report.pictures import crop_around, show_image
from ...app.segmentation.ensemble import Ensemble
from ...app.segmentation.result import Snapshot
from ...app.segmentation.settings import SegmentationSettings
from ...core.heart.structures import structure_colors
from ...core.steps import drain
from ...io.ensemble.ensemble_folder import Member
from ...io.files.case_names import safe_name
from ...io.images.nifti import Volume, case_name, read_channels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN: Final = 6
"""Maximum number of members side by side."""
IMAGE_IS_CINE: Final = "{image} is a cine of {phases} phases. Choose images of single phases."


_WIDTH: Final = 11.0
_GAP: Final = 0.04
_TITLE: Final = 0.4
_FOOT: Final = 0.36
_LEFT: Final = 0.36
"""Margins in inches: between pictures, above, below and left of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberSlice:
    """One slice, ``z`` from 1: (Y, X) ``image``, (k, Y, X) ``labels`` of the members shown.

    ``pooled`` (Y, X) are the labels of the ensemble, ``entropy`` (Y, X) is its entropy, bit, and
    ``disagreement`` the sum of the mutual information in the slice, bit. ``heart`` (Y, X) is the
    largest connected part of the labels.
    """

    z: int
    is_hard: bool
    image: NDArray[Any]
    labels: NDArray[np.uint8]
    pooled: NDArray[np.uint8]
    heart: NDArray[np.bool_]
    entropy: NDArray[np.float32]
    disagreement: float


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberCase:
    """The ``shown`` slices of an image, hard before easy; none if nothing was segmented.

    ``members`` (k,) are those shown, of ``count``. ``structures``: name → label. ``spacing`` (y, x)
    in mm. ``depth``: number of slices in all. ``notes`` are remarks on the members.
    """

    case: str
    shown: tuple[MemberSlice, ...]
    members: tuple[Member, ...]
    count: int
    notes: tuple[str, ...] = ()
    structures: dict[str, int]
    spacing: tuple[float, float]
    depth: int


def read_image(image: Path) -> tuple[Volume, ...]:
    """Return the channels of a 3D image. Raises AppError for a cine, DataError if unreadable."""
    channels = read_channels(image)
    if channels[0].is_cine:
        raise AppError(IMAGE_IS_CINE, image=image, phases=channels[0].phases)
    return channels


def compare_members(
    ensemble: Ensemble,
    image: Path,
    *,
    on_member: Callable[[Snapshot], None] = lambda snapshot: None,
) -> MemberCase:
    """Segment ``image``, a 3D NIfTI file, with members of all cycles, and choose two slices.

    Raises AppError for a cine, and any error of reading and segmenting.
    """
    channels = read_image(image)
    voxels = np.stack([channel.voxels for channel in channels])
    result = drain(
        ensemble.steps(voxels, channels[0].spacing, SegmentationSettings(), keep_members=True),
        on_member,
    )
    assert result.member_labels is not None
    chosen, heart = choose_shown_members(result.members), largest_part(result.labels > 0)
    return MemberCase(
        case=case_name(image),
        shown=tuple(
            MemberSlice(
                z=z + 1,
                is_hard=is_hard,
                image=voxels[0, z],
                labels=result.member_labels[chosen, z],
                pooled=result.labels[z],
                heart=heart[z],
                entropy=result.entropy[z],
                disagreement=float(result.mutual_information[z].sum()),
            )
            for z, is_hard in choose_slices(heart, result.mutual_information)
        ),
        members=tuple(result.members[index] for index in chosen),
        count=len(result.members),
        notes=result.notes,
        structures=ensemble.structures,
        spacing=channels[0].spacing[1:],
        depth=len(result.labels),
    )


def choose_shown_members(members: Sequence[Member]) -> list[int]:
    """Return indices of at most ``SHOWN`` members, shared equally among cycles, spread within them.

    A cycle with a single member shown has its last. If there are more cycles than can be shown, the
    latest are.
    """
    indices: dict[int, list[int]] = {}
    for index, member in enumerate(members):
        indices.setdefault(-1 if member.cycle is None else member.cycle, []).append(index)
    cycles = sorted(indices)[-SHOWN:]
    shares = dict.fromkeys(cycles, 0)
    for _ in range(SHOWN):  # one by one, beginning with the latest cycle
        open_ = [c for c in reversed(cycles) if shares[c] < len(indices[c])]
        if open_:
            shares[min(open_, key=lambda cycle: shares[cycle])] += 1
    return sorted(index for c in cycles for index in _spread(indices[c], shares[c]))


def _spread(indices: Sequence[int], count: int) -> list[int]:
    """Return ``count`` of the indices: always the last, and with two or more the first."""
    if count == 1:
        return [indices[-1]]
    chosen = np.linspace(0, len(indices) - 1, count).round().astype(int)
    return [indices[n] for n in chosen]


def choose_slices(
    heart: NDArray[np.bool_], mutual_information: NDArray[np.floating]
) -> list[tuple[int, bool]]:
    """Return the slice of most disagreement, True, and of least, False; arrays are (Z, Y, X).

    The sum of the mutual information decides among the slices of the ``heart``. The result has one
    slice if the heart has only one, none if it has none.
    """
    (slices,) = np.nonzero(heart.any(axis=(1, 2)))
    if not len(slices):
        return []
    sums = mutual_information[slices].sum(axis=(1, 2))
    hard, easy = int(slices[np.argmax(sums)]), int(slices[np.argmin(sums)])
    return [(hard, True), (easy, False)] if hard != easy else [(hard, True)]


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the (Z, Y, X) largest connected part of a mask; an empty mask unchanged."""
    parts, count = ndimage.label(mask)
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.flat)[1:])) if count else mask


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
    # An image without uncertainty has a scale, too.
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

    # A row for every value of the labels, which are uint8.
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
