"""The temperature of an ensemble, fitted on the cases its training held back, and kept beside it.

MODEL/temperatures.json has an entry for every way of asking that was fitted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...core.metrics.calibration import fit_temperature, foreground_box
from ...core.types import Mirroring
from ...io import DataError
from ...io.dataset.raw_dataset import TrainingCase, read_dataset
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from ...io.files.atomic import write_json
from ...io.images.nifti import VoxelArray, read_channels, read_labels
from .. import AppError
from .ensemble import Ensemble
from .methods import choose_members
from .result import Segmentation

FILE = "temperatures.json"


@dataclass(frozen=True, kw_only=True)
class FittedTemperature:
    """τ and how the ensemble was asked: the method, its members, the mirroring.

    ``cases`` are those it was fitted on.
    """

    temperature: float
    method: str
    members: tuple[str, ...]
    mirroring: str
    cases: tuple[str, ...]


def calibrate(
    ensemble: Ensemble,
    dataset: Path,
    *,
    method: str,
    members: int,
    mirroring: Mirroring,
) -> Iterator[FittedTemperature | str]:
    """Fit τ on the validation cases of the ensemble's training; yields names, last the result.

    The voxels are those inside the box around the reference's structures, as for the ECE. The
    result is written into the ensemble's folder. Raises AppError where the training held back no
    case that is in ``dataset``.
    """
    folder = ensemble.folder
    before = _read(folder)
    cases = _held_back(folder, dataset, choose_members(folder, method, members))
    probabilities, labels = [], []
    for case in cases:
        yield case.name
        result, reference = _segment(
            ensemble, case, method=method, members=members, mirroring=mirroring
        )
        box = foreground_box(reference)
        if box is not None:
            inside = result.probabilities[(slice(None), *box)]
            probabilities.append(inside.reshape(len(inside), -1))
            labels.append(reference[box].ravel())
    if not labels:
        raise AppError("All labels of the validation cases are empty: nothing can be fitted.")
    temperature = fit_temperature(np.hstack(probabilities), np.hstack(labels))
    fitted = FittedTemperature(
        temperature=round(temperature, 4),
        method=_asked(method),
        members=_members(folder, method, members),
        mirroring=mirroring,
        cases=tuple(case.name for case in cases),
    )
    others = [other for other in before if _question(other) != _question(fitted)]
    try:
        write_json(folder.path / FILE, [asdict(one) for one in [*others, fitted]])
    except OSError as error:
        raise DataError(
            f"The temperature {fitted.temperature:g} cannot be kept in {folder.path} "
            f"({error.strerror}): give it to predict as it is."
        ) from error
    yield fitted


def fitted_temperature(
    folder: EnsembleFolder, method: str, *, members: int, mirroring: str
) -> float:
    """The τ that was fitted for this way of asking. Raises AppError where none was."""
    asked = (_asked(method), _members(folder, method, members), mirroring)
    for one in _read(folder):
        if _question(one) == asked:
            return one.temperature
    raise AppError(
        f"No temperature was fitted for {method} with {members} members and mirroring {mirroring}: "
        f"run bayes-nnunet calibrate {folder.path} DATASET --method {method} --members {members} "
        f"--mirroring {mirroring} first, or name one."
    )


def _asked(method: str) -> str:
    """The method whose probabilities are calibrated."""
    return "vanilla" if method == "temperature" else method


def _members(folder: EnsembleFolder, method: str, members: int) -> tuple[str, ...]:
    """Which they are, in words that stay when the folder is renamed."""
    several = len({member.training for member in folder.members}) > 1
    return tuple(
        f"{member.training + ' ' if several else ''}fold {member.fold} epoch {member.epoch}"
        for member in choose_members(folder, method, members)
    )


def _question(fitted: FittedTemperature) -> tuple[Any, ...]:
    return fitted.method, fitted.members, fitted.mirroring


def _read(folder: EnsembleFolder) -> list[FittedTemperature]:
    file = folder.path / FILE
    if not file.exists():
        return []
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        tuples = ("members", "cases")
        return [
            FittedTemperature(**row | {name: tuple(row[name]) for name in tuples}) for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file} is damaged or of another version ({type(error).__name__}: {error}): remove "
            "it, and fit the temperatures anew."
        ) from error


def _held_back(
    folder: EnsembleFolder, dataset: Path, members: Sequence[Member]
) -> list[TrainingCase]:
    """The cases that none of the members was trained on."""
    folds = sorted({member.fold for member in members})
    if len(folds) > 1:
        raise AppError(
            f"The members come from the folds {', '.join(folds)}, so that some of them were "
            "trained on any case: choose the folder of one fold to calibrate it."
        )
    known = folder.record.folds.get(folds[0], {}) if folder.record is not None else {}
    names = set(known.get("validation_cases", []))
    found = [case for case in read_dataset(dataset).cases if case.name in names]
    if not found:
        raise AppError(
            f"{dataset} holds no case that the training of {folder.name} kept for its validation: "
            "choose the dataset it was trained on."
        )
    return found


def _segment(
    ensemble: Ensemble, case: TrainingCase, **asked: Any
) -> tuple[Segmentation, VoxelArray]:
    channels = [read_channels(image)[0] for image in case.images]
    image = np.stack([channel.voxels for channel in channels])
    result = ensemble.segment(image, channels[0].spacing, temperature=1, **asked)
    return result, read_labels(case.label).voxels
