"""nnU-Net raw datasets: their cases, their patients, and splits that keep a patient together."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import DataError
from ..files.checksum import sha256
from ..files.json_files import read_json

CORRECTIONS = "corrections.json"
FOLDS = 5
SPLITS = "splits_final.json"
DEFAULT_PATIENT = r"^(.+?)(?=(?:_E[DS])?_frame)"
"""The part of a case's name that names the patient: all before ``_frame``, ``_ED_frame`` too."""
NAMED = 3
"""Cases a sentence names before it says "…"."""


@dataclass(frozen=True)
class TrainingCase:
    """One labelled image: its channels ``_0000 _0001 …`` and its label file."""

    name: str
    images: tuple[Path, ...]
    label: Path


@dataclass(frozen=True)
class Split:
    """Names of the cases a fold trains on and is validated with."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class RawDataset:
    """A dataset folder: ``imagesTr``, ``labelsTr`` and the content of ``dataset.json``.

    ``corrections`` are the cases that were taken in for training only, and where they came from.
    ``known_as`` is what the folder was called when a training began with it, "" for its name now.
    """

    path: Path
    json: dict[str, Any]
    cases: tuple[TrainingCase, ...]
    corrections: dict[str, dict[str, Any]] = field(default_factory=dict)
    known_as: str = ""

    @property
    def labels(self) -> dict[str, int]:
        """Label value of every structure, background included."""
        return {str(name): int(value) for name, value in self.json["labels"].items()}

    @property
    def channels(self) -> list[str]:
        """Names of the image channels."""
        names = _channel_names(self.json)
        return [str(names[key]) for key in sorted(names, key=int)]

    @property
    def nnunet_name(self) -> str:
        """The name nnU-Net demands: ``DatasetNNN_Name``."""
        name = self.known_as or self.path.name
        if re.fullmatch(r"Dataset\d{3}_.+", name):
            return name
        return "Dataset001_" + (re.sub(r"\W+", "_", name).strip("_") or "unnamed")

    def signature(self) -> dict[str, dict[str, Any]]:
        """Size of every image and checksum of every label, to notice a changed dataset."""
        return {
            case.name: {
                "image_bytes": [image.stat().st_size for image in case.images],
                "label_sha256": sha256(case.label),
            }
            for case in self.cases
        }


def read_dataset(path: Path) -> RawDataset:
    """Look at a raw dataset folder. Raises DataError naming what is missing."""
    content = _read_dataset_json(path)
    ending = str(content["file_ending"])
    for folder in ("imagesTr", "labelsTr"):
        if not (path / folder).is_dir():
            raise DataError(f"{path} is no nnU-Net raw dataset: the folder {folder} is missing.")
    count = len(_channel_names(content))
    labels = sorted(f for f in (path / "labelsTr").iterdir() if _is_data(f, ending))
    cases = tuple(_case(path, label, ending, count) for label in labels)
    if not cases:
        raise DataError(f"{path / 'labelsTr'} holds no label files ending in {ending}.")
    names = {case.name for case in cases}
    corrections = {k: v for k, v in read_corrections(path).items() if k in names}
    return RawDataset(path, content, cases, corrections)


def read_corrections(path: Path) -> dict[str, dict[str, Any]]:
    """Origin of every corrected case, from ``corrections.json``; {} where there is none.

    One whose adding was cut short is not among the cases. Raises DataError for a damaged file:
    without it corrections would be validated with.
    """
    file = path / CORRECTIONS
    repair = "It must name the origin of every corrected case; restore it from a backup."
    try:
        return read_json(file, dict[str, dict[str, Any]], repair=repair)
    except FileNotFoundError:
        return {}


def patient_of(case: str, pattern: str = DEFAULT_PATIENT) -> str:
    """The patient a case belongs to: the first group of ``pattern`` in its name, else the name.

    Raises DataError when ``pattern`` is no regular expression.
    """
    return _patient_in(case, pattern) or case


def without_patient(cases: Sequence[str], pattern: str) -> list[str]:
    """Cases whose name ``pattern`` does not match: each counts as a patient of its own."""
    return [case for case in cases if not _patient_in(case, pattern)]


def named(cases: Sequence[str]) -> str:
    """The first few of the cases, in words."""
    return ", ".join(cases[:NAMED]) + (", …" if len(cases) > NAMED else "")


def patient_splits(
    cases: Sequence[str],
    *,
    pattern: str = DEFAULT_PATIENT,
    seed: int = 12345,
    training_only: Collection[str] = (),
) -> list[Split]:
    """Five folds in which all cases of a patient lie on the same side.

    Cases of ``training_only`` are validated with in no fold, and left out of the one that
    validates with their patient. Raises DataError for fewer than two patients: nothing could be
    held back for validation.
    """
    added = [case for case in cases if case in training_only]
    cases = [case for case in cases if case not in training_only]
    patients = sorted({patient_of(case, pattern) for case in cases})
    if len(patients) < 2:
        whose = f"belong to {patients[0]}" if patients else "were added to be trained on only"
        raise DataError(
            f"A validation fold needs at least two patients, but all cases {whose}. Train with "
            "--fold all, or name the patient's part of the file name."
        )
    order = np.random.default_rng(seed).permutation(patients)
    held_back = [set(order[k :: min(FOLDS, len(patients))]) for k in range(FOLDS)]
    splits = [_split(cases, set(map(str, held)), pattern) for held in held_back if held]
    return extended_split(splits, added, pattern=pattern)


def extended_split(
    splits: Sequence[Split], new: Sequence[str], *, pattern: str = DEFAULT_PATIENT
) -> list[Split]:
    """The folds with ``new`` cases to train on, but where their patient is held back.

    Raises DataError for a case that no fold can take.
    """
    extended = list(splits)
    for case in new:
        patient = patient_of(case, pattern)
        takes = [
            patient not in {patient_of(name, pattern) for name in split.validation}
            for split in extended
        ]
        if not any(takes):
            raise DataError(
                f"{case} cannot be trained on: every fold is validated with its patient {patient}."
            )
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
    """Read nnU-Net's ``splits_final.json``. Raises DataError when it does not fit the cases."""
    repair = (
        'It must be a list of folds such as [{"train": ["a", "b"], "val": ["c"]}, …], as nnU-Net '
        "writes it."
    )
    try:
        folds = read_json(path, list[_Fold], repair=repair)
    except FileNotFoundError as error:
        raise DataError("{file} does not exist.", file=path) from error
    splits = [Split(fold.train, fold.val) for fold in folds]
    if not splits:
        raise DataError(f"{path} holds no folds.")
    for number, split in enumerate(splits):
        unknown = sorted({*split.train, *split.validation} - set(cases))
        if unknown:
            raise DataError(
                f"Fold {number} of {path} names cases that the dataset does not have "
                f"({named(unknown)}): choose the split of this dataset."
            )
        both = sorted(set(split.train) & set(split.validation))
        if both:
            raise DataError(
                f"Fold {number} of {path} both trains on and validates with {named(both)}."
            )
        if not split.train or not split.validation:
            raise DataError(f"Fold {number} of {path} has no cases to train on or validate with.")
    return splits


