"""What a window around the heart costs and saves: Dice, ECE, disagreement, ranking and time.

python -m benchmarks.heart_window evaluate MODEL DATASET RESULTS.jsonl [--split FILE] [--members N]
    [--mirroring full|spread|none]   (resumable)
python -m benchmarks.heart_window table RESULTS.jsonl

DATASET is an nnU-Net dataset; its validation cases are those of the split. Each case is segmented
with the whole image for all members, and with the window, both uncalibrated. Seconds are
processor time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import process_time

import numpy as np

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins, reliability_bins
from napari_bayes_nnunet.core.metrics.detection import rank_correlation
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.images.nifti import read_labels

from .command_line import read_rows
from .held_back import held_back_cases, make_parser, read_image
from .markdown import markdown_table

WINDOWS = ("whole", "heart")


def evaluate(options: argparse.Namespace) -> None:
    """Append a line for every case that the results lack."""
    ensemble = Ensemble(options.run)
    done = {row["case"] for row in read_rows(options.results)}
    for case in held_back_cases(options.dataset, options.split):
        if case.name in done:
            continue
        row = {"case": case.name}
        for window in WINDOWS:
            settings = SegmentationSettings(
                members=options.members,
                mirroring=options.mirroring,
                window=window,
                calibrated=False,
            )
            row[window] = _scores(ensemble, case, settings)
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(case.name, flush=True)


def _scores(
    ensemble: Ensemble, case: TrainingCase, settings: SegmentationSettings
) -> dict[str, object]:
    image, spacing = read_image(case)
    reference = read_labels(case.label).voxels
    started = process_time()
    result = drain(ensemble.steps(image, spacing, settings))
    seconds = process_time() - started
    box = result.window_box
    return {
        "seconds": seconds,
        "dice": dice(result.labels, reference, ensemble.structures),
        "bins": reliability_bins(result.probabilities, reference).as_dict(),
        "mutual_information": float(result.mutual_information.sum()),
        "spread": result.volume_spread["LV"].standard_deviation,
        "agreement": result.pairwise_dice,
        "share": 1.0 if box is None else np.prod([s.stop - s.start for s in box]) / reference.size,
    }


def table(results: Path) -> str:
    """Return the means of both windows, and the largest loss of Dice of a volume."""
    rows = read_rows(results)
    body, of_volume = [], {}
    for window in WINDOWS:
        scores = [row[window] for row in rows]
        of_volume[window] = np.array([np.nanmean(list(s["dice"].values())) for s in scores])
        agreement = [np.nanmean(list(s["agreement"].values())) for s in scores]
        bins = [ReliabilityBins.from_dict(s["bins"]) for s in scores]
        loss = np.max(of_volume[WINDOWS[0]] - of_volume[window])
        body.append(
            [
                window,
                *(f"{np.nanmean([s['dice'][n] for s in scores]):.4f}" for n in scores[0]["dice"]),
                f"{of_volume[window].mean():.4f}",
                f"{max(loss, 0):.3f}",
                f"{100 * sum(bins, ReliabilityBins.empty()).ece:.2f}",
                f"{np.mean([s['mutual_information'] for s in scores]):.0f}",
                f"{np.mean([s['spread'] for s in scores]):.2f}",
                f"{np.mean(agreement):.4f}",
                f"{rank_correlation(agreement, of_volume[window]):.2f}",
                f"{np.mean([s['share'] for s in scores]):.0%}",
                f"{np.mean([s['seconds'] for s in scores]):.1f}",
            ]
        )
    heads = ["members see", *rows[0]["whole"]["dice"], "mean Dice", "largest loss", "ECE pooled %"]
    heads += ["MI, bit", "LV spread, mL", "agreement", "Spearman", "window", "processor s"]
    return f"{markdown_table(heads, body)}\n{len(rows)} volumes"


def main() -> None:
    """Run the command named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    evaluates = commands.add_parser("evaluate", parents=[make_parser(None)], add_help=False)
    evaluates.add_argument("results", type=Path)
    evaluates.add_argument("--mirroring", choices=("full", "spread", "none"), default="full")
    commands.add_parser("table").add_argument("results", type=Path)
    options = parser.parse_args()
    if options.command == "evaluate":
        evaluate(options)
    else:
        print(table(options.results))


if __name__ == "__main__":
    main()
