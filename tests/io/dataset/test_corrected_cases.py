"""Corrected cases are trained on, never validated with, and known where they come from."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.check import check_labels
from napari_bayes_nnunet.io.dataset.corrected_cases import add_training_case
from napari_bayes_nnunet.io.dataset.raw_dataset import (
    RawDataset,
    patient_splits,
    read_dataset,
    read_splits,
    splits_to_json,
)
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import Volume, read_labels, read_volume, write_image

from ...helpers.hearts import LABELS, SHAPE, make_dataset

ORIGIN = {"study": "S7", "reader": "A", "date": "2026-11-25", "source_sha256": "00ff"}
ACDC = Path(__file__).parents[4] / "shared" / "data" / "acdc"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Patients 001 to 003, two frames each."""
    return make_dataset(tmp_path / "data", patients=3)


@pytest.fixture
def image(tmp_path: Path) -> Volume:
    """A heart that is in no dataset."""
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
    """Write the splits of the dataset as it is."""
    splits = patient_splits([case.name for case in read_dataset(data).cases])
    (data / "splits_final.json").write_text(json.dumps(splits_to_json(splits)))
    return splits


def frozen(data: Path) -> list[Any]:
    names = [case.name for case in read_dataset(data).cases]
    return read_splits(data / "splits_final.json", names)


def files(data: Path) -> dict[str, bytes]:
    return {str(f.relative_to(data)): f.read_bytes() for f in data.rglob("*") if f.is_file()}


# What is taken in


def test_a_case_is_added(data: Path, image: Volume) -> None:
    before = files(data)
    dataset = add(data, image)
    case = next(c for c in dataset.cases if c.name == "patient009_frame01")
    there = read_volume(case.images[0])
    assert np.array_equal(there.voxels, image.voxels)
    assert there.geometry.same_grid(image.geometry)
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


def test_a_script_gives_volumes_and_several_channels(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data", channels=2)
    geometry = make_geometry((4, 40, 48), (10.0, 1.4, 1.4))
    rng = np.random.default_rng(0)
    images = [
        Volume(rng.normal(size=(4, 40, 48)), geometry, Path("made")),
        Volume(rng.integers(1, 9, (4, 40, 48)).astype(np.int16), geometry, Path("made")),
    ]
    labels = Volume(np.ones((4, 40, 48)), geometry, Path("made"))
    dataset = add_training_case(
        data, name="made", images=images, labels=labels, names={"RV": 1}, origin={}
    )
    case = next(case for case in dataset.cases if case.name == "made")
    for file, image in zip(case.images, images, strict=True):
        np.testing.assert_allclose(read_volume(file).voxels, image.voxels, rtol=1e-6)
    assert dataset.corrections == {"made": {}}
    add_training_case(
        data, name="made", images=images, labels=labels, names={"RV": 1}, origin={}, replace=True
    )


def test_a_fourth_axis_of_one_is_left_out(data: Path, tmp_path: Path, image: Volume) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones((*SHAPE, 1), np.int16), None), tmp_path / "a.nii")
    dataset = add(data, read_volume(tmp_path / "a.nii"))
    case = next(case for case in dataset.cases if case.name == "patient009_frame01")
    assert nibabel.load(case.images[0]).shape == nibabel.load(case.label).shape == SHAPE


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
def test_labels_of_another_numbering(
    data: Path, image: Volume, names: dict[str, int], value: int, number: int
) -> None:
    labels = np.zeros(image.shape, np.int64)
    labels[0, 0, 0] = value
    dataset = add(data, image, labels=labels, names=names)
    case = next(case for case in dataset.cases if case.name == "patient009_frame01")
    assert read_labels(case.label).voxels[0, 0, 0] == number
    assert read_labels(case.label).voxels.sum() == number


# Splits


def test_the_case_is_trained_on_in_every_fold(data: Path, image: Volume) -> None:
    before = freeze(data)
    add(data, image)
    for split, old in zip(frozen(data), before, strict=True):
        assert split.train == (*old.train, "patient009_frame01")
        assert split.validation == old.validation


def test_a_patient_that_is_held_back_stays_held_back(data: Path, image: Volume) -> None:
    before = freeze(data)
    add(data, image, name="patient002_frame07")
    held = [any("patient002" in name for name in split.validation) for split in before]
    assert held.count(True) == 1
    for split, old, is_held in zip(frozen(data), before, held, strict=True):
        assert split.validation == old.validation
        assert split.train == (old.train if is_held else (*old.train, "patient002_frame07"))


