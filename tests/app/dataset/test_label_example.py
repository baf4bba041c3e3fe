"""A slice that shows what label values stand for."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.app.dataset.label_example import (
    AROUND_MM,
    example_of_dataset,
    example_of_pairs,
)
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io.dataset.matching import match_folders
from napari_bayes_nnunet.io.dataset.raw_dataset import read_dataset
from napari_bayes_nnunet.io.images.nifti import read_labels

from ...helpers.data.hearts import SPACING, make_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("hearts") / "data", patients=3, frames=1)


def test_the_slice_has_all_values_and_a_margin(data) -> None:
    example = example_of_dataset(read_dataset(data))
    assert example.case == "patient001_frame01"
    assert example.spacing == pytest.approx(SPACING[:2])
    assert set(np.unique(example.labels)) == {0, 1, 2, 3}
    assert example.image.shape == example.labels.shape
    assert (example.image.dtype, example.image.max()) == (np.uint8, 255)
    whole = read_labels(data / "labelsTr" / "patient001_frame01.nii.gz").voxels
    assert example.z == np.count_nonzero(whole, axis=(1, 2)).argmax()
    rows = np.flatnonzero(example.labels.any(axis=1))
    assert 0 < rows[0] <= AROUND_MM / SPACING[1]


def test_pairs_of_two_folders_give_the_same(data) -> None:
    steps = match_folders(data / "imagesTr", data / "labelsTr")
    example = example_of_pairs(drain(steps).pairs)
    expected = example_of_dataset(read_dataset(data))
    np.testing.assert_array_equal(example.labels, expected.labels)
    np.testing.assert_array_equal(example.image, expected.image)


def test_unreadable_cases_are_left_out(tmp_path) -> None:
    data = make_dataset(tmp_path / "data", patients=2, frames=1)
    (data / "labelsTr" / "patient001_frame01.nii.gz").write_bytes(b"damaged")
    dataset = read_dataset(data)
    assert example_of_dataset(dataset).case == "patient002_frame01"
    (data / "imagesTr" / "patient002_frame01_0000.nii.gz").write_bytes(b"damaged")
    assert example_of_dataset(dataset) is None
