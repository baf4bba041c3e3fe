"""What mirrors are worth: no mirrors, one spread over the members, all of them.

python -m benchmarks.mirroring RUN DATASET [--members 30] [--processes 2]

On the validation volumes of ACDC: mean Dice, pooled ECE, mean mutual information in the predicted
box, the standard deviation of the EF over the members (mean over patients), Spearman of the case
score (agreement of the members) with the true Dice, and passes of the network a volume. Differences
to no mirrors come with 95 % intervals over patients. Prints a Markdown table.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from napari_bayes_nnunet.app.evaluation.aggregates import (
    Aggregate,
    aggregate_difference,
    aggregate_scores,
    mean_over_volumes,
    pooled_ece,
)
from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation, evaluate_case
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.result import Snapshot
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.metrics.detection import rank_correlation
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.images.nifti import read_labels

from .held_back import held_back, image_of, parser

WAYS = ("none", "spread", "full")


def main() -> None:
    """Print the table."""
    words = parser(__doc__)
    words.add_argument("--processes", type=int, default=1)
    asked = words.parse_args()
    cases = list(held_back(asked.dataset, asked.split))
    found = {}
    with ProcessPoolExecutor(asked.processes, get_context("spawn")) as pool:
        for way in WAYS:
            work = partial(measure, asked.run, mirroring=way, members=asked.members)
            found[way] = list(pool.map(work, cases))
    print(f"{len(cases)} volumes, {asked.members} members")
    print("| mirrors | Dice | ECE, % | mean MI, bit | SD of the EF, points | Spearman | passes |")
    print("|---|---|---|---|---|---|---|")
    for way in WAYS:
        print(row(way, found[way], found["none"], asked.members))


@lru_cache(maxsize=1)
def opened(run: Path) -> Ensemble:
    """The ensemble, once a process."""
    import torch

    torch.set_num_threads(1)
    return Ensemble(run)


def measure(
    run: Path, case: TrainingCase, *, mirroring: Any, members: int
) -> tuple[CaseEvaluation, list[float]]:
    """One volume's evaluation, and the volume of the LV by each member in mL."""
    ensemble = opened(run)
    image, spacing = image_of(case)
    settings = SegmentationSettings(members=members, mirroring=mirroring)
    steps = ensemble.steps(image, spacing, settings)
    snapshots: list[Snapshot] = []
    result = drain(steps, snapshots.append)
    statistics = snapshots[-1].statistics
    evaluation = evaluate_case(
        case=case.name,
        patient=patient_of(case.name),
        labels=result.labels,
        reference=read_labels(case.label).voxels,
        spacing=spacing,
        structures=ensemble.structures,
        probabilities=result.probabilities,
        entropy=result.entropy,
        mutual_information=result.mutual_information,
        pairwise_dice=result.pairwise_dice,
    )
    return evaluation, statistics.volumes["LV"]


Measured = list[tuple[CaseEvaluation, list[float]]]


def row(way: str, found: Measured, none: Measured, members: int) -> str:
    """One line of the table."""
    of_dice = mean_over_volumes(lambda case: case.mean_dice)
    of_information = mean_over_volumes(lambda case: case.mean_mutual_information)
    of_score = aggregate_scores(
        lambda scores, risks: rank_correlation(scores, 1 - risks),
        lambda case: case.mean_pairwise_dice,
    )
    cells = [way]
    for aggregate, scale, digits in (
        (of_dice, 1, 3), (pooled_ece, 100, 2), (of_information, 1, 4)
    ):  # fmt: skip
        mine, other = (aggregate([case for case, _ in part]) for part in (found, none))
        cells.append(told(mine, other, scale, digits, alone=way == "none"))
    cells.append(f"{np.mean(ejection_spreads(found)):.2f}")
    cells.append(f"{of_score([case for case, _ in found]).value:.2f}")
    cells.append(str(members * (4 if way == "full" else 1)))
    return f"| {' | '.join(cells)} |"


def told(mine: Aggregate, other: Aggregate, scale: float, digits: int, *, alone: bool) -> str:
    """A number, and how it differs from that without mirrors."""
    value = f"{scale * mine.value:.{digits}f}"
    if alone:
        return value
    change = aggregate_difference(mine, other).estimate
    low, high = (scale * end for end in change.interval)
    return f"{value} ({low:+.{digits}f} to {high:+.{digits}f})"


def ejection_spreads(found: Measured) -> list[float]:
    """Standard deviation of the EF over the members in points, of every patient."""
    patients: dict[str, list[np.ndarray]] = {}
    for case, volumes in sorted(found, key=lambda pair: pair[0].case):  # the first frame is ED
        patients.setdefault(case.patient, []).append(np.array(volumes))
    return [float((100 * (ed - es) / ed).std(ddof=1)) for ed, es in patients.values()]


if __name__ == "__main__":
    main()