def test_own_pattern_for_the_patient(data: Path, image: Volume) -> None:
    before = freeze(data)
    add(data, image, name="corrected-002", pattern=r"(\d{3})")
    taken = ["corrected-002" in split.train for split in frozen(data)]
    assert taken == ["patient002_frame01" not in split.validation for split in before]


def test_no_fold_can_take_the_case(data: Path, image: Volume) -> None:
    rows = [{"train": ["patient001_frame01"], "val": ["patient002_frame01"]}]
    (data / "splits_final.json").write_text(json.dumps(rows))
    before = files(data)
    with pytest.raises(DataError, match="patient002_frame09 cannot be trained on: every fold"):
        add(data, image, name="patient002_frame09")
    assert files(data) == before


def test_without_a_split_file_it_is_trained_on_all_the_same(data: Path, image: Volume) -> None:
    dataset = add(data, image, name="patient002_frame07")
    assert not (data / "splits_final.json").exists()
    splits = patient_splits(
        [case.name for case in dataset.cases], training_only=dataset.corrections
    )
    assert not any("patient002_frame07" in split.validation for split in splits)
    assert any("patient002_frame07" in split.train for split in splits)


# Again


def test_labels_of_a_correction_are_replaced(data: Path, image: Volume) -> None:
    freeze(data)
    first = add(data, image)
    splits = frozen(data)
    with pytest.raises(DataError, match=r"patient009_frame01 was added to .* before"):
        add(data, image)
    labels = np.ones(image.shape, np.uint8)
    dataset = add(data, image, labels=labels, origin={"reader": "B"}, replace=True)
    assert dataset.corrections == {"patient009_frame01": {"reader": "B"}}
    assert dataset.json == first.json
    assert frozen(data) == splits
    case = next(case for case in dataset.cases if case.name == "patient009_frame01")
    assert read_labels(case.label).voxels.all()


def test_another_image_is_not_taken_for_a_correction_of_this(data: Path, image: Volume) -> None:
    add(data, image)
    before = files(data)
    with pytest.raises(DataError, match="is another image than the one to be added"):
        add(data, changed(image, voxels=image.voxels + 1), replace=True)
    assert files(data) == before


def test_an_image_without_a_label_is_not_replaced(data: Path, image: Volume) -> None:
    there = data / "imagesTr" / "patient009_frame01_0000.nii.gz"
    write_image(there, image.voxels + 1, image.geometry)
    before = files(data)
    with pytest.raises(DataError, match="is another image than the one to be added"):
        add(data, image)
    assert files(data) == before


@pytest.mark.parametrize("replace", [True, False])
def test_the_datasets_own_cases_are_not_replaced(data: Path, image: Volume, replace: bool) -> None:
    with pytest.raises(DataError, match=r"has a case patient001_frame01 of its own"):
        add(data, image, name="patient001_frame01", replace=replace)


# What is refused, before anything is written


def four_dimensions(image: Volume) -> Volume:
    geometry = make_geometry((2, *image.shape), image.spacing)
    return Volume(np.stack([image.voxels] * 2), geometry, image.source)


def moved(image: Volume) -> Volume:
    return changed(image, geometry=make_geometry(image.shape, (10.0, 2.0, 2.0)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda i: {"images": [i, i]}, r"1 channels \(cine 0\), but this one has 2"),
        (lambda i: {"images": []}, "but this one has 0"),
        (lambda i: {"images": [four_dimensions(i)]}, "A case is one frame, but .* has 2"),
        (lambda i: {"labels": np.zeros((1, 2, 3), int)}, r"need the shape .* not \(1, 2, 3\)"),
        (lambda i: {"labels": moved(i)}, "The labels lie on another grid"),
        (lambda i: {"labels": i.voxels + 0.5}, "Labels are whole numbers from 0 to 65535"),
        (lambda i: {"names": {"LV": 1}}, r"hold the value 2, but only 1 \(LV\) have names"),
        (lambda i: {"names": {"scar": 2}}, "has no structure scar, .* it has RV, MYO, LV"),
        (lambda i: {"origin": {"file": Path("a")}}, "must be storable as JSON"),
        (lambda i: {"name": "../a"}, r"named by letters, digits, _ and -, not '\.\./a'"),
        (lambda i: {"name": ""}, "A case is named by"),
    ],
)
def test_cases_that_do_not_fit(
    data: Path, image: Volume, change: Callable[[Volume], dict[str, Any]], reason: str
) -> None:
    freeze(data)
    before = files(data)
    with pytest.raises(DataError, match=reason):
        add(data, image, **change(image))
    assert files(data) == before


