"""What a window around the heart costs and saves: Dice, ECE, disagreement, ranking and time.

python -m benchmarks.heart_window evaluate MODEL DATASET RESULTS.jsonl [--split FILE] [--members N]
    [--mirroring full|spread|none] [--sunnybrook]   (resumable)
python -m benchmarks.heart_window table RESULTS.jsonl

DATASET is an nnU-Net dataset; its validation cases are those of the split. With --sunnybrook it is
the folder of `benchmarks.other_scanner`, whose judging half counts, and only the LV in contoured
slices. Each case is segmented with the whole image for all members, and with the window, both
uncalibrated. The queue is that of the review; its errors are known where all slices are labelled,
and are those of the same segmentation. Seconds are processor time.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.result import Segmentation
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.metrics.detection import rank_correlation
from napari_bayes_nnunet.core.review.queue_yield import SHARE, wrong_voxels
from napari_bayes_nnunet.core.types import Spacing

from .command_line import read_rows
from .comparison import (
    HEADS,
    agreement,
    compare,
    comparison_parser,
    in_all_voxels,
    mean_dice,
    mean_scores,
    run_command,
)
from .early_errors import found_early, queue_scores
from .held_back import held_back_cases
from .markdown import markdown_table
from .other_scanner import STRUCTURE, judging_cases, lv_scores

WINDOWS = ("whole", "heart")


def evaluate(options: argparse.Namespace) -> None:
    """Append a line for every case that the results lack."""
    settings = {
        window: SegmentationSettings(
            members=options.members, mirroring=options.mirroring, window=window, calibrated=False
        )
        for window in WINDOWS
    }
    on_sunnybrook = options.sunnybrook
    cases = (
        judging_cases(options.dataset)
        if on_sunnybrook
        else held_back_cases(options.dataset, options.split)
    )
    judge = _lv_where_contoured if on_sunnybrook else _with_queue
    compare(
        *(Ensemble(options.run), cases, settings, options.results),
        describe=_window_share,
        judge=judge,
        keep_members=not on_sunnybrook,
    )


def _with_queue(result: Segmentation, reference: NDArray[Any], spacing: Spacing) -> dict[str, Any]:
    errors = wrong_voxels(result.labels, reference, spacing).gross
    return {
        **in_all_voxels(result, reference, spacing),
        "scores": queue_scores(result, spacing).tolist(),
        "errors": errors.tolist(),
    }


def _lv_where_contoured(
    result: Segmentation, reference: NDArray[Any], spacing: Spacing
) -> dict[str, Any]:
    contoured, label = reference.any(axis=(1, 2)), result.structures[STRUCTURE]
    probabilities = result.probabilities[:, contoured]
    scores = lv_scores(probabilities, reference[contoured] == 1, label)
    return {**scores, "dice": {STRUCTURE: scores["dice"]}}


def _window_share(result: Segmentation) -> dict[str, Any]:
    if result.window_box is None:
        return {"share": 1.0}
    inside = math.prod(side.stop - side.start for side in result.window_box)
    return {"share": inside / result.labels.size}


def table(results: Path) -> str:
    """Return the means of both windows, and the largest loss of Dice of a volume."""
    rows, body = read_rows(results), []
    has_queue = all("errors" in row[window] for row in rows for window in WINDOWS)
    for window in WINDOWS:
        share, seconds = (
            np.mean([row[window][key] for row in rows]) for key in ("share", "seconds")
        )
        correlation = rank_correlation(agreement(rows, window), mean_dice(rows, window))
        scores = mean_scores(rows, window, WINDOWS[0])
        body.append([window, *scores, f"{correlation:.2f}", f"{share:.0%}", f"{seconds:.1f}"])
        if has_queue:
            body[-1].append(f"{found_early(rows, window, window):.0f} %")
    heads = ["members see", *rows[0]["whole"]["dice"], "mean Dice", *HEADS]
    heads += ["Spearman", "window", "processor s"]
    heads += [f"gross errors in the first {SHARE:.0%}"] if has_queue else []
    return f"{markdown_table(heads, body)}\n{len(rows)} volumes"


def main() -> None:
    """Run the command named on the command line."""
    parser, evaluates = comparison_parser(__doc__)
    evaluates.add_argument("--sunnybrook", action="store_true")
    run_command(parser, evaluate, table)


if __name__ == "__main__":
    main()
