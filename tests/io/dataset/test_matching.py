"""Matching of the images and labels of two folders."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, TypeAlias

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.core.problems import statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset import matching as m
from napari_bayes_nnunet.io.dataset.matching import (
    IMAGE_AMONG_LABELS,
    LABEL_AMONG_IMAGES,
    NO_NIFTI_FILES,
    Pair,
    match_folders,
)
from napari_bayes_nnunet.io.dataset.patients import patient_of
from napari_bayes_nnunet.io.files.given_path import NOT_A_FOLDER
from napari_bayes_nnunet.io.images.nifti import NO_NIFTI, TRUNCATED

from ...helpers.checks.problems import says_only
from ...helpers.data.folders import (
    SHAPE,
    add_good,
    cine,
    cine_label,
    finish,
    image,
    label,
    match,
    names,
    reasons,
    write,
)

SAMPLE = Path(__file__).parents[3] / "src" / "napari_bayes_nnunet" / "sample_data"
ACDC = Path(__file__).parents[4] / "shared" / "data" / "acdc"
# Volumes


def test_volumes_of_two_folders(tmp_path):
    file = image(tmp_path / "images" / "p1_0000.nii.gz")
    image(tmp_path / "images" / "p2_0000.nii.gz")
    lab = label(tmp_path / "labels" / "p1_gt.nii.gz", 1, 3)
    label(tmp_path / "labels" / "p2_gt.nii.gz", 2)
    progress, found = finish(match_folders(tmp_path / "images", tmp_path / "labels"))
    assert found.pairs[0] == Pair("p1", (file,), lab, None, None, (0, 1, 3))
    assert found.pairs[1].values == (0, 2)
    assert (found.values, found.mismatches) == ((0, 1, 2, 3), ())
    assert progress[-3:] == [(0, 2), (1, 2), (2, 2)]


def test_channels_are_found_together(tmp_path):
    files = [image(tmp_path / "images" / f"p1_000{c}.nii.gz") for c in range(3)]
    label(tmp_path / "labels" / "p1.nii.gz", 1)
    found = match(tmp_path / "images", tmp_path / "labels")
    assert found.pairs[0].images == tuple(files)
    assert not found.mismatches


@pytest.mark.parametrize("kind", ["heart", "label"])
def test_numbers_that_count_cases_rather_than_channels(tmp_path, kind):
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


def test_hidden_files_and_folders_are_skipped(tmp_path):
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
def test_one_folder_may_lie_in_the_other(tmp_path, images, labels):
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


def test_the_layout_of_acdc(tmp_path):
    root = make_acdc(tmp_path / "training")
    found = match(root, root)
    assert names(found) == [f"patient00{p}_frame0{f}" for p in (1, 2) for f in (1, 3)]
    assert all(pair.image_frame is None for pair in found.pairs)
    assert not found.mismatches  # the cines are not needed


def test_two_folders_with_images_and_labels(tmp_path):
    one = make_acdc(tmp_path / "one")
    other = shutil.copytree(one, tmp_path / "other")
    found = match(one, other)
    assert len(found.pairs) == 4
    templates = {mismatch.reason.template for mismatch in found.mismatches}
    assert templates == {LABEL_AMONG_IMAGES, IMAGE_AMONG_LABELS}


def test_missing_volumes_are_extracted_from_a_cine(tmp_path):
    root = make_acdc(tmp_path, frames=False)
    image(root / "patient001" / "patient001_frame03.nii.gz")
    found = match(root, root)
    assert names(found) == [f"patient00{p}_frame0{f}" for p in (1, 2) for f in (1, 3)]
    assert [pair.image_frame for pair in found.pairs] == [1, None, 1, 3]
    assert found.pairs[0].images == (root / "patient001" / "patient001_4d.nii.gz",)
    assert {pair.label_frame for pair in found.pairs} == {None}


def test_same_file_names_of_several_patients(tmp_path):
    for patient in ("p1", "p2"):
        image(tmp_path / "images" / patient / "sa.nii.gz")
        label(tmp_path / "labels" / patient / "sa_gt.nii.gz", 1)
        image(tmp_path / "images" / patient / "image.nii.gz")
        label(tmp_path / "labels" / patient / "label.nii.gz", 1)
    found = match(tmp_path / "images", tmp_path / "labels")
    assert names(found) == ["p1", "p1_sa", "p2", "p2_sa"]
    assert all(pair.images[0].parent.name == pair.label.parent.name for pair in found.pairs)


def test_images_in_sub_folders_and_labels_without(tmp_path):
    image(tmp_path / "images" / "p1" / "p1_frame01.nii.gz")
    label(tmp_path / "labels" / "p1_frame01_gt.nii.gz", 1)
    assert names(match(tmp_path / "images", tmp_path / "labels")) == ["p1_frame01"]


def test_test_images_of_a_dataset_are_ignored(tmp_path):
    image(tmp_path / "imagesTr" / "p1_0000.nii.gz")
    label(tmp_path / "labelsTr" / "p1.nii.gz", 1)
    image(tmp_path / "imagesTs" / "p2_0000.nii.gz")
    label(tmp_path / "labelsTs" / "p2.nii.gz", 1)
    assert names(match(tmp_path, tmp_path)) == ["p1"]


# Cines


def test_frames_with_labels_of_a_cine(tmp_path):
    image_file = cine(tmp_path / "images" / "A0S9V9_sa.nii.gz")
    label_file = cine_label(tmp_path / "labels" / "A0S9V9_sa_gt.nii.gz", {1: (1, 2), 4: (3,)})
    found = match(tmp_path / "images", tmp_path / "labels")
    assert found.pairs == (
        Pair("A0S9V9_sa_frame01", (image_file,), label_file, 1, 1, (0, 1, 2)),
        Pair("A0S9V9_sa_frame04", (image_file,), label_file, 4, 4, (0, 3)),
    )
    assert not found.mismatches


def test_a_volume_has_priority_over_the_cine(tmp_path):
    cine(tmp_path / "images" / "p1_4d.nii.gz")
    volume = image(tmp_path / "images" / "p1_frame04.nii.gz")
    cine_label(tmp_path / "labels" / "p1_4d_gt.nii.gz", {1: (1,), 4: (1,)})
    found = match(tmp_path / "images", tmp_path / "labels")
    assert [(p.name, p.image_frame, p.label_frame) for p in found.pairs] == [
        ("p1_frame01", 1, 1), ("p1_frame04", None, 4),
    ]  # fmt: skip
    assert found.pairs[1].images == (volume,)


def test_a_volume_has_priority_over_a_namesake_cine(tmp_path):
    cine(tmp_path / "images" / "p1_4d.nii.gz")
    volume = image(tmp_path / "images" / "p1.nii.gz")
    label(tmp_path / "labels" / "p1.nii.gz", 1)
    found = match(tmp_path / "images", tmp_path / "labels")
    assert found.pairs[0].images == (volume,)


def test_ed_and_es_come_from_info_cfg():
    found = match(SAMPLE, SAMPLE)
    assert [(pair.name, pair.image_frame) for pair in found.pairs] == [
        ("SCD0000301_frame07", 7), ("SCD0000301_frame20", 20),
    ]  # fmt: skip
    assert not found.mismatches


def test_volumes_of_ed_and_es_share_a_patient(tmp_path):
    for phase in ("ED", "ES"):
        image(tmp_path / f"001_SA_{phase}.nii.gz")
        label(tmp_path / f"001_SA_{phase}_gt.nii.gz", 1)
    cine(tmp_path / "001_SA_CINE.nii.gz")
    found = match(tmp_path, tmp_path)
    assert names(found) == ["001_SA_frameED", "001_SA_frameES"]
    assert {patient_of(name) for name in names(found)} == {"001_SA"}
    assert not found.mismatches


# Nothing to match


def test_unusable_folders_are_refused(tmp_path):
    image(tmp_path / "i" / "p1.nii.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, check=says_only(NOT_A_FOLDER, folder=tmp_path / "nowhere", contents="images")
    ):
        match(tmp_path / "nowhere", tmp_path / "i")
    with pytest.raises(DataError, check=says_only(NO_NIFTI_FILES, folder=tmp_path / "empty")):
        match(tmp_path / "i", tmp_path / "empty")


def test_nothing_matches(tmp_path):
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


def test_names_are_suggested_by_number(tmp_path):
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
def test_names_of_a_dataset_json_nearby(tmp_path, place, labels):
    image(tmp_path / "data" / "i" / "p1.nii.gz")
    label(tmp_path / "data" / "l" / "p1.nii.gz", 1, 3, 9)
    (tmp_path / place / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert match(tmp_path / "data" / "i", tmp_path / "data" / "l").suggested_names == {
        0: "background", 1: "RV", 3: "LV", 9: "structure 9",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"labels": 3}', '{"labels": {"background": 1, "x": 0}}']
)
def test_an_unusable_dataset_json_nearby_is_ignored(tmp_path, text):
    image(tmp_path / "i" / "p1.nii.gz")
    label(tmp_path / "l" / "p1.nii.gz", 1)
    (tmp_path / "dataset.json").write_text(text)
    found = match(tmp_path / "i", tmp_path / "l").suggested_names
    assert found == {0: "background", 1: "structure 1"}


@pytest.mark.skipif(not ACDC.is_dir(), reason="the ACDC images are missing")
def test_real_acdc_frames(tmp_path):
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


Content: TypeAlias = tuple[int, ...] | list[int] | dict[int, tuple[int, ...]] | bytes
VOLUME, CINE = SHAPE, (*SHAPE, 4)
OTHER = (7, 5, 3)
SEEN, USUAL = "6 x 5 x 3", "7 x 5 x 3"


def make(file: Path, content: Content) -> None:
    """Write an image of a shape, a label of some values or frames, or a file of some bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif isinstance(content, list):
        label(file, *content)
    elif isinstance(content, dict):
        cine_label(file, content, phases=content.get(0, (4,))[0])
    else:
        image(file, content)


