"""Fit the temperature of an ensemble on the cases its training held back."""

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
    """Fit τ on the validation cases of the ensemble's training; yields names, last the result.

    The voxels are those inside the box around the reference's structures, as for the ECE. The
    result is written into the ensemble's folder. Raises AppError if the training held back no case
    of ``dataset``.
    """
    folder = ensemble.folder
    read_temperatures(folder.path)  # a damaged file is reported before the work
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
        raise AppError("All labels of the validation cases are empty: nothing can be fitted.")
    temperature = fit_temperature(np.hstack(probabilities), np.hstack(labels))
    yield write_fitted(folder, settings, temperature, [case.name for case in cases])


def _held_back(
    folder: EnsembleFolder, dataset: Path, members: Sequence[Member]
) -> list[TrainingCase]:
    """Return the cases that none of the members was trained on."""
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
    ensemble: Ensemble, case: TrainingCase, settings: SegmentationSettings
) -> tuple[Segmentation, VoxelArray]:
    channels = [read_channels(image)[0] for image in case.images]
    image = np.stack([channel.voxels for channel in channels])
    steps = ensemble.steps(image, channels[0].spacing, replace(settings, temperature=1))
    return drain(steps), read_labels(case.label).voxels
