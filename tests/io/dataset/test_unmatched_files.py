"""Unused files of two folders, each with its reason."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from napari_bayes_nnunet.core.problems import statement
from napari_bayes_nnunet.io.dataset import matching as m
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
            "p1_frame00": row(m.UNKNOWN_FRAME, frame=0, image="p1.nii.gz", frames=4),
            "p1_frame05": row(m.UNKNOWN_FRAME, frame=5, image="p1.nii.gz", frames=4),
            "p2_gt": row(
                m.UNNAMED_FRAME, image="p2.nii.gz", frames=4, example="p2_frame01_gt.nii.gz"
            ),
            "p3_ED_gt": row(
                m.UNNAMED_FRAME, image="p3.nii.gz", frames=4, example="p3_frame01_gt.nii.gz"
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
def test_unused_file_has_its_reason(tmp_path: Path, kind: str) -> None:
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


def test_cut_image_and_label_of_fractions(tmp_path: Path) -> None:
    write(tmp_path / "l" / "p3_gt.nii.gz", np.full(SHAPE, 0.5, np.float32))
    cut = image(tmp_path / "i" / "p2.nii.gz")
    cut.write_bytes(cut.read_bytes()[:99])
    label(tmp_path / "l" / "p2_gt.nii.gz", 1)
    add_good(tmp_path / "i", tmp_path / "l")
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    assert "0.5" in str(found["p3_gt.nii.gz"])
    assert found["p2_gt.nii.gz"] == statement(TRUNCATED, file="p2.nii.gz")


def test_two_labels_of_a_frame_keep_other_frames(tmp_path: Path) -> None:
    cine(tmp_path / "i" / "p1.nii.gz")
    cine_label(tmp_path / "l" / "p1.nii.gz", {1: (1,), 2: (1,)})
    label(tmp_path / "l" / "p1_frame02.nii.gz", 1)
    found = match(tmp_path / "i", tmp_path / "l")
    assert names(found) == ["p1_frame01"]
    values = {"name": "p1_frame02", "label": "p1_frame02.nii.gz"}
    assert reasons(found)["p1.nii.gz"] == statement(m.SECOND_LABEL, file="p1.nii.gz", **values)


def test_a_file_with_the_wrong_ending_is_read(tmp_path: Path) -> None:
    plain = cine(tmp_path / "i" / "p1.nii")
    plain.rename(tmp_path / "i" / "p1.nii.gz")  # not compressed
    label(tmp_path / "l" / "p1_frame02.nii.gz", 1)
    assert names(match(tmp_path / "i", tmp_path / "l")) == ["p1_frame02"]


def test_damaged_info_cfg(tmp_path: Path) -> None:
    cine(tmp_path / "i" / "p1.nii.gz")
    (tmp_path / "i" / "Info.cfg").write_text("ED: first")
    label(tmp_path / "l" / "p1_ED_gt.nii.gz", 1)
    add_good(tmp_path / "i", tmp_path / "l")
    found = reasons(match(tmp_path / "i", tmp_path / "l"))
    assert found["p1_ED_gt.nii.gz"].values == {"file": tmp_path / "i" / "Info.cfg"}


def test_a_sub_folder_that_cannot_be_opened(tmp_path: Path) -> None:
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
