"""Example cases of an evaluation: the best and the worst, and their pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.maps import ENTROPY
from ...core.heart.structures import structure_colors
from ...io import DataError
from ...io.evaluation.predictions import match_references
from ...io.files.given_path import is_same_path
from ...io.images.nifti import ENDINGS, VoxelArray, read_volume
from ..report.figures import DPI, INK, MUTED, encode_png
from ..report.pictures import CropBox, crop_around, draw_outlines, show_image
from .aggregates import numbers_of
from .case import CaseEvaluation, CasePair, number_labels, read_pair
from .evaluate import MethodEvaluation, judged_structures
from .figures import FIGURE_WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BIT: Final = 1.0
"""Entropy shown brightest, in bit: that of two equally likely structures."""
PER_LINE: Final = 5
_COLUMNS: Final = 1 + PER_LINE
_TITLE: Final = 0.42
_GAP: Final = 0.03


def case_pictures(shown: ShownCase, structures: Sequence[str]) -> Iterator[bytes]:
    """Yield one PNG picture for every five methods, with columns as in Fig. 3 of the paper.

    ``structures`` are the titles of the labels 1, 2 … The reference is outlined in white.
    """
    # One crop for all columns, around what any method drew, so that nothing wrong is cut off.
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
    # A fixed width keeps few methods from being drawn larger than many.
    width = FIGURE_WIDTH / _COLUMNS
    height = 2 * width * rows * shown.spacing[0] / (columns * shown.spacing[1])
    count = 1 + len(methods)
    figure = Figure(figsize=(count * width, height + _TITLE), dpi=DPI, facecolor="white")
    sides = {"left": 0, "right": 1, "bottom": 0, "top": height / (height + _TITLE)}
    grid = {**sides, "wspace": _GAP, "hspace": _GAP}
    image = np.zeros(shown.reference.shape) if shown.image is None else shown.image
    (first, *upper), (below_first, *lower) = figure.subplots(2, count, gridspec_kw=grid)
    show_image(first, image[box])
    _write_title(first, "Image", "reference below")
    _show_labels(below_first, image, shown.reference, colors, box)
    white = dict.fromkeys(colors, "white")
    for above, below, method in zip(upper, lower, methods, strict=True):
        _show_labels(above, image, method.labels, colors, box)
        _show_entropy(below, method.entropy, shown.reference.shape, box)
        draw_outlines(above, shown.reference[box], white, linewidths=0.7)
        draw_outlines(below, shown.reference[box], white, linewidths=0.7, linestyles="dotted")
        _write_title(above, method.name, f"Dice {method.dice:.3f}")
    for axes in (first, below_first, *upper, *lower):
        axes.set_axis_off()
    return encode_png(figure)


def _write_title(axes: Axes, name: str, below: str) -> None:
    """Write two lines above a column."""
    for text, points, color, weight in ((name, 16, INK, "bold"), (below, 4, MUTED, "normal")):
        # A long name must not run into the next column.
        size = min(7.5, 180 / max(1, len(text)))
        axes.annotate(
            text, (0, 1), xycoords="axes fraction", xytext=(0, points), textcoords="offset points",
            fontsize=size, color=color, fontweight=weight,
        )  # fmt: skip


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
    # Between two labels there are no others, so nothing is interpolated.
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


FAILED_CASES: Final = 3
"""Number of the worst cases that are shown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownMethod:
    """One method in one slice: (Y, X) ``labels``, ``entropy`` in bit or None; Dice of the case."""

    name: str
    labels: NDArray[np.integer]
    entropy: VoxelArray | None
    dice: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownCase:
    """Slice ``z`` of ``slices`` of a case, from 1; all arrays (Y, X) with the same label numbers.

    ``image`` is None if it is not available; ``spacing`` (y, x) in mm; ``is_good`` for the best
    case, else it is one of the worst.
    """

    case: CaseEvaluation
    z: int
    slices: int
    is_good: bool
    image: VoxelArray | None
    reference: NDArray[np.integer]
    methods: tuple[ShownMethod, ...]
    spacing: tuple[float, float]


def shown_cases(
    methods: Sequence[MethodEvaluation], labels: Path, *, images: Path | None = None
) -> Iterator[ShownCase]:
    """Yield the case with the best mean Dice over the methods, and the worst, one per patient.

    The slice is that with the largest reference in the best case, and that with the most wrong
    voxels in the others. Images are ``<case>_0000.nii.gz`` or ``<case>.nii.gz`` in ``images``, by
    default the matching folder next to ``labels`` (imagesTr for labelsTr).

    Raises the errors of `read_pair`.
    """
    folders = {method.name: method.folder for method in methods if method.folder is not None}
    chosen = chosen_cases(methods)
    names = [case for case, _ in chosen]
    references = {name: match_references(f, names, labels) for name, f in folders.items()}
    for case, is_good in chosen:
        pairs = {
            name: read_pair(folder, labels, case, reference_case=references[name].get(case))
            for name, folder in folders.items()
        }
        if pairs:
            folder = images or _images_folder(labels)
            has_references = folder.is_dir() and is_same_path(folder, labels)
            yield _shown(case, is_good, pairs, methods, folder, has_references=has_references)


