"""Checks of training datasets."""

import json
import math
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.core.problems import change, statement
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.check import (
    CINE_CASE,
    CONSTANT_CASE,
    GAPS,
    ONE_CASE,
    ONLY_BACKGROUND,
    SHIFTED,
    SLICES_NOT_LAST,
    STACKED_CASE,
    SWAPPED_AXES,
    TWO_SPACINGS_STORED,
    check_case,
    check_dataset,
    check_labels,
)
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.images.nifti import BLANK_IMAGE, NO_NIFTI

from ...helpers.data.hearts import SHAPE, SPACING, make_dataset, write_nifti

ACDC = Path(__file__).parents[4] / "shared" / "data" / "acdc"
FIRST = "patient001_frame01"


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path / "data", patients=2, frames=1)


def refusal(data):
    """Return the statement with which the terminal refuses the dataset."""
    with pytest.raises(DataError) as caught:
        check_labels(read_dataset(data))
    return caught.value.statement


def checked(data, number=0):
    dataset = read_dataset(data)
    return check_case(dataset, dataset.cases[number])


def problems_of(data):
    dataset = read_dataset(data)
    return check_dataset(dataset, [check_case(dataset, case) for case in dataset.cases])


def only(problems):
    (problem,) = problems
    return problem


def label_file(data, case=FIRST):
    return data / "labelsTr" / f"{case}.nii.gz"


def image_file(data, case=FIRST, channel=0):
    return data / "imagesTr" / f"{case}_{channel:04d}.nii.gz"


def rewrite(file, affine, *, spacing=None):
    """Write the voxels again with another affine, and with a spacing that may contradict it."""
    image = nibabel.Nifti1Image(np.asanyarray(nibabel.load(file).dataobj), affine)
    if spacing:
        image.header["pixdim"][1:4] = spacing
    image.to_filename(file)


# A case


def test_a_good_case(data):
    check = checked(data)
    assert check.name == FIRST
    assert check.shape == SHAPE[::-1]
    assert check.spacing == pytest.approx(SPACING[::-1])
    assert check.values == (0, 1, 2, 3)
    assert check.voxels == math.prod(SHAPE)
    assert check.problems == ()
    check_labels(read_dataset(data))


def test_the_ignored_label_is_no_structure(tmp_path):
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "ignore": 4}
    data = make_dataset(tmp_path / "data", patients=2, frames=1, labels=labels)
    write_nifti(label_file(data), np.full(SHAPE, 4, np.uint8))
    assert only(checked(data).problems).text.template == ONLY_BACKGROUND


def test_a_label_of_another_spacing(data):
    rewrite(label_file(data), np.diag([1.4, 1.4, 8, 1]))
    problem = only(checked(data).problems)
    assert problem.text.values == {
        "file": label_file(data).name,
        "quantity": "spacing",
        "found": "8 × 1.4 × 1.4 mm",
        "image": image_file(data).name,
        "expected": "10 × 1.4 × 1.4 mm",
    }
    assert (problem.file, problem.blocks) == (label_file(data), True)
    assert problem.text == refusal(data)


@pytest.mark.parametrize(
    ("affine", "distance"),
    [
        (np.array([[1.4, 0, 0, 0], [0, 1.4, 0, 0], [0, 0, 10, 40], [0, 0, 0, 1]]), 40),
        (np.diag([-1.4, 1.4, 10, 1]), 131.6),  # mirrored: 2 × 47 voxels of 1.4 mm
    ],
    ids=["moved", "mirrored"],
)
def test_a_shifted_label_is_a_warning(affine, distance, data):
    rewrite(label_file(data), affine)
    problem = only(checked(data).problems)
    assert problem.text.template == SHIFTED
    assert problem.text.values["distance"] == pytest.approx(distance)
    assert (problem.file, problem.blocks) == (label_file(data), False)
    check_labels(read_dataset(data))


def test_a_shift_of_half_a_pixel_is_ignored(data):
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = 0.7
    rewrite(label_file(data), affine)
    assert checked(data).problems == ()


def test_two_voxel_sizes_are_a_warning(data):
    """nnU-Net trains with pixdim, while this program segments with the affine."""
    for file in (image_file(data), label_file(data)):
        rewrite(file, np.diag([1.4, 1.4, 10, 1]), spacing=(1.4, 1.4, 5))
    problem = only(checked(data).problems)
    assert problem.text.template == TWO_SPACINGS_STORED
    assert problem.text.values == {
        "file": image_file(data).name,
        "affine": "10 × 1.4 × 1.4",
        "pixdim": "5 × 1.4 × 1.4",
    }
    assert not problem.blocks