def row(template: str, **values: Any) -> tuple[str, dict[str, Any]]:
    return template, values


UNUSED: dict[str, tuple[dict[str, Content], dict[str, tuple[str, dict[str, Any]]]]] = {
    "no label": (
        {"i/p1": VOLUME, "i/p2_4d": CINE},
        {"p1": row(m.NO_LABEL), "p2_4d": row(m.NO_LABEL)},
    ),
    "no image": (
        {"l/p3_seg": [1], "l/p4_frame02_gt": [1]},
        {
            "p3_seg": row(m.NO_IMAGE, name="p3", cine="p3"),
            "p4_frame02_gt": row(m.NO_IMAGE_NOR_CINE, name="p4_frame02", cine="p4"),
        },
    ),
    "of another patient": (
        {"i/p1/sa": VOLUME, "l/p2/sa_gt": [1]},
        {"sa": row(m.NO_LABEL), "sa_gt": row(m.NO_IMAGE, name="sa", cine="sa")},
    ),
    "several images": (
        {"i/p1": VOLUME, "i/p1.nii": VOLUME, "l/p1_gt": [1]},
        {"p1_gt": row(m.SEVERAL_IMAGES, images="p1.nii and p1.nii.gz")},
    ),
    "several labels": (
        {"i/p1": VOLUME, "l/p1_gt": [1], "l/p1_seg": [1]},
        {
            "p1_gt": row(m.SECOND_LABEL, name="p1", label="p1_seg.nii.gz"),
            "p1_seg": row(m.SECOND_LABEL, name="p1", label="p1_gt.nii.gz"),
        },
    ),
    "empty": (
        {"i/p1": VOLUME, "i/p2": CINE, "l/p1_gt": [], "l/p2_gt": {}},
        {"p1_gt": row(m.EMPTY_LABEL), "p2_gt": row(m.EMPTY_LABEL)},
    ),
    "damaged": (
        {"i/p1": VOLUME, "l/p1_gt": b"no label", "i/p3": b"no image", "l/p3_gt": [1]}
        | {"i/p4_4d": b"no image", "l/p4_frame01_gt": [1]},
        {
            "p1_gt": row(NO_NIFTI),
            "p3_gt": row(NO_NIFTI, file="p3.nii.gz"),
            "p4_frame01_gt": row(NO_NIFTI, file="p4_4d.nii.gz"),
        },
    ),
    "an image": (
        {"i/p1": (10, 10, 5), "l/p1_gt": (10, 10, 5)},
        {"p1_gt": row(m.LOOKS_LIKE_IMAGE, count=500)},
    ),
    "missing frames": (
        {f"i/p{n}": CINE for n in range(1, 5)}
        | {"l/p1_frame00": [1], "l/p1_frame05": [1], "l/p2_gt": [1], "l/p3_ED_gt": [1]}
        | {"l/p4_gt": {1: (1,), 0: (3,)}},
        {
            "p1_frame00": row(m.UNKNOWN_FRAME, phase=0, image="p1.nii.gz", phases=4),
            "p1_frame05": row(m.UNKNOWN_FRAME, phase=5, image="p1.nii.gz", phases=4),
            "p2_gt": row(
                m.UNNAMED_FRAME, image="p2.nii.gz", phases=4, example="p2_frame01_gt.nii.gz"
            ),
            "p3_ED_gt": row(
                m.UNNAMED_FRAME, image="p3.nii.gz", phases=4, example="p3_frame01_gt.nii.gz"
            ),
            "p4_gt": row(
                m.OTHER_SIZE, voxels=f"{SEEN} x 3", image="p4.nii.gz", expected=f"{SEEN} x 4"
            ),
        },
    ),
    "frames of a volume": (
        {"i/p1": VOLUME, "l/p1_gt": {1: (1,)}},
        {"p1_gt": row(m.NO_IMAGE_NOR_CINE, name="p1_frame01", cine="p1")},
    ),
    "another size": (
        {"i/p1": OTHER, "l/p1_gt": [1]},
        {"p1_gt": row(m.OTHER_SIZE, voxels=SEEN, image="p1.nii.gz", expected=USUAL)},
    ),
    "channels of several sizes": (
        {"i/p2_0000": VOLUME, "i/p2_0001": OTHER, "l/p2_gt": [1]},
        {
            "p2_gt": row(
                m.OTHER_SIZE,
                file="p2_0001.nii.gz",
                voxels=USUAL,
                image="p2_0000.nii.gz",
                expected=SEEN,
            )
        },
    ),
    "few channels": (
        {f"i/{name}_000{c}": VOLUME for name in ("a", "b") for c in range(2)}
        | {"l/a": [1], "l/b": [1], "i/p3_0000": VOLUME, "i/p3_0002": VOLUME, "l/p3_gt": [1]},
        {
            "p3_0002": row(m.MISSING_CHANNEL),
            "p3_gt": row(m.OTHER_CHANNELS, last=0, usual=1),
            "good": row(m.OTHER_CHANNELS, last=0, usual=1),
        },
    ),
    "in the wrong folder": (
        {"i/p1": VOLUME, "i/p1_gt": [1], "l/p1": VOLUME, "l/p1_gt": [1]},
        {"p1_gt": row(m.LABEL_AMONG_IMAGES), "p1": row(m.IMAGE_AMONG_LABELS)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNUSED)
def test_unused_file_has_its_reason(tmp_path, kind):
    files, expected = UNUSED[kind]
    for name, content in files.items():
        make(tmp_path / (name if "." in name else f"{name}.nii.gz"), content)
    add_good(tmp_path / "i", tmp_path / "l")
    found = match(tmp_path / "i", tmp_path / "l")
    assert ("good" in names(found)) is ("good" not in expected)
    assert reasons(found) == {
        f"{name}.nii.gz": statement(template, **{"file": f"{name}.nii.gz", **values})
        for name, (template, values) in expected.items()
    }


def test_cut_image_and_label_of_fractions(tmp_path):
    write(tmp_path / "l" / "p3_gt.nii.gz", np.full(SHAPE, 0.5, np.float32))
    cut = image(tmp_path / "i" / "p2.nii.gz")
    cut.write_bytes(cut.read_bytes()[:99])
    label(tmp_path / "l" / "p2_gt.nii.gz", 1)
    add_good(tmp_path / "i", tmp_path / "l")
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    assert "0.5" in str(found["p3_gt.nii.gz"])
    assert found["p2_gt.nii.gz"] == statement(TRUNCATED, file="p2.nii.gz")


def test_two_labels_of_a_frame_keep_other_frames(tmp_path):
    cine(tmp_path / "i" / "p1.nii.gz")
    cine_label(tmp_path / "l" / "p1.nii.gz", {1: (1,), 2: (1,)})
    label(tmp_path / "l" / "p1_frame02.nii.gz", 1)
    found = match(tmp_path / "i", tmp_path / "l")
    assert names(found) == ["p1_frame01"]
    values = {"name": "p1_frame02", "label": "p1_frame02.nii.gz"}
    assert reasons(found)["p1.nii.gz"] == statement(m.SECOND_LABEL, file="p1.nii.gz", **values)


def test_damaged_info_cfg(tmp_path):
    cine(tmp_path / "i" / "p1.nii.gz")
    (tmp_path / "i" / "Info.cfg").write_text("ED: first")
    label(tmp_path / "l" / "p1_ED_gt.nii.gz", 1)
    add_good(tmp_path / "i", tmp_path / "l")
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    assert found["p1_ED_gt.nii.gz"].values == {"file": tmp_path / "i" / "Info.cfg"}


def test_a_sub_folder_that_cannot_be_opened(tmp_path):
    add_good(tmp_path / "i", tmp_path / "l")
    locked = tmp_path / "i" / "locked"
    locked.mkdir(mode=0)
    try:
        if not os.access(locked, os.R_OK):
            values = {"file": "locked", "reason": "Permission denied"}
            assert reasons(match(tmp_path / "i", tmp_path / "l")) == {
                "locked": statement(m.UNREADABLE_FOLDER, **values)
            }
    finally:
        locked.chmod(0o700)
