"""Hearts between two slices: even borders, nested structures and tapering ends."""

import numpy as np
import pytest
from scipy import ndimage

from napari_bayes_nnunet.core.editing.interpolation import blend_slices
from napari_bayes_nnunet.core.editing.slice_checks import find_holes

from ...helpers.data.slices import LV, MYO, RV, disk, heart, random_labels

EMPTY = np.zeros((64, 64), np.uint8)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def leaks(labels):
    """Return the number of background voxels next to the LV."""
    return np.count_nonzero(ndimage.binary_dilation(labels == LV) & (labels == 0))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_between_equal_slices_there_is_the_same(share):
    np.testing.assert_array_equal(blend_slices(heart(), heart(), share), heart())


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_borders_move_evenly(share):
    between = blend_slices(heart(rv=0, lv=5, wall=4), heart(rv=0, lv=11, wall=6), share)
    expected = heart(rv=0, lv=5 + 6 * share, wall=4 + 2 * share)
    for label in (MYO, LV):
        assert dice(between == label, expected == label) > 0.93


def test_the_nearer_slice_counts_more():
    small, large = heart(lv=5), heart(lv=11)
    sizes = [np.count_nonzero(blend_slices(small, large, share) == LV) for share in (0.2, 0.5, 0.8)]
    assert sizes == sorted(sizes)
    assert np.count_nonzero(small == LV) < sizes[0] < sizes[2] < np.count_nonzero(large == LV)


def test_it_does_not_matter_which_is_below():
    a, b = heart(lv=5, at=(30, 34)), heart(lv=9)
    np.testing.assert_array_equal(blend_slices(a, b, 0.5), blend_slices(b, a, 0.5))


def test_heart_that_moves_far_keeps_its_wall():
    left, right = heart(rv=0, wall=3, at=(32, 28)), heart(rv=0, wall=3, at=(32, 38))
    between = blend_slices(left, right, 0.5)
    assert not leaks(between)
    wall = between == MYO
    assert wall.sum() > 0.75 * np.count_nonzero(left == MYO)
    depth = ndimage.distance_transform_edt(between > 0)
    assert depth[between == LV].min() >= 2.5


@pytest.mark.parametrize("seed", range(10))
def test_an_lv_stays_in_its_myocardium(seed):
    rng = np.random.default_rng(seed)
    slices = [
        heart(lv=rng.uniform(3, 9), wall=rng.uniform(2, 5), at=tuple(rng.uniform(29, 36, 2)))
        for _ in range(2)
    ]
    for share in (0.2, 0.5, 0.7):
        between = blend_slices(*slices, share)
        assert (between == LV).any()
        assert not leaks(between)


def test_lv_in_open_ring_is_blended_with_it():
    opened = heart(rv=0)
    opened[29:36, 40:][opened[29:36, 40:] == MYO] = 0
    between = blend_slices(opened, heart(rv=0), 0.5)
    np.testing.assert_array_equal(between == LV, disk(8))
    assert dice(between == MYO, heart(rv=0) == MYO) > 0.9


@pytest.mark.parametrize("turned", [False, True])
def test_wall_on_two_sides_contains_its_cavity(turned):
    """Whichever way the slice is turned, the wall keeps its thickness where both end."""
    below = np.zeros((64, 64), np.uint8)
    below[20:40, 10:54] = MYO
    below[24:36, 10:54] = LV
    between = blend_slices(below.T, EMPTY, 0.5).T if turned else blend_slices(below, EMPTY, 0.5)
    expected = [0] * 3 + [MYO] * 4 + [LV] * 6 + [MYO] * 4 + [0] * 3
    assert between[20:40, 32].tolist() == expected


def test_an_rv_stays_beside_its_septum():
    between = blend_slices(heart(lv=6, at=(32, 36)), heart(lv=10, at=(33, 37)), 0.5)
    assert not find_holes(between).any()
    septum = ndimage.binary_dilation(between == RV) & (between == MYO)
    assert septum.sum() > 10


def test_no_single_voxels_are_left_to_no_structure():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        slices = [
            heart(lv=rng.uniform(5, 9), rv=rng.uniform(9, 14), at=tuple(rng.uniform(29, 36, 2)))
            for _ in range(2)
        ]
        assert not find_holes(blend_slices(*slices, 0.5)).any()


def test_a_hole_of_both_slices_stays():
    ring = heart(rv=0)
    ring[ring == LV] = 0
    np.testing.assert_array_equal(blend_slices(ring, ring, 0.5), ring)


@pytest.mark.parametrize("empty_first", [True, False])
def test_towards_a_slice_without_it_a_structure_tapers(empty_first):
    lv = np.where(disk(10), np.uint8(LV), EMPTY)
    for share in (0.25, 0.5, 0.75):
        between = (
            blend_slices(EMPTY, lv, share) if empty_first else blend_slices(lv, EMPTY, 1 - share)
        )
        assert dice(between == LV, disk(10 * share)) > 0.75


def test_wall_ending_with_cavity_keeps_thickness():
    between = blend_slices(heart(rv=0, lv=8, wall=5), EMPTY, 0.5)
    assert dice(between == LV, disk(4)) > 0.85
    assert dice(between > 0, disk(9)) > 0.95


def test_cavity_tapers_in_wall_that_goes_on():
    between = blend_slices(heart(rv=0, lv=8, wall=5), heart(rv=0, lv=0, wall=9), 0.5)
    assert dice(between == LV, disk(4)) > 0.85
    assert dice(between > 0, disk(11)) > 0.95


@pytest.mark.parametrize("at", [((20, 20), (40, 44)), ((6, 6), (6, 57)), ((57, 20), (57, 44))])
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_shapes_that_lie_apart_move_together(at, share):
    below, above = (np.where(disk(5, at=place), np.uint8(RV), EMPTY) for place in at)
    between = tuple((1 - share) * np.array(at[0]) + share * np.array(at[1]))
    assert dice(blend_slices(below, above, share) == RV, disk(5, at=between)) > 0.9


def test_an_rv_that_ends_stays_at_the_septum():
    below, above = heart(), heart(rv=0)
    between = blend_slices(below, above, 0.5)
    rv = between == RV
    assert 0 < rv.sum() < 0.8 * np.count_nonzero(below == RV)
    np.testing.assert_array_equal(between == MYO, below == MYO)
    assert (ndimage.binary_dilation(rv) & (between == MYO)).sum() > 5
    free = ndimage.distance_transform_edt(below > 0)
    assert free[rv].min() > 2


def test_between_empty_slices_there_is_nothing():
    assert not blend_slices(EMPTY, EMPTY, 0.5).any()


@pytest.mark.parametrize("seed", range(10))
def test_any_labels_are_blended_into_what_was_there(seed):
    rng = np.random.default_rng(seed)
    below, above = random_labels(rng), random_labels(rng)
    kept = below.copy(), above.copy()
    between = blend_slices(below, above, 0.4)
    assert between.dtype == np.uint8
    assert set(np.unique(between)) <= {0, 1, 2, 3}
    np.testing.assert_array_equal([below, above], kept)