@pytest.mark.parametrize("axis", [0, 1])
def test_slices_on_another_axis_are_a_warning(data, axis):
    for file in (image_file(data), label_file(data)):
        stored = np.moveaxis(np.asanyarray(nibabel.load(file).dataobj), 2, axis)
        steps = np.insert(SPACING[:2], axis, SPACING[2])
        nibabel.Nifti1Image(stored, np.diag([*steps, 1])).to_filename(file)
    problem = only(checked(data).problems)
    assert problem.text.template == SLICES_NOT_LAST
    assert problem.text.values == {"file": image_file(data).name, "axis": "xy"[axis]}
    assert not problem.blocks
    assert checked(data).shape == SHAPE[::-1]


def test_channels_on_different_grids(tmp_path):
    data = make_dataset(tmp_path / "data", patients=1, frames=1, channels=3)
    assert checked(data).problems == ()
    rewrite(image_file(data, channel=1), np.diag([1.4, 1.4, 8, 1]))
    problem = only(checked(data).problems)
    names = image_file(data, channel=1).name, image_file(data).name
    assert (problem.text.values["file"], problem.text.values["reference"]) == names
    assert "1.4 x 1.4 x 8 mm" in str(problem.text.values["grid"])
    assert "1.4 x 1.4 x 10 mm" in str(problem.text.values["expected"])
    assert (problem.file, problem.blocks) == (image_file(data, channel=1), True)


def test_one_channel_may_be_blank(tmp_path):
    data = make_dataset(tmp_path / "data", patients=1, frames=1, channels=2)
    for channel in (1, 0):
        assert checked(data).problems == ()
        write_nifti(image_file(data, channel=channel), np.zeros(SHAPE, np.int16))
    problem = only(checked(data).problems)
    assert problem.text == statement(BLANK_IMAGE, file=image_file(data))
    assert (problem.file, problem.blocks) == (image_file(data), True)


def test_an_image_of_one_value_is_a_warning(tmp_path):
    data = make_dataset(tmp_path / "data", patients=1, frames=1, channels=2)
    write_nifti(image_file(data), np.full(SHAPE, 5, np.int16))
    assert checked(data).problems == ()
    write_nifti(image_file(data, channel=1), np.zeros(SHAPE, np.int16))
    problem = only(checked(data).problems)
    assert problem.text == statement(CONSTANT_CASE, file=image_file(data), value=5.0)
    assert (problem.file, problem.blocks) == (image_file(data), False)


def test_a_spacing_that_contradicts_the_shape_is_a_warning(data):
    for file in (label_file(data), image_file(data)):
        rewrite(file, np.diag([10, 1.4, 1.4, 1]))
    problem = only(checked(data).problems)
    assert problem.text.template == SWAPPED_AXES
    assert problem.text.values["shape"] == SHAPE[::-1]
    assert (problem.file, problem.blocks) == (image_file(data), False)


@pytest.mark.parametrize("which", [label_file, image_file])
def test_a_file_that_cannot_be_read(which, data):
    which(data).write_bytes(b"no image")
    check = checked(data)
    problem = only(check.problems)
    assert problem.text == statement(NO_NIFTI, file=which(data))
    assert (problem.file, problem.blocks) == (which(data), True)
    assert problem.text == refusal(data)
    # The other file has the shape.
    assert check.shape == SHAPE[::-1]
    assert check.values == (() if which is label_file else (0, 1, 2, 3))


def test_an_unreadable_case_has_no_shape(data):
    for file in (label_file(data), image_file(data)):
        file.write_bytes(b"")
    check = checked(data)
    assert (check.shape, check.spacing, check.values, check.voxels) == ((), None, (), 0)
    assert [problem.file for problem in check.problems] == [label_file(data), image_file(data)]


@pytest.mark.parametrize("which", [label_file, image_file])
def test_a_cine(which, data):
    write_nifti(which(data), np.ones((*SHAPE, 5), np.uint8))
    problem = only(checked(data).problems)
    assert problem.text == statement(CINE_CASE, file=which(data), phases=5)
    assert (problem.file, problem.blocks) == (which(data), True)


@pytest.mark.parametrize("which", [label_file, image_file])
def test_slices_on_a_fourth_axis_are_refused(which, data):
    joined = nibabel.Nifti1Image(np.ones((48, 40, 1, 3), np.uint8), np.eye(4))
    joined.header.set_zooms((1.5, 1.5, 1.0, 8.0))
    nibabel.save(joined, which(data))
    problem = only(checked(data).problems)
    assert problem.text == statement(STACKED_CASE, file=which(data))
    assert (problem.file, problem.blocks) == (which(data), True)


def test_all_problems_of_a_case_are_reported(tmp_path):
    data = make_dataset(tmp_path / "data", patients=1, frames=1, channels=2)
    write_nifti(label_file(data), np.full((48, 40, 3), 9, np.uint8))
    image_file(data, channel=1).write_bytes(b"no image")
    texts = [problem.text for problem in checked(data).problems]
    assert len(texts) == 3
    assert texts[0].values["values"] == "9"
    assert texts[1] == statement(NO_NIFTI, file=image_file(data, channel=1))
    assert texts[2].values["found"] == (3, 40, 48)