def splits_to_json(splits: Sequence[Split]) -> list[dict[str, list[str]]]:
    """The form of nnU-Net's ``splits_final.json``."""
    return [{"train": list(s.train), "val": list(s.validation)} for s in splits]


def _read_dataset_json(path: Path) -> dict[str, Any]:
    file = path / "dataset.json"
    repair = "It must hold named entries such as labels, as nnU-Net's dataset.json does."
    try:
        content = read_json(file, dict[str, Any], repair=repair)
    except FileNotFoundError as error:
        raise DataError(f"{path} is no nnU-Net raw dataset: dataset.json is missing.") from error
    missing = [key for key in ("labels", "file_ending") if key not in content]
    if not _channel_names(content):
        missing.append("channel_names")
    if missing:
        raise DataError(f"{file} lacks {', '.join(missing)}.")
    _check_labels(file, content["labels"])
    return content


def _channel_names(content: dict[str, Any]) -> dict[str, Any]:
    """Return the names of the channels by their numbers; {} for anything else."""
    names = content.get("channel_names") or content.get("modality")
    if isinstance(names, dict) and all(key.isdecimal() for key in names):
        return names
    return {}


def _check_labels(file: Path, labels: Any) -> None:
    if not isinstance(labels, dict):
        raise DataError(f"{file} must map names of structures to numbers, not {labels!r}.")
    if any(isinstance(value, list) for value in labels.values()):
        raise DataError(
            f"{file} defines overlapping regions; the entropy of Eq. 3 needs exclusive labels."
        )
    wrong = [name for name, value in labels.items() if not str(value).isdecimal()]
    if wrong:
        raise DataError(
            f"{file} must map names of structures to numbers, but {wrong[0]} is "
            f"{labels[wrong[0]]!r} (nnU-Net v1 had them the other way round)."
        )


def _patient_in(case: str, pattern: str) -> str:
    """The patient that ``pattern`` finds in a case's name, "" where it finds none."""
    try:
        found = re.search(pattern, case)
    except re.error as error:
        raise DataError(f"{pattern!r} is no pattern for the patient's name: {error}.") from error
    if found is None:
        return ""
    return (found.group(1) if found.groups() else found.group()) or ""


def _is_data(file: Path, ending: str) -> bool:
    return file.name.endswith(ending) and not file.name.startswith(".")


def _case(path: Path, label: Path, ending: str, channels: int) -> TrainingCase:
    name = label.name.removesuffix(ending)
    images = tuple(path / "imagesTr" / f"{name}_{c:04d}{ending}" for c in range(channels))
    for image in images:
        if not image.is_file():
            raise DataError(f"The label {label.name} has no image {image.name} in imagesTr.")
    return TrainingCase(name, images, label)


def _split(cases: Sequence[str], held: set[str], pattern: str) -> Split:
    inside = tuple(c for c in cases if patient_of(c, pattern) in held)
    return Split(tuple(c for c in cases if c not in set(inside)), inside)
