"""Matching of the images and labels of two folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel
import pytest

from napari_bayes_nnunet.core.problems import statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.matching import (
    IMAGE_AMONG_LABELS,
    LABEL_AMONG_IMAGES,
    NO_NIFTI_FILES,
    Pair,
    match_folders,
)
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.files.given_path import NOT_A_FOLDER

from ...helpers.data.folders import (
    add_good,
    cine,
    cine_label,
    finish,
    image,
    label,
    match,
    names,
)

SAMPLE = Path(__file__).parents[3] / "src" / "napari_bayes_nnunet" / "sample_data"
ACDC = Path(__file__).parents[4] / "shared" / "data" / "acdc"
# Volumes


def test_volumes_of_two_folders(tmp_path: Path) -> None:
    file = image(tmp_path / "images" / "p1_0000.nii.gz")
    image(tmp_path / "images" / "p2_0000.nii.gz")
    lab = label(tmp_path / "labels" / "p1_gt.nii.gz", 1, 3)
    label(tmp_path / "labels" / "p2_gt.nii.gz", 2)
    progress, found = finish(match_folders(tmp_path / "images", tmp_path / "labels"))
    assert found.pairs[0] == Pair("p1", (file,), lab, None, None, (0, 1, 3))
    assert found.pairs[1].values == (0, 2)
    assert (found.values, found.mismatches) == ((0, 1, 2, 3), ())
    assert progress[-3:] == [(0, 2), (1, 2), (2, 2)]


def test_channels_are_found_together(tmp_path: Path) -> None:
    files = [image(tmp_path / "images" / f"p1_000{c}.nii.gz") for c in range(3)]
    label(tmp_path / "labels" / "p1.nii.gz", 1)
    found = match(tmp_path / "images", tmp_path / "labels")
    assert found.pairs[0].images == tuple(files)
    assert not found.mismatches


@pytest.mark.parametrize("kind", ["heart", "label"])
def test_numbers_that_count_cases_rather_than_channels(tmp_path: Path, kind: str) -> None:
    for number in range(3):
        image(tmp_path / "images" / f"heart_000{number}.nii.gz")
        label(tmp_path / "labels" / f"{kind}_000{number}.nii.gz", number + 1)
    image(tmp_path / "images" / "label_9.nii.gz")
    label(tmp_path / "labels" / "label_9.nii.gz", 1)
    if kind == "label":
        for file in (tmp_path / "images").glob("heart*"):
            file.rename(file.with_name(file.name.replace("heart", "image")))
    found = match(tmp_path / "images", tmp_path / "labels")
    assert [pair.values for pair in found.pairs if len(pair.images) == 1 and "9" not in pair.name] \
        == [(0, 1), (0, 2), (0, 3)]  # fmt: skip
    assert not found.mismatches


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    add_good(tmp_path / "images", tmp_path / "labels")
    for hidden in ("._good.nii.gz", ".cache/good.nii.gz"):
        (tmp_path / "images" / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / "images" / hidden).write_bytes(b"no image")
    (tmp_path / "labels" / "notes.txt").touch()
    found = match(tmp_path / "images", tmp_path / "labels")
    assert (names(found), found.mismatches) == (["good"], ())


@pytest.mark.parametrize(
    ("images", "labels"), [("data", "data/labels"), ("data/images", "data"), ("data", "data")]
)
def test_one_folder_may_lie_in_the_other(tmp_path: Path, images: str, labels: str) -> None:
    add_good(tmp_path / "data" / "images", tmp_path / "data" / "labels")
    found = match(tmp_path / images, tmp_path / labels)
    assert (names(found), found.mismatches) == (["good"], ())


# Subfolders, and images next to labels


def make_acdc(root: Path, *, frames: bool = True) -> Path:
    """Make the layout of ACDC: one folder a patient, labels next to the images."""
    for patient in ("patient001", "patient002"):
        cine(root / patient / f"{patient}_4d.nii.gz")
        for frame in (1, 3):
            if frames:
                image(root / patient / f"{patient}_frame0{frame}.nii.gz")
            label(root / patient / f"{patient}_frame0{frame}_gt.nii.gz", 1, 2, 3)
        (root / patient / "Info.cfg").write_text("ED: 1\nES: 3\n")
    return root


def test_the_layout_of_acdc(tmp_path: Path) -> None:
    root = make_acdc(tmp_path / "training")
    found = match(root, root)
    assert names(found) == [f"patient00{p}_frame0{f}" for p in (1, 2) for f in (1, 3)]
    assert all(pair.image_frame is None for pair in found.pairs)
    assert not found.mismatches  # the cines are not needed


def test_two_folders_with_images_and_labels(tmp_path: Path) -> None:
    one = make_acdc(tmp_path / "one")
    other = shutil.copytree(one, tmp_path / "other")
    found = match(one, other)
    assert len(found.pairs) == 4
    templates = {mismatch.reason.template for mismatch in found.mismatches}
    assert templates == {LABEL_AMONG_IMAGES, IMAGE_AMONG_LABELS}


def test_missing_volumes_are_extracted_from_a_cine(tmp_path: Path) -> None:
    root = make_acdc(tmp_path, frames=False)
    image(root / "patient001" / "patient001_frame03.nii.gz")
    found = match(root, root)
    assert names(found) == [f"patient00{p}_frame0{f}" for p in (1, 2) for f in (1, 3)]
    assert [pair.image_frame for pair in found.pairs] == [1, None, 1, 3]
    assert found.pairs[0].images == (root / "patient001" / "patient001_4d.nii.gz",)
    assert {pair.label_frame for pair in found.pairs} == {None}


def test_same_file_names_of_several_patients(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        image(tmp_path / "images" / patient / "sa.nii.gz")
        label(tmp_path / "labels" / patient / "sa_gt.nii.gz", 1)
        image(tmp_path / "images" / patient / "image.nii.gz")
        label(tmp_path / "labels" / patient / "label.nii.gz", 1)
    found = match(tmp_path / "images", tmp_path / "labels")
    assert names(found) == ["p1", "p1_sa", "p2", "p2_sa"]
    assert all(pair.images[0].parent.name == pair.label.parent.name for pair in found.pairs)


def test_images_in_sub_folders_and_labels_without(tmp_path: Path) -> None:
    image(tmp_path / "images" / "p1" / "p1_frame01.nii.gz")
    label(tmp_path / "labels" / "p1_frame01_gt.nii.gz", 1)
    assert names(match(tmp_path / "images", tmp_path / "labels")) == ["p1_frame01"]


def test_test_images_of_a_dataset_are_ignored(tmp_path: Path) -> None:
    image(tmp_path / "imagesTr" / "p1_0000.nii.gz")
    label(tmp_path / "labelsTr" / "p1.nii.gz", 1)
    image(tmp_path / "imagesTs" / "p2_0000.nii.gz")
    label(tmp_path / "labelsTs" / "p2.nii.gz", 1)
    assert names(match(tmp_path, tmp_path)) == ["p1"]


# Cines


def test_frames_with_labels_of_a_cine(tmp_path: Path) -> None:
    image_file = cine(tmp_path / "images" / "A0S9V9_sa.nii.gz")
    label_file = cine_label(tmp_path / "labels" / "A0S9V9_sa_gt.nii.gz", {1: (1, 2), 4: (3,)})
    found = match(tmp_path / "images", tmp_path / "labels")
    assert found.pairs == (
        Pair("A0S9V9_sa_frame01", (image_file,), label_file, 1, 1, (0, 1, 2)),
        Pair("A0S9V9_sa_frame04", (image_file,), label_file, 4, 4, (0, 3)),
    )
    assert not found.mismatches


def test_a_volume_has_priority_over_the_cine(tmp_path: Path) -> None:
    cine(tmp_path / "images" / "p1_4d.nii.gz")
    volume = image(tmp_path / "images" / "p1_frame04.nii.gz")
    cine_label(tmp_path / "labels" / "p1_4d_gt.nii.gz", {1: (1,), 4: (1,)})
    found = match(tmp_path / "images", tmp_path / "labels")
    assert [(p.name, p.image_frame, p.label_frame) for p in found.pairs] == [
        ("p1_frame01", 1, 1), ("p1_frame04", None, 4),
    ]  # fmt: skip
    assert found.pairs[1].images == (volume,)


def test_a_volume_has_priority_over_a_namesake_cine(tmp_path: Path) -> None:
    cine(tmp_path / "images" / "p1_4d.nii.gz")
    volume = image(tmp_path / "images" / "p1.nii.gz")
    label(tmp_path / "labels" / "p1.nii.gz", 1)
    found = match(tmp_path / "images", tmp_path / "labels")
    assert found.pairs[0].images == (volume,)


def test_ed_and_es_come_from_info_cfg() -> None:
    found = match(SAMPLE, SAMPLE)
    assert [(pair.name, pair.image_frame) for pair in found.pairs] == [
        ("SCD0000301_frame07", 7), ("SCD0000301_frame20", 20),
    ]  # fmt: skip
    assert not found.mismatches


def test_volumes_of_ed_and_es_share_a_patient(tmp_path: Path) -> None:
    for phase in ("ED", "ES"):
        image(tmp_path / f"001_SA_{phase}.nii.gz")
        label(tmp_path / f"001_SA_{phase}_gt.nii.gz", 1)
    cine(tmp_path / "001_SA_CINE.nii.gz")
    found = match(tmp_path, tmp_path)
    assert names(found) == ["001_SA_frameED", "001_SA_frameES"]
    assert {patient_of(name) for name in names(found)} == {"001_SA"}
    assert not found.mismatches


# Nothing to match


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        match(tmp_path / "nowhere", tmp_path / "i")
    assert caught.value.statement == statement(
        NOT_A_FOLDER, folder=tmp_path / "nowhere", contents="images"
    )
    with pytest.raises(DataError) as caught:
        match(tmp_path / "i", tmp_path / "empty")
    assert caught.value.statement == statement(NO_NIFTI_FILES, folder=tmp_path / "empty")


def test_nothing_matches(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz")
    label(tmp_path / "l" / "q1.nii.gz", 1)
    with pytest.raises(DataError) as caught:
        match(tmp_path / "i", tmp_path / "l")
    assert caught.value.values.items() >= {
        ("images", tmp_path / "i"),
        ("labels", tmp_path / "l"),
    }
    assert "p1.nii.gz" in caught.value.values["example"]
    with pytest.raises(DataError) as caught:
        match(tmp_path / "i", tmp_path / "i")  # no file is named like a label
    assert caught.value.values.items() >= {("images", tmp_path / "i"), ("labels", tmp_path / "i")}


# Names of the values


def test_names_are_suggested_by_number(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz")
    label(tmp_path / "l" / "p1.nii.gz", 1, 2, 4)
    assert match(tmp_path / "i", tmp_path / "l").suggested_names == {
        0: "background", 1: "structure 1", 2: "structure 2", 4: "structure 4",
    }  # fmt: skip


@pytest.mark.parametrize("place", ["data/l", "data", "."])
@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "all": [1, 2]},
        {"0": "background", "1": "RV", "2": "MYO", "3": "LV"},
    ],
    ids=["nnU-Net", "nnU-Net 1"],
)
def test_names_of_a_dataset_json_nearby(tmp_path: Path, place: str, labels: dict[str, Any]) -> None:
    image(tmp_path / "data" / "i" / "p1.nii.gz")
    label(tmp_path / "data" / "l" / "p1.nii.gz", 1, 3, 9)
    (tmp_path / place / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert match(tmp_path / "data" / "i", tmp_path / "data" / "l").suggested_names == {
        0: "background", 1: "RV", 3: "LV", 9: "structure 9",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"labels": 3}', '{"labels": {"background": 1, "x": 0}}']
)
def test_an_unusable_dataset_json_nearby_is_ignored(tmp_path: Path, text: str) -> None:
    image(tmp_path / "i" / "p1.nii.gz")
    label(tmp_path / "l" / "p1.nii.gz", 1)
    (tmp_path / "dataset.json").write_text(text)
    found = match(tmp_path / "i", tmp_path / "l").suggested_names
    assert found == {0: "background", 1: "structure 1"}


@pytest.mark.skipif(not ACDC.is_dir(), reason="the ACDC images are missing")
def test_real_acdc_frames(tmp_path: Path) -> None:
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
        for file in (ACDC / folder).glob("patient003_*"):
            (tmp_path / folder / file.name).symlink_to(file)
    shutil.copy(ACDC / "dataset.json", tmp_path)
    found = match(tmp_path / "imagesTr", tmp_path / "labelsTr")
    assert names(found) == ["patient003_frame01", "patient003_frame15"]
    assert found.suggested_names == {0: "background", 1: "RV", 2: "MYO", 3: "LV"}
    assert not found.mismatches
    assert nibabel.load(found.pairs[0].images[0]).shape == (256, 256, 10)
