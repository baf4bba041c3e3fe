"""Validation cases segmented with different settings: a line per case, and means over the cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.result import Segmentation
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins, reliability_bins
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.images.nifti import read_labels

from .command_line import read_rows
from .held_back import read_image

Describe = Callable[[Segmentation], Mapping[str, Any]]
Rows = list[dict[str, Any]]
HEADS = ["largest loss", "ECE pooled %", "MI, bit", "LV spread, mL", "agreement"]
"""Columns of `mean_scores` after the Dice of each structure and their mean."""


def compare(
    ensemble: Ensemble,
    cases: Iterable[TrainingCase],
    settings: Mapping[str, SegmentationSettings],
    results: Path,
    *,
    describe: Describe,
) -> None:
    """Append a line with the scores of all ``settings`` for every case that the results lack.

    ``describe`` returns further scores of a result. Seconds are processor time.
    """
    done = {row["case"] for row in read_rows(results)}
    for case in cases:
        if case.name in done:
            continue
        image, spacing = read_image(case)
        reference = read_labels(case.label).voxels
        row: dict[str, Any] = {"case": case.name}
        for name, chosen in settings.items():
            started = process_time()
            result = drain(ensemble.steps(image, spacing, chosen))
            row[name] = {
                "seconds": process_time() - started,
                "dice": dice(result.labels, reference, ensemble.structures),
                "bins": reliability_bins(result.probabilities, reference).as_dict(),
                "mutual_information": float(result.mutual_information.sum()),
                "spread": result.volume_spread["LV"].standard_deviation,
                "agreement": result.pairwise_dice,
                **describe(result),
            }
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(case.name, flush=True)


def mean_scores(rows: Rows, name: str, first: str) -> list[str]:
    """Return the means of the settings ``name``; the largest loss is against those of ``first``."""
    scores = [row[name] for row in rows]
    loss = np.max(mean_dice(rows, first) - mean_dice(rows, name))
    bins = [ReliabilityBins.from_dict(s["bins"]) for s in scores]
    return [
        *(f"{np.nanmean([s['dice'][n] for s in scores]):.4f}" for n in scores[0]["dice"]),
        f"{mean_dice(rows, name).mean():.4f}",
        f"{max(loss, 0):.4f}",
        f"{100 * sum(bins, ReliabilityBins.empty()).ece:.2f}",
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
