"""Labels after the contour of a structure is applied."""

import numpy as np
import pytest
from scipy import ndimage

from napari_bayes_nnunet.core.editing.closed_curve import BentCurve, fill_curve
from napari_bayes_nnunet.core.editing.contour import apply_contour, contour_region
from napari_bayes_nnunet.core.editing.smooth_contours import contour_around

from ...helpers.data.slices import LV, MYO, RV, disk, heart, random_labels, smooth_curve
from .test_closed_curve import on_circle


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def circle(radius, at=(32.0, 36.0)):
    return on_circle(400, radius, at)


# What is outlined


def test_open_myocardium_is_outlined_with_its_lv():
    labels = heart(rv=0)
    labels[30:35, 40:][labels[30:35, 40:] == MYO] = 0
    labels[30:35, :32][labels[30:35, :32] == MYO] = 0
    assert np.count_nonzero(contour_region(labels, MYO)) < np.count_nonzero(labels == MYO)
    np.testing.assert_array_equal(contour_region(labels, MYO, inner={LV}), labels > 0)


# Apply


def test_growing_lv_stops_at_myocardium():
    labels = heart(rv=0)
    labels[disk(9) & (labels == MYO)] = 0
    applied = apply_contour(labels, circle(11), label=LV)
    np.testing.assert_array_equal(applied == MYO, labels == MYO)
    np.testing.assert_array_equal(applied == LV, disk(9))


def test_lv_contour_over_myocardium_moves_both_ways():
    labels = heart(lv=8, wall=6)
    for radius in (5.05, 8.05, 11.05):
        applied = apply_contour(labels, circle(radius), label=LV, over={MYO})
        np.testing.assert_array_equal(applied == LV, disk(radius))
        np.testing.assert_array_equal(applied == MYO, disk(14) & ~disk(radius))
        np.testing.assert_array_equal(applied == RV, labels == RV)


def test_ring_around_lv_that_shrinks_leaves_no_hole():
    applied = apply_contour(heart(lv=8, wall=6), circle(5.05), label=LV)
    np.testing.assert_array_equal(applied == MYO, disk(14) & ~disk(5.05))


def test_outer_outline_of_myocardium_leaves_its_lv():
    labels = heart(rv=0, lv=8, wall=5)
    for radius in (10.2, 16.2):
        applied = apply_contour(labels, circle(radius), label=MYO, inner={LV})
        np.testing.assert_array_equal(applied == LV, disk(8))
        np.testing.assert_array_equal(applied == MYO, disk(radius) & ~disk(8))


def test_other_structures_are_not_touched():
    labels = heart()
    applied = apply_contour(labels, circle(20.2), label=MYO, inner={LV})
    np.testing.assert_array_equal(applied == RV, labels == RV)
    np.testing.assert_array_equal(applied == LV, labels == LV)
    assert (applied[disk(20) & (labels == 0)] == MYO).all()


def test_rv_shrinking_at_free_wall_leaves_background():
    labels = heart()
    smaller = (labels == RV) & disk(11, at=(32, 24))
    applied = apply_contour(labels, contour_around(smaller), label=RV)
    assert dice(applied == RV, smaller) > 0.97
    free_wall = (labels == RV) & ~disk(12, at=(32, 24))
    assert not applied[free_wall].any()
    np.testing.assert_array_equal(applied == LV, labels == LV)


def test_protected_structures_neither_change_nor_are_gained():
    labels = heart()
    for radius in (4, 12):
        applied = apply_contour(labels, circle(radius), label=LV, over={MYO}, protected={MYO})
        np.testing.assert_array_equal(applied == MYO, labels == MYO)
    assert (
        apply_contour(labels, circle(4), label=LV, protected={MYO})[disk(8) & ~disk(5)] == 0
    ).all()


def test_a_protected_structure_keeps_its_contour():
    labels = heart()
    applied = apply_contour(labels, circle(4), label=LV, protected={LV})
    np.testing.assert_array_equal(applied, labels)
    assert applied is not labels


def test_other_pieces_stay():
    labels = heart()
    labels[2:5, 2:5] = LV
    applied = apply_contour(labels, circle(6), label=LV)
    assert (applied[2:5, 2:5] == LV).all()


def test_a_curve_draws_a_structure_that_is_absent():
    applied = apply_contour(np.zeros((64, 64), np.uint8), circle(8.05), label=LV)
    np.testing.assert_array_equal(applied == LV, disk(8.05))


