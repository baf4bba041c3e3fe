"""Dice, range of the case scores and calibration, measured on validation cases after a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.durations import TimeLeft
from ...core.metrics.overlap import dice
from ...core.steps import drain
from ...core.types import Spacing
from ...io import DataError
from ...io.dataset.patients import patient_of
from ...io.dataset.raw_dataset import RawDataset
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.run_folder import RunFolder, read_record, write_record
from ...io.images.nifti import read_channels, read_labels
from ..messages import StageStarted
from ..segmentation.calibrate import (
    CalibrationCase,
    find_mass_range,
    fit_calibration,
    training_features,
)
from ..segmentation.calibration import write_calibration
from ..segmentation.case_scores import CaseScores, case_scores, mean_scores, score_ranges
from ..segmentation.ensemble import Ensemble
from ..segmentation.image_check import Image
from ..segmentation.result import Segmentation
from ..segmentation.settings import SegmentationSettings
from ..signals import StopRequest

SETTINGS = SegmentationSettings(temperature=1)
"""Default settings, because a calibration is only used for the settings it was fitted for."""
READING_FEATURES = "Reading the features of training case {case}"
MEASURING_CASE = "Measuring validation case {number} of {cases}"


def measure_validation_range(
    run: RunFolder,
    fold: str,
    dataset: RawDataset,
    *,
    device: str,
    send: Callable[[StageStarted], None],
    stop: StopRequest,
) -> None:
    """Write mean Dice and score ranges to ``ensemble.json``, and fit a calibration.

    Does nothing if the fold has no validation cases. Images that are not readable NIfTI files are
    left out. ``send`` is called for every case. Raises Stopped.
    """
    record = read_record(run.record)
    cases = record.validation_cases(fold)
    if not cases:
        return
    folder = find_ensemble(run.path)
    members = tuple(member for member in folder.members if member.fold == fold)
    ensemble = Ensemble(replace(folder, members=members), device=device)
    pattern = record.patient_pattern
    measured = list(_measure(ensemble, dataset, cases, pattern, send, stop))
    if not measured:
        return
    compared = [case for *_, case in measured]
    if any(case.labels.size for case in compared):
        mass_range = find_mass_range(folder, dataset, members)
        steps = training_features(ensemble, dataset, SETTINGS, compared)
        trained_on = drain(steps, lambda name: _report_training(name, send, stop))
        calibration = fit_calibration(
            ensemble.folder, SETTINGS, compared, trained_on, mass_range=mass_range
        )
        write_calibration(folder, calibration)
    record.validation[fold] = {
        "method": SETTINGS.method,
        "members": min(SETTINGS.members, len(ensemble.folder.usable_members)),
        "mirroring": SETTINGS.mirroring,
        "cases": len(measured),
        "structures": score_ranges(scores for scores, *_ in measured),
        "dice": mean_scores(overlap for _, overlap, _ in measured),
    }
    write_record(run.record, record)


def _measure(
    ensemble: Ensemble,
    dataset: RawDataset,
    names: list[Any],
    pattern: str,
    send: Callable[[StageStarted], None],
    stop: StopRequest,
) -> Iterator[tuple[CaseScores, dict[str, float], CalibrationCase]]:
    """Yield the scores of each validation case, its Dice, and its comparison with the reference."""
    cases = [case for case in dataset.cases if case.name in set(names)]
    time_left = TimeLeft()
    for done, case in enumerate(cases):
        if done:
            time_left.step()
        left = time_left.seconds(len(cases) - done)
        text = MEASURING_CASE.format(number=done + 1, cases=len(cases))
        send(StageStarted(text=text, done=done, total=len(cases), eta_seconds=left))
        try:
            channels = read_channels(case.images[0])
            reference = read_labels(case.label).voxels
        except DataError:
            continue
        image = np.stack([channel.voxels for channel in channels])
        result = _segment(ensemble, image, channels[0].spacing, stop)
        scores = case_scores(result.volumes, result.volume_spread, result.pairwise_dice)
        compared = CalibrationCase.compare(
            case.name,
            patient_of(case.name, pattern),
            result,
            reference=reference,
            spacing=channels[0].spacing,
            features=ensemble.features(image, channels[0].spacing, SETTINGS),
        )
        yield scores, dice(result.labels, reference, ensemble.structures), compared


def _report_training(name: str, send: Callable[[StageStarted], None], stop: StopRequest) -> None:
    stop.check()
    send(StageStarted(text=READING_FEATURES.format(case=name)))


def _segment(ensemble: Ensemble, image: Image, spacing: Spacing, stop: StopRequest) -> Segmentation:
    """Return the segmentation. Raises Stopped within one member of a request to stop."""
    steps = ensemble.steps(
        image, spacing, SETTINGS, keep_members=True, should_stop=lambda: bool(stop)
    )
    return drain(steps)
