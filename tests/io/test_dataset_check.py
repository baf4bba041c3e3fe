import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset_check import check_labels
from napari_bayes_nnunet.io.nnunet_dataset import read_dataset

from ..hearts import SHAPE, make_dataset, write_nifti


@pytest.fixture
def data(tmp_path):
    return make_dataset(tmp_path / "data", patients=2, frames=1)


def complaint(data):
    with pytest.raises(DataError) as caught:
        check_labels(read_dataset(data))
    return str(caught.value)


def test_good_labels_pass(data):
    check_labels(read_dataset(data))


def test_an_empty_label_is_no_fault(data):
    write_nifti(data / "labelsTr" / "patient001_frame01.nii.gz", np.zeros(SHAPE, np.uint8))
    check_labels(read_dataset(data))


def test_a_value_without_a_name(data):
    labels = np.zeros(SHAPE, np.uint8)
    labels[0, 0, 0] = 7
    write_nifti(data / "labelsTr" / "patient002_frame01.nii.gz", labels)
    text = complaint(data)
    assert "patient002_frame01.nii.gz holds the value 7" in text
    assert "0 (background), 1 (RV), 2 (MYO), 3 (LV)" in text


def test_a_structure_in_no_case(tmp_path):
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "scar": 4}
    data = make_dataset(tmp_path / "data", patients=2, frames=1, labels=labels)
    assert "shows scar (4)" in complaint(data)


def test_the_ignored_label_need_not_occur(tmp_path):
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "ignore": 4}
    check_labels(read_dataset(make_dataset(tmp_path / "data", patients=2, frames=1, labels=labels)))


def test_gaps_in_the_numbers(tmp_path):
    labels = {"background": 0, "RV": 1, "MYO": 2, "LV": 5}
    data = make_dataset(tmp_path / "data", patients=2, frames=1, labels=labels)
    assert "number the labels from 0 without gaps, not 0, 1, 2, 5" in complaint(data)


def test_a_label_on_another_grid(data):
    write_nifti(data / "labelsTr" / "patient001_frame01.nii.gz", np.ones((48, 40, 3), np.uint8))
    text = complaint(data)
    assert "has the shape (3, 40, 48) (z, y, x), but its image" in text
    assert "patient001_frame01_0000.nii.gz (4, 40, 48)" in text


@pytest.mark.parametrize(
    "name", ["labelsTr/patient001_frame01", "imagesTr/patient001_frame01_0000"]
)
def test_a_file_that_cannot_be_read(name, data):
    (data / f"{name}.nii.gz").write_bytes(b"no image")
    assert name.rpartition("/")[2] in complaint(data)


def test_other_formats_are_left_to_nnunet(tmp_path):
    data = make_dataset(tmp_path / "data", patients=2, frames=1)
    for file in data.rglob("*.nii.gz"):
        file.with_name(file.name.replace(".nii.gz", ".png")).write_bytes(b"")
    text = (data / "dataset.json").read_text().replace(".nii.gz", ".png")
    (data / "dataset.json").write_text(text)
    check_labels(read_dataset(data))
