"""Example slice that shows the label values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...io import DataError
from ...io.dataset.matching import Pair
from ...io.dataset.raw_dataset import RawDataset, TrainingCase
from ...io.images.nifti import Volume, read_labels, read_volume

_MOST_TRIED: Final = 5
"""Number of cases of which the first readable one is shown."""
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


def example_of_pairs(pairs: Sequence[Pair]) -> LabelExample | None:
    """Return an example of the first pairs of a match; None if no file can be read."""
    return _example((pair.name, _read_pair(pair)) for pair in pairs[:_MOST_TRIED])


def example_of_dataset(dataset: RawDataset) -> LabelExample | None:
    """Return an example of a dataset; None if no file can be read."""
    return _example((case.name, _read_case(case)) for case in dataset.cases[:_MOST_TRIED])


def _example(cases: Iterator[tuple[str, tuple[Volume, Volume] | None]]) -> LabelExample | None:
    return next((_slice_of(name, *volumes) for name, volumes in cases if volumes), None)


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


def _read_pair(pair: Pair) -> tuple[Volume, Volume] | None:
    try:
        image, labels = read_volume(pair.images[0]), read_labels(pair.label)
    except DataError:
        return None
    return _fitting(_frame(image, pair.image_frame), _frame(labels, pair.label_frame))


def _read_case(case: TrainingCase) -> tuple[Volume, Volume] | None:
    try:
        return _fitting(read_volume(case.images[0]), read_labels(case.label))
    except DataError:
        return None


def _fitting(image: Volume, labels: Volume) -> tuple[Volume, Volume] | None:
    return (image, labels) if image.shape == labels.shape and len(image.shape) == 3 else None


def _frame(volume: Volume, number: int | None) -> Volume:
    if number is None or not volume.is_cine:
        return volume
    return Volume(volume.voxels[number - 1], volume.geometry.frame(), volume.source)
