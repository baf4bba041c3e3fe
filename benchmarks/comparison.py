"""Validation cases segmented with different settings: a line per case, and means over the cases."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.result import Segmentation
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.choices import Mirroring
from napari_bayes_nnunet.core.ensemble.posterior import RunningPosterior
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins, reliability_bins
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.core.types import Spacing
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member
from napari_bayes_nnunet.io.images.nifti import read_labels

from .command_line import append_row, read_rows
from .held_back import make_parser, read_image
from .stored_bins import bins_from_json, bins_to_json

Describe = Callable[[Segmentation], Mapping[str, Any]]
Judge = Callable[[Segmentation, NDArray[Any], Spacing], Mapping[str, Any]]
Rows = list[dict[str, Any]]
HEADS = ["largest loss", "ECE pooled %", "MI, bit", "LV spread, mL", "agreement"]
"""Columns of `mean_scores` after the Dice of each structure and their mean."""


def comparison_parser(
    doc: str | None, *paths: str, mirroring: Mirroring = "full"
) -> tuple[ArgumentParser, ArgumentParser]:
    """Return a parser of evaluate RUN DATASET … RESULTS and table RESULTS, and that of evaluate.

    ``paths`` are further ones between DATASET and RESULTS.
    """
    parser = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    evaluates = commands.add_parser("evaluate", parents=[make_parser(None)], add_help=False)
    for path in (*paths, "results"):
        evaluates.add_argument(path, type=Path)
    evaluates.add_argument("--mirroring", choices=("full", "spread", "none"), default=mirroring)
    commands.add_parser("table").add_argument("results", type=Path)
    return parser, evaluates


def run_command(
    parser: ArgumentParser,
    evaluate: Callable[[Namespace], None],
    table: Callable[[Path], str],
) -> None:
    """Run the command named on the command line."""
    options = parser.parse_args()
    if options.command == "evaluate":
        evaluate(options)
    else:
        print(table(options.results))


def compare(
    ensemble: Ensemble,
    cases: Iterable[TrainingCase],
    settings: Mapping[str, SegmentationSettings],
    results: Path,
    *,
    describe: Describe,
    judge: Judge | None = None,
    keep_members: bool = False,
) -> None:
    """Append a line with the scores of all ``settings`` for every case that the results lack.

    ``describe`` returns further scores of a result, ``judge`` the Dice by structure and the bins of
    a result and its reference, by default those of all voxels. The results have the labels of each
    member if ``keep_members``. Seconds are processor time.
    """
    judge = judge or in_all_voxels
    done = {row["case"] for row in read_rows(results)}
    for case in cases:
        if case.name in done:
            continue
        image, spacing = read_image(case)
        reference = read_labels(case.label).voxels
        row: dict[str, Any] = {"case": case.name}
        for name, chosen in settings.items():
            started = process_time()
            result = drain(ensemble.steps(image, spacing, chosen, keep_members=keep_members))
            row[name] = {
                "seconds": process_time() - started,
                **judge(result, reference, spacing),
                "mutual_information": float(result.mutual_information.sum()),
                "spread": result.volume_spread["LV"].standard_deviation,
                "agreement": result.pairwise_dice,
                **describe(result),
            }
        append_row(results, row)


def in_all_voxels(
    result: Segmentation, reference: NDArray[Any], spacing: Spacing
) -> Mapping[str, Any]:
    """Return the Dice by structure and the bins of all voxels."""
    return {
        "dice": dice(result.labels, reference, result.structures),
        "bins": bins_to_json(reliability_bins(result.probabilities, reference)),
    }


def method_means(
    members: Iterable[tuple[Member, NDArray[np.floating]]],
    chosen: Mapping[str, Collection[Member]],
) -> dict[str, NDArray[np.floating]]:
    """Return the mean probabilities of each method's ``chosen`` among the ``members``."""
    posteriors = {method: RunningPosterior() for method in chosen}
    for member, probabilities in members:
        for method, of_method in chosen.items():
            if member in of_method:
                posteriors[method].add(probabilities)
    return {method: np.asarray(posterior.mean()) for method, posterior in posteriors.items()}


def pooled_ece(rows: Rows, name: str) -> float:
    """Return the ECE over all voxels of all volumes, in percent."""
    bins = [bins_from_json(row[name]["bins"]) for row in rows]
    return 100 * sum(bins, ReliabilityBins.empty()).ece


def mean_scores(rows: Rows, name: str, first: str) -> list[str]:
    """Return the means of the settings ``name``; the largest loss is against those of ``first``."""
    scores = [row[name] for row in rows]
    loss = np.max(mean_dice(rows, first) - mean_dice(rows, name))
    return [
        *(f"{np.nanmean([s['dice'][n] for s in scores]):.4f}" for n in scores[0]["dice"]),
        f"{mean_dice(rows, name).mean():.4f}",
        f"{max(loss, 0):.4f}",
        f"{pooled_ece(rows, name):.2f}",
        f"{np.mean([s['mutual_information'] for s in scores]):.0f}",
        f"{np.mean([s['spread'] for s in scores]):.2f}",
        f"{agreement(rows, name).mean():.4f}",
    ]


def mean_dice(rows: Rows, name: str) -> NDArray[np.float64]:
    """Return the (n,) mean Dice of the structures of every case."""
    return np.array([np.nanmean(list(row[name]["dice"].values())) for row in rows])


def agreement(rows: Rows, name: str) -> NDArray[np.float64]:
    """Return the (n,) mean agreement of the members of every case."""
    return np.array([np.nanmean(list(row[name]["agreement"].values())) for row in rows])
