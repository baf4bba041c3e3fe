"""Temperature calibration on the validation cases of the ensemble's training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...core.metrics.calibration import fit_temperature, foreground_box
from ...core.steps import drain
from ...io.dataset.raw_dataset import TrainingCase, read_dataset
from ...io.ensemble.ensemble_folder import EnsembleFolder, Member
from ...io.images.nifti import VoxelArray, read_channels, read_labels
from .. import AppError
from .ensemble import Ensemble
from .methods import choose_members
from .result import Segmentation
from .settings import SegmentationSettings
from .temperature import FittedTemperature, read_temperatures, write_fitted


def calibrate(
    ensemble: Ensemble, dataset: Path, settings: SegmentationSettings
) -> Iterator[FittedTemperature | str]:
    """Fit τ on the validation cases of the ensemble's training.

    Yields the name of each case, then the result, which is also written into the ensemble's
    folder. Only voxels in the box around the reference's structures count, as for the ECE. Raises
    AppError if ``dataset`` has no validation case.
    """
    folder = ensemble.folder
    read_temperatures(folder.path)  # so that a damaged file is reported before the long work
    members = choose_members(folder, settings.method, settings.members)
    cases = _held_back(folder, dataset, members)
    probabilities, labels = [], []
    for case in cases:
        yield case.name
        result, reference = _segment(ensemble, case, settings)
        box = foreground_box(reference)
        if box is not None:
            inside = result.probabilities[(slice(None), *box)]
            probabilities.append(inside.reshape(len(inside), -1))
            labels.append(reference[box].ravel())
    if not labels:
        raise AppError(
            "The labels of all validation cases are empty. Check the labels in {dataset}.",
            dataset=dataset,
        )
    temperature = fit_temperature(np.hstack(probabilities), np.hstack(labels))
    yield write_fitted(folder, settings, temperature, [case.name for case in cases])


def _held_back(
    folder: EnsembleFolder, dataset: Path, members: Sequence[Member]
) -> list[TrainingCase]:
    """Return the cases that no member was trained on."""
    folds = sorted({member.fold for member in members})
    if len(folds) > 1:
        raise AppError(
            "The members come from the folds {folds}, so every case was used to train some of "
            "them. Calibrate an ensemble with a single fold.",
            folds=", ".join(folds),
        )
    record = folder.record.folds.get(folds[0], {}) if folder.record is not None else {}
    names = set(record.get("validation_cases", []))
    cases = [case for case in read_dataset(dataset).cases if case.name in names]
    if not cases:
        raise AppError(
            "{dataset} has none of the validation cases of the training {training}. Choose the "
            "dataset it was trained on.",
            dataset=dataset,
            training=folder.name,
        )
    return cases


def _segment(
    ensemble: Ensemble, case: TrainingCase, settings: SegmentationSettings
) -> tuple[Segmentation, VoxelArray]:
    channels = [read_channels(image)[0] for image in case.images]
    image = np.stack([channel.voxels for channel in channels])
    steps = ensemble.steps(image, channels[0].spacing, replace(settings, temperature=1))
    return drain(steps), read_labels(case.label).voxels
