"""Reference labels, found by the name of a case and renumbered like its structures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...core.heart.structures import match_structure
from .. import DataError
from ..dataset.check import IGNORE
from ..files.json_files import read_json
from ..images.geometry import Geometry
from ..images.nifti import Volume, VoxelArray, read_labels
from .label_tree import label_file, reference_names

REFERENCE_GRID = (
    "{file} has a different grid ({found}) from {case} ({expected}). Use a reference drawn on the "
    "segmented image."
)

IGNORED_VOXELS = (
    "{file} has voxels with nnU-Net's ignore label {value}, whose structure is unknown. Use "
    "references in which every voxel is labelled."
)


UNUSABLE_LABEL = (
    "The label of {name} in {file} is {value}. Give each structure a number of its own, 1 to 65535."
)
UNKNOWN_LABEL = (
    "{file} contains the label {value}, but only {known} are defined. Define it in the "
    "dataset.json next to the file, or remove it from the file."
)


class Reference(NamedTuple):
    """(Z, Y, X) labels of a reference, and its structures (name: label).

    ``is_named``: whether a ``dataset.json`` names the labels. ``is_placed``: whether the file has a
    position, so that it was compared with that of the prediction.
    """

    labels: VoxelArray
    structures: dict[str, int]
    is_named: bool
    is_placed: bool


def reference_labels(
    folder: Path,
    case: str,
    phase: int | None,
    *,
    structures: Mapping[str, int],
    geometry: Geometry,
    only_known: bool = False,
) -> Reference | None:
    """Return the (Z, Y, X) labels of a phase, numbered like ``structures``, 0 for the rest.

    ``folder`` contains ``<case>.nii.gz`` or ``<case>_gt.nii.gz``. Phases of a cine are one 4D file
    with such a name, or files such as ``<case>_frame01.nii.gz`` or ``<case>_frame01_gt.nii.gz``.
    ``case`` may be a path in the folder, such as "p1/heart". Label names are read from
    ``dataset.json`` in the folder or above it; without one, labels are numbered like
    ``structures``. None if the phase has no file, or only 0 in a 4D file.

    The reference must have all structures, unless ``only_known`` asks for those that it has: those
    of its ``dataset.json`` or, without one, those drawn in this phase, because others may not have
    been drawn at all (Sunnybrook has no RV, and the myocardium in end-diastole only).

    Raises DataError for another grid than ``geometry``, for undefined or ignored labels, and for a
    missing structure.
    """
    volume = _read_on_grid(folder, case, phase, geometry)
    if volume is None:
        return None
    numbers, known = structure_numbers(folder), dict(structures)
    if only_known and numbers is not None:
        known = {n: v for n, v in known.items() if match_structure(n, numbers) is not None}
    labels = _renumbered(volume, known, numbers)
    if only_known and numbers is None:
        known = {name: value for name, value in known.items() if (labels == value).any()}
    is_placed = volume.geometry.letters is not None
    return Reference(labels, known, is_named=numbers is not None, is_placed=is_placed)


@dataclass(frozen=True)
class _Labels:
    """The labels in a ``dataset.json``; some programs write numbers as text."""

    labels: dict[str, int | str | list[int]]


def structure_numbers(folder: Path) -> dict[str, int] | None:
    """Return the label of every structure except background and nnU-Net's ignore label.

    They are read from ``dataset.json`` in the folder or above it; None without one. Raises
    DataError if the file is damaged.
    """
    numbers = _label_numbers(folder)
    if numbers is None:
        return None
    return {name: value for name, value in numbers.items() if name != IGNORE}


def _label_numbers(folder: Path) -> dict[str, int] | None:
    """Return the label of every structure and the ignore label, as `structure_numbers` does."""
    files = (folder / "dataset.json", folder.absolute().parent / "dataset.json")
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    repair = "It must give every structure its number, as nnU-Net's dataset.json does."
    labels = read_json(file, _Labels, repair=repair).labels
    return checked_numbers(labels, file)


def checked_numbers(numbers: Mapping[str, int | str | list[int]], file: Path) -> dict[str, int]:
    """Return the label of each structure of a file, without background.

    Raises DataError for equal or impossible labels, and for regions of several labels.
    """
    names: dict[int, str] = {}
    for name, value in numbers.items():
        # int refuses very long numbers
        number = int(str(value)) if str(value).isdecimal() and len(str(value)) < 10 else -1
        if not 0 <= number < 1 << 16 or number in names:
            raise DataError(UNUSABLE_LABEL, name=name, value=value, file=file)
        if number:
            names[number] = name
    return {name: number for number, name in names.items()}


def refuse_unknown_labels(labels: Volume, numbers: Mapping[str, int]) -> None:
    """Raise DataError if a file has labels other than 0 and the ``numbers`` of structures."""
    unknown = set(np.unique(labels.voxels).tolist()) - {0, *numbers.values()}
    if unknown:
        known = ", ".join(f"{value} ({name})" for name, value in numbers.items())
        raise DataError(UNKNOWN_LABEL, file=labels.source, value=min(unknown), known=known)


def _read_on_grid(folder: Path, case: str, phase: int | None, geometry: Geometry) -> Volume | None:
    """Return the labels of a phase.

    Raises DataError if they lie on another grid, or have voxels with the ignore label.
    """
    labels, grid = _read(folder, case, phase), geometry.frame()
    if labels is None:
        return None
    if geometry.given_spacing is not None:
        labels = labels.with_spacing(geometry.given_spacing)
    if not labels.geometry.same_grid(grid):
        found = labels.geometry
        raise DataError(REFERENCE_GRID, file=labels.source, found=found, case=case, expected=grid)
    ignored = (_label_numbers(folder) or {}).get(IGNORE)
    if ignored is not None and (labels.voxels == ignored).any():
        raise DataError(IGNORED_VOXELS, file=labels.source, value=ignored)
    return labels


def _read(folder: Path, case: str, phase: int | None) -> Volume | None:
    for name, is_frame in reference_names(case, phase):
        if file := label_file(folder, name):
            labels = read_labels(file)
            return labels if is_frame or phase is None else _frame(labels, phase)
    return None


def _frame(labels: Volume, phase: int) -> Volume | None:
    if not labels.is_cine:
        raise DataError(
            "{file} does not say which phase it is. If it is phase {phase}, end its name in "
            "_frame{phase:02d}.",
            file=labels.source,
            phase=phase,
        )
    frame = labels.frame(phase)
    return frame if frame.voxels.any() else None


def _renumbered(
    labels: Volume, structures: Mapping[str, int], reference: Mapping[str, int] | None
) -> VoxelArray:
    numbers = structures if reference is None else reference
    refuse_unknown_labels(labels, numbers)
    table = np.zeros(1 << 16, np.uint16)
    for name, number in structures.items():
        match = match_structure(name, numbers)
        if match is None:
            raise DataError(
                "The reference {file} lacks the structure {structure} of the study; it has only "
                "{known}. Use the same names in both dataset.json files.",
                file=labels.source,
                structure=name,
                known=", ".join(numbers),
            )
        table[numbers[match]] = number
    return np.asarray(table[labels.voxels])
