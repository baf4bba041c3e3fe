"""Single cases as in the paper's Fig. 3: a good one and failed ones, the methods side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...io import DataError
from ...io.images.nifti import ENDINGS, VoxelArray, read_volume
from .. import AppError
from .case import CaseEvaluation
from .case_pair import CasePair, read_pair
from .evaluate import MethodEvaluation, judged_structures

FAILED_CASES: Final = 3
"""So many of the worst cases are shown, beside one of the best."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownMethod:
    """One method in one slice: (Y, X) ``labels``, ``entropy`` in bit or None, Dice of the case."""

    name: str
    labels: NDArray[np.integer]
    entropy: VoxelArray | None
    dice: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ShownCase:
    """One slice of a case: ``z`` of ``slices`` from 1, all arrays (Y, X) in one numbering.

    ``image`` is None where it is not at hand; ``spacing`` (y, x) in mm; ``is_good`` says whether it
    is the best case or one of the worst.
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
    """The case with the best mean Dice over the methods, and the worst, each of another patient.

    Of the good case the slice with the largest reference, of the others that with the most wrong
    voxels. Images are ``<case>_0000.nii.gz`` or ``<case>.nii.gz`` in ``images``, by default the
    folder beside ``labels`` that is called like it (imagesTr for labelsTr).

    Raises AppError where ``images`` is no folder, and whatever reading raises.
    """
    if images is not None and not images.is_dir():
        raise AppError(f"{images} is no folder: it should hold the images.")
    folders = {method.name: method.folder for method in methods if method.folder is not None}
    for case, is_good in chosen_cases(methods):
        pairs = {name: read_pair(folder, labels, case) for name, folder in folders.items()}
        if pairs:
            where = images or _beside(labels)
            labels_too = where.is_dir() and where.samefile(labels)
            yield _shown(case, is_good, pairs, methods, where, labels_too=labels_too)


def chosen_cases(methods: Sequence[MethodEvaluation]) -> list[tuple[str, bool]]:
    """Name of the best case, True, and of the worst, False; the worst first among these."""
    ranked = sorted(_mean_dice(methods).items(), key=lambda item: item[1])
    if not ranked:
        return []
    patient = {case.case: case.patient for case in methods[0].cases}
    best, _ = ranked.pop()
    failed: dict[str, str] = {}
    for case, _ in ranked:
        failed.setdefault(patient[case], case)
    return [(best, True), *((case, False) for case in list(failed.values())[:FAILED_CASES])]


def _mean_dice(methods: Sequence[MethodEvaluation]) -> dict[str, float]:
    """Of every case, over the methods; without those where one has none."""
    found: dict[str, list[float]] = {}
    for method in methods:
        for case in method.cases:
            found.setdefault(case.case, []).append(case.mean_dice)
    means = {case: math.fsum(values) / len(values) for case, values in found.items()}
    return {case: mean for case, mean in means.items() if not math.isnan(mean)}


def _shown(
    case: str,
    is_good: bool,
    pairs: Mapping[str, CasePair],
    methods: Sequence[MethodEvaluation],
    images: Path,
    *,
    labels_too: bool,
) -> ShownCase:
    titles = judged_structures(methods)
    any_pair = next(iter(pairs.values()))
    assert any_pair.reference is not None  # only judged cases are chosen
    reference = _numbered(any_pair.reference.labels, any_pair, titles)
    labels = {
        n: _numbered(pair.prediction.labels.voxels, pair, titles) for n, pair in pairs.items()
    }
    wrong = sum(np.count_nonzero(found != reference, axis=(1, 2)) for found in labels.values())
    z = int(np.argmax(np.count_nonzero(reference, axis=(1, 2)) if is_good else wrong))
    image = _image(images, any_pair, labels_too=labels_too)
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
                entropy=None if (doubt := pair.prediction.entropy) is None else doubt[z],
                dice=results[name].mean_dice,
            )
            for name, pair in pairs.items()
        ),
        spacing=any_pair.prediction.labels.spacing[1:],
    )


def _numbered(labels: VoxelArray, pair: CasePair, titles: Sequence[str]) -> NDArray[np.uint8]:
    """The judged structures as 1, 2 … in the order of ``titles``."""
    numbered = np.zeros(labels.shape, np.uint8)
    for number, title in enumerate(titles, start=1):
        if title in pair.structures:
            numbered[labels == pair.structures[title]] = number
    return numbered


def _beside(labels: Path) -> Path:
    """The folder of the images: imagesTr beside labelsTr; it is the same for ``name_gt`` files."""
    folder = labels.absolute()
    return folder.with_name(folder.name.replace("labels", "images"))


def _has_reference(image: Path) -> bool:
    """Whether the labels of an image lie beside it, so that it is no labels itself."""
    ending = next(ending for ending in ENDINGS if image.name.endswith(ending))
    stem = image.name.removesuffix(ending)
    twins = (image.with_name(f"{stem}_gt{other}") for other in ENDINGS)
    return stem.endswith("_0000") or any(twin.is_file() for twin in twins)


def _image(folder: Path, pair: CasePair, *, labels_too: bool) -> VoxelArray | None:
    """(Z, Y, X) image of a case, None where none can be read or it lies on another grid.

    ``labels_too``: the folder holds the references as well.
    """
    labels, phase = pair.prediction.labels, pair.prediction.phase
    names = [f"{case}{end}" for case in (pair.prediction.case, pair.image_case)
             for end in ("_0000", "")]  # fmt: skip
    files = (folder / f"{name}{ending}" for name in names for ending in ENDINGS)
    file = next((file for file in files if file.is_file()), None)
    if file is None or file.samefile(labels.source):
        return None
    if labels_too and not _has_reference(file):
        return None
    try:
        image = read_volume(file)
    except DataError:  # a picture is not worth the numbers
        return None
    if image.is_cine:
        if phase is None or phase > image.phases:
            return None
        image = image.frame(phase)
    return image.voxels if image.geometry.same_grid(labels.geometry) else None
