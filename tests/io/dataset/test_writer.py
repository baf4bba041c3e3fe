"""Datasets of matched folders, with links or copies, which are complete or absent."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.check import check_labels
from napari_bayes_nnunet.io.dataset.matching import match_folders
from napari_bayes_nnunet.io.dataset.raw_dataset import RawDataset
from napari_bayes_nnunet.io.dataset.writer import FOLDER_NOT_EMPTY, write_dataset
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume

from ...helpers.checks.problems import says_only
from ...helpers.data.folders import SHAPE, cine, cine_label, finish, image, label, match

NAMES = {0: "background", 1: "RV", 2: "MYO", 3: "LV"}
SAMPLE = Path(__file__).parents[3] / "src" / "napari_bayes_nnunet" / "sample_data"


def make_pairs(root: Path, count: int = 2) -> Any:
    for number in range(1, count + 1):
        image(root / "i" / f"p{number}_0000.nii.gz")
        label(root / "l" / f"p{number}_gt.nii.gz", 1, 2, 3)
    return match(root / "i", root / "l")


def make(found: Any, folder: Path, **changes: Any) -> RawDataset:
    settings = {"names": NAMES, "channels": ["cine MRI"], "link": False, **changes}
    return finish(write_dataset(found, folder, **settings))[1]


def only_these(folder: Path, *names: str) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("link", [True, False], ids=["links", "copies"])
def test_dataset_of_volumes(tmp_path, link):
    found = make_pairs(tmp_path)
    steps = write_dataset(
        found, tmp_path / "new" / "d", names=NAMES, channels=["cine MRI"], link=link
    )
    progress, dataset = finish(steps)
    assert progress == [(0, 2), (1, 2), (2, 2)]
    assert dataset.path == tmp_path / "new" / "d"
    assert dataset.json == {
        "channel_names": {"0": "cine MRI"},
        "labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    assert [case.name for case in dataset.cases] == ["p1", "p2"]
    for pair, case in zip(found.pairs, dataset.cases, strict=True):
        for made, source in ((case.images[0], pair.images[0]), (case.label, pair.label)):
            assert made.read_bytes() == source.read_bytes()
            assert made.is_symlink() is link
            assert not link or made.resolve() == source
    check_labels(dataset)
    only_these(tmp_path / "new", "d")
    assert dataset.path.stat().st_mode & 0o777 == 0o777 & ~umask()


def umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def test_channels_and_their_names(tmp_path):
    for channel in range(2):
        image(tmp_path / "i" / f"p1_000{channel}.nii.gz")
    label(tmp_path / "l" / "p1.nii.gz", 1)
    found = match(tmp_path / "i", tmp_path / "l")
    dataset = make(found, tmp_path / "d", names={1: "LV"}, channels=None)
    assert dataset.channels == ["MRI 1", "MRI 2"]
    assert len(dataset.cases[0].images) == 2
    dataset = make(found, tmp_path / "e", names={1: "LV"}, channels=["T1", "T2"])
    assert dataset.channels == ["T1", "T2"]


@pytest.mark.parametrize("link", [True, False], ids=["links", "copies"])
def test_frames_are_cut_out_of_cines(tmp_path, link):
    source = cine(tmp_path / "i" / "p1_4d.nii.gz")
    cine_label(tmp_path / "l" / "p1_4d_gt.nii.gz", {2: (1, 2), 4: (3,)})
    dataset = make(match(tmp_path / "i", tmp_path / "l"), tmp_path / "d", link=link)
    assert [case.name for case in dataset.cases] == ["p1_frame02", "p1_frame04"]
    whole = read_volume(source)
    for phase, case in zip((2, 4), dataset.cases, strict=True):
        volume, labels = read_volume(case.images[0]), read_labels(case.label)
        assert np.array_equal(volume.voxels, whole.voxels[phase - 1])
        assert volume.voxels.dtype == whole.voxels.dtype
        assert volume.geometry.same_grid(whole.geometry.frame())
        assert labels.geometry.same_grid(volume.geometry)
        assert not case.label.is_symlink()
    assert read_labels(dataset.cases[1].label).voxels.max() == 3


def test_real_cine_with_labelled_frames(tmp_path):
    dataset = make(match(SAMPLE, SAMPLE), tmp_path / "d", names={2: "MYO", 3: "LV"})
    assert dataset.labels == {"background": 0, "MYO": 1, "LV": 2}
    whole = read_volume(SAMPLE / "SCD0000301_cine.nii.gz")
    es, ed = dataset.cases
    assert np.array_equal(read_volume(ed.images[0]).voxels, whole.voxels[19])
    for case, letters in ((ed, "ED"), (es, "ES")):
        source = read_labels(SAMPLE / f"SCD0000301_{letters}_gt.nii.gz")
        labels = read_labels(case.label)
        assert np.array_equal(labels.voxels == 2, source.voxels == 3)
        assert labels.geometry.same_grid(source.geometry)
        assert read_volume(case.images[0]).spacing == whole.spacing
    check_labels(dataset)


def test_values_are_numbered_without_gaps(tmp_path):
    image(tmp_path / "i" / "p1.nii.gz")
    image(tmp_path / "i" / "p2.nii.gz")
    label(tmp_path / "l" / "p1.nii.gz", 1)
    label(tmp_path / "l" / "p2.nii.gz", 85, 200)
    names = {1: "ignore", 85: "LV", 200: "RV"}
    dataset = make(match(tmp_path / "i", tmp_path / "l"), tmp_path / "d", names=names, link=True)
    assert dataset.labels == {"background": 0, "LV": 1, "RV": 2, "ignore": 3}  # as nnU-Net requires
    assert read_labels(dataset.cases[0].label).voxels.flat[:2].tolist() == [3, 0]
    assert set(np.unique(read_labels(dataset.cases[1].label).voxels)) == {0, 1, 2}
    assert all(case.images[0].is_symlink() for case in dataset.cases)
    assert not any(case.label.is_symlink() for case in dataset.cases)


def test_a_label_that_keeps_its_numbers_is_linked(tmp_path):
    for name, values in (("p1", (1,)), ("p2", (1, 3))):
        image(tmp_path / "i" / f"{name}.nii.gz")
        label(tmp_path / "l" / f"{name}.nii.gz", *values)
    names = {1: "LV", 3: "RV"}
    dataset = make(match(tmp_path / "i", tmp_path / "l"), tmp_path / "d", names=names, link=True)
    assert [case.label.is_symlink() for case in dataset.cases] == [True, False]


def acdc_like(header: Any) -> None:
    header["pixdim"][1:4] = (1.40625, 1.40625, 10)
    header["sform_code"], header["qform_code"] = 2, 0


@pytest.mark.parametrize("link", [True, False], ids=["links", "copies"])
def test_files_unreadable_for_nnunet_are_rewritten(tmp_path, link):
    """Files without compression, also with the name .nii.gz, and with a fourth axis of length 1."""
    image(tmp_path / "i" / "p1.nii")
    image(tmp_path / "i" / "p2.nii").rename(tmp_path / "i" / "p2.nii.gz")
    image(tmp_path / "i" / "p3.nii.gz", (*SHAPE, 1))
    for name in ("p1.nii", "p2.nii", "p3.nii"):
        label(tmp_path / "l" / name, 1, 2, 3)
    content = bytearray((tmp_path / "i" / "p1.nii").read_bytes())
    header = nibabel.Nifti1Header(bytes(content[:348]), check=False)
    acdc_like(header)
    content[:348] = header.binaryblock
    (tmp_path / "i" / "p1.nii").write_bytes(content)
    found = match(tmp_path / "i", tmp_path / "l")
    dataset = make(found, tmp_path / "d", link=link)
    for pair, case in zip(found.pairs, dataset.cases, strict=True):
        made, source = nibabel.load(case.images[0]), read_volume(pair.images[0])
        assert made.shape == SHAPE
        assert case.images[0].read_bytes()[:2] == b"\x1f\x8b"
        assert np.array_equal(read_volume(case.images[0]).voxels, source.voxels)
        for key in ("qform_code", "sform_code", "xyzt_units", "srow_x"):
            assert np.array_equal(made.header[key], source.geometry.parsed()[key]), key
        assert np.array_equal(made.header["pixdim"][:4], source.geometry.parsed()["pixdim"][:4])
        assert nibabel.load(case.label).shape == SHAPE
        assert not case.images[0].is_symlink()


# What is refused


def test_folder_that_is_not_empty(tmp_path):
    found = make_pairs(tmp_path)
    (tmp_path / "d").mkdir()
    assert len(make(found, tmp_path / "d").cases) == 2
    (tmp_path / "file").touch()
    for folder in (tmp_path / "d", tmp_path / "file"):
        with pytest.raises(DataError, check=says_only(FOLDER_NOT_EMPTY, folder=folder)):
            make(found, folder)


def test_system_without_links(tmp_path, monkeypatch):
    found = make_pairs(tmp_path)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(DataError) as caught:
        make(found, tmp_path / "d", link=True)
    assert caught.value.values == {"folder": tmp_path, "reason": "Operation not permitted"}
    only_these(tmp_path, "i", "l")


@pytest.mark.parametrize("what", ["copy", "link", "folder", "cut"])
def test_full_disk(tmp_path, monkeypatch, what):
    if what == "cut":
        cine(tmp_path / "i" / "p1.nii.gz")
        cine_label(tmp_path / "l" / "p1.nii.gz", {1: (1, 2, 3)})
        found = match(tmp_path / "i", tmp_path / "l")
    else:
        found = make_pairs(tmp_path)

    reason = os.strerror(errno.ENOSPC)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, reason)

    owner, name = {
        "copy": (shutil, "copyfile"),
        "link": (Path, "symlink_to"),
        "folder": (Path, "rename"),
        "cut": (nibabel.Nifti1Image, "to_filename"),
    }[what]
    monkeypatch.setattr(owner, name, full)
    with pytest.raises(DataError) as caught:
        make(found, tmp_path / "d", link=what == "link")
    assert str(tmp_path / "d") in str(caught.value)
    assert reason in str(caught.value)
    assert ".writing" not in str(caught.value)
    only_these(tmp_path, "i", "l")


def test_files_changed_since_the_match_are_refused(tmp_path):
    image(tmp_path / "i" / "p1.nii")
    source = label(tmp_path / "l" / "p1.nii", 1, 2)
    found = match(tmp_path / "i", tmp_path / "l")
    label(source, 1, 9)
    with pytest.raises(DataError, check=says_only(file=source, value=9)):
        make(found, tmp_path / "d", names={1: "RV", 2: "LV"})
    found.pairs[0].images[0].unlink()
    with pytest.raises(DataError, match=r"i/p1\.nii "):
        make(found, tmp_path / "d", names={1: "RV", 2: "LV"})
    only_these(tmp_path, "i", "l")


def test_a_missing_image_is_refused(tmp_path):
    found = make_pairs(tmp_path)
    found.pairs[1].images[0].unlink()
    with pytest.raises(DataError, match=r"p2_0000\.nii\.gz"):
        make(found, tmp_path / "d", link=True)
    only_these(tmp_path, "i", "l")


# Ended early


@pytest.mark.parametrize("steps_done", [0, 1, 2, 3])
def test_stopped_writing_leaves_nothing(tmp_path, steps_done):
    found = make_pairs(tmp_path)
    steps = write_dataset(found, tmp_path / "d", names=NAMES, channels=None, link=False)
    for _ in range(steps_done):
        next(steps)
        assert not (tmp_path / "d").exists()
    steps.close()
    only_these(tmp_path, "i", "l")


def test_the_next_write_removes_leftovers(tmp_path):
    found = make_pairs(tmp_path)
    steps = write_dataset(found, tmp_path / "d", names=NAMES, channels=None, link=False)
    next(steps), next(steps)
    (half,) = tmp_path.glob(".writing-d-*")
    leftover = shutil.copytree(half, tmp_path / ".writing-d-4567cdef")  # as after a kill
    steps.close()
    (tmp_path / ".writing-d-2-0123abcd").mkdir()  # of another folder, d-2
    assert len(make(found, tmp_path / "d").cases) == 2
    assert not leftover.exists()
    only_these(tmp_path, "i", "l", "d", ".writing-d-2-0123abcd")


def test_two_windows_that_write_the_same_folder(tmp_path):
    found = make_pairs(tmp_path)
    first = write_dataset(found, tmp_path / "d", names=NAMES, channels=None, link=False)
    next(first), next(first)
    assert len(make(found, tmp_path / "d").cases) == 2
    with pytest.raises(DataError, match=r"d "):
        finish(first)
    assert len(match(tmp_path / "d", tmp_path / "d").pairs) == 2


def test_a_dataset_matches_itself(tmp_path):
    dataset = make(make_pairs(tmp_path), tmp_path / "d", link=True)
    found = finish(match_folders(dataset.path / "imagesTr", dataset.path / "labelsTr"))[1]
    assert [pair.name for pair in found.pairs] == ["p1", "p2"]
    assert found.suggested_names == NAMES
