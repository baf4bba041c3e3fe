"""Corrected cases, which are only for training and keep their origin."""

from __future__ import annotations

import errno
import json
import os
import threading
from dataclasses import replace as changed
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from filelock import FileLock

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset import corrected_cases
from napari_bayes_nnunet.io.dataset.check import check_labels
from napari_bayes_nnunet.io.dataset.corrected_cases import (
    BAD_CASE_NAME,
    CORRECTIONS_LOCK,
    DIFFERENT_IMAGE,
    NAMELESS_LABEL,
    ORIGINAL_CASE,
    SIMILAR_CASE,
    UNKNOWN_STRUCTURE,
    WRONG_CHANNELS,
    add_training_case,
)
from napari_bayes_nnunet.io.dataset.raw_dataset import (
    RawDataset,
    patient_splits,
    read_dataset,
    read_splits,
    splits_to_json,
)
from napari_bayes_nnunet.io.dataset.writer import BUSY_FOLDER
from napari_bayes_nnunet.io.images.nifti import Volume, read_labels, read_volume, write_image

from ...helpers.checks.problems import says, says_only
from ...helpers.data.hearts import LABELS, make_dataset
from ...helpers.processes.kills import killed_anywhere

ORIGIN = {"study": "S7", "reader": "A", "date": "2026-11-25", "source_sha256": "00ff"}
ACDC = Path(__file__).parents[4] / "shared" / "data" / "acdc"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Patients 001 to 003, two frames each."""
    return make_dataset(tmp_path / "data", patients=3)


@pytest.fixture
def image(tmp_path: Path) -> Volume:
    """A heart that is not in the dataset."""
    other = make_dataset(tmp_path / "other", patients=1, frames=1)
    return read_volume(other / "imagesTr" / "patient001_frame01_0000.nii.gz")


def add(data: Path, image: Volume, **changes: Any) -> RawDataset:
    labels = np.zeros(image.shape, np.uint8)
    labels[1, 10:20, 10:20] = 2
    settings: dict[str, Any] = {
        "name": "patient009_frame01",
        "images": [image],
        "labels": labels,
        "names": LABELS,
        "origin": ORIGIN,
        **changes,
    }
    return add_training_case(data, **settings)


def freeze(data: Path) -> list[Any]:
    """Write the current splits of the dataset; return them."""
    splits = patient_splits([case.name for case in read_dataset(data).cases])
    (data / "splits_final.json").write_text(json.dumps(splits_to_json(splits)))
    return splits


def frozen(data: Path) -> list[Any]:
    names = [case.name for case in read_dataset(data).cases]
    return read_splits(data / "splits_final.json", names)


def files(data: Path) -> dict[str, bytes]:
    """Return the content of all files but the lock, which stays."""
    kept = (file for file in data.rglob("*") if file.is_file() and file.name != CORRECTIONS_LOCK)
    return {str(file.relative_to(data)): file.read_bytes() for file in kept}


# Added cases


def test_a_case_is_added(data, image):
    before = files(data)
    dataset = add(data, image)
    case = next(c for c in dataset.cases if c.name == "patient009_frame01")
    written = read_volume(case.images[0])
    assert np.array_equal(written.voxels, image.voxels)
    assert written.geometry.same_grid(image.geometry)
    labels = read_labels(case.label)
    assert (labels.voxels == 2).sum() == 100
    assert labels.geometry.same_grid(image.geometry)
    assert dataset.corrections == {"patient009_frame01": ORIGIN}
    assert json.loads((data / "corrections.json").read_text()) == dataset.corrections
    assert dataset.json == {**json.loads(before["dataset.json"]), "numTraining": 7}
    assert len(dataset.cases) == 7
    kept = {name: content for name, content in files(data).items() if name in before}
    assert kept == {**before, "dataset.json": kept["dataset.json"]}
    check_labels(dataset)


def test_a_given_spacing_is_that_of_the_training(data, image):
    given = image.with_spacing((7.0, 2.5, 2.0))
    for _ in range(2):
        dataset = add(data, given)
    case = next(c for c in dataset.cases if c.name == "patient009_frame01")
    for file in (case.images[0], case.label):
        header: Any = nibabel.load(file).header
        assert header.get_zooms() == pytest.approx((2.0, 2.5, 7.0))
        assert read_volume(file).geometry.other_spacing is None


@pytest.mark.parametrize(
    ("names", "value", "number"),
    [
        ({"background": 0, "LV": 1, "MYO": 2, "RV": 3}, 1, 3),
        ({"Left ventricle": 500}, 500, 3),
        ({"LV cavity": 7, "scar": 9}, 7, 3),
        ({"myocardium": 1}, 1, 2),
        ({"rv": 4}, 4, 1),
        ({"air": 0, "background": 5, "RV": 1}, 5, 0),
    ],
)
def test_labels_of_another_numbering(data, image, names, value, number):
    labels = np.zeros(image.shape, np.int64)
    labels[0, 0, 0] = value
    dataset = add(data, image, labels=labels, names=names)
    case = next(case for case in dataset.cases if case.name == "patient009_frame01")
    assert read_labels(case.label).voxels[0, 0, 0] == number
    assert read_labels(case.label).voxels.sum() == number


# Splits


def test_the_case_is_trained_on_in_every_fold(data, image):
    before = freeze(data)
    add(data, image)
    for split, old in zip(frozen(data), before, strict=True):
        assert split.train == (*old.train, "patient009_frame01")
        assert split.validation == old.validation


def test_a_held_back_patient_stays_held_back(data, image):
    before = freeze(data)
    add(data, image, name="patient002_frame07")
    held = [any("patient002" in name for name in split.validation) for split in before]
    assert held.count(True) == 1
    for split, old, is_held in zip(frozen(data), before, held, strict=True):
        assert split.validation == old.validation
        assert split.train == (old.train if is_held else (*old.train, "patient002_frame07"))


def test_no_fold_can_take_the_case(data, image):
    rows = [{"train": ["patient001_frame01"], "val": ["patient002_frame01"]}]
    (data / "splits_final.json").write_text(json.dumps(rows))
    before = files(data)
    with pytest.raises(DataError, check=says_only(case="patient002_frame09", patient="patient002")):
        add(data, image, name="patient002_frame09")
    assert files(data) == before


# Again


def test_a_correction_with_another_image_is_refused(data, image):
    add(data, image)
    before = files(data)
    with pytest.raises(DataError, check=says(DIFFERENT_IMAGE)):
        add(data, changed(image, voxels=image.voxels + 1))
    assert files(data) == before


def test_the_datasets_own_cases_are_not_replaced(data, image):
    with pytest.raises(DataError) as caught:
        add(data, image, name="patient001_frame01")
    assert caught.value.statement.template == ORIGINAL_CASE
    assert caught.value.values == {"case": "patient001_frame01", "dataset": data}


# Refusals, before anything is written


@pytest.mark.parametrize(
    ("change", "template", "values"),
    [
        (
            lambda i: {"images": [i, i]},
            *(WRONG_CHANNELS, {"expected": "1 channel", "channels": "cine 0", "count": 2}),
        ),
        (lambda i: {"images": []}, WRONG_CHANNELS, {"count": 0}),
        (lambda i: {"names": {"LV": 1}}, NAMELESS_LABEL, {"value": 2, "known": "1 (LV)"}),
        (
            lambda i: {"names": {"scar": 2}},
            *(UNKNOWN_STRUCTURE, {"structure": "scar", "known": "RV, MYO, LV"}),
        ),
        (lambda i: {"name": "../a"}, BAD_CASE_NAME, {"name": "../a"}),
        (lambda i: {"name": ""}, BAD_CASE_NAME, {"name": ""}),
        (
            lambda i: {"name": "PATIENT001_frame01"},
            *(SIMILAR_CASE, {"other": "patient001_frame01"}),
        ),
    ],
)
def test_unsuitable_cases_are_refused(data, image, change, template, values):
    freeze(data)
    before = files(data)
    with pytest.raises(DataError, check=says(template, **values)):
        add(data, image, **change(image))
    assert files(data) == before


def test_datasets_of_other_files(tmp_path, image):
    data = make_dataset(tmp_path / "data", file_ending=".nii.gz")
    for file in [*data.glob("*Tr/*")]:
        file.rename(file.with_name(file.name.replace(".nii.gz", ".mha")))
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**content, "file_ending": ".mha"}))
    with pytest.raises(DataError, check=says_only(dataset=data, ending=".mha")):
        add(data, image)


# Several windows


def test_two_windows_add_one_after_the_other(data, image, monkeypatch):
    freeze(data)
    names = ["patient008_frame01", "patient009_frame01"]
    second = threading.Thread(target=add, args=(data, image), kwargs={"name": names[0]})

    def write(*given: Any) -> None:
        if not second.ident:
            second.start()
            second.join(0.5)  # it would be finished by then, and its folds replaced
        write_image(*given)

    monkeypatch.setattr(corrected_cases, "write_image", write)
    add(data, image, name=names[1])
    second.join()
    assert all({*names} <= {*split.train} for split in frozen(data))
    dataset = read_dataset(data)
    assert dataset.corrections == dict.fromkeys(names, ORIGIN)
    assert dataset.json["numTraining"] == len(dataset.cases) == 8


def test_another_window_that_does_not_end(data, image, monkeypatch):
    monkeypatch.setattr(corrected_cases, "LONGEST_WAIT", 0)
    before = files(data)
    with FileLock(data / CORRECTIONS_LOCK), pytest.raises(DataError, check=says(BUSY_FOLDER)):
        add(data, image)
    assert files(data) == before


# Interruptions


def test_full_disk(data, image, monkeypatch):
    before, reason = files(data), os.strerror(errno.ENOSPC)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, reason)

    monkeypatch.setattr("napari_bayes_nnunet.io.dataset.corrected_cases.write_json", full)
    with pytest.raises(DataError, check=says(reason=reason)):
        add(data, image)
    assert files(data) == before


def test_a_kill_at_any_file_keeps_the_dataset(data, tmp_path, image):
    freeze(data)
    new = partial(add, name="patient002_frame07", labels=np.ones(image.shape, np.uint8))
    copies = killed_anywhere(lambda: new(data, image), data, tmp_path / "killed")
    assert len(copies) > 5
    for copy in copies:
        dataset = read_dataset(copy)
        splits = frozen(copy)
        names = [case.name for case in dataset.cases]
        is_added = "patient002_frame07" in names
        assert dataset.corrections == ({"patient002_frame07": ORIGIN} if is_added else {})
        assert not any("patient002_frame07" in split.validation for split in splits)
        if copy is not copies[-1]:  # adding it again completes it
            new(copy, image)
        assert len(read_dataset(copy).cases) == read_dataset(copy).json["numTraining"] == 7
        assert sum("patient002_frame07" in split.train for split in frozen(copy)) == 2
        check_labels(read_dataset(copy))
