"""What ``predict --until-stable`` saves and costs: passes, Dice, ECE, agreement and spread.

python -m benchmarks.until_stable evaluate RUN DATASET RESULTS.jsonl [--split FILE] [--members 30]
    [--mirroring full|spread|none] [--window heart|whole] [--volumes N]   (resumable)
python -m benchmarks.until_stable table RESULTS.jsonl

DATASET is an nnU-Net dataset; its validation cases are those of the split, or N of them at equal
distances. Each case is segmented with all members in all slices, and until stable, both
uncalibrated. A pass is one member in one slice.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core.metrics.calibration import ReliabilityBins, reliability_bins
from napari_bayes_nnunet.core.metrics.overlap import dice
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.images.nifti import read_labels

from .command_line import read_rows
from .held_back import held_back_cases, make_parser, read_image
from .markdown import markdown_table

STOPS = {"all": False, "until stable": True}


def evaluate(options: argparse.Namespace) -> None:
    """Append a line for every case that the results lack."""
    ensemble = Ensemble(options.run)
    done = {row["case"] for row in read_rows(options.results)}
    cases = list(held_back_cases(options.dataset, options.split))
    step = max(1, len(cases) // options.volumes) if options.volumes else 1
    for case in islice(cases, 0, step * (options.volumes or len(cases)), step):
        if case.name in done:
            continue
        row = {"case": case.name}
        for name, until_stable in STOPS.items():
            settings = SegmentationSettings(
                members=options.members,
                mirroring=options.mirroring,
                window=options.window,
                until_stable=until_stable,
                calibrated=False,
            )
            row[name] = _scores(ensemble, case, settings)
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(case.name, flush=True)


def _scores(
    ensemble: Ensemble, case: TrainingCase, settings: SegmentationSettings
) -> dict[str, object]:
    image, spacing = read_image(case)
    reference = read_labels(case.label).voxels
    result = drain(ensemble.steps(image, spacing, settings))
    return {
        "asked": list(result.members_by_slice) or [len(result.members)] * len(reference),
        "dice": dice(result.labels, reference, ensemble.structures),
        "bins": reliability_bins(result.probabilities, reference).as_dict(),
        "mutual_information": float(result.mutual_information.sum()),
        "spread": result.volume_spread["LV"].standard_deviation,
        "agreement": result.pairwise_dice,
    }


def table(results: Path) -> str:
    """Return the means of both ways to stop, and the largest loss of Dice of a volume."""
    rows = read_rows(results)
    body, of_volume = [], {}
    for name in STOPS:
        scores = [row[name] for row in rows]
        asked = np.concatenate([s["asked"] for s in scores])
        of_volume[name] = np.array([np.nanmean(list(s["dice"].values())) for s in scores])
        bins = [ReliabilityBins.from_dict(s["bins"]) for s in scores]
        loss = np.max(of_volume["all"] - of_volume[name])
        body.append(
            [
                name,
                f"{asked.sum()}",
                f"{asked.mean():.1f} ({asked.min()} to {asked.max()})",
                *(f"{np.nanmean([s['dice'][n] for s in scores]):.4f}" for n in scores[0]["dice"]),
                f"{of_volume[name].mean():.4f}",
                f"{max(loss, 0):.4f}",
                f"{100 * sum(bins, ReliabilityBins.empty()).ece:.2f}",
                f"{np.mean([s['mutual_information'] for s in scores]):.0f}",
                f"{np.mean([s['spread'] for s in scores]):.2f}",
                f"{np.mean([np.nanmean(list(s['agreement'].values())) for s in scores]):.4f}",
            ]
        )
    heads = ["members asked", "passes", "per slice", *rows[0]["all"]["dice"], "mean Dice"]
    heads += ["largest loss", "ECE pooled %", "MI, bit", "LV spread, mL", "agreement"]
    return f"{markdown_table(heads, body)}\n{len(rows)} volumes"


def main() -> None:
    """Run the command named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    evaluates = commands.add_parser("evaluate", parents=[make_parser(None)], add_help=False)
    evaluates.add_argument("results", type=Path)
    evaluates.add_argument("--mirroring", choices=("full", "spread", "none"), default="none")
    evaluates.add_argument("--window", choices=("heart", "whole"), default="heart")
    evaluates.add_argument("--volumes", type=int, default=0)
    commands.add_parser("table").add_argument("results", type=Path)
    options = parser.parse_args()
    if options.command == "evaluate":
        evaluate(options)
    else:
        print(table(options.results))


if __name__ == "__main__":
    main()