def test_channels_on_unlike_grids(tmp_path: Path, image: Volume) -> None:
    data = make_dataset(tmp_path / "data", channels=2)
    with pytest.raises(DataError, match="lies on another grid .* than the first channel"):
        add(data, image, images=[image, moved(image)])


def test_a_structure_of_two_meanings(tmp_path: Path, image: Volume) -> None:
    labels = {"background": 0, "LV": 1, "LV cavity": 2, "RV": 3}
    data = make_dataset(tmp_path / "data", labels=labels)
    with pytest.raises(DataError, match="has no structure left ventricle"):
        add(data, image, names={"left ventricle": 2})


def test_datasets_of_other_files(tmp_path: Path, image: Volume) -> None:
    data = make_dataset(tmp_path / "data", file_ending=".nii.gz")
    for file in [*data.glob("*Tr/*")]:
        file.rename(file.with_name(file.name.replace(".nii.gz", ".mha")))
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**content, "file_ending": ".mha"}))
    with pytest.raises(DataError, match=r"datasets of NIfTI files, but those of .* end in \.mha"):
        add(data, image)


# Bad days


def test_full_disk(data: Path, image: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(data)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("napari_bayes_nnunet.io.dataset.corrected_cases.write_json", full)
    with pytest.raises(DataError, match="could not be added to the dataset: No space left on"):
        add(data, image)
    assert files(data) == before


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from napari_bayes_nnunet.io.dataset.corrected_cases import add_training_case
from napari_bayes_nnunet.io.images.nifti import read_volume

image = read_volume(sys.argv[1])
replace, left = os.replace, 0

def replace_or_die(source, target):
    global left
    if not left:
        os.kill(os.getpid(), 9)
    left -= 1
    replace(source, target)

os.replace = replace_or_die
for left, data in enumerate(sys.argv[2:]):
    child = os.fork()
    if not child:
        add_training_case(
            Path(data), name="patient002_frame07", images=[image],
            labels=np.ones(image.shape, np.uint8), names={"RV": 1}, origin={"reader": "A"},
        )
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_killed_before_any_of_its_files_is_there(data: Path, tmp_path: Path, image: Volume) -> None:
    freeze(data)
    copies = [shutil.copytree(data, tmp_path / f"copy {n}") for n in range(6)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(image.source), *map(str, copies)],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == ["-9"] * 5 + ["0"], done.stderr
    for copy in copies:
        dataset = read_dataset(copy)
        splits = frozen(copy)
        names = [case.name for case in dataset.cases]
        is_there = "patient002_frame07" in names
        assert dataset.corrections == ({"patient002_frame07": {"reader": "A"}} if is_there else {})
        assert not any("patient002_frame07" in split.validation for split in splits)
        if copy is not copies[-1]:  # adding it again completes it
            again = {"labels": np.ones(image.shape, np.uint8), "origin": {"reader": "A"}}
            add(copy, image, name="patient002_frame07", **again)
        assert len(read_dataset(copy).cases) == read_dataset(copy).json["numTraining"] == 7
        assert sum("patient002_frame07" in split.train for split in frozen(copy)) == 2
        check_labels(read_dataset(copy))


@pytest.mark.skipif(not ACDC.is_dir(), reason="the ACDC images are not here")
def test_real_acdc_frames(tmp_path: Path) -> None:
    data = tmp_path / "acdc"
    for folder in ("imagesTr", "labelsTr"):
        (data / folder).mkdir(parents=True)
        for file in (ACDC / folder).glob("patient00[34]_*"):
            (data / folder / file.name).symlink_to(file)
    shutil.copy(ACDC / "dataset.json", data)
    image = read_volume(ACDC / "imagesTr" / "patient007_frame01_0000.nii.gz")
    labels = read_labels(ACDC / "labelsTr" / "patient007_frame01.nii.gz")
    turned = np.array([0, 3, 2, 1], np.uint8)[labels.voxels]
    dataset = add_training_case(
        data,
        name="patient007_frame01",
        images=[image],
        labels=turned,
        names={"left ventricle": 1, "myocardium": 2, "right ventricle": 3},
        origin=ORIGIN,
    )
    case = dataset.cases[-1]
    assert np.array_equal(read_labels(case.label).voxels, labels.voxels)
    assert read_volume(case.images[0]).geometry.header == image.geometry.header
    check_labels(dataset)
