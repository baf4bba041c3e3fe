"""Faults of a training dataset that nnU-Net would only meet in the middle of its work."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...core.problems import Statement
from .. import DataError
from ..images.geometry import Geometry
from ..images.nifti import ENDINGS, Volume, read_labels, read_volume
from .raw_dataset import RawDataset, TrainingCase, named

IGNORE = "ignore"
"""nnU-Net's name for voxels that are left out of the loss; it need not occur."""
_SAME_SPACING = 0.01
"""Spacings of an image and its label may differ by this fraction."""


@dataclass(frozen=True)
class DatasetProblem:
    """What is wrong, in one sentence for the user, and the file to look at, where it is one.

    A problem that does not block is a warning: a training would run.
    """

    text: Statement | str
    file: Path | None
    blocks: bool = True


@dataclass(frozen=True)
class CaseCheck:
    """What one case holds.

    ``shape`` (Z, Y, X) and ``spacing`` (z, y, x) in mm are the label's, or the image's where the
    label cannot be read; () and None where neither can, or was looked into. ``values`` are the
    label values found, ``voxels`` the number of voxels of one channel.
    """

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, float, float] | None
    values: tuple[int, ...]
    voxels: int
    problems: tuple[DatasetProblem, ...]


def check_case(dataset: RawDataset, case: TrainingCase) -> CaseCheck:
    """Read the label and then every image of a case, one at a time. Files of NIfTI datasets only.

    Reads all voxels: a file that is cut short shows only then.
    """
    if dataset.json["file_ending"] not in ENDINGS:
        return CaseCheck(case.name, (), None, (), 0, ())
    problems: list[DatasetProblem] = []
    label, values = _look_at_label(case.label, dataset, problems)
    images = [(file, _look_at(file, read_volume, problems)) for file in case.images]
    known = [(file, image) for file, image in images if image is not None]
    if known:
        problems += _channel_problems(known)
    if known and label is not None:
        problems += _grid_problems(case.label, label, *known[0])
    grid = label or next((image for _, image in known), None)
    shape, spacing = (grid.shape, grid.spacing) if grid else ((), None)
    voxels = math.prod(shape) if shape else 0
    return CaseCheck(case.name, shape, spacing, values, voxels, tuple(problems))


def check_dataset(dataset: RawDataset, checks: Sequence[CaseCheck]) -> list[DatasetProblem]:
    """What is wrong with a dataset as a whole, given the ``checks`` of all its cases."""
    problems = [*_numbering(dataset), *_without_label(dataset)]
    if dataset.json["file_ending"] not in ENDINGS:
        text = (
            f"The files of {dataset.path} end in {dataset.json['file_ending']}: they were not "
            f"looked into, only {' and '.join(ENDINGS)} are."
        )
        problems.append(DatasetProblem(text, dataset.path / "dataset.json", blocks=False))
    elif checks and all(check.values for check in checks):  # else a structure may be in the others
        problems += _missing_structures(dataset, checks)
    if len(dataset.cases) == 1:
        text = (
            f"{dataset.path} holds a single case: a network trained on it will hardly know another "
            "heart."
        )
        problems.append(DatasetProblem(text, dataset.path, blocks=False))
    return problems


def check_labels(dataset: RawDataset) -> list[DatasetProblem]:
    """Look into every file, of NIfTI datasets; returns the warnings about the whole dataset.

    Raises DataError with the first problem that would keep a training from running.
    """
    _refuse(_numbering(dataset))
    checks: list[CaseCheck] = []
    for case in dataset.cases:
        checks.append(check_case(dataset, case))
        _refuse(checks[-1].problems)
    problems = check_dataset(dataset, checks)
    _refuse(problems)
    return problems


def _refuse(problems: Iterable[DatasetProblem]) -> None:
    for problem in problems:
        if problem.blocks:
            raise DataError(str(problem.text))


def _numbering(dataset: RawDataset) -> list[DatasetProblem]:
    numbers = sorted(set(dataset.labels.values()))
    if numbers == list(range(len(numbers))):
        return []
    file = dataset.path / "dataset.json"
    text = f"{file} must number the labels from 0 without gaps, not {', '.join(map(str, numbers))}."
    return [DatasetProblem(text, file)]


def _without_label(dataset: RawDataset) -> list[DatasetProblem]:
    folder, ending = dataset.path / "imagesTr", str(dataset.json["file_ending"])
    known = {case.name for case in dataset.cases}
    cases: dict[str, Path] = {}  # with the first of the channels of each
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.name.endswith(ending) and not file.name.startswith("."):
            cases.setdefault(re.sub(r"_\d{4}$", "", file.name.removesuffix(ending)), file)
    files = [file for case, file in cases.items() if case not in known]
    if not files:
        return []
    names = named([file.name for file in files])
    what = "1 image has" if len(files) == 1 else f"{len(files)} images have"
    text = f"{what} no label in labelsTr and will not be used: {names}."
    return [DatasetProblem(text, files[0], blocks=False)]


