"""The range of the case scores on the validation cases, measured once at the end of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..io import DataError
from ..io.ensemble_folder import find_ensemble
from ..io.nifti import read_channels
from ..io.nnunet_dataset import RawDataset
from ..io.run_folder import RunFolder, read_record, write_record
from .case_scores import Scores, case_scores, score_ranges
from .segment import Ensemble

MEMBERS = 9
"""More members change the range little, and a training on a CPU has to end some time."""


def measure_validation_range(
    run: RunFolder,
    fold: str,
    dataset: RawDataset,
    *,
    device: str,
    on_stage: Callable[[str], None],
) -> None:
    """Enter the range of the case scores into ``ensemble.json``; nothing for a fold without them.

    Images that cannot be read as NIfTI are left out.
    """
    record = read_record(run.record)
    cases = record.folds[fold].get("validation_cases", [])
    if not cases:
        return
    folder = find_ensemble(run.path)
    of_fold = tuple(member for member in folder.members if member.fold == fold)
    ensemble = Ensemble(replace(folder, members=of_fold), device=device)
    scores = list(_score(ensemble, dataset, cases, on_stage))
    if not scores:
        return
    record.validation[fold] = {
        "method": "multi",
        "members": min(MEMBERS, len(ensemble.folder.usable_members)),
        "mirroring": "full",
        "cases": len(scores),
        "structures": score_ranges(scores),
    }
    write_record(run.record, record)


def _score(
    ensemble: Ensemble, dataset: RawDataset, names: list[Any], on_stage: Callable[[str], None]
) -> Iterator[Scores]:
    wanted = [case for case in dataset.cases if case.name in set(names)]
    for number, case in enumerate(wanted, start=1):
        on_stage(f"Measuring validation case {number} of {len(wanted)}")
        try:
            channels = read_channels(case.images[0])
        except DataError:
            continue
        image = np.stack([channel.voxels for channel in channels])
        result = ensemble.segment(image, channels[0].spacing, members=MEMBERS)
        yield case_scores(result.volumes, result.volume_spread, result.pairwise_dice)
