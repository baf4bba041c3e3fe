"""Folders of predictions: what this program wrote, or nnU-Net's own ``nnUNetv2_predict``.

Of ours a case has ``<case>.nii.gz``, ``<case>.json`` and the maps that were asked for; of nnU-Net's
``<case>.nii.gz`` and, with ``--save_probabilities``, ``<case>.npz``. Its ``<case>.pkl`` is never
opened: a pickle runs what it holds.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from ...core.ensemble.posterior import entropy, most_probable
from .. import DataError
from ..files.json_files import read_json
from ..images.nifti import ENDINGS, Volume, VoxelArray, read_labels, read_volume
from .references import checked_numbers, structure_numbers

ENTROPY_SUFFIX: Final = "_entropy"
MUTUAL_INFORMATION_SUFFIX: Final = "_mutual_information"
PROBABILITIES: Final = "_probabilities.npz"
ROUNDING: Final = 0.02
"""Probabilities that were rounded, to float16 for example, may miss 0, 1 and their sum by it."""
LEAST_AGREEMENT: Final = 0.5
"""Of the foreground, so much must be the most probable class; postprocessing changes less."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What a model or an ensemble says of one 3D image; None where it was not saved.

    ``labels`` (Z, Y, X) in the image's grid, ``probabilities`` (C, Z, Y, X), ``entropy`` and
    ``mutual_information`` (Z, Y, X) in bit. ``structures``: name → label, None where nothing says
    so. ``pairwise_dice`` of the members, per structure. ``phase`` of a cine, from 1.
    """

    case: str
    labels: Volume
    structures: Mapping[str, int] | None
    probabilities: VoxelArray | None = None
    entropy: VoxelArray | None = None
    mutual_information: VoxelArray | None = None
    pairwise_dice: dict[str, float] = field(default_factory=dict)
    phase: int | None = None


def predicted_cases(folder: Path) -> list[str]:
    """Names of the 3D images whose labels lie in a folder, in order.

    The labels of a whole cine are left out where its phases have files of their own. Raises
    DataError where there are none.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: it should hold predictions, <case>.nii.gz.")
    files = (file for file in folder.iterdir() if not file.name.startswith("."))
    names = {_stem(file) for file in files if file.name.endswith(ENDINGS)}
    maps = {name + end for name in names for end in (ENTROPY_SUFFIX, MUTUAL_INFORMATION_SUFFIX)}
    cines = {found[1] for name in names if (found := re.fullmatch(r"(.+)_frame\d+", name))}
    if not (cases := sorted(names - maps - cines)):
        raise DataError(f"{folder} holds no predictions: expected label files <case>.nii.gz.")
    return cases


def predicted_structures(folder: Path, case: str) -> dict[str, int] | None:
    """Name → label of what a case shows, by its report or ``dataset.json``; None if nothing says.

    Raises DataError for damaged ones.
    """
    return _report(folder / f"{case}.json").labels or structure_numbers(folder)


def read_prediction(folder: Path, case: str) -> Prediction:
    """Read all that is known of a case of `predicted_cases`.

    Entropy is computed from the probabilities where there is no map of it. Raises DataError, one
    sentence, for a damaged file and for files that are not of the same prediction.
    """
    labels = read_labels(_image_file(folder, case))
    if labels.is_cine:
        raise DataError(f"{labels.source} has {labels.phases} phases; expected one 3D image.")
    report = _report(folder / f"{case}.json")
    probabilities = _probabilities(folder, case, labels)
    doubt = _map(folder, case + ENTROPY_SUFFIX, labels)
    if doubt is None and probabilities is not None:
        doubt = entropy(probabilities)
    return Prediction(
        case=case,
        labels=labels,
        structures=report.labels or structure_numbers(folder),
        probabilities=probabilities,
        entropy=doubt,
        mutual_information=_map(folder, case + MUTUAL_INFORMATION_SUFFIX, labels),
        pairwise_dice={
            name: math.nan if dice is None else dice for name, dice in report.pairwise_dice.items()
        },
        phase=report.phase,
    )


@dataclass(frozen=True)
class _Report:
    """The entries of ``<case>.json`` that are needed here."""

    labels: dict[str, int] = field(default_factory=dict)
    pairwise_dice: dict[str, float | None] = field(default_factory=dict)
    phase: int | None = None


def _report(file: Path) -> _Report:
    if not file.is_file():
        return _Report()
    report = read_json(file, _Report, repair="Segment the case again.")
    return replace(report, labels=checked_numbers(report.labels, file))


def _probabilities(folder: Path, case: str, labels: Volume) -> VoxelArray | None:
    files = (folder / f"{case}{PROBABILITIES}", folder / f"{case}.npz")
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            found: VoxelArray = content["probabilities"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file} should hold an array called probabilities, and cannot be read "
            f"({type(error).__name__}: {error})."
        ) from error
    _check_probabilities(file, found, labels)
    return found


def _check_probabilities(file: Path, found: VoxelArray, labels: Volume) -> None:
    if found.shape[1:] != labels.shape or len(found) == 0 or found.dtype.kind != "f":
        raise DataError(
            f"{file} holds {found.dtype} of shape {found.shape}; expected floating-point "
            f"probabilities of the classes in the grid of {labels.source.name}, {labels.shape}."
        )
    sums = found.sum(axis=0, dtype=np.float32)
    low, high = float(found.min()), float(found.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING and np.abs(sums - 1).max() <= ROUNDING):
        raise DataError(
            f"{file} holds no probabilities: values from {low:.3g} to {high:.3g} that sum to "
            f"{sums.min():.3g} to {sums.max():.3g} in a voxel, not to 1. Save the softmax."
        )
    drawn, probable = labels.voxels, most_probable(found)
    foreground = (drawn > 0) | (probable > 0)
    if foreground.any() and np.mean((drawn == probable)[foreground]) < LEAST_AGREEMENT:
        raise DataError(
            f"{file} is not of the labels {labels.source.name}: less than half of the foreground "
            "has the most probable class. Predict both together, without reorienting one."
        )


def _map(folder: Path, name: str, labels: Volume) -> VoxelArray | None:
    if not any((folder / f"{name}{ending}").is_file() for ending in ENDINGS):
        return None
    found = read_volume(_image_file(folder, name), allow_blank=True)
    if not found.geometry.same_grid(labels.geometry):
        raise DataError(
            f"{found.source} lies on another grid ({found.geometry}) than the labels "
            f"{labels.source.name} ({labels.geometry})."
        )
    return found.voxels


def _image_file(folder: Path, name: str) -> Path:
    files = [folder / f"{name}{ending}" for ending in ENDINGS]
    return next((file for file in files if file.is_file()), files[0])


def _stem(file: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", file.name)
