"""Validation volumes of a benchmark training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_bayes_nnunet.io.dataset.raw_dataset import TrainingCase
from napari_bayes_nnunet.io.images.nifti import read_channels

SPLIT = Path(__file__).with_name("acdc_splits_final.json")


def read_image(case: TrainingCase) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Return the image, (C, Z, Y, X), and its spacing (z, y, x) in mm."""
    channels = [read_channels(image)[0] for image in case.images]
    return np.stack([channel.voxels for channel in channels]), channels[0].spacing
