"""nnU-Net raw datasets: their cases, and splits that keep a patient together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...core.problems import change
from .. import DataError
from ..files.checksum import sha256
from ..files.json_files import excerpt, read_json
from ..files.nnunet_names import (
    channel_names,
    check_dataset_json,
    is_plain_name,
    label_numbers,
)
from .patients import DEFAULT_PATIENT, patient_of

CORRECTIONS = "corrections.json"
FOLDS = 5
CASE_FOLDERS = ("imagesTr", "labelsTr", "imagesTs", "labelsTs")
SPLITS = "splits_final.json"
NAMED = 3
"""Number of cases that a sentence names before "…"."""
NOT_A_DATASET = (
    "{folder} is not an nnU-Net raw dataset, because {missing} is missing. Choose another folder."
)
NO_LABEL_FILES = "{folder} has no label files that end in {ending}. Add labels."
TOO_FEW_PATIENTS = (
    "A validation fold needs at least two patients. Only {patient} can be used for validation."
)
NO_FOLD_FITS = (
    "{case} cannot be added for training, because every fold validates with its patient {patient}. "
    "Remove this patient from the validation of a fold."
)
NO_SPLIT_FILE = "{file} does not exist. Choose another file."
NO_FOLDS_IN_FILE = "{file} has no folds. Add a fold with cases for training and validation."
WRONG_FOLD = "Fold {fold} of {file} has {fault}. Choose the split of this dataset, or correct it."
UNUSABLE_JSON = "{file} cannot be used, because {reason}. Correct the file."
NO_SUCH_VALUE = (
    "{dataset} has no structure with the label value {value}, only {known}. Name these values only."
)
SAME_NAMES = (
    "Two label values have the same name, or none ({names}). Give each value a name of its own."
)
LABEL_WITHOUT_IMAGE = (
    "The label {label} has no image {image} in imagesTr. Add the image, or remove the label."
)


@dataclass(frozen=True)
class TrainingCase:
    """One labelled image: its channels ``_0000 _0001 …`` and its label file."""

    name: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class Split:
    """Names of the training and validation cases of a fold."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class RawDataset:
    """A dataset folder: ``imagesTr``, ``labelsTr`` and the content of ``dataset.json``.

    ``corrections`` are the cases that were added for training only, with their origins.
    ``known_as`` is the name of the folder at the first start of a training, "" for its current
    name.
    """

    path: Path
    json: dict[str, Any]
    cases: tuple[TrainingCase, ...]
    corrections: dict[str, dict[str, Any]] = field(default_factory=dict)
    known_as: str = ""

    @property
    def labels(self) -> dict[str, int]:
        """Label value of every structure, including the background."""
        return label_numbers(self.json)

    def with_names(self, names: Mapping[int, str]) -> RawDataset:
        """Return the dataset with other ``names`` of some label values; the file is not changed.

        Raises DataError for the background, an unknown value, or a name that two values would have.
        """
        if not names:
            return self
        kept = {value: name for name, value in self.labels.items()}
        if wrong := sorted(value for value in names if not value or value not in kept):
            known = ", ".join(f"{value} ({name})" for value, name in kept.items() if value)
            raise DataError(NO_SUCH_VALUE, value=wrong[0], dataset=self.path, known=known)
        labels = {name: value for value, name in (kept | dict(names)).items()}
        if len(labels) < len(kept) or not all(name.strip() for name in labels):
            raise DataError(SAME_NAMES, names=format_label_names(kept | dict(names)))
        return replace(self, json={**self.json, "labels": labels})

    @property
    def channels(self) -> list[str]:
        """Names of the image channels."""
        return channel_names(self.json)

    @property
    def nnunet_name(self) -> str:
        """Name in the form that nnU-Net requires: ``DatasetNNN_Name``."""
        name = self.known_as or self.path.name
        # nnU-Net makes folders of this name.
        if re.fullmatch(r"Dataset\d{3}_.+", name) and is_plain_name(name):
            return name
        # The number only has to be there: each run has folders of its own.
        return "Dataset001_" + (re.sub(r"\W+", "_", name).strip("_") or "unnamed")

    def signature(self) -> dict[str, dict[str, Any]]:
        """Return the size of every image and the checksum of every label, to detect changes."""
        return {
            case.name: {
                "image_bytes": [image.stat().st_size for image in case.images],
                "label_sha256": sha256(case.label),
            }
            for case in self.cases
        }


def format_label_names(names: Mapping[int, str]) -> str:
    """Return names of label values as they are typed: "1=RV,2=MYO,3=LV"."""
    return ",".join(f"{value}={name}" for value, name in names.items())


def read_dataset(path: Path) -> RawDataset:
    """Read a raw dataset folder. Raises DataError if something is missing."""
    content = _read_dataset_json(path)
    ending = str(content["file_ending"])
    for folder in ("imagesTr", "labelsTr"):
        if not (path / folder).is_dir():
            raise DataError(NOT_A_DATASET, folder=path, missing=folder)
    count = len(channel_names(content))
    visible = (f for f in (path / "labelsTr").iterdir() if not f.name.startswith("."))
    labels = sorted(f for f in visible if f.name.endswith(ending))
    cases = tuple(_case(path, label, ending, count) for label in labels)
    if not cases:
        raise DataError(NO_LABEL_FILES, folder=path / "labelsTr", ending=excerpt(ending))
    names = {case.name for case in cases}
    # An interrupted addition leaves an origin without its case.
    corrections = {k: v for k, v in read_corrections(path).items() if k in names}
    return RawDataset(path, content, cases, corrections)


