"""Raw datasets in nnU-Net's layout, and splits in which no patient is on both sides."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.core.problems import change, statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.patients import patient_of, without_patient
from napari_bayes_nnunet.io.dataset.raw_dataset import (
    NO_FOLDS_IN_FILE,
    NO_SPLIT_FILE,
    UNUSABLE_JSON,
    WRONG_FOLD,
    RawDataset,
    Split,
    extended_split,
    patient_splits,
    read_dataset,
    read_splits,
)
from napari_bayes_nnunet.io.files.nnunet_names import (
    LABELS_NO_NUMBERS,
    NO_CHANNELS,
    REGIONS_WITHOUT_ORDER,
)

from ...helpers.checks.problems import says, says_only

CASES = [f"patient{p:03d}_frame{f:02d}" for p in range(1, 13) for f in (1, 9)]


def make_dataset(path: Path, cases: list[str], *, channels: int = 1, **changes: Any) -> Path:
    for folder in ("imagesTr", "labelsTr"):
        (path / folder).mkdir(parents=True)
    for case in cases:
        (path / "labelsTr" / f"{case}.nii.gz").write_bytes(case.encode())
        for channel in range(channels):
            (path / "imagesTr" / f"{case}_{channel:04d}.nii.gz").write_bytes(b"12345")
    content = {
        "labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3},
        "channel_names": {str(c): f"channel {c}" for c in range(channels)},
        "file_ending": ".nii.gz",
    }
    (path / "dataset.json").write_text(json.dumps(content | changes))
    return path


# Datasets


def test_signature_notices_changed_images_and_labels(tmp_path):
    path = make_dataset(tmp_path / "acdc", CASES[:2])
    before = read_dataset(path).signature()
    assert before == read_dataset(path).signature()
    (path / "labelsTr" / f"{CASES[0]}.nii.gz").write_bytes(b"corrected")
    (path / "imagesTr" / f"{CASES[1]}_0000.nii.gz").write_bytes(b"1234567")
    after = read_dataset(path).signature()
    assert before[CASES[0]]["image_bytes"] == after[CASES[0]]["image_bytes"] == [5]
    assert before[CASES[0]]["label_sha256"] != after[CASES[0]]["label_sha256"]
    assert after[CASES[1]]["image_bytes"] == [7]


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
def test_missing_folders_are_named(tmp_path, folder):
    path = make_dataset(tmp_path / "acdc", [])
    (path / folder).rmdir()
    with pytest.raises(DataError, check=says_only(folder=path, missing=folder)):
        read_dataset(path)


def test_dataset_without_labels(tmp_path):
    path = make_dataset(tmp_path / "acdc", [])
    with pytest.raises(DataError, check=says_only(folder=path / "labelsTr", ending=".nii.gz")):
        read_dataset(path)


def test_label_without_its_second_channel(tmp_path):
    path = make_dataset(tmp_path / "acdc", CASES[:1], channels=2)
    (path / "imagesTr" / f"{CASES[0]}_0001.nii.gz").unlink()
    with pytest.raises(DataError, check=says(image="patient001_frame01_0001.nii.gz")):
        read_dataset(path)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"background": 0, "heart": [1, 2]}, REGIONS_WITHOUT_ORDER),
        ({"0": "background", "1": "RV"}, LABELS_NO_NUMBERS),
        (["background"], LABELS_NO_NUMBERS),
        ({"LV": 10**10}, LABELS_NO_NUMBERS),
    ],
)
def test_untrainable_labels_are_refused(tmp_path, labels, reason):
    path = make_dataset(tmp_path / "acdc", CASES[:1], labels=labels)
    with pytest.raises(DataError) as caught:
        read_dataset(path)
    values = {"file": path / "dataset.json", "reason": statement(reason)}
    assert caught.value.statement == statement(UNUSABLE_JSON, **values)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (None, {"missing": "dataset.json"}),
        ("{", {}),
        ("[]", {}),
        ("{}", {"reason": statement(LABELS_NO_NUMBERS)}),
        ('{"labels": {}, "file_ending": ".nii"}', {"reason": statement(NO_CHANNELS)}),
    ],
)
def test_unusable_dataset_json_is_refused(tmp_path, text, values):
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.json") as caught:
        read_dataset(tmp_path)
    assert caught.value.values.items() >= values.items()


@pytest.mark.parametrize("text", ["{", "[]", '{"a": "reader A"}'])
def test_damaged_corrections_are_refused(tmp_path, text):
    path = make_dataset(tmp_path / "acdc", CASES[:1])
    (path / "corrections.json").write_text(text)
    with pytest.raises(DataError, match=r"corrections\.json"):
        read_dataset(path)


# Patients and splits


def test_splits_keep_patients_together_and_validate_each_once():
    splits = patient_splits(CASES)
    assert len(splits) == 5
    validated = [case for split in splits for case in split.validation]
    assert sorted(validated) == CASES
    for split in splits:
        assert not {patient_of(c) for c in split.train} & {patient_of(c) for c in split.validation}
        assert sorted((*split.train, *split.validation)) == CASES
    assert splits == patient_splits(CASES)


def test_few_patients_give_fewer_folds():
    assert len(patient_splits(CASES[:6])) == 3
    with pytest.raises(DataError) as caught:
        patient_splits(CASES[:2])
    assert caught.value.values == {"patient": "patient001"}
    assert caught.value.remedies == (change("fold", "all"), change("patient"))


def test_training_only_cases_are_never_validated_with():
    others = ["patient001_frame01_reviewed", "patient099_frame01"]
    splits = patient_splits([others[1], *CASES, others[0]], training_only=set(others))
    plain = patient_splits(CASES)
    assert [split.validation for split in splits] == [split.validation for split in plain]
    for split, before in zip(splits, plain, strict=True):
        holds_back = "patient001_frame01" in before.validation
        assert split.train == (*before.train, *(others[1:] if holds_back else others[::-1]))
    assert patient_splits(CASES, training_only={"no case of these"}) == plain


def test_folds_take_cases_of_other_patients():
    splits = [Split(("a_frame01",), ("b_frame01",)), Split(("b_frame01",), ("a_frame01",))]
    extended = extended_split(splits, ["a_frame02", "c"])
    assert extended == [
        Split(("a_frame01", "a_frame02", "c"), ("b_frame01",)),
        Split(("b_frame01", "c"), ("a_frame01",)),
    ]
    assert extended_split(extended, ["a_frame02", "c"]) == extended
    assert extended_split(splits, []) == splits
    assert extended_split(splits, ["a-2"], pattern="^(.)")[1] == splits[1]


def test_cases_whose_patient_is_not_found():
    cases = ["a_frame01", "b", "_frame"]
    assert without_patient(cases, "^([a-z])_") == ["b", "_frame"]
    assert without_patient(cases, "^([a-z]?)") == ["_frame"]  # found, but nothing


def test_the_name_at_the_first_start_stays():
    dataset = RawDataset(Path("Dataset102_Copy"), {}, ())
    assert dataset.nnunet_name == "Dataset102_Copy"
    assert replace(dataset, known_as="hearts").nnunet_name == "Dataset001_hearts"


@pytest.mark.parametrize(
    ("rows", "template", "values"),
    [
        ([], NO_FOLDS_IN_FILE, {}),
        ({"train": []}, "", {}),
        ([{"train": ["a"]}], "", {}),
        ("a text", "", {}),
        (["a", "b"], "", {}),
        ([{"train": "ab", "val": ["b"]}], "", {}),
        ([{"train": ["a"], "val": ["z"]}], WRONG_FOLD, {"fold": 0}),
        ([{"train": [*"uvwx"], "val": ["b"]}], WRONG_FOLD, {"fold": 0}),
        ([{"train": ["a"], "val": ["a"]}], WRONG_FOLD, {"fold": 0}),
        ([{"train": ["a"], "val": ["b"]}, {"train": [], "val": ["b"]}], WRONG_FOLD, {"fold": 1}),
    ],
)
def test_unusable_split_files_are_refused(tmp_path, rows, template, values):
    file = tmp_path / "splits_final.json"
    file.write_text(json.dumps(rows))
    with pytest.raises(DataError) as caught:
        read_splits(file, ["a", "b"])
    assert template in caught.value.statement.template
    assert caught.value.values.items() >= {"file": file, **values}.items()


def test_a_missing_or_damaged_split_file_is_refused(tmp_path):
    file = tmp_path / "splits_final.json"
    with pytest.raises(DataError, check=says(NO_SPLIT_FILE)):
        read_splits(file, CASES)
    file.write_text("[{")
    with pytest.raises(DataError) as caught:
        read_splits(file, CASES)
    assert caught.value.statement.template != NO_SPLIT_FILE


def test_given_names_replace_those_of_the_file(tmp_path):
    labels = {"background": 0, "structure 1": 1, "wall": 2}
    dataset = read_dataset(make_dataset(tmp_path / "data", ["case"], labels=labels))
    named = dataset.with_names({1: "LV"})
    assert named.labels == {"background": 0, "LV": 1, "wall": 2}
    assert named.json["file_ending"] == dataset.json["file_ending"]
    assert read_dataset(dataset.path).labels == labels
    assert dataset.with_names({}) is dataset


@pytest.mark.parametrize(
    ("names", "values"),
    [
        ({4: "LV"}, {"value": 4, "known": "1 (structure 1), 2 (wall)"}),
        ({0: "LV"}, {"value": 0, "known": "1 (structure 1), 2 (wall)"}),
        ({1: "wall"}, {"names": "0=background,1=wall,2=wall"}),
        ({1: " "}, {"names": "0=background,1= ,2=wall"}),
    ],
)
def test_unusable_names_are_refused(tmp_path, names, values):
    labels = {"background": 0, "structure 1": 1, "wall": 2}
    dataset = read_dataset(make_dataset(tmp_path / "data", ["case"], labels=labels))
    with pytest.raises(DataError) as caught:
        dataset.with_names(names)
    assert values.items() <= caught.value.values.items()