def test_curve_without_voxel_takes_piece_away():
    labels = heart(rv=0)
    applied = apply_contour(labels, circle(0.2, at=(32.5, 36.5)), label=LV)
    np.testing.assert_array_equal(applied == MYO, labels > 0)


def test_a_curve_may_leave_the_slice():
    applied = apply_contour(heart(rv=0), circle(100), label=MYO, inner={LV})
    assert (applied[heart(rv=0) != LV] == MYO).all()


def large_heart():
    return heart(lv=12, wall=6, rv=20, shape=(96, 96), at=(48, 54))


CONTOURS = [(RV, ()), (MYO, {LV}), (LV, ())]


@pytest.mark.parametrize(("label", "inner"), CONTOURS)
def test_contour_that_was_not_moved_hardly_changes_anything(label, inner):
    labels = large_heart()
    curve = contour_around(contour_region(labels, label, inner=inner))
    applied = apply_contour(labels, curve, label=label, inner=inner, over={MYO} - {label})
    assert dice(applied == label, labels == label) > 0.97
    told = apply_contour(labels, curve, label=label, inner=inner, over={MYO}, start=curve)
    np.testing.assert_array_equal(told, labels)


def dragged(region, factor):
    """Return the contour of a region, and with two handles moved from or towards its middle."""
    start = bent = BentCurve.with_handles(contour_around(region))
    for index, handle in enumerate(start.handles[:2]):
        bent = bent.move(index, handle + (factor - 1) * (handle - start.handles.mean(axis=0)))
    return start.curve, bent.curve


@pytest.mark.parametrize("factor", [0.75, 1.25])
@pytest.mark.parametrize(("label", "inner"), CONTOURS)
def test_labels_far_from_dragged_curve_stay(label, inner, factor):
    labels = large_heart()
    start, curve = dragged(contour_region(labels, label, inner=inner), factor)
    applied = apply_contour(labels, curve, label=label, inner=inner, over={MYO}, start=start)
    changed = applied != labels
    passed = fill_curve(start, labels.shape) ^ fill_curve(curve, labels.shape)
    assert changed.sum() > 5
    far = ~ndimage.binary_dilation(passed, iterations=4)
    assert far.sum() > passed.sum()
    np.testing.assert_array_equal(applied[far], labels[far])


@pytest.mark.parametrize("factor", [0.75, 1.25])
def test_where_curve_was_dragged_no_specks_stay_behind(factor):
    rough = disk(12, at=(48, 48), shape=(96, 96))
    rng = np.random.default_rng(0)
    rim = ndimage.binary_dilation(rough, iterations=2) & ~ndimage.binary_erosion(rough)
    rough = rough ^ (rim & (rng.random(rim.shape) < 0.3))
    labels = np.where(disk(24, at=(48, 48), shape=(96, 96)), np.uint8(MYO), np.uint8(0))
    labels[rough] = LV
    start, curve = dragged(rough, factor)
    applied = apply_contour(labels, curve, label=LV, over={MYO}, start=start)
    passed = fill_curve(start, labels.shape) ^ fill_curve(curve, labels.shape)
    middle = ndimage.binary_dilation(ndimage.binary_erosion(passed), iterations=2)
    inside = fill_curve(curve, labels.shape)
    pieces = contour_region(labels, LV) | (labels == MYO)
    assert (applied[middle & inside & pieces] == LV).all()
    assert (applied[middle & ~inside & pieces] == MYO).all()


@pytest.mark.parametrize("seed", range(20))
def test_on_any_labels_only_what_may_change_does(seed):
    rng = np.random.default_rng(seed)
    labels = random_labels(rng, (40, 44))
    kept = labels.copy()
    curve = smooth_curve(on_circle(7, 12, (20, 22)) + rng.normal(0, 3, (7, 2)))
    applied = apply_contour(labels, curve, label=LV)
    np.testing.assert_array_equal(labels, kept)
    assert applied.dtype == np.uint8
    inside = fill_curve(curve, labels.shape)
    others = (labels == RV) | (labels == MYO)
    np.testing.assert_array_equal(applied[others], labels[others])
    assert (applied[inside & ~others] == LV).all()
    outside = ~inside & (applied != labels)
    assert contour_region(labels, LV)[outside].all()
