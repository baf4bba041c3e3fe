"""Example slice that shows the label values."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...io import DataError
from ...io.dataset.matching import Pair
from ...io.dataset.raw_dataset import RawDataset
from ...io.images.nifti import Volume, read_labels, read_volume

AROUND_MM: Final = 20.0
WHITEST: Final = 99.5


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelExample:
    """A slice around the labels of a case: ``image`` (Y, X) 0 … 255 and ``labels`` (Y, X).

    ``spacing`` (y, x) is in mm, ``z`` counts from 0.
    """

    case: str
    z: int
    image: NDArray[np.uint8]
    labels: NDArray[Any]
    spacing: tuple[float, float]


def example_of_pairs(pairs: Iterable[Pair]) -> LabelExample | None:
    """Return an example of the first readable pair of a match, None if there is none."""
    for pair in pairs:
        with suppress(DataError):
            image = read_volume(pair.images[0]).frame(pair.image_frame or 1)
            labels = read_labels(pair.label).frame(pair.label_frame or 1)
            if image.shape == labels.shape:
                return _slice_of(pair.name, image, labels)
    return None


def example_of_dataset(dataset: RawDataset) -> LabelExample | None:
    """Return an example of the first readable case of a dataset, None if there is none."""
    cases = dataset.cases
    return example_of_pairs(Pair(c.name, c.images, c.label, None, None, ()) for c in cases)


def _slice_of(name: str, image: Volume, labels: Volume) -> LabelExample:
    """Cut out the slice with the most label values; among equals, that with the largest labels."""
    counts = [(len(np.unique(plane)), np.count_nonzero(plane)) for plane in labels.voxels]
    z = max(range(len(counts)), key=counts.__getitem__)
    plane, grey = labels.voxels[z], image.voxels[z].astype(np.float32)
    spacing = labels.geometry.spacing[1:]
    box = tuple(
        _around(np.flatnonzero(plane.any(axis=axis)), length, step)
        for axis, length, step in zip((1, 0), plane.shape, spacing, strict=True)
    )
    grey = np.nan_to_num(grey[box])
    low, high = float(grey.min()), float(np.percentile(grey, WHITEST))
    shown = np.clip((grey - low) / max(high - low, 1e-6), 0, 1) * 255
    return LabelExample(
        case=name,
        z=z,
        image=shown.astype(np.uint8),
        labels=plane[box],
        spacing=(spacing[0], spacing[1]),
    )


def _around(indices: NDArray[np.intp], length: int, step: float) -> slice:
    if not len(indices):
        return slice(None)
    margin = round(AROUND_MM / step)
    return slice(max(0, int(indices[0]) - margin), min(length, int(indices[-1]) + 1 + margin))