def _missing_structures(dataset: RawDataset, checks: Sequence[CaseCheck]) -> list[DatasetProblem]:
    seen = {value for check in checks for value in check.values}
    missing = [
        f"{name} ({value})"
        for name, value in dataset.labels.items()
        if value and value not in seen and name != IGNORE
    ]
    if not missing:
        return []
    text = (
        f"No label file of {dataset.path} shows {', '.join(missing)}: correct the labels, or "
        "leave it out of dataset.json."
    )
    return [DatasetProblem(text, dataset.path / "dataset.json")]


def _look_at(
    file: Path, read: Callable[[Path], Volume], problems: list[DatasetProblem]
) -> Geometry | None:
    """The grid of a file whose voxels could be read; they are not kept."""
    volume = _readable(file, read, problems)
    return volume.geometry if volume else None


def _look_at_label(
    file: Path, dataset: RawDataset, problems: list[DatasetProblem]
) -> tuple[Geometry | None, tuple[int, ...]]:
    volume = _readable(file, read_labels, problems)
    if volume is None:
        return None, ()
    names = {value: name for name, value in dataset.labels.items()}
    values = tuple(np.unique(volume.voxels).tolist())
    unknown = [str(value) for value in values if value not in names]
    if unknown:
        which = f"value{'s' * (len(unknown) > 1)} {', '.join(unknown[:5])}"
        text = (
            f"{file} holds the {which}{', …' if len(unknown) > 5 else ''}, but dataset.json names "
            f"only {', '.join(f'{value} ({name})' for value, name in names.items())}."
        )
        problems.append(DatasetProblem(text, file))
    elif not any(value and names[value] != IGNORE for value in values):
        text = f"{file} shows no structure, only background: leave the case out unless that is so."
        problems.append(DatasetProblem(text, file, blocks=False))
    return volume.geometry, values


def _readable(
    file: Path, read: Callable[[Path], Volume], problems: list[DatasetProblem]
) -> Volume | None:
    try:
        volume = read(file)
    except DataError as error:
        problems.append(DatasetProblem(str(error), file))
        return None
    if volume.is_cine:
        text = (
            f"{file} is a cine of {volume.phases} phases; a training needs one phase in a file: "
            "cut out those that are labelled."
        )
        problems.append(DatasetProblem(text, file))
        return None
    return volume


def _channel_problems(images: Sequence[tuple[Path, Geometry]]) -> list[DatasetProblem]:
    (first, grid), *others = images
    return [
        DatasetProblem(
            f"{file.name} lies on another grid ({other}) than the channel {first.name} ({grid}).",
            file,
        )
        for file, other in others
        if not other.same_grid(grid)
    ]


def _grid_problems(
    file: Path, label: Geometry, image_file: Path, image: Geometry
) -> list[DatasetProblem]:
    if label.shape != image.shape:
        text = (
            f"{file.name} has the shape {label.shape} (z, y, x), but its image {image_file.name} "
            f"{image.shape}."
        )
        return [DatasetProblem(text, file)]
    if not np.allclose(label.spacing, image.spacing, rtol=_SAME_SPACING, atol=0):
        text = (
            f"{file.name} has the spacing {_steps(label)} mm (z, y, x), but its image "
            f"{image_file.name} {_steps(image)} mm."
        )
        return [DatasetProblem(text, file)]
    apart = _apart(label, image)
    if apart <= min(image.spacing):
        return []
    # nnU-Net, which pairs voxels by their index, only warns as well: a label whose file was made
    # without the image's orientation is right all the same.
    text = (
        f"{file.name} claims to lie up to {apart:.3g} mm away from its image {image_file.name}: "
        "see whether it fits when both are shown voxel on voxel."
    )
    return [DatasetProblem(text, file, blocks=False)]


def _steps(grid: Geometry) -> str:
    return " × ".join(f"{step:.4g}" for step in grid.spacing)


def _apart(one: Geometry, other: Geometry) -> float:
    """Largest distance of two corners of the same index, mm; 0 where a file knows no place."""
    if one.letters is None or other.letters is None:
        return 0.0
    lengths = one.shape[::-1]
    corners = np.array([*itertools.product(*((0, length - 1) for length in lengths))]).T
    shift = (_true_affine(one) - _true_affine(other)) @ np.vstack([corners, np.ones(8)])
    return float(np.linalg.norm(shift, axis=0).max())


def _true_affine(grid: Geometry) -> npt.NDArray[np.float64]:
    """(3, 4) from voxel (x, y, z) to patient, mm: the scale of an affine may lie, as ACDC's do."""
    affine = grid.affine[:3].copy()
    affine[:, :3] *= np.array(grid.spacing[::-1]) / np.linalg.norm(affine[:, :3], axis=0)
    return affine