def read_corrections(path: Path) -> dict[str, dict[str, Any]]:
    """Return the origin of every corrected case, from ``corrections.json``; {} without this file.

    Some may not be cases, if adding them was interrupted. Raises DataError if the file is damaged,
    because without it corrections would be used for validation.
    """
    file = path / CORRECTIONS
    repair = "It must name the origin of every corrected case; restore it from a backup."
    try:
        return read_json(file, dict[str, dict[str, Any]], repair=repair)
    except FileNotFoundError:
        return {}


def join_names(cases: Sequence[str]) -> str:
    """Return the first few of the cases, in words; names may come from a file."""
    return ", ".join(map(excerpt, cases[:NAMED])) + (", …" if len(cases) > NAMED else "")


def patient_splits(
    cases: Sequence[str],
    *,
    pattern: str = DEFAULT_PATIENT,
    training_only: Collection[str] = (),
) -> list[Split]:
    """Return five folds in which all cases of a patient are on the same side.

    Cases of ``training_only`` are never used for validation, and left out of the fold that
    validates with their patient. Raises DataError if there are fewer than two patients.
    """
    added = [case for case in cases if case in training_only]
    cases = [case for case in cases if case not in training_only]
    patients = sorted({patient_of(case, pattern) for case in cases})
    if len(patients) < 2:
        found = patients[0] if patients else "none"
        remedies = change("fold", "all"), change("patient")
        raise DataError(TOO_FEW_PATIENTS, *remedies, patient=found)
    # The patients are sorted, because the order of a set differs from process to process.
    order = np.random.default_rng(12345).permutation(patients)
    held_back = [set(order[k :: min(FOLDS, len(patients))]) for k in range(FOLDS)]
    # Few patients leave some folds empty.
    splits = [_split(cases, set(map(str, held)), pattern) for held in held_back if held]
    return extended_split(splits, added, pattern=pattern)


def extended_split(
    splits: Sequence[Split], new: Sequence[str], *, pattern: str = DEFAULT_PATIENT
) -> list[Split]:
    """Return the folds with ``new`` training cases, except in folds that hold out their patient.

    Raises DataError if no fold can take a case.
    """
    extended = list(splits)
    for case in new:
        patient = patient_of(case, pattern)
        takes = [
            patient not in {patient_of(name, pattern) for name in split.validation}
            for split in extended
        ]
        if not any(takes):
            raise DataError(NO_FOLD_FITS, case=case, patient=patient)
        extended = [
            replace(split, train=(*split.train, case))
            if taken and case not in split.train
            else split
            for split, taken in zip(extended, takes, strict=True)
        ]
    return extended


@dataclass(frozen=True)
class _Fold:
    train: tuple[str, ...]
    val: tuple[str, ...]


def read_splits(path: Path, cases: Sequence[str]) -> list[Split]:
    """Read nnU-Net's ``splits_final.json``. Raises DataError if it does not fit the cases."""
    repair = (
        'It must be a list of folds such as [{"train": ["a", "b"], "val": ["c"]}, …], as nnU-Net '
        "writes it."
    )
    try:
        folds = read_json(path, list[_Fold], repair=repair)
    except FileNotFoundError as error:
        raise DataError(NO_SPLIT_FILE, file=path) from error
    splits = [Split(fold.train, fold.val) for fold in folds]
    if not splits:
        raise DataError(NO_FOLDS_IN_FILE, file=path)
    for number, split in enumerate(splits):
        faults = {
            "cases that are not in the dataset": {*split.train, *split.validation} - set(cases),
            "cases in both training and validation": {*split.train} & {*split.validation},
        }
        for fault, wrong in faults.items():
            if wrong:
                fault = f"{fault} ({join_names(sorted(wrong))})"
                raise DataError(WRONG_FOLD, fold=number, file=path, fault=fault)
        if not split.train or not split.validation:
            fault = "no cases for training or validation"
            raise DataError(WRONG_FOLD, fold=number, file=path, fault=fault)
    return splits


def splits_to_json(splits: Sequence[Split]) -> list[dict[str, list[str]]]:
    """Return the folds in the form of nnU-Net's ``splits_final.json``."""
    return [{"train": list(s.train), "val": list(s.validation)} for s in splits]


def _read_dataset_json(path: Path) -> dict[str, Any]:
    file = path / "dataset.json"
    repair = "It must contain named entries such as labels, as nnU-Net's dataset.json does."
    try:
        content = read_json(file, dict[str, Any], repair=repair)
    except FileNotFoundError as error:
        raise DataError(NOT_A_DATASET, folder=path, missing="dataset.json") from error
    try:
        # For their errors.
        label_numbers(content)
        channel_names(content)
        check_dataset_json(content)
        if "file_ending" not in content:
            raise DataError("it lacks the entry file_ending")
    except DataError as error:
        raise DataError(UNUSABLE_JSON, file=file, reason=error) from error
    return content


def _case(path: Path, label: Path, ending: str, channels: int) -> TrainingCase:
    name = label.name.removesuffix(ending)
    images = tuple(path / "imagesTr" / f"{name}_{c:04d}{ending}" for c in range(channels))
    for image in images:
        if not image.is_file():
            raise DataError(LABEL_WITHOUT_IMAGE, label=label.name, image=image.name)
    return TrainingCase(name, images, label)


def _split(cases: Sequence[str], held: set[str], pattern: str) -> Split:
    inside = tuple(c for c in cases if patient_of(c, pattern) in held)
    return Split(tuple(c for c in cases if c not in set(inside)), inside)
