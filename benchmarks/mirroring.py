"""Comparison of the mirroring modes none, spread and full.

python -m benchmarks.mirroring RUN DATASET [--members 30] [--processes 2]

Prints a Markdown table for the validation volumes of ACDC: mean Dice, pooled ECE, mean mutual
information in the predicted box, standard deviation of the EF over the members (mean over
patients), Spearman correlation of the members' agreement with the true Dice, and network passes
per volume. Differences from no mirroring have 95 % intervals over patients.
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
    mean_over_volumes,
    pooled_ece,
    rank_cases,
)
from napari_bayes_nnunet.app.evaluation.case import CaseEvaluation, case_table, evaluate_case
from napari_bayes_nnunet.app.evaluation.measures import CASE_SCORES
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.result import Snapshot
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.metrics.detection import rank_correlation
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.images.nifti import read_labels

from .held_back import held_back_cases, make_parser, read_image

MODES = ("none", "spread", "full")


def main() -> None:
    """Print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    cases = list(held_back_cases(options.dataset, options.split))
    measured = {}
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for mode in MODES:
            work = partial(measure, options.run, mirroring=mode, members=options.members)
            measured[mode] = list(pool.map(work, cases))
    print(f"{len(cases)} volumes, {options.members} members")
    print("| mirroring | Dice | ECE, % | mean MI, bit | SD of the EF, points | Spearman | passes |")
    print("|---|---|---|---|---|---|---|")
    for mode in MODES:
        print(table_row(mode, measured[mode], measured["none"], options.members))


@lru_cache(maxsize=1)
def open_ensemble(run: Path) -> Ensemble:
    """Return the ensemble, opened once per process."""
    import torch

    torch.set_num_threads(1)
    return Ensemble(run)


def measure(
    run: Path, case: TrainingCase, *, mirroring: Any, members: int
) -> tuple[CaseEvaluation, list[float]]:
    """Return the evaluation of one case, and the LV volume of each member in mL."""
    ensemble = open_ensemble(run)
    image, spacing = read_image(case)
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
        maps={"entropy": result.entropy, "mutual-information": result.mutual_information},
        pairwise_dice=result.pairwise_dice,
    )
    return evaluation, statistics.volumes["LV"]


Measured = list[tuple[CaseEvaluation, list[float]]]


def table_row(mode: str, measured: Measured, none: Measured, members: int) -> str:
    """Return one row of the table."""
    of_dice = mean_over_volumes("dice")
    of_information = mean_over_volumes("mean_mutual_information")
    of_score = rank_cases(lambda scores, risks: rank_correlation(scores, 1 - risks), CASE_SCORES[0])
    cells = [mode]
    for aggregate, scale, digits in (
        (of_dice, 1, 3), (pooled_ece, 100, 2), (of_information, 1, 4)
    ):  # fmt: skip
        mine, other = (aggregate(case_table(case for case, _ in part)) for part in (measured, none))
        cells.append(format_cell(mine, other, scale, digits, alone=mode == "none"))
    cells.append(f"{np.mean(ejection_spreads(measured)):.2f}")
    cells.append(f"{of_score(case_table(case for case, _ in measured)).value:.2f}")
    cells.append(str(members * (4 if mode == "full" else 1)))
    return f"| {' | '.join(cells)} |"


def format_cell(
    mine: Aggregate, other: Aggregate, scale: float, digits: int, *, alone: bool
) -> str:
    """Return a value and, unless ``alone``, its difference from no mirroring."""
    value = f"{scale * mine.value:.{digits}f}"
    if alone:
        return value
    change = aggregate_difference(mine, other).estimate
    low, high = (scale * end for end in change.interval)
    return f"{value} ({low:+.{digits}f} to {high:+.{digits}f})"


def ejection_spreads(measured: Measured) -> list[float]:
    """Return each patient's standard deviation of the EF over the members, in points."""
    patients: dict[str, list[np.ndarray]] = {}
    for case, volumes in sorted(measured, key=lambda pair: pair[0].case):  # ED is first
        patients.setdefault(case.patient, []).append(np.array(volumes))
    return [float((100 * (ed - es) / ed).std(ddof=1)) for ed, es in patients.values()]


if __name__ == "__main__":
    main()
