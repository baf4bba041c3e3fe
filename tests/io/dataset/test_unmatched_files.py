"""Unused files of two folders, each with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from napari_bayes_nnunet.core.problems import Statement, statement
from napari_bayes_nnunet.io.dataset.matching import (
    CHANNEL_SIZES,
    CINE_LABEL_OF_VOLUME,
    EMPTY_LABEL,
    LOOKS_LIKE_IMAGE,
    MISSING_CHANNEL,
    NO_CINE,
    NO_IMAGE,
    NO_LABEL,
    OTHER_CHANNELS,
    OTHER_FRAME_COUNT,
    OTHER_SIZE,
    SECOND_LABEL,
    SEVERAL_IMAGES,
    UNKNOWN_FRAME,
    UNNAMED_FRAME,
    UNREADABLE_FOLDER,
    UNUSABLE_IMAGE,
    UNUSABLE_LABEL,
)
from napari_bayes_nnunet.io.images.nifti import NO_NIFTI, TRUNCATED

from ...helpers.data.folders import (
    SHAPE,
    add_good,
    cine,
    cine_label,
    image,
    label,
    match,
    names,
    reasons,
    write,
)


def check(images: Path, labels: Path, expected: dict[str, Statement | str]) -> None:
    add_good(images, labels)
    found = match(images, labels)
    assert "good" in names(found)
    assert reasons(found) == expected


def test_image_without_label_and_label_without_image(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz")
    cine(tmp_path / "i" / "p2_4d.nii.gz")
    label(tmp_path / "l" / "p3_seg.nii.gz", 1)
    label(tmp_path / "l" / "p4_frame02_gt.nii.gz", 1)
    check(
        tmp_path / "i",
        tmp_path / "l",
        {
            "p1.nii.gz": NO_LABEL,
            "p2_4d.nii.gz": NO_LABEL,
            "p3_seg.nii.gz": NO_IMAGE.format(name="p3"),
            "p4_frame02_gt.nii.gz": NO_IMAGE.format(name="p4_frame02") + NO_CINE.format(cine="p4"),
        },
    )


def test_two_images_of_one_label(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz")
    image(tmp_path / "i" / "p1.nii")
    label(tmp_path / "l" / "p1_gt.nii.gz", 1)
    used = UNUSABLE_LABEL.format(label="p1_gt.nii.gz")
    several = SEVERAL_IMAGES.format(images="p1.nii and p1.nii.gz")
    check(
        tmp_path / "i",
        tmp_path / "l",
        {"p1.nii": used, "p1.nii.gz": used, "p1_gt.nii.gz": several},
    )


def test_two_labels_of_one_image(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz")
    label(tmp_path / "l" / "p1_gt.nii.gz", 1)
    label(tmp_path / "l" / "p1_seg.nii.gz", 1)
    add_good(tmp_path / "i", tmp_path / "l")
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    assert found["p1_gt.nii.gz"] == SECOND_LABEL.format(name="p1", label="p1_seg.nii.gz")
    assert found["p1_seg.nii.gz"] == SECOND_LABEL.format(name="p1", label="p1_gt.nii.gz")
    assert found["p1.nii.gz"] == UNUSABLE_LABEL.format(label="p1_gt.nii.gz")


def test_two_labels_of_a_frame_keep_other_frames(tmp_path: Path) -> None:
    cine(tmp_path / "i" / "p1.nii.gz")
    cine_label(tmp_path / "l" / "p1.nii.gz", {1: (1,), 2: (1,)})
    label(tmp_path / "l" / "p1_frame02.nii.gz", 1)
    found = match(tmp_path / "i", tmp_path / "l")
    assert names(found) == ["p1_frame01"]
    expected = SECOND_LABEL.format(name="p1_frame02", label="p1_frame02.nii.gz")
    assert reasons(found)["p1.nii.gz"] == expected


def test_empty_labels(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz")
    cine(tmp_path / "i" / "p2.nii.gz")
    label(tmp_path / "l" / "p1_gt.nii.gz")
    cine_label(tmp_path / "l" / "p2_gt.nii.gz", {})
    check(
        tmp_path / "i",
        tmp_path / "l",
        {
            "p1_gt.nii.gz": EMPTY_LABEL,
            "p2_gt.nii.gz": EMPTY_LABEL,
            "p1.nii.gz": UNUSABLE_LABEL.format(label="p1_gt.nii.gz"),
            "p2.nii.gz": UNUSABLE_LABEL.format(label="p2_gt.nii.gz"),
        },
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for folder in (tmp_path / "i", tmp_path / "l"):
        folder.mkdir()
    image(tmp_path / "i" / "p1.nii.gz")
    (tmp_path / "l" / "p1_gt.nii.gz").write_bytes(b"no label")
    (tmp_path / "i" / "p2.nii.gz").write_bytes(
        image(tmp_path / "i" / "p3.nii.gz").read_bytes()[:99]
    )
    (tmp_path / "i" / "p3.nii.gz").write_bytes(b"no image")
    (tmp_path / "i" / "p4_4d.nii.gz").write_bytes(b"no image")
    for name in ("p2", "p3", "p4_frame01"):
        label(tmp_path / "l" / f"{name}_gt.nii.gz", 1)
    check(
        tmp_path / "i",
        tmp_path / "l",
        {
            "p1_gt.nii.gz": statement(NO_NIFTI, file="p1_gt.nii.gz"),
            "p1.nii.gz": UNUSABLE_LABEL.format(label="p1_gt.nii.gz"),
            "p4_4d.nii.gz": statement(NO_NIFTI, file="p4_4d.nii.gz"),
            "p4_frame01_gt.nii.gz": UNUSABLE_IMAGE.format(image="p4_4d.nii.gz"),
            "p2.nii.gz": statement(TRUNCATED, file="p2.nii.gz"),
            "p3.nii.gz": statement(NO_NIFTI, file="p3.nii.gz"),
            "p2_gt.nii.gz": UNUSABLE_IMAGE.format(image="p2.nii.gz"),
            "p3_gt.nii.gz": UNUSABLE_IMAGE.format(image="p3.nii.gz"),
        },
    )


def test_a_file_with_the_wrong_ending_is_read(tmp_path: Path) -> None:
    plain = cine(tmp_path / "i" / "p1.nii")
    plain.rename(tmp_path / "i" / "p1.nii.gz")  # not compressed
    label(tmp_path / "l" / "p1_frame02.nii.gz", 1)
    assert names(match(tmp_path / "i", tmp_path / "l")) == ["p1_frame02"]


def test_files_that_are_no_labels(tmp_path: Path) -> None:
    add_good(tmp_path / "i", tmp_path / "l")
    (tmp_path / "l" / "p1_gt.nii.gz").write_bytes(b"no label")
    image(tmp_path / "l" / "p2_gt.nii.gz")
    write(tmp_path / "l" / "p3_gt.nii.gz", np.full(SHAPE, 0.5, np.float32))
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    assert found["p1_gt.nii.gz"] == statement(NO_NIFTI, file="p1_gt.nii.gz")
    assert found["p2_gt.nii.gz"] == NO_IMAGE.format(name="p2")
    assert "0.5" in str(found["p3_gt.nii.gz"])


def test_an_image_in_the_place_of_a_label(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz", (10, 10, 5))
    image(tmp_path / "l" / "p1_gt.nii.gz", (10, 10, 5))
    add_good(tmp_path / "i", tmp_path / "l")
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    assert found["p1_gt.nii.gz"] == LOOKS_LIKE_IMAGE.format(count=500)


def test_frames_that_do_not_exist(tmp_path: Path) -> None:
    for name in ("p1", "p2", "p3", "p4"):
        cine(tmp_path / "i" / f"{name}.nii.gz")
    label(tmp_path / "l" / "p1_frame00.nii.gz", 1)
    label(tmp_path / "l" / "p1_frame04.nii.gz", 1)
    label(tmp_path / "l" / "p1_frame05.nii.gz", 1)
    label(tmp_path / "l" / "p2_gt.nii.gz", 1)
    label(tmp_path / "l" / "p3_ED_gt.nii.gz", 1)
    cine_label(tmp_path / "l" / "p4_gt.nii.gz", {1: (1,)}, phases=3)
    add_good(tmp_path / "i", tmp_path / "l")
    found = match(tmp_path / "i", tmp_path / "l")
    assert names(found) == ["good", "p1_frame04"]
    labels = {name: why for name, why in reasons(found).items() if (tmp_path / "l" / name).exists()}
    assert labels == {
        "p1_frame00.nii.gz": UNKNOWN_FRAME.format(frame=0, image="p1.nii.gz", frames=4),
        "p1_frame05.nii.gz": UNKNOWN_FRAME.format(frame=5, image="p1.nii.gz", frames=4),
        "p2_gt.nii.gz": UNNAMED_FRAME.format(
            image="p2.nii.gz", frames=4, example="p2_frame01_gt.nii.gz"
        ),
        "p3_ED_gt.nii.gz": UNNAMED_FRAME.format(
            image="p3.nii.gz", frames=4, example="p3_frame01_gt.nii.gz"
        ),
        "p4_gt.nii.gz": OTHER_FRAME_COUNT.format(frames=3, image="p4.nii.gz", expected=4),
    }


def test_damaged_info_cfg(tmp_path: Path) -> None:
    cine(tmp_path / "i" / "p1.nii.gz")
    (tmp_path / "i" / "Info.cfg").write_text("ED: first")
    label(tmp_path / "l" / "p1_ED_gt.nii.gz", 1)
    add_good(tmp_path / "i", tmp_path / "l")
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    assert found["p1_ED_gt.nii.gz"].values == {"file": tmp_path / "i" / "Info.cfg"}


def test_cine_labels_of_a_volume(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz")
    cine_label(tmp_path / "l" / "p1_gt.nii.gz", {1: (1,)})
    add_good(tmp_path / "i", tmp_path / "l")
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    assert found["p1_gt.nii.gz"] == CINE_LABEL_OF_VOLUME.format(frames=4, image="p1.nii.gz")


def test_label_of_another_size(tmp_path: Path) -> None:
    image(tmp_path / "i" / "p1.nii.gz", (7, 5, 3))
    label(tmp_path / "l" / "p1_gt.nii.gz", 1)
    add_good(tmp_path / "i", tmp_path / "l")
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    sizes = {"voxels": "6 x 5 x 3", "image": "p1.nii.gz", "expected": "7 x 5 x 3"}
    assert found["p1_gt.nii.gz"] == OTHER_SIZE.format(**sizes)


def test_channels_that_do_not_fit(tmp_path: Path) -> None:
    for name in ("good", "fine"):
        for channel in range(2):
            image(tmp_path / "i" / f"{name}_000{channel}.nii.gz")
        label(tmp_path / "l" / f"{name}.nii.gz", 1)
    image(tmp_path / "i" / "p1_0000.nii.gz")
    image(tmp_path / "i" / "p2_0000.nii.gz")
    image(tmp_path / "i" / "p2_0001.nii.gz", (7, 5, 3))
    image(tmp_path / "i" / "p3_0000.nii.gz")
    image(tmp_path / "i" / "p3_0002.nii.gz")
    for name in ("p1", "p2", "p3"):
        label(tmp_path / "l" / f"{name}_gt.nii.gz", 1)
    found = match(tmp_path / "i", tmp_path / "l")
    assert names(found) == ["fine", "good"]
    why = reasons(found)
    assert why["p1_0000.nii.gz"] == OTHER_CHANNELS.format(last=0, usual=1)
    assert why["p1_gt.nii.gz"] == UNUSABLE_IMAGE.format(image="p1_0000.nii.gz")
    sizes = CHANNEL_SIZES.format(channel="p2_0001.nii.gz", voxels="7 x 5 x 3")
    assert why["p2_0000.nii.gz"] == sizes
    assert why["p3_0002.nii.gz"] == MISSING_CHANNEL


def test_a_sub_folder_that_cannot_be_opened(tmp_path: Path) -> None:
    add_good(tmp_path / "i", tmp_path / "l")
    locked = tmp_path / "i" / "locked"
    locked.mkdir(mode=0)
    try:
        if not os.access(locked, os.R_OK):
            assert reasons(match(tmp_path / "i", tmp_path / "l")) == {
                "locked": UNREADABLE_FOLDER.format(reason="Permission denied")
            }
    finally:
        locked.chmod(0o700)
