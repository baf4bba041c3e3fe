"""Volumes of single slices, of the labels and of the members."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.slice_volumes import (
    PhaseVolumes,
    base_is_first,
    heart_structures,
    is_basal,
    label_volumes,
    member_slice_volumes,
    slice_volumes,
    standard_deviation,
)

from ...helpers.data.posteriors import posterior_of

SPACING = (10.0, 1.5, 1.25)
MNMS = {"background": 0, "LV": 1, "myocardium": 2, "right ventricle": 3, "scar": 4}


@pytest.fixture
def members() -> np.ndarray:
    """Return (n, Z, Y, X) labels with structures in slices 1 to 3."""
    labels = np.zeros((4, 5, 20, 16), np.uint8)
    labels[:, 1:4, 5:15, 3:12] = np.random.default_rng(5).integers(0, 4, (4, 3, 10, 9))
    return labels


def test_a_slice_in_ml():
    labels = np.zeros((3, 10, 10), np.uint8)
    labels[1, :4, :5] = 3
    assert slice_volumes(labels, SPACING, 3) == pytest.approx([0, 20 * 0.01875, 0])


def test_members_are_counted_inside_box_as_if_whole(members):
    posterior = posterior_of(members)
    assert posterior.box[0] == slice(1, 4)
    for label in (1, 2, 3):
        expected = [slice_volumes(labels, SPACING, label) for labels in members]
        np.testing.assert_allclose(member_slice_volumes(posterior, SPACING, label), expected)


def test_an_empty_volume_has_empty_members():
    posterior = posterior_of(np.zeros((2, 5, 8, 8), np.uint8))
    assert member_slice_volumes(posterior, SPACING, 1).tolist() == [[0] * 5] * 2


def test_structures_are_found_by_name():
    assert heart_structures(MNMS) == {"LV": 1, "MYO": 2, "RV": 3}
    assert heart_structures({"liver": 1}) == {}
    assert heart_structures({"LV": 5, "left ventricle": 6}) == {"LV": 5}


def test_a_phase_from_its_labels_and_members(members):
    volumes = PhaseVolumes.from_labels(members[0], posterior_of(members), SPACING, MNMS)
    assert volumes.labels.keys() == volumes.members.keys() == {"LV", "MYO", "RV"}
    np.testing.assert_array_equal(volumes.labels["RV"], slice_volumes(members[0], SPACING, 3))
    np.testing.assert_array_equal(volumes.members["RV"][0], volumes.labels["RV"])
    assert not volumes.reviewed.any()
    assert label_volumes(members[0], SPACING, MNMS).keys() == volumes.labels.keys()


def phase(labels: list[float], members: list[list[float]], reviewed: list[int]) -> PhaseVolumes:
    seen = np.isin(np.arange(len(labels)), reviewed)
    return PhaseVolumes(
        labels={"LV": np.array(labels)}, members={"LV": np.array(members)}, reviewed=seen
    )


def test_in_reviewed_slices_every_member_takes_readers_labels():
    volumes = phase([10, 20], [[8, 18], [11, 23]], reviewed=[1])
    assert volumes.of_members("LV").tolist() == [[8, 20], [11, 20]]
    assert volumes.total("LV").tolist() == [30, 28, 31]  # type: ignore[union-attr]


def test_what_the_labels_lack_has_no_volume():
    volumes = phase([0, 0], [[8, 18], [11, 23]], reviewed=[])
    assert volumes.total("LV") is None
    assert volumes.total("RV") is None


def test_spread_over_the_members():
    values = np.array([[1.0, 4.0, 1.0], [3.0, np.nan, np.nan], [5.0, 8.0, np.nan]])
    assert standard_deviation(values) == pytest.approx([2.0, 8**0.5, np.nan], nan_ok=True)
    assert standard_deviation(values[:, 0]) == pytest.approx(2.0)
    assert math.isnan(standard_deviation(np.array([])))


def test_the_wide_end_is_the_base():
    labels = np.zeros((2, 5, 8, 8), np.uint8)
    for z, width in ((1, 6), (2, 4), (3, 2)):
        labels[:, z, :width, :width] = 3
    assert base_is_first(labels) is True
    assert base_is_first(labels[:, ::-1]) is False
    assert base_is_first(labels[0]) is True
    assert base_is_first(np.zeros_like(labels)) is None
    labels[:, 3] = labels[:, 1]
    assert base_is_first(labels) is None


@pytest.mark.parametrize(
    ("first", "base_first", "basal"),
    [
        (1, True, [0, 1, 2]),
        (1, False, [4, 5, 6]),
        (2, True, [0, 1, 2, 3]),
        (2, False, [4, 5, 6]),
        (2, None, []),
    ],
)
def test_basal_half_is_nearer_to_base(first, base_first, basal):
    labels = np.zeros((7, 8, 8), np.uint8)
    labels[first:6, 2:4, 2:4] = 3
    assert [z for z in range(7) if is_basal(labels, z, base_first=base_first)] == basal
    assert not is_basal(np.zeros_like(labels), 0, base_first=base_first)


def test_base_is_found_despite_wrong_labels_at_ends() -> None:
    # Voxels predicted in a patient of Sunnybrook, whose basal slice is nearly empty.
    areas = [13, 1642, 3645, 4995, 5299, 4963, 4627, 3755, 2815, 2292, 1975, 0]
    labels = np.zeros((12, 80, 80), np.uint8)
    for z, area in enumerate(areas):
        labels[z].ravel()[:area] = 1
    assert base_is_first(labels) is True
    assert base_is_first(labels[::-1]) is False


def test_equal_members_have_no_spread_at_all():
    values = np.array([120.41] * 9 + [np.nan])
    assert values[:9].mean() != 120.41
    assert standard_deviation(values) == 0
    assert math.isnan(standard_deviation(values[8:]))
    assert math.isnan(standard_deviation(values[:0]))
