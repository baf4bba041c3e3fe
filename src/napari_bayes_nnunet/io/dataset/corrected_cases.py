"""Corrected cases that are added to a dataset for training, but never used for validation."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock, Timeout

from ...core.counts import format_count
from ...core.heart.structures import match_structure
from .. import DataError
from ..files.access import writing
from ..files.atomic import write_json
from ..files.case_names import same_file_key
from ..images.nifti import (
    ENDINGS,
    Volume,
    VoxelArray,
    read_volume,
    write_image,
    write_labels,
)
from .raw_dataset import (
    CORRECTIONS,
    SPLITS,
    RawDataset,
    TrainingCase,
    extended_split,
    read_corrections,
    read_dataset,
    read_splits,
    splits_to_json,
)
from .writer import BUSY_FOLDER, volume_geometry

CORRECTIONS_LOCK: Final = "corrections.lock"
LONGEST_WAIT: Final = 60.0
"""Seconds to wait for another window, which adds a case in a few."""

NOT_NIFTI = (
    "Cases can only be added to datasets of NIfTI files, but the files of {dataset} end in "
    "{ending}. Choose another dataset."
)
BAD_CASE_NAME = (
    "{name!r} is not a possible case name. Use letters, digits, spaces, dots, _ and -, beginning "
    "with a letter or digit."
)
WRONG_CHANNELS = (
    "Each case of {dataset} has {expected} ({channels}), but this case has {count}. "
    "Choose another dataset."
)
NAMELESS_LABEL = "The label value {value} has no name, only {known} have. Give it a name."
UNKNOWN_STRUCTURE = (
    "The dataset {dataset} has no structure {structure}, only {known}. Use one of these structures."
)
ORIGINAL_CASE = (
    "{case} is an original case of the dataset {dataset}, which may be used for validation. Choose "
    "another name."
)
SIMILAR_CASE = (
    "The dataset {dataset} has the case {other}, and on macOS and Windows {case} would have the "
    "same files. Choose another name."
)
DIFFERENT_IMAGE = "{file} exists and is another image. Choose another name."


def add_training_case(
    dataset: Path,
    *,
    name: str,
    images: Sequence[Volume],
    labels: VoxelArray,
    names: Mapping[str, int],
    origin: Mapping[str, Any],
) -> RawDataset:
    """Add a labelled image to the training cases of the raw dataset in folder ``dataset``.

    ``images`` are its channels, (Z, Y, X) each. ``labels`` (Z, Y, X) are whole numbers on the same
    grid, and ``names`` their names (the background is optional, or 0): they are renumbered by name.
    ``origin`` (study, reader, date …) is kept in ``corrections.json``. Every fold of
    ``splits_final.json`` that does not hold the patient back trains on the case. A case that was
    added before gets the new labels.

    If the process is killed the dataset stays valid, and adding the case again completes it. If
    another window is adding a case, this one waits.

    Raises DataError if the case does not fit the dataset, is one of its original cases, or cannot
    be written, or if the other window does not finish.
    """
    raw = read_dataset(dataset)
    files = _files_of(raw, name)
    _check_channels(raw, images)
    numbered = _renumbered(labels, names, raw)
    with _locked(raw.path):
        raw = read_dataset(dataset)  # another window may have added cases meanwhile
        _add(raw, files, images, numbered, origin)
    return read_dataset(dataset)


@contextlib.contextmanager
def _locked(dataset: Path) -> Iterator[None]:
    """Keep out other windows that add cases."""
    lock = FileLock(dataset / CORRECTIONS_LOCK, timeout=LONGEST_WAIT)
    with writing(dataset):
        try:
            lock.acquire()
        except Timeout as error:
            raise DataError(BUSY_FOLDER, folder=dataset) from error
    try:
        yield
    finally:
        lock.release()


def _add(
    raw: RawDataset,
    files: TrainingCase,
    images: Sequence[Volume],
    labels: VoxelArray,
    origin: Mapping[str, Any],
) -> None:
    """Write a case, with ``labels`` numbered as in ``raw``, if it fits the other cases."""
    name = files.name
    for case in raw.cases:
        if case.name != name and same_file_key(case.name) == same_file_key(name):
            raise DataError(SIMILAR_CASE, dataset=raw.path, other=case.name, case=name)
    splits = raw.path / SPLITS
    cases = [case.name for case in raw.cases]
    # Before anything is written: a patient whom every fold holds out cannot be added.
    extended = extended_split(read_splits(splits, cases), [name]) if splits.is_file() else None
    exists = any(case.name == name for case in raw.cases)
    # An original case may be validated with, which a correction must never be.
    if exists and name not in raw.corrections:
        raise DataError(ORIGINAL_CASE, dataset=raw.path, case=name)
    pairs = [*zip(files.images, images, strict=True)]
    _check_same_images((file, image) for file, image in pairs if file.exists())
    missing = [(file, image) for file, image in pairs if not file.exists()]
    with _written(files, [file for file, _ in missing]):
        for file, image in missing:
            write_image(file, _values(image), volume_geometry(image.geometry))
        # The origin first, because an unknown correction could be used for validation. The splits
        # last, because a split with a missing case is refused.
        write_json(raw.path / CORRECTIONS, {**read_corrections(raw.path), name: dict(origin)})
        write_labels(files.label, labels, volume_geometry(images[0].geometry))
        count = len(raw.cases) + (not exists)
        write_json(raw.path / "dataset.json", {**raw.json, "numTraining": count})
        if extended is not None:
            write_json(splits, splits_to_json(extended))


def _files_of(raw: RawDataset, name: str) -> TrainingCase:
    ending = str(raw.json["file_ending"])
    if ending not in ENDINGS:
        raise DataError(NOT_NIFTI, dataset=raw.path, ending=ending)
    if not re.fullmatch(r"\w[\w .-]*", name):
        raise DataError(BAD_CASE_NAME, name=name)
    images = (raw.path / "imagesTr" / f"{name}_{c:04d}{ending}" for c in range(len(raw.channels)))
    return TrainingCase(name, tuple(images), raw.path / "labelsTr" / f"{name}{ending}")


def _check_channels(raw: RawDataset, images: Sequence[Volume]) -> None:
    if len(images) != len(raw.channels):
        raise DataError(
            WRONG_CHANNELS,
            dataset=raw.path,
            expected=format_count(len(raw.channels), "channel"),
            channels=", ".join(raw.channels),
            count=len(images),
        )


def _renumbered(labels: VoxelArray, names: Mapping[str, int], raw: RawDataset) -> VoxelArray:
    """Return the labels with the numbers of the same structures in the dataset."""
    structures = {value: name for name, value in names.items()}
    # A lookup table renumbers all values in one step, so that none is renumbered twice.
    table = np.zeros(1 << 16, np.uint16)
    for value in np.unique(labels).tolist():
        if value == 0:
            continue
        if value not in structures:
            known = ", ".join(f"{v} ({n})" for v, n in sorted(structures.items()))
            raise DataError(NAMELESS_LABEL, value=value, known=known)
        table[value] = _number_of(structures[value], raw)
    return table[labels]


def _number_of(name: str, raw: RawDataset) -> int:
    """Return the number of a structure in the dataset, by name, else by meaning."""
    structure = match_structure(name, raw.labels)
    if structure is not None:
        return raw.labels[structure]
    known = ", ".join(n for n, v in raw.labels.items() if v)
    raise DataError(UNKNOWN_STRUCTURE, dataset=raw.path, structure=name, known=known)


def _check_same_images(pairs: Iterable[tuple[Path, Volume]]) -> None:
    """Raise DataError if an image differs from its file.

    Only labels are replaced, so a crash never leaves a label with another image.
    """
    for file, image in pairs:
        expected = volume_geometry(image.geometry)
        existing = read_volume(file, allow_blank=True, like=expected)
        same = existing.geometry.same_grid(expected)
        if not (same and np.array_equal(existing.voxels, _values(image))):
            raise DataError(DIFFERENT_IMAGE, file=file)


def _values(image: Volume) -> VoxelArray:
    """Return the voxels in the type of the file."""
    is_integer = image.voxels.dtype.kind in "ui"
    return image.voxels if is_integer else image.voxels.astype(np.float32)


@contextlib.contextmanager
def _written(files: TrainingCase, written: Sequence[Path]) -> Iterator[None]:
    """Turn an OSError into a DataError, and remove written images without a label."""
    try:
        with writing(files.label):
            yield
    finally:
        if not files.label.exists():
            for image in written:
                image.unlink(missing_ok=True)
