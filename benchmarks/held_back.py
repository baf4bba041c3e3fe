"""The volumes that a training of the benchmarks has held back, and the words that choose them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase, read_dataset
from napari_bayes_nnunet.io.images.nifti import read_channels

SPLIT = Path(__file__).with_name("acdc_splits_final.json")


def parser(doc: str | None) -> argparse.ArgumentParser:
    """RUN DATASET [--split FILE] [--members N]."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("run", type=Path)
    made.add_argument("dataset", type=Path)
    made.add_argument("--split", type=Path, default=SPLIT)
    made.add_argument("--members", type=int, default=30)
    return made


def held_back(dataset: Path, split: Path) -> Iterator[TrainingCase]:
    """The validation cases of the only fold of a splits_final.json."""
    (fold,) = json.loads(split.read_text(encoding="utf-8"))
    return (case for case in read_dataset(dataset).cases if case.name in fold["val"])


def image_of(case: TrainingCase) -> tuple[np.ndarray, tuple[float, float, float]]:
    """(channels, Z, Y, X), and the spacing (z, y, x) in mm."""
    channels = [read_channels(image)[0] for image in case.images]
    return np.stack([channel.voxels for channel in channels]), channels[0].spacing
