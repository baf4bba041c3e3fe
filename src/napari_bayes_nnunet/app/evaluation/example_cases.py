"""The best case and the worst cases, with all methods side by side, as in Fig. 3 of the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.maps import ENTROPY
from ...io import DataError
from ...io.evaluation.predictions import match_references
from ...io.files.given_path import check_folder, is_same_path
from ...io.images.nifti import ENDINGS, VoxelArray, read_volume
from .aggregates import numbers_of
from .case import CaseEvaluation, number_labels
from .case_pair import CasePair, read_pair
from .evaluate import MethodEvaluation, judged_structures

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

    Raises DataError if ``images`` is not a folder, and the errors of `read_pair`.
    """
    if images is not None:
        check_folder(images, "images")
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
    ranked = [cases[n] for n in np.argsort(means, kind="stable") if not np.isnan(means[n])]
    if not ranked:
        return []
    *others, best = ranked
    failed: dict[str, str] = {}
    for case in others:
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
