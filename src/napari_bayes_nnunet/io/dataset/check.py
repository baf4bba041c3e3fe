"""Checks of a training dataset for faults that would stop nnU-Net in the middle of its work."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...core.heart.structures import lacks_lv
from ...core.problems import Remedy, Statement, change, statement
from ...core.slice_axis import contradicts_shape
from ...core.types import Spacing
from .. import DataError
from ..images.geometry import FILE_AXES, Geometry
from ..images.nifti import (
    BLANK_IMAGE,
    ENDINGS,
    OTHER_GRID,
    SLICES_ON_FOURTH_AXIS,
    Volume,
    read_labels,
    read_volume,
)
from .raw_dataset import RawDataset, TrainingCase, format_label_names, join_names

IGNORE = "ignore"
"""nnU-Net's name for voxels that are left out of the loss; it need not occur."""
_SAME_SPACING = 0.01
"""Spacings of an image and its label may differ by this fraction."""
NOT_CHECKED = "The {ending} files of {dataset} cannot be checked. Only {endings} files can."
ONE_CASE = (
    "{dataset} has a single case, so a network will hardly recognise other hearts. Add cases."
)
GAPS = "{file} must number the labels from 0 without gaps, but has {numbers}. Correct the numbers."
UNLABELLED_IMAGES = (
    "Images without a label in labelsTr will not be used: {images} ({count} in all). Add their "
    "labels to use them."
)
MISSING_STRUCTURES = (
    "No label file of {dataset} contains {structures}. Correct the labels, or remove the structure "
    "from dataset.json."
)
UNNAMED_VALUES = (
    "{file} has the label values {values}, but dataset.json only has {known}. Correct the labels "
    "or dataset.json."
)
LACKS_LV = (
    "No structure of {dataset} is named LV (only {names}), so the ensemble will not give ED, ES or "
    "EF."
)
ONLY_BACKGROUND = "{file} has only background. Leave the case out if its image shows a structure."
CONSTANT_CASE = (
    "All voxels of {file} are {value:g}, so nothing can be learned from it. Leave the case out."
)
CINE_CASE = (
    "{file} is a cine of {phases} phases, but a training case has one phase. Extract the labelled "
    "phases."
)
STACKED_CASE = (
    "{file} stores its slices along a fourth axis, which nnU-Net takes for channels. Save it as a "
    "3D image."
)
OTHER_FORM = (
    "{file} has the {quantity} {found} (z, y, x), but its image {image} has {expected}. Correct "
    "the label."
)
SHIFTED = (
    "{file} lies up to {distance:.3g} mm away from its image {image}. Check that the label matches "
    "the image voxel by voxel."
)
TWO_SPACINGS_STORED = (
    "The affine of {file} gives a voxel size of {affine} mm (z, y, x), but nnU-Net trains with the "
    "{pixdim} mm of its pixdim. Correct the header."
)
SWAPPED_AXES = (
    "The spacing ({spacing} mm) and the shape {shape} of {file} (z, y, x) contradict each other, "
    "because the axis with the largest spacing has far more voxels than another. Correct the "
    "header."
)
SLICES_NOT_LAST = (
    "{file} stores its slices along the {axis} axis. nnU-Net trains on the axes as stored, so "
    "store the slices of all files along the same axis."
)


@dataclass(frozen=True)
class DatasetProblem:
    """A problem in words for the user, and its file, if it has one.

    A problem that does not block is a warning: a training would run.
    """

    text: Statement | str
    file: Path | None
    blocks: bool = True


def _problem(template: str, place: Path, /, *remedies: Remedy, **values: Any) -> DatasetProblem:
    """Return a problem that blocks a training, about the file or folder ``place``."""
    if "{file}" in template:
        values.setdefault("file", place)
    return DatasetProblem(statement(template, *remedies, **values), place)


def _warning(template: str, place: Path, /, *remedies: Remedy, **values: Any) -> DatasetProblem:
    """Return a problem with which a training would run."""
    return replace(_problem(template, place, *remedies, **values), blocks=False)


@dataclass(frozen=True)
class CaseCheck:
    """Content of one case.

    ``shape`` (Z, Y, X) and ``spacing`` (z, y, x) in mm are those of the label, or of the image if
    the label cannot be read; () and None if neither can be read or was checked. ``values`` are the
    label values that occur, ``voxels`` the number of voxels of one channel.
    """

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, float, float] | None
    values: tuple[int, ...]
    voxels: int
    problems: tuple[DatasetProblem, ...]


