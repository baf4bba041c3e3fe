"""Reference labels of studies: found by the name of the case, numbered as the study is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...core.heart.structures import match_structure
from .. import DataError
from ..dataset.check import IGNORE
from ..files.json_files import read_json
from ..images.geometry import Geometry
from ..images.nifti import ENDINGS, Volume, VoxelArray, read_labels


class Reference(NamedTuple):
    """(Z, Y, X) labels of a reference, and the structures that it knows (name: label).

    ``is_named``: whether a ``dataset.json`` says what its values mean.
    """

    labels: VoxelArray
    structures: dict[str, int]
    is_named: bool


def reference_labels(
    folder: Path,
    case: str,
    phase: int | None,
    *,
    structures: Mapping[str, int],
    geometry: Geometry,
) -> VoxelArray | None:
    """(Z, Y, X) labels of a phase, with the numbers of ``structures`` and 0 for all else.

    ``folder`` holds ``<case>.nii.gz`` or ``<case>_gt.nii.gz``; the phases of a cine as one 4D file
    so named, or each as ``<case>_frame01.nii.gz`` or ``<case>_frame01_gt.nii.gz``. What its values
    mean is read from ``dataset.json`` in the folder or above it; without one they are numbered as
    ``structures``. None where the phase has no labels: no file, or nothing but 0 in a 4D file.

    Raises DataError for another grid than ``geometry``, for values without a meaning, and where
    the reference does not know a structure of the study.
    """
    found = _read(folder, case, phase)
    if found is None:
        return None
    grid = geometry.frame()
    if not found.geometry.same_grid(grid):
        raise DataError(
            f"{found.source} lies on another grid ({found.geometry}) than the study "
            f"{case} ({grid})."
        )
    return _renumbered(found, structures, structure_numbers(folder))


def known_reference(
    folder: Path,
    case: str,
    phase: int | None,
    *,
    structures: Mapping[str, int],
    geometry: Geometry,
) -> Reference | None:
    """`reference_labels` of those ``structures`` that the reference knows.

    These are named in its ``dataset.json``; without one they are those that the labels of this
    phase show: nothing says of another that it was looked for (Sunnybrook has no RV, and the
    myocardium in end-diastole only). The others are 0 in the labels.

    Raises DataError as `reference_labels`, but for no structure that is missing.
    """
    numbers = structure_numbers(folder)
    known = dict(structures)
    if numbers is not None:
        known = {n: v for n, v in structures.items() if match_structure(n, numbers) is not None}
    labels = reference_labels(folder, case, phase, structures=known, geometry=geometry)
    if labels is None:
        return None
    if numbers is None:
        known = {name: value for name, value in known.items() if (labels == value).any()}
    return Reference(labels, known, is_named=numbers is not None)


@dataclass(frozen=True)
class _Labels:
    """The labels in a ``dataset.json``; other programs write some numbers as text."""

    labels: dict[str, int | str | list[int]]


def structure_numbers(folder: Path) -> dict[str, int] | None:
    """Label of every structure without background; None if nothing says so.

    From ``dataset.json`` in the folder or above it, without the voxels nnU-Net ignores. Raises
    DataError where that is damaged.
    """
    places = (folder / "dataset.json", folder.absolute().parent / "dataset.json")
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return None
    repair = "It must give every structure its number, as nnU-Net's dataset.json does."
    labels = read_json(file, _Labels, repair=repair).labels
    numbers = checked_numbers({name: _number(name, v, file) for name, v in labels.items()}, file)
    return {name: value for name, value in numbers.items() if name != IGNORE}


def _number(name: str, value: int | str | list[int], file: Path) -> int:
    if isinstance(value, list):
        raise DataError(
            "{name} is a region of several labels in {file}. Only single labels can be judged.",
            name=name,
            file=file,
        )
    if isinstance(value, str) and not value.isdecimal():
        raise DataError("The label of {name} in {file} is not a number.", name=name, file=file)
    return int(value)


def checked_numbers(numbers: Mapping[str, int], file: Path) -> dict[str, int]:
    """Return the label of each structure of a file, without background.

    Raises DataError for two that are the same and for impossible ones.
    """
    names: dict[int, str] = {}
    for name, value in numbers.items():
        if value == 0:
            continue
        if not 0 < value < 1 << 16:
            raise DataError(
                "{name} is {value} in {file}. Labels are 1 to 65535.",
                name=name,
                value=value,
                file=file,
            )
        if value in names:
            raise DataError(
                "{first} and {name} are both {value} in {file}. Each structure needs a label of "
                "its own.",
                first=names[value],
                name=name,
                value=value,
                file=file,
            )
        names[value] = name
    return {name: value for value, name in names.items()}


def _read(folder: Path, case: str, phase: int | None) -> Volume | None:
    for name, is_frame in _names(case, phase):
        for file in (folder / f"{name}{ending}" for ending in ENDINGS):
            if file.is_file():
                labels = read_labels(file)
                return labels if is_frame or phase is None else _frame(labels, phase)
    return None


def _names(case: str, phase: int | None) -> Iterator[tuple[str, bool]]:
    """What the file may be called, and whether it is of that phase alone.

    Beside a file ``_gt`` the one without it is the image, as in ACDC and Sunnybrook.
    """
    if phase is not None:
        # ACDC calls the cine patient001_4d and its phases patient001_frame01.
        for start in dict.fromkeys((case, case.removesuffix("_4d"))):
            yield f"{start}_frame{phase:02d}_gt", True
            yield f"{start}_frame{phase:02d}", True
    yield f"{case}_gt", False
    yield case, False


def _frame(labels: Volume, phase: int) -> Volume | None:
    if not labels.is_cine:
        raise DataError(
            f"{labels.source} is one volume and does not say that it is phase {phase} of the "
            f"study: its name should end in _frame{phase:02d}."
        )
    frame = labels.frame(phase)
    return frame if frame.voxels.any() else None


def _renumbered(
    labels: Volume, structures: Mapping[str, int], reference: Mapping[str, int] | None
) -> VoxelArray:
    numbers = structures if reference is None else reference
    unknown = set(np.unique(labels.voxels).tolist()) - {0, *numbers.values()}
    if unknown:
        raise DataError(
            f"{labels.source} holds the value {min(unknown)}, but only "
            f"{', '.join(f'{v} ({n})' for n, v in numbers.items())} have a meaning."
        )
    table = np.zeros(1 << 16, np.uint16)
    for name, number in structures.items():
        same = match_structure(name, numbers)
        if same is None:
            raise DataError(
                f"The reference {labels.source} knows no structure {name}, which the study shows; "
                f"it knows {', '.join(numbers)}."
            )
        table[numbers[same]] = number
    return np.asarray(table[labels.voxels])