def test_images_are_read_one_at_a_time(tmp_path):
    data = make_dataset(tmp_path / "data", patients=1, frames=1, channels=4)
    shape = (128, 128, 32)
    for channel in range(4):
        image = np.ones(shape, np.int16)
        image[0] = 2
        write_nifti(image_file(data, channel=channel), image)
    write_nifti(label_file(data), np.ones(shape, np.uint8))
    tracemalloc.start()
    try:
        assert checked(data).problems == ()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * 2 * math.prod(shape)  # bytes: one image, unpacked and as an array


# The dataset


def test_good_datasets_have_no_problem(data):
    assert problems_of(data) == []


def test_a_structure_in_no_case(tmp_path):
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "scar": 4}
    data = make_dataset(tmp_path / "data", patients=2, frames=1, labels=labels)
    problem = only(problems_of(data))
    assert problem.text.values == {"dataset": data, "structures": "scar (4)"}
    assert (problem.file, problem.blocks) == (data / "dataset.json", True)
    assert problem.text == refusal(data)
    # It might be in an unreadable file.
    label_file(data).write_bytes(b"no image")
    assert problems_of(data) == []


def test_gaps_in_the_numbers(tmp_path):
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 5}
    data = make_dataset(tmp_path / "data", patients=2, frames=1, labels=labels)
    assert refusal(data) == statement(GAPS, file=data / "dataset.json", numbers="0, 1, 2, 5")
    first = problems_of(data)[0]
    assert first.text == refusal(data)
    assert (first.file, first.blocks) == (data / "dataset.json", True)


def test_a_single_case_is_a_warning(tmp_path):
    data = make_dataset(tmp_path / "data", patients=1, frames=1)
    problem = only(problems_of(data))
    assert problem.text == statement(ONE_CASE, dataset=data)
    assert (problem.file, problem.blocks) == (data, False)
    check_labels(read_dataset(data))


def test_other_formats_are_left_to_nnunet(data):
    for file in data.rglob("*.nii.gz"):
        file.with_name(file.name.replace(".nii.gz", ".png")).write_bytes(b"")
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**content, "file_ending": ".png"}))
    problem = only(problems_of(data))
    expected = {"dataset": data, "ending": ".png", "endings": ".nii.gz and .nii"}
    assert problem.text.values == expected
    assert not problem.blocks
    check = checked(data)
    assert (check.shape, check.values, check.voxels, check.problems) == ((), (), 0, ())
    check_labels(read_dataset(data))


def test_images_without_a_label_are_named(tmp_path):
    data = make_dataset(tmp_path / "data", patients=2, frames=1, channels=2)
    for number in (3, 4):
        for channel in (0, 1):
            name = f"patient00{number}_frame01_000{channel}.nii.gz"
            shutil.copyfile(image_file(data), data / "imagesTr" / name)
        problem = only(problems_of(data))
        assert problem.file == data / "imagesTr" / "patient003_frame01_0000.nii.gz"
        assert not problem.blocks
        assert only(check_labels(read_dataset(data))) == problem
    assert problem.text.values == {
        "images": "patient003_frame01_0000.nii.gz, patient004_frame01_0000.nii.gz",
        "count": 2,
    }


def test_the_terminal_names_the_first_fault(data):
    dataset = read_dataset(data)
    for case in dataset.cases:
        case.label.write_bytes(b"no image")
    with pytest.raises(DataError, match="patient002"):
        check_labels(replace(dataset, cases=dataset.cases[::-1]))


@pytest.mark.skipif(not ACDC.is_dir(), reason="the ACDC dataset is missing")
def test_real_hearts():
    dataset = read_dataset(ACDC)
    dataset = replace(dataset, cases=dataset.cases[:6])
    checks = [check_case(dataset, case) for case in dataset.cases]
    assert [problem for check in checks for problem in check.problems] == []
    (problem,) = check_dataset(dataset, checks)
    assert problem.text.values["count"] == 154  # images of the cases that are left out here
    assert {check.values for check in checks} == {(0, 1, 2, 3)}
    assert all(5 <= check.spacing[0] <= 10 for check in checks)


UNKNOWN = {"background": 0, "structure 1": 1, "structure 2": 2, "structure 3": 3}


def test_names_without_an_lv_are_a_warning(tmp_path):
    data = make_dataset(tmp_path / "data", patients=2, frames=1, labels=UNKNOWN)
    problem = only(problems_of(data))
    assert not problem.blocks
    assert problem.file == data / "dataset.json"
    assert problem.text.remedies == (change("labels", "1=structure 1,2=structure 2,3=LV"),)
