"""Dice and range of the case scores of the validation cases, measured after a training."""

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
from ...io.dataset.raw_dataset import RawDataset
from ...io.ensemble.ensemble_folder import find_ensemble
from ...io.ensemble.run_folder import RunFolder, read_record, write_record
from ...io.images.nifti import read_channels, read_labels
from ..messages import StageStarted
from ..segmentation.case_scores import CaseScores, case_scores, mean_scores, score_ranges
from ..segmentation.ensemble import Ensemble
from ..segmentation.image_check import Image
from ..segmentation.result import Segmentation
from ..segmentation.settings import SegmentationSettings
from ..signals import StopRequest

SETTINGS = SegmentationSettings(members=9)
"""More members hardly change the range, but take long on a CPU."""
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
    """Write mean Dice and score ranges to ``ensemble.json`` if the fold has validation cases.

    Images that are not readable NIfTI files are left out. ``send`` is called for every case.
    Raises Stopped.
    """
    record = read_record(run.record)
    cases = record.validation_cases(fold)
    if not cases:
        return
    folder = find_ensemble(run.path)
    members = tuple(member for member in folder.members if member.fold == fold)
    ensemble = Ensemble(replace(folder, members=members), device=device)
    measured = list(_measure(ensemble, dataset, cases, send, stop))
    if not measured:
        return
    record.validation[fold] = {
        "method": SETTINGS.method,
        "members": min(SETTINGS.members, len(ensemble.folder.usable_members)),
        "mirroring": SETTINGS.mirroring,
        "cases": len(measured),
        "structures": score_ranges(scores for scores, _ in measured),
        "dice": mean_scores(overlap for _, overlap in measured),
    }
    write_record(run.record, record)


def _measure(
    ensemble: Ensemble,
    dataset: RawDataset,
    names: list[Any],
    send: Callable[[StageStarted], None],
    stop: StopRequest,
) -> Iterator[tuple[CaseScores, dict[str, float]]]:
    """Yield the case scores of each validation case, and its Dice with the reference."""
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
        yield scores, dice(result.labels, reference, ensemble.structures)


def _segment(ensemble: Ensemble, image: Image, spacing: Spacing, stop: StopRequest) -> Segmentation:
    """Return the segmentation. Raises Stopped within one member of a request to stop."""
    steps = ensemble.steps(image, spacing, SETTINGS, should_stop=lambda: bool(stop))
    return drain(steps)
