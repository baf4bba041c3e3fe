"""Faults of a training dataset that nnU-Net would only meet in the middle of its work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError

from . import DataError
from .nifti import ENDINGS, read_labels
from .nnunet_dataset import RawDataset, TrainingCase

IGNORE = "ignore"
"""nnU-Net's name for voxels that are left out of the loss; it need not occur."""


def check_labels(dataset: RawDataset) -> None:
    """Look into every label file, of NIfTI datasets.

    Raises DataError for values ``dataset.json`` does not name, for values with gaps, a structure
    in no file, a label of another shape than its image, and files that cannot be read.
    """
    names = {value: name for name, value in dataset.labels.items()}
    if sorted(names) != list(range(len(names))):
        raise DataError(
            f"{dataset.path / 'dataset.json'} must number the labels from 0 without gaps, "
            f"not {', '.join(map(str, sorted(names)))}."
        )
    if dataset.json["file_ending"] not in ENDINGS:
        return
    seen: set[int] = set()
    for case in dataset.cases:
        seen |= _label_values(case, names)
    missing = [f"{n} ({v})" for v, n in names.items() if v and v not in seen and n != IGNORE]
    if missing:
        raise DataError(
            f"No label file of {dataset.path} shows {', '.join(missing)}: correct the labels, or "
            "leave it out of dataset.json."
        )


def _label_values(case: TrainingCase, names: dict[int, str]) -> set[int]:
    labels = read_labels(case.label)
    values = set(np.unique(labels.voxels).tolist())
    unknown = sorted(values - names.keys())
    if unknown:
        raise DataError(
            f"{case.label} holds the value {unknown[0]}, but dataset.json names only "
            f"{', '.join(f'{value} ({name})' for value, name in names.items())}."
        )
    for image in case.images:
        shape = _shape(image)
        if shape != labels.shape:
            raise DataError(
                f"{case.label.name} has the shape {labels.shape} (z, y, x), but its image "
                f"{image.name} {shape}."
            )
    return values


def _shape(file: Path) -> tuple[int, ...]:
    """(Z, Y, X) or (T, Z, Y, X), from the header alone."""
    try:
        image: Any = nibabel.load(file)
    except (OSError, ImageFileError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    return tuple(int(n) for n in reversed(image.shape))
