"""Folders of predictions, written by this program or by ``nnUNetv2_predict``.

This program writes ``<case>.nii.gz``, ``<case>.json`` and the requested maps, nnU-Net
``<case>.nii.gz`` and, if probabilities are saved, ``<case>.npz``. Its ``<case>.pkl`` is never
opened, because a pickle can run code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from ...core.ensemble.maps import ENTROPY, MAPS
from ...core.ensemble.posterior import entropy, most_probable
from ...core.heart.function import Intervals
from ...core.metrics.conformal import Coverage
from .. import DataError
from ..files.given_path import check_folder
from ..files.json_files import Positive, read_json
from ..files.limits import DAMAGED_NPZ, ArrayHeader, read_npz
from ..images.nifti import ENDINGS, Volume, VoxelArray, read_labels, read_volume
from ..study.case_report import REPORT_FORMAT, ExpectedDiceEntry, FailureEntry, ReportFormat
from .references import ReferenceTree, checked_numbers, label_file, label_folders, structure_numbers

MAP_SUFFIXES: Final = tuple(f"_{entry.key}" for entry in MAPS.values())
PROBABILITIES: Final = "_probabilities.npz"
MOST_CLASSES: Final = 256
ROUNDING: Final = 0.02
"""Tolerance for probabilities and their sum, which may be rounded, such as to float16."""
LEAST_AGREEMENT: Final = 0.5
"""Smallest share of the foreground with the most probable class; postprocessing changes less."""

_MIRRORS: Final = ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
"""Axes along which probabilities may be mirrored by mistake."""
OF_ANOTHER_PREDICTION: Final = (
    "{file} and {labels} do not belong together, because less than half of the foreground has the "
    "most probable class. Predict both together, without reorienting either."
)
MIRRORED_PROBABILITIES: Final = (
    "{file} and {labels} do not belong together, because mirrored probabilities fit the labels "
    "better. Predict both together, without reorienting either."
)

_REPAIR: Final = "Segment the case again."
UNFINISHED: Final = (
    "{file} is of a segmentation that was stopped, so it cannot be evaluated. Segment the case "
    "again, or remove its files."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """A prediction for one 3D image; None for a part that was not saved.

    ``labels`` (Z, Y, X) on the grid of the image, ``probabilities`` (C, Z, Y, X), the saved
    ``maps``: name → (Z, Y, X). ``structures``: name → label, None if unknown.
    ``pairwise_dice`` of the members and ``expected_dice``, per structure. ``volume_intervals`` and,
    for ED and ES, ``function_intervals``: structure or measurement ("LV EF") → level → interval.
    ``failure_score`` is NaN if unknown. ``phase`` of a cine, from 1. ``made_by``: the ensemble, its
    members and settings, as in the report; empty if unknown.
    """

    case: str
    labels: Volume
    structures: Mapping[str, int] | None
    probabilities: VoxelArray | None = None
    maps: Mapping[str, VoxelArray] = field(default_factory=dict)
    pairwise_dice: dict[str, float] = field(default_factory=dict)
    expected_dice: dict[str, float] = field(default_factory=dict)
    failure_score: float = math.nan
    volume_intervals: dict[str, Intervals] = field(default_factory=dict)
    function_intervals: dict[str, Intervals] = field(default_factory=dict)
    phase: int | None = None
    made_by: dict[str, Any] = field(default_factory=dict)


def predicted_cases(folder: Path) -> list[str]:
    """Return the sorted names of the 3D images with labels in a folder and its subfolders.

    A case in a subfolder is named by its path, such as "p1/heart". Studies are left out, because
    their labels lie next to them too, and the labels of a whole cine if its phases have their own
    files. Raises DataError if there are none.
    """
    check_folder(folder, "predictions")
    cases = []
    for place, names in label_folders(folder):
        # A map lies next to its case: heart_entropy is none if there is heart.
        maps = {name + end for name in names for end in MAP_SUFFIXES}
        cines = {match[1] for name in names if (match := re.fullmatch(r"(.+)_frame\d+", name))}
        cases += [str(PurePosixPath(place, name)) for name in names - maps - cines]
    if not cases:
        raise DataError(
            "{folder} has no predictions. Choose a folder with label files <case>.nii.gz.",
            folder=folder,
        )
    return sorted(cases)


def match_references(folder: Path, cases: Sequence[str], labels: Path) -> dict[str, str]:
    """Return predicted case → case of its reference in the tree ``labels``, without the phase.

    See `ReferenceTree.match`. The phases are those of the reports. Also raises DataError for a
    damaged report.
    """
    phases = {case: _report(folder / f"{case}.json").phase for case in cases}
    return ReferenceTree(labels).match(phases)


def predicted_structures(folder: Path, case: str) -> dict[str, int] | None:
    """Return name → label for a case, from its report or ``dataset.json``; None if unknown.

    Raises DataError for a damaged file.
    """
    return _report(folder / f"{case}.json").labels or structure_numbers(folder)


def read_prediction(folder: Path, case: str) -> Prediction:
    """Read all files of a case of `predicted_cases`.

    Entropy is computed from the probabilities if its map is missing. Raises DataError for a damaged
    file, for files of different predictions, and for a segmentation that was stopped.
    """
    labels = read_labels(label_file(folder, case) or folder / f"{case}{ENDINGS[0]}")
    if labels.is_cine:
        raise DataError(
            "{file} has {phases} phases. Save each phase as its own 3D file.",
            file=labels.source,
            phases=labels.phases,
        )
    report = _report(folder / f"{case}.json")
    if report.provisional is not None:
        raise DataError(UNFINISHED, file=labels.source)
    if report.spacing_from == "given" and report.spacing_mm is not None:
        labels = labels.with_spacing(report.spacing_mm)  # the header has that of the image
    probabilities = _probabilities(folder, case, labels)
    files = {name: label_file(folder, f"{case}_{entry.key}") for name, entry in MAPS.items()}
    maps = {name: _map(file, labels) for name, file in files.items() if file}
    # nnUNetv2_predict saves probabilities, but no entropy.
    if ENTROPY.name not in maps and probabilities is not None:
        maps[ENTROPY.name] = entropy(probabilities)
    return Prediction(
        case=case,
        labels=labels,
        structures=report.labels or structure_numbers(folder),
        probabilities=probabilities,
        maps=maps,
        pairwise_dice={
            name: math.nan if dice is None else dice for name, dice in report.pairwise_dice.items()
        },
        expected_dice={name: entry.value for name, entry in report.expected_dice.items()},
        failure_score=report.failure.score if report.failure is not None else math.nan,
        volume_intervals={name: entry.known() for name, entry in report.volumes_ml.items()},
        # Version 0.2.0 wrote those of two images into their reports, where they can be outdated.
        function_intervals={name: entry.known() for name, entry in report.function.items()}
        if report.phase is not None
        else {},
        phase=report.phase,
        made_by=report.made_by(),
    )


@dataclass(frozen=True)
class _Intervals:
    """Entries of a measurement that are its prediction intervals."""

    interval_80: tuple[float, float] | None = None
    interval_90: tuple[float, float] | None = None

    def known(self) -> Intervals:
        """Return level → interval of the known ones."""
        every: dict[Coverage, tuple[float, float] | None]
        every = {80: self.interval_80, 90: self.interval_90}
        return {level: ends for level, ends in every.items() if ends is not None}


@dataclass(frozen=True, kw_only=True)
class _MadeBy:
    """The entries of ``<case>.json`` on what made the prediction, only copied."""

    ensemble: Any = None
    plans_sha256: Any = None
    method: Any = None
    members: list[Any] | None = None
    until_stable: Any = None
    temperature: float | None = None
    mirroring: Any = None
    window: Any = None
    largest_component: Any = None
    precision: Any = None


@dataclass(frozen=True, kw_only=True)
class _Report(_MadeBy):
    """The entries of ``<case>.json`` that an evaluation reads.

    ``provisional`` is in those of phases that were stopped.
    """

    format: ReportFormat = REPORT_FORMAT
    labels: dict[str, int] = field(default_factory=dict)
    pairwise_dice: dict[str, float | None] = field(default_factory=dict)
    expected_dice: dict[str, ExpectedDiceEntry] = field(default_factory=dict)
    failure: FailureEntry | None = None
    volumes_ml: dict[str, _Intervals] = field(default_factory=dict)
    function: dict[str, _Intervals] = field(default_factory=dict)
    phase: int | None = None
    spacing_mm: tuple[Positive, Positive, Positive] | None = None
    spacing_from: str = ""
    provisional: bool | None = None
    calibration: dict[str, Any] | None = None

    def made_by(self) -> dict[str, Any]:
        """Return the known entries of `_MadeBy`, and ``fitted`` if the temperature is its own."""
        entries = {entry.name: getattr(self, entry.name) for entry in fields(_MadeBy)}
        # A temperature given by hand is not a fitted one, even of a calibrated ensemble.
        if self.calibration and self.calibration.get("temperature") == self.temperature:
            entries["fitted"] = True
        return {name: value for name, value in entries.items() if value is not None}


def _report(file: Path) -> _Report:
    if not file.is_file():
        return _Report()
    report = read_json(file, _Report, repair=_REPAIR, newest=REPORT_FORMAT)
    return replace(report, labels=checked_numbers(report.labels, file))


def _probabilities(folder: Path, case: str, labels: Volume) -> VoxelArray | None:
    # nnU-Net calls them by the case alone.
    files = (folder / f"{case}{PROBABILITIES}", folder / f"{case}.npz")
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    try:
        arrays = read_npz(file, ["probabilities"], partial(_check_shape, file, labels))
    except DAMAGED_NPZ as error:
        raise DataError(
            "{file} has no readable array “probabilities” ({reason}). {repair}",
            file=file,
            reason=f"{type(error).__name__}: {error}",
            repair=_REPAIR,
        ) from error
    return _checked_probabilities(file, arrays["probabilities"], labels)


def _check_shape(file: Path, labels: Volume, _: str, header: ArrayHeader) -> None:
    """Raise DataError before probabilities of another image are unpacked."""
    shape, dtype = header
    if (
        shape[1:] != labels.geometry.stored_shape
        or not 0 < shape[0] <= MOST_CLASSES
        or dtype.kind != "f"
    ):
        raise DataError(
            "{file} has {dtype} values of shape {found} instead of floating-point probabilities "
            "of shape (classes, {expected}) like {labels}. {repair}",
            file=file,
            dtype=dtype,
            found=shape,
            expected=", ".join(map(str, labels.geometry.stored_shape)),
            labels=labels.source.name,
            repair=_REPAIR,
        )


def _checked_probabilities(file: Path, probabilities: VoxelArray, labels: Volume) -> VoxelArray:
    """Return the probabilities of a file, whose axes are in the order of the image's file."""
    # Sums of float16 would be rounded once more.
    sums = probabilities.sum(axis=0, dtype=np.float32)
    low, high = float(probabilities.min()), float(probabilities.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING and np.abs(sums - 1).max() <= ROUNDING):
        raise DataError(
            "The values in {file} are not probabilities ({low:.3g} to {high:.3g}, with sums of "
            "{lowest_sum:.3g} to {highest_sum:.3g} instead of 1). Save the softmax.",
            file=file,
            low=low,
            high=high,
            lowest_sum=float(sums.min()),
            highest_sum=float(sums.max()),
        )
    probabilities = labels.geometry.from_file_order(probabilities)
    drawn, probable = labels.voxels, most_probable(probabilities)
    agreement = _agreement(drawn, probable)
    files: dict[str, object] = {"file": file, "labels": labels.source.name}
    if agreement < LEAST_AGREEMENT:
        raise DataError(OF_ANOTHER_PREDICTION, **files)
    # Mirrored hearts can agree by more than half: 43 of 160 in ACDC did.
    mirrored = (np.flip(probable, axes) for axes in _MIRRORS)
    if agreement < 1 and any(_agreement(drawn, other) > agreement for other in mirrored):
        raise DataError(MIRRORED_PROBABILITIES, **files)
    return probabilities


def _agreement(drawn: VoxelArray, probable: VoxelArray) -> float:
    """Return the share of the drawn foreground that is most probable, 1 without foreground.

    What is probable but not drawn does not count: it may have been removed as a separate piece.
    """
    foreground = drawn > 0
    return float(np.mean((drawn == probable)[foreground])) if foreground.any() else 1.0


def _map(file: Path, labels: Volume) -> VoxelArray:
    volume = read_volume(file, allow_blank=True, like=labels.geometry)
    if not volume.geometry.same_grid(labels.geometry):
        raise DataError(
            "{file} has a different grid ({found}) from {labels} ({expected}). {repair}",
            file=volume.source,
            found=volume.geometry,
            labels=labels.source.name,
            expected=labels.geometry,
            repair=_REPAIR,
        )
    return volume.voxels