class _Channel(NamedTuple):
    """What is kept of a channel: its grid and, if all its voxels are equal, their value."""

    grid: Geometry
    value: float | None


def check_case(dataset: RawDataset, case: TrainingCase) -> CaseCheck:
    """Read the label and then every image of a case, one at a time. Checks NIfTI files only.

    Reads all voxels, because only that reveals a truncated file.
    """
    if dataset.json["file_ending"] not in ENDINGS:
        return CaseCheck(case.name, (), None, (), 0, ())
    problems: list[DatasetProblem] = []
    label, values = _check_label(case.label, dataset, problems)
    read = [(file, _read_channel(file, problems)) for file in case.images]
    channels = [(file, channel) for file, channel in read if channel is not None]
    # A constant channel next to others is no problem.
    if len(channels) == len(read) and all(channel.value is not None for _, channel in channels):
        problems.append(_constant_problem(channels))
    grids = [(file, channel.grid) for file, channel in channels]
    for file, grid in grids[1:]:
        first, expected = grids[0]
        if not grid.same_grid(expected):
            names = {"file": file.name, "reference": first.name}
            problems.append(_problem(OTHER_GRID, file, **names, grid=grid, expected=expected))
    if grids and label is not None:
        problems += _grid_problems(case.label, label, *grids[0])
    problems += [problem for file, image in grids for problem in _storage_problems(file, image)]
    seen = label or next((image for _, image in grids), None)
    shape, spacing = (seen.shape, seen.spacing) if seen else ((), None)
    voxels = math.prod(shape) if shape else 0
    return CaseCheck(case.name, shape, spacing, values, voxels, tuple(problems))


def check_dataset(dataset: RawDataset, checks: Sequence[CaseCheck]) -> list[DatasetProblem]:
    """Return the problems of a dataset as a whole, given the ``checks`` of all its cases."""
    file, ending = dataset.path / "dataset.json", str(dataset.json["file_ending"])
    problems = [*_numbering_problems(dataset), *_unlabelled_images(dataset)]
    problems += _unknown_names(dataset)
    if ending not in ENDINGS:
        values = {"dataset": dataset.path, "ending": ending, "endings": " and ".join(ENDINGS)}
        problems.append(_warning(NOT_CHECKED, file, **values))
    elif checks and all(check.values for check in checks):
        # An unreadable label might contain the missing structure.
        problems += _missing_structures(dataset, checks)
    if len(dataset.cases) == 1:
        problems.append(_warning(ONE_CASE, dataset.path, dataset=dataset.path))
    return problems


def check_labels(dataset: RawDataset) -> list[DatasetProblem]:
    """Check every file of a NIfTI dataset; return the warnings about the dataset as a whole.

    Raises DataError with the first problem that blocks a training.
    """
    _refuse(_numbering_problems(dataset))
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
            text = problem.text
            raise DataError.from_statement(text if isinstance(text, Statement) else statement(text))


def _numbering_problems(dataset: RawDataset) -> Iterator[DatasetProblem]:
    numbers = sorted(set(dataset.labels.values()))
    if numbers != list(range(len(numbers))):
        yield _problem(GAPS, dataset.path / "dataset.json", numbers=", ".join(map(str, numbers)))


def _unlabelled_images(dataset: RawDataset) -> Iterator[DatasetProblem]:
    folder, ending = dataset.path / "imagesTr", str(dataset.json["file_ending"])
    cases: dict[str, Path] = {}  # each with its first channel
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.name.endswith(ending) and not file.name.startswith("."):
            # Channels of a case differ only in their numbers.
            cases.setdefault(re.sub(r"_\d{4}$", "", file.name.removesuffix(ending)), file)
    known = {case.name for case in dataset.cases}
    if files := [file for case, file in cases.items() if case not in known]:
        names = join_names([file.name for file in files])
        yield _warning(UNLABELLED_IMAGES, files[0], images=names, count=len(files))


def _unknown_names(dataset: RawDataset) -> Iterator[DatasetProblem]:
    """Yield a warning if no structure is named LV, with an example of names."""
    names = {value: name for name, value in dataset.labels.items() if value and name != IGNORE}
    if names and lacks_lv(names.values()):
        # In the heart's usual numbering the LV has the highest value.
        proposed = format_label_names(names | {max(names): "LV"})
        remedy = change("labels", proposed)
        values = {"dataset": dataset.path, "names": ", ".join(names.values())}
        yield _warning(LACKS_LV, dataset.path / "dataset.json", remedy, **values)