def chosen_cases(methods: Sequence[MethodEvaluation]) -> list[tuple[str, bool]]:
    """Return the names of the best case (True) and the worst cases (False), the worst first.

    They are ranked by the mean Dice over the methods, which have the same cases. Cases that lack
    one are left out.
    """
    means = np.mean([numbers_of(method.table, "dice") for method in methods], axis=0)
    cases = methods[0].cases
    # Stable, so that equal cases come in the same order in every run.
    ranked = [cases[n] for n in np.argsort(means, kind="stable") if not np.isnan(means[n])]
    if not ranked:
        return []
    *others, best = ranked
    failed: dict[str, str] = {}
    for case in others:
        # A patient whose ED and ES have both failed is shown once.
        failed.setdefault(case.patient, case.case)
    return [(best.case, True), *((case, False) for case in list(failed.values())[:FAILED_CASES])]


def _shown(
    case: str,
    is_good: bool,
    pairs: Mapping[str, CasePair],
    methods: Sequence[MethodEvaluation],
    images: Path,
    *,
    has_references: bool,
) -> ShownCase:
    titles = judged_structures(methods)
    any_pair = next(iter(pairs.values()))
    assert any_pair.reference is not None  # only judged cases are chosen
    reference = number_labels(any_pair.reference.labels, map(any_pair.judged.get, titles))
    labels = {
        name: number_labels(pair.prediction.labels.voxels, map(pair.judged.get, titles))
        for name, pair in pairs.items()
    }
    wrong = sum(np.count_nonzero(drawn != reference, axis=(1, 2)) for drawn in labels.values())
    z = int(np.argmax(np.count_nonzero(reference, axis=(1, 2)) if is_good else wrong))
    image = _image(images, any_pair, has_references=has_references)
    results = {m.name: next(c for c in m.cases if c.case == case) for m in methods}
    return ShownCase(
        case=results[next(iter(pairs))],
        z=z + 1,
        slices=len(reference),
        is_good=is_good,
        image=None if image is None else image[z],
        reference=reference[z],
        methods=tuple(
            ShownMethod(
                name=name,
                labels=labels[name][z],
                entropy=None if entropy is None else entropy[z],
                dice=results[name].number("dice"),
            )
            for name, pair in pairs.items()
            for entropy in [pair.prediction.maps.get(ENTROPY.name)]
        ),
        spacing=any_pair.prediction.labels.spacing[1:],
    )


def _images_folder(labels: Path) -> Path:
    """Return imagesTr for labelsTr; the same folder if its name has no "labels"."""
    folder = labels.absolute()
    return folder.with_name(folder.name.replace("labels", "images"))


def _has_reference(image: Path) -> bool:
    """Return whether the file is an image, not labels: it ends in _0000 or has labels in _gt."""
    ending = next(ending for ending in ENDINGS if image.name.endswith(ending))
    stem = image.name.removesuffix(ending)
    references = (image.with_name(f"{stem}_gt{ending}") for ending in ENDINGS)
    return stem.endswith("_0000") or any(file.is_file() for file in references)


def _image(folder: Path, pair: CasePair, *, has_references: bool) -> VoxelArray | None:
    """Return the (Z, Y, X) image of a case, None if it is unreadable or on another grid.

    ``has_references``: the folder contains the reference labels too.
    """
    labels, phase = pair.prediction.labels, pair.prediction.phase
    names = [f"{case}{end}" for case in (pair.prediction.case, pair.image_case)
             for end in ("_0000", "")]  # fmt: skip
    files = (folder / f"{name}{ending}" for name in names for ending in ENDINGS)
    file = next((file for file in files if file.is_file()), None)
    # In a folder of images and predictions the prediction may have the name of the image.
    if file is None or is_same_path(file, labels.source):
        return None
    if has_references and not _has_reference(file):
        return None
    try:
        image = read_volume(file, like=labels.geometry)
    except DataError:  # the report matters more than one picture
        return None
    if image.is_cine:
        if phase is None or phase > image.phases:
            return None
        image = image.frame(phase)
    return image.voxels if image.geometry.same_grid(labels.geometry) else None
