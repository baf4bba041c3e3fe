"""Shape of a slice, protected structures, and voxels that are given up."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.editing.slice_checks import (
    find_holes,
    give_up_voxels,
    largest_piece,
    nearest_labels,
    structure_mask,
)

from ...helpers.data.slices import LV, MYO, RV, disk, heart, random_labels


def test_voxels_of_structures():
    labels = random_labels(np.random.default_rng(0))
    np.testing.assert_array_equal(structure_mask(labels, {1, 3}), np.isin(labels, [1, 3]))
    assert not structure_mask(labels, ()).any()


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]], [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]),
        ([[1, 0, 1]], [[1, 0, 0]]),
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]]),
    ],
    ids=["ends where only corners touch", "first of equal ones", "empty"],
)
def test_the_largest_piece(mask, expected):
    np.testing.assert_array_equal(largest_piece(np.array(mask, bool)), np.array(expected, bool))


def test_holes_are_cut_off_from_the_outside():
    labels = np.array([[1, 1, 1, 0], [1, 0, 2, 0], [1, 2, 0, 2], [0, 0, 2, 2]], np.uint8)
    expected = np.zeros((4, 4), bool)
    expected[1, 1] = expected[2, 2] = True
    np.testing.assert_array_equal(find_holes(labels), expected)
    assert not find_holes(np.ones((3, 3), np.uint8)).any()
    assert not find_holes(np.zeros((3, 3), np.uint8)).any()


def test_the_nearest_known_label():
    labels = np.array([[1, 9, 9, 9, 2]], np.uint8)
    found = nearest_labels(labels, known=labels < 9)
    assert found[0, [0, 1, 3, 4]].tolist() == [1, 1, 2, 2]
    assert not nearest_labels(labels, known=labels > 9).any()


def test_voxels_given_up_at_free_wall_become_background():
    labels = heart()
    shrunk = give_up_voxels(labels, (labels == RV) & ~disk(9, at=(32, 22)))
    assert np.count_nonzero(shrunk == RV) < np.count_nonzero(labels == RV)
    np.testing.assert_array_equal(shrunk == MYO, labels == MYO)
    np.testing.assert_array_equal(shrunk == LV, labels == LV)


def test_myocardium_follows_lv_that_shrinks_in_its_ring():
    labels = heart(lv=8)
    shrunk = give_up_voxels(labels, (labels == LV) & ~disk(5))
    np.testing.assert_array_equal(shrunk == LV, disk(5))
    np.testing.assert_array_equal(shrunk == MYO, disk(13) & ~disk(5))


def test_septum_follows_withdrawing_rv():
    labels = heart()
    slit = (labels == RV) & disk(16) & (abs(np.arange(64) - 32) < 4)[:, None]
    assert slit.sum() > 15
    assert (give_up_voxels(labels, slit)[slit] == MYO).all()


def test_hole_in_middle_of_structure_is_background():
    labels = heart()
    middle = disk(3)
    given_up = give_up_voxels(labels, middle, beside={MYO})
    assert not given_up[middle].any()
    np.testing.assert_array_equal(given_up == MYO, labels == MYO)


def test_a_protected_myocardium_does_not_follow():
    labels = heart(lv=8)
    shrunk = give_up_voxels(labels, (labels == LV) & ~disk(5), protected={MYO})
    np.testing.assert_array_equal(shrunk == MYO, labels == MYO)
    assert (shrunk[disk(8) & ~disk(5)] == 0).all()


def open_heart():
    """Return a ring of myocardium that is open to the right."""
    labels = heart(rv=0)
    labels[29:36, 40:][labels[29:36, 40:] == MYO] = 0
    return labels


def test_voxels_given_up_at_open_ring_become_background():
    labels = open_heart()
    shrunk = give_up_voxels(labels, (labels == LV) & ~disk(5))
    np.testing.assert_array_equal(shrunk == MYO, labels == MYO)


def test_structure_beside_follows_in_open_ring():
    labels = open_heart()
    lost = (labels == LV) & ~disk(5)
    shrunk = give_up_voxels(labels, lost, beside={MYO})
    assert (shrunk[lost & disk(20, at=(32, 16))] == MYO).all()
    assert shrunk[32, 42] == 0, "background comes in at the opening"
    assert shrunk[20:45, 28:36][disk(8)[20:45, 28:36] & ~disk(5)[20:45, 28:36]].all()


def test_at_edge_of_slice_there_is_background():
    labels = np.full((5, 5), MYO, np.uint8)
    labels[:3, 1:4] = LV
    given_up = give_up_voxels(labels, labels == LV)
    assert not given_up[labels == LV].any()


def test_structures_are_given_up_together():
    labels = heart()
    assert not give_up_voxels(labels, labels > 0).any()


@pytest.mark.parametrize("protected", [RV, MYO])
@pytest.mark.parametrize("seed", range(20))
def test_exactly_voxels_given_up_change(seed, protected):
    rng = np.random.default_rng(seed)
    labels, voxels = random_labels(rng), rng.random((24, 20)) < 0.3
    kept = labels.copy()
    result = give_up_voxels(labels, voxels, protected={protected}, beside={MYO})
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(labels, kept)
    np.testing.assert_array_equal(result[~voxels], labels[~voxels])
    left = result[voxels]
    assert not (left == protected).any()
    assert (left[labels[voxels] > 0] != labels[voxels][labels[voxels] > 0]).all()
    assert not left[labels[voxels] == 0].any()


def test_nothing_given_up_is_a_copy():
    labels = heart()
    result = give_up_voxels(labels, np.zeros(labels.shape, bool))
    np.testing.assert_array_equal(result, labels)
    assert result is not labels