def _missing_structures(
    dataset: RawDataset, checks: Sequence[CaseCheck]
) -> Iterator[DatasetProblem]:
    in_use = {0, *(value for check in checks for value in check.values)}
    labels = dataset.labels.items()
    missing = [f"{name} ({v})" for name, v in labels if v not in in_use and name != IGNORE]
    if missing:
        values = {"dataset": dataset.path, "structures": ", ".join(missing)}
        yield _problem(MISSING_STRUCTURES, dataset.path / "dataset.json", **values)


def _read_channel(file: Path, problems: list[DatasetProblem]) -> _Channel | None:
    """Read all voxels of an image, but do not keep them, so that memory holds one image."""
    volume = _read(file, partial(read_volume, allow_blank=True), problems)
    if volume is None:
        return None
    low, high = float(volume.voxels.min()), float(volume.voxels.max())
    return _Channel(volume.geometry, low if low == high else None)


def _constant_problem(channels: Sequence[tuple[Path, _Channel]]) -> DatasetProblem:
    """Return the problem of an image whose channels are all constant, so that it shows nothing."""
    file, channel = channels[0]
    if not any(channel.value for _, channel in channels):
        return _problem(BLANK_IMAGE, file)
    return _warning(CONSTANT_CASE, file, value=channel.value)


def _check_label(
    file: Path, dataset: RawDataset, problems: list[DatasetProblem]
) -> tuple[Geometry | None, tuple[int, ...]]:
    """Return grid and values of a label file."""
    volume = _read(file, read_labels, problems)
    if volume is None:
        return None, ()
    names = {value: name for name, value in dataset.labels.items()}
    values = tuple(np.unique(volume.voxels).tolist())
    unknown = [str(value) for value in values if value not in names]
    if unknown:
        shown = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
        known = ", ".join(f"{value} ({name})" for value, name in names.items())
        problems.append(_problem(UNNAMED_VALUES, file, values=shown, known=known))
    elif not any(value and names[value] != IGNORE for value in values):
        problems.append(_warning(ONLY_BACKGROUND, file))
    return volume.geometry, values


def _read(
    file: Path, read: Callable[[Path], Volume], problems: list[DatasetProblem]
) -> Volume | None:
    try:
        volume = read(file)
    except DataError as error:
        problems.append(DatasetProblem(error.statement, file))
        return None
    if volume.is_cine:
        problems.append(_problem(CINE_CASE, file, phases=volume.phases))
    elif any(note.template == SLICES_ON_FOURTH_AXIS for note in volume.notes):
        problems.append(_problem(STACKED_CASE, file))
    else:
        return volume
    return None


def _storage_problems(file: Path, image: Geometry) -> Iterator[DatasetProblem]:
    """Yield warnings about an image that nnU-Net reads differently, or that has a wrong header."""
    spacing = _spacing_text(image.spacing)
    warn = partial(_warning, file=file.name)
    if image.other_spacing is not None:
        pixdim = _spacing_text(image.other_spacing)
        yield warn(TWO_SPACINGS_STORED, file, affine=spacing, pixdim=pixdim)
    if contradicts_shape(image.shape, image.spacing):
        yield warn(SWAPPED_AXES, file, spacing=spacing, shape=image.shape)
    if image.slice_axis != 2:
        yield warn(SLICES_NOT_LAST, file, axis=FILE_AXES[image.slice_axis])


def _grid_problems(
    file: Path, label: Geometry, image_file: Path, image: Geometry
) -> Iterator[DatasetProblem]:
    names = {"file": file.name, "image": image_file.name}
    if label.shape != image.shape:
        values = {"quantity": "shape", "found": label.shape, "expected": image.shape}
        yield _problem(OTHER_FORM, file, **names, **values)
    elif not np.allclose(label.spacing, image.spacing, rtol=_SAME_SPACING, atol=0):
        found, expected = (f"{_spacing_text(grid.spacing)} mm" for grid in (label, image))
        values = {"quantity": "spacing", "found": found, "expected": expected}
        yield _problem(OTHER_FORM, file, **names, **values)
    elif (distance := label.largest_shift(image)) > min(image.spacing):
        # nnU-Net pairs voxels by index, so it only warns too: a label that was saved without the
        # orientation of its image is still right.
        yield _warning(SHIFTED, file, **names, distance=distance)


def _spacing_text(spacing: Spacing) -> str:
    return " × ".join(f"{step:.4g}" for step in spacing)
