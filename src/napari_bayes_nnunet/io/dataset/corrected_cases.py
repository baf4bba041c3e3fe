"""Corrected labels taken into a dataset, to train on and never to validate with."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...core.heart.structures import match_structure
from .. import DataError
from ..files.atomic import write_json
from ..images.nifti import (
    ENDINGS,
    Volume,
    VoxelArray,
    holds_labels,
    read_volume,
    write_image,
    write_labels,
)
from .raw_dataset import (
    CORRECTIONS,
    DEFAULT_PATIENT,
    SPLITS,
    RawDataset,
    Split,
    TrainingCase,
    extended_split,
    read_corrections,
    read_dataset,
    read_splits,
    splits_to_json,
)
from .writer import volume_geometry


def add_training_case(
    dataset: Path,
    *,
    name: str,
    images: Sequence[Volume],
    labels: Volume | VoxelArray,
    names: Mapping[str, int],
    origin: Mapping[str, Any],
    pattern: str = DEFAULT_PATIENT,
    replace: bool = False,
) -> RawDataset:
    """Take a labelled image into the training part of the raw dataset in folder ``dataset``.

    ``images`` are its channels, (Z, Y, X) each; ``labels`` (Z, Y, X) whole numbers on their grid,
    ``names`` what these mean, background left out or 0: they are renumbered by name. ``origin``
    (study, reader, date …) is kept in ``corrections.json``. Every fold of ``splits_final.json``
    that does not hold the patient back trains on the case. ``pattern`` finds the patient in
    ``name``. ``replace`` allows for new labels of a case that was added before.

    Whenever it is killed the dataset stays valid; adding the case again completes it.

    Raises DataError where the case does not fit the dataset, exists, or cannot be written.
    """
    raw = read_dataset(dataset)
    files = _files_of(raw, name)
    _check_images(raw, images)
    numbered = _renumbered(_on_grid(labels, images[0]), names, raw)
    _check_origin(origin)
    splits = _read_splits(raw)
    extended = None if splits is None else extended_split(splits, [name], pattern=pattern)
    exists = any(case.name == name for case in raw.cases)
    if exists:
        # Without a fold that names it, its adding was cut short.
        unfinished = splits is not None and not any(name in split.train for split in splits)
        _check_replaceable(raw, name, allowed=replace or unfinished)
    pairs = [*zip(files.images, images, strict=True)]
    _check_same_images((file, image) for file, image in pairs if file.exists())
    missing = [(file, image) for file, image in pairs if not file.exists()]
    with _written(files, [file for file, _ in missing]):
        for file, image in missing:
            write_image(file, _values(image), volume_geometry(image.geometry))
        # The origin first: a label that is not known as a correction could be validated with. The
        # splits last: one that names a case that is not there is refused.
        write_json(raw.path / CORRECTIONS, {**read_corrections(raw.path), name: dict(origin)})
        write_labels(files.label, numbered, volume_geometry(images[0].geometry))
        count = len(raw.cases) + (not exists)
        write_json(raw.path / "dataset.json", {**raw.json, "numTraining": count})
        if extended is not None:
            write_json(raw.path / SPLITS, splits_to_json(extended))
    return read_dataset(dataset)


def _files_of(raw: RawDataset, name: str) -> TrainingCase:
    ending = str(raw.json["file_ending"])
    if ending not in ENDINGS:
        raise DataError(
            f"Cases can be added to datasets of NIfTI files, but those of {raw.path} end in "
            f"{ending}."
        )
    if not re.fullmatch(r"\w[\w .-]*", name):
        raise DataError(f"A case is named by letters, digits, _ and -, not {name!r}.")
    images = (raw.path / "imagesTr" / f"{name}_{c:04d}{ending}" for c in range(len(raw.channels)))
    return TrainingCase(name, tuple(images), raw.path / "labelsTr" / f"{name}{ending}")


def _check_images(raw: RawDataset, images: Sequence[Volume]) -> None:
    if len(images) != len(raw.channels):
        raise DataError(
            f"The cases of {raw.path} have {len(raw.channels)} channels "
            f"({', '.join(raw.channels)}), but this one has {len(images)}."
        )
    for image in images:
        if image.is_cine:
            raise DataError(f"A case is one frame, but {image.source.name} has {image.phases}.")
        if not image.geometry.same_grid(images[0].geometry):
            raise DataError(
                f"{image.source.name} lies on another grid ({image.geometry}) than the first "
                f"channel {images[0].source.name} ({images[0].geometry})."
            )


def _on_grid(labels: Volume | VoxelArray, image: Volume) -> VoxelArray:
    if isinstance(labels, Volume) and labels.shape == image.shape:
        if not labels.geometry.same_grid(image.geometry):
            raise DataError(
                f"The labels lie on another grid ({labels.geometry}) than their image "
                f"({image.geometry})."
            )
        labels = labels.voxels
    array = labels.voxels if isinstance(labels, Volume) else labels
    if array.shape != image.shape:
        raise DataError(
            f"The labels need the shape of their image, {image.shape} (z, y, x), not {array.shape}."
        )
    if not holds_labels(array):
        raise DataError(
            f"Labels are whole numbers from 0 to 65535, not {array.min()} to {array.max()}."
        )
    return array.astype(np.uint16)


def _renumbered(labels: VoxelArray, names: Mapping[str, int], raw: RawDataset) -> VoxelArray:
    """The labels with the numbers that the dataset has for the same structures."""
    called = {value: name for name, value in names.items()}
    table = np.zeros(1 << 16, np.uint16)
    for value in np.unique(labels).tolist():
        if value == 0:
            continue
        if value not in called:
            raise DataError(
                f"The labels hold the value {value}, but only "
                f"{', '.join(f'{v} ({n})' for v, n in sorted(called.items()))} have names."
            )
        table[value] = _number_of(called[value], raw)
    return table[labels]


def _number_of(name: str, raw: RawDataset) -> int:
    """Number of a structure in the dataset: of the same name, else of the same meaning."""
    found = match_structure(name, raw.labels)
    if found is not None:
        return raw.labels[found]
    raise DataError(
        f"The dataset {raw.path} has no structure {name}, which the labels show; it has "
        f"{', '.join(n for n, v in raw.labels.items() if v)}."
    )


def _check_origin(origin: Mapping[str, Any]) -> None:
    try:
        json.dumps(dict(origin))
    except (TypeError, ValueError) as error:
        raise DataError(f"The origin of a case must be storable as JSON: {error}.") from error


def _read_splits(raw: RawDataset) -> list[Split] | None:
    file = raw.path / SPLITS
    return read_splits(file, [case.name for case in raw.cases]) if file.is_file() else None


def _check_replaceable(raw: RawDataset, name: str, *, allowed: bool) -> None:
    if name not in raw.corrections:
        raise DataError(
            f"The dataset {raw.path} has a case {name} of its own, which may be validated with: "
            "choose another name."
        )
    if not allowed:
        raise DataError(f"{name} was added to {raw.path} before: choose another name, or replace.")


def _check_same_images(pairs: Iterable[tuple[Path, Volume]]) -> None:
    """Only labels are replaced: no crash then leaves a label beside an image it does not fit."""
    for file, image in pairs:
        there = read_volume(file, allow_blank=True)
        same = there.geometry.same_grid(image.geometry)
        if not (same and np.array_equal(there.voxels, _values(image))):
            raise DataError(
                f"{file} is another image than the one to be added: choose another name."
            )


def _values(image: Volume) -> VoxelArray:
    """Voxels as a file holds them."""
    kept = image.voxels.dtype.kind in "ui"
    return image.voxels if kept else image.voxels.astype(np.float32)


@contextlib.contextmanager
def _written(files: TrainingCase, written: Sequence[Path]) -> Iterator[None]:
    """Make a DataError of what the system refuses, and remove written images without a label."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{files.name} could not be added to the dataset: {error.strerror or error}."
        ) from error
    finally:
        if not files.label.exists():
            for image in written:
                image.unlink(missing_ok=True)
