"""Reference labels, found by the name of a case and renumbered like its structures.

A case in a subfolder is named by its path in the tree of labels, such as "p1/heart_frame01".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import numpy as np

from ...core.heart.structures import match_structure
from .. import DataError
from ..dataset.check import IGNORE
from ..dataset.raw_dataset import UNUSABLE_JSON
from ..files.given_path import file_identity
from ..files.json_files import read_json
from ..files.nnunet_names import label_numbers, regions_of
from ..images.geometry import Geometry
from ..images.nifti import ENDINGS, Volume, VoxelArray, read_labels
from ..study.arrays import POSTERIOR
from ..study.info import STUDY_FILE

SEVERAL_REFERENCES: Final = (
    "{case} has several possible references in {folder} ({files}). Put the references into the "
    "same subfolders as the predictions, or choose a folder with only one of them."
)
SHARED_REFERENCE: Final = (
    "{first} and {second} have the same reference, {reference} in {folder}. Put the references "
    "into the same subfolders as the predictions, or evaluate one subfolder at a time."
)
TWO_ENDINGS: Final = "{folder} has both {first} and {second}. Keep only one of them."


def label_file(folder: Path, name: str) -> Path | None:
    """Return the NIfTI file of a name without ending; None without one.

    Raises DataError if there are two.
    """
    files = [file for ending in ENDINGS if (file := folder / f"{name}{ending}").is_file()]
    if len(files) > 1:
        first, second = (file.name for file in files)
        raise DataError(TWO_ENDINGS, folder=folder, first=first, second=second)
    return files[0] if files else None


def label_folders(root: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield each folder of a tree, as "a/b" or "", with the names of its NIfTI files.

    The names have no ending. Studies, whose labels lie next to them too, and hidden folders are
    left out. Links are followed, but no folder is visited twice.
    """
    seen: set[tuple[int, int] | Path] = set()
    for path, inside, names in os.walk(root, followlinks=True):
        identity = file_identity(Path(path))
        if identity in seen or STUDY_FILE in names or POSTERIOR in inside:
            # os.walk does not enter folders that are taken out of its list.
            inside.clear()
            continue
        seen.add(identity)
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        files = (name for name in names if name.endswith(ENDINGS) and not name.startswith("."))
        title = Path(path).relative_to(root).as_posix()
        yield "" if title == "." else title, {_stem(name) for name in files}


class ReferenceTree:
    """References in the folder ``root`` and its subfolders, which is searched once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: dict[str, list[str]] = {}
        for folder, names in label_folders(root):
            for name in names:
                self._folders.setdefault(name, []).append(folder)

    def match(self, phases: Mapping[str, int | None]) -> dict[str, str]:
        """Return predicted case → case of its reference, without cases that have none.

        ``phases`` has the phase of each predicted case. A reference has the same path in its tree
        as the prediction, or it is the only one of this name. Raises DataError if a case has
        several references, or a reference several cases.
        """
        matches: dict[str, str] = {}
        case_of: dict[str, str] = {}
        for case, phase in phases.items():
            reference = self._find(case, phase)
            if reference is None:
                continue
            key = f"{reference} {phase}"
            # Two predictions with one reference would count the same patient twice.
            if key in case_of:
                raise DataError(
                    SHARED_REFERENCE,
                    first=case_of[key],
                    second=case,
                    reference=PurePosixPath(reference).name,
                    folder=self._root,
                )
            case_of[key] = case
            matches[case] = reference
        return matches

    def _find(self, case: str, phase: int | None) -> str | None:
        """Return the case of the reference, without its phase."""
        path = PurePosixPath(case if phase is None else case.removesuffix(f"_frame{phase:02d}"))
        own = "" if str(path.parent) == "." else str(path.parent)
        names = [name for name, _ in reference_names(path.name, phase)]
        if any(own in self._folders.get(name, ()) for name in names):
            return str(path)
        for name in names:
            folders = self._folders.get(name, [])
            if len(folders) > 1:
                files = ", ".join(str(PurePosixPath(folder, name)) for folder in folders)
                raise DataError(SEVERAL_REFERENCES, case=case, folder=self._root, files=files)
            if folders:
                return str(PurePosixPath(folders[0], path.name))
        return None


def reference_names(case: str, phase: int | None) -> Iterator[tuple[str, bool]]:
    """Yield possible names of a reference's file, and whether it contains only that phase.

    Names in ``_gt`` come first: next to such a file, the one without it is the image, as in ACDC
    and Sunnybrook.
    """
    if phase is not None:
        # ACDC calls the cine patient001_4d and its phases patient001_frame01.
        for start in dict.fromkeys((case, case.removesuffix("_4d"))):
            yield f"{start}_frame{phase:02d}_gt", True
            yield f"{start}_frame{phase:02d}", True
    yield f"{case}_gt", False
    yield case, False


def _stem(name: str) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", name)


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
    regions_class_order: list[int] | None = None


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
    # nnU-Net keeps dataset.json next to labelsTr, not in it.
    files = (folder / "dataset.json", folder.absolute().parent / "dataset.json")
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    repair = "It must give every structure its number, as nnU-Net's dataset.json does."
    content = read_json(file, _Labels, repair=repair)
    try:
        if regions_of(asdict(content)):
            return {name: label for name, label in label_numbers(asdict(content)).items() if label}
    except DataError as error:
        raise DataError(UNUSABLE_JSON, file=file, reason=error) from error
    return checked_numbers(content.labels, file)


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
        # The reference has the wrong spacing of the image's file, too.
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
    # A 4D reference is often drawn in ED and ES only, and 0 in the other phases.
    frame = labels.frame(phase)
    return frame if frame.voxels.any() else None


def _renumbered(
    labels: Volume, structures: Mapping[str, int], reference: Mapping[str, int] | None
) -> VoxelArray:
    numbers = structures if reference is None else reference
    refuse_unknown_labels(labels, numbers)
    # Replacing one label after the other could renumber a voxel twice.
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
