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
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.result import Segmentation
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings

from .command_line import read_rows
from .comparison import HEADS, compare, comparison_parser, mean_scores, run_command
from .held_back import held_back_cases
from .markdown import markdown_table

STOPS = {"all": False, "until stable": True}


def evaluate(options: argparse.Namespace) -> None:
    """Append a line for every case that the results lack."""
    cases = list(held_back_cases(options.dataset, options.split))
    step = max(1, len(cases) // options.volumes) if options.volumes else 1
    settings = {
        name: SegmentationSettings(
            members=options.members,
            mirroring=options.mirroring,
            window=options.window,
            until_stable=until_stable,
            calibrated=False,
        )
        for name, until_stable in STOPS.items()
    }
    chosen = islice(cases, 0, step * (options.volumes or len(cases)), step)
    compare(Ensemble(options.run), chosen, settings, options.results, describe=_asked)


def _asked(result: Segmentation) -> dict[str, Any]:
    every = [len(result.members)] * len(result.labels)
    return {"asked": list(result.members_by_slice) or every}


def table(results: Path) -> str:
    """Return the means of both ways to stop, and the largest loss of Dice of a volume."""
    rows, body = read_rows(results), []
    for name in STOPS:
        asked = np.concatenate([row[name]["asked"] for row in rows])
        per_slice = f"{asked.mean():.1f} ({asked.min()} to {asked.max()})"
        body.append([name, f"{asked.sum()}", per_slice, *mean_scores(rows, name, "all")])
    heads = ["members asked", "passes", "per slice", *rows[0]["all"]["dice"], "mean Dice", *HEADS]
    return f"{markdown_table(heads, body)}\n{len(rows)} volumes"


def main() -> None:
    """Run the command named on the command line."""
    parser, evaluates = comparison_parser(__doc__, mirroring="none")
    evaluates.add_argument("--window", choices=("heart", "whole"), default="heart")
    evaluates.add_argument("--volumes", type=int, default=0)
    run_command(parser, evaluate, table)


if __name__ == "__main__":
    main()
