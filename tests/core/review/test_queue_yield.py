"""Share of the errors that an order finds early, counted by hand on small studies."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.core.metrics.bootstrap import Estimate
from napari_bayes_nnunet.core.review.queue_yield import (
    ReviewedSlices,
    in_best_order,
    in_random_order,
    queue_yield,
    wrong_voxels,
)

SPACING = (10.0, 2.0, 1.0)


def review(errors, order=None, patient="a"):
    order = range(len(errors)) if order is None else order
    return ReviewedSlices(
        patient=patient, errors=np.array(errors, float), order=np.array(list(order))
    )


def test_wrong_voxels_are_counted_per_slice():
    reference = np.zeros((3, 4, 5), np.uint8)
    prediction = reference.copy()
    prediction[1, :2, :2] = 2
    prediction[2, 0, 0] = 1
    np.testing.assert_array_equal(wrong_voxels(prediction, reference, SPACING)["all"], [0, 4, 1])


def test_gross_errors_are_far_from_the_reference_contour():
    reference = np.zeros((1, 1, 20), np.uint8)
    reference[..., 10:] = 1
    prediction = reference.copy()
    prediction[..., 5:10] = 1  # 5 … 1 mm before the first voxel of the reference
    wrong = wrong_voxels(prediction, reference, SPACING)
    assert (wrong["all"], wrong["gross"]) == ([5], [2])


def test_without_a_contour_every_error_is_gross():
    reference = np.zeros((2, 3, 3), np.uint8)
    prediction = reference.copy()
    prediction[1, 0, :2] = 1
    np.testing.assert_array_equal(wrong_voxels(prediction, reference, SPACING)["gross"], [0, 2])


def test_share_found_is_that_of_slices_reviewed_first():
    found = queue_yield([review([1, 6, 0, 3], order=[1, 3, 0, 2])])
    np.testing.assert_allclose(found.curve[[0, 25, 50, 75, 100]], [0, 0.6, 0.9, 1, 1])
    assert found.curve[10] == pytest.approx(0.6 * 10 / 25)
    assert found.at_share.value == pytest.approx(0.6 + 0.3 * 5 / 25)
    assert found.area.value == pytest.approx((0.3 + 0.75 + 0.95 + 1) / 4)


def test_studies_are_pooled_by_their_wrong_voxels():
    many, few = review([90, 0], order=[1, 0]), review([10, 0], order=[0, 1])
    found = queue_yield([many, few])
    assert found.curve[50] == pytest.approx(0.1)


def test_random_order_is_the_mean_over_all_orders():
    errors = [5, 0, 2, 1]
    orders = [queue_yield([review(errors, order=o)]) for o in itertools.permutations(range(4))]
    expected = queue_yield([in_random_order(review(errors))])
    np.testing.assert_allclose(np.mean([o.curve for o in orders], axis=0), expected.curve)
    assert expected.at_share.value == pytest.approx(0.3)
    assert expected.area.value == pytest.approx(0.5)


def test_no_order_beats_the_best():
    errors = [5, 0, 2, 1]
    best = queue_yield([in_best_order(review(errors))])
    for order in itertools.permutations(range(4)):
        found = queue_yield([review(errors, order=order)])
        assert (found.curve <= best.curve + 1e-12).all()


def test_without_errors_nothing_can_be_found():
    found = queue_yield([review([0, 0])])
    assert np.isnan(found.at_share.value)
    assert np.isnan(found.at_share.interval).all()
    assert np.isnan(found.at_share.relative_to(found.at_share).value)


def test_a_study_without_errors_changes_nothing():
    studies = [review([3, 1]), review([0, 0, 0])]
    np.testing.assert_allclose(queue_yield(studies).curve, queue_yield(studies[:1]).curve)


def test_the_interval_comes_from_patients_not_from_studies():
    """Two studies of one patient are drawn together: all that is drawn is the same."""
    good, bad = review([9, 1]), review([1, 9])
    by_patient = [replace(study, patient=name) for name in "abcde" for study in (good, bad)]
    found = queue_yield(by_patient)
    assert found.area.interval == pytest.approx((found.area.value,) * 2)
    by_study = [replace(study, patient=str(n)) for n, study in enumerate(by_patient)]
    low, high = queue_yield(by_study).area.interval
    assert queue_yield([bad]).area.value < low < found.area.value < high
    assert np.isnan(queue_yield(by_patient[:8]).area.interval).all()  # four patients


def test_the_interval_can_be_repeated():
    studies = [review([i * i, 5, 1], patient=str(i)) for i in range(8)]
    assert queue_yield(studies).area.interval == queue_yield(studies).area.interval


def test_ratios_are_of_the_same_patients():
    studies = [review([i, 5, 1], order=[1, 0, 2], patient=str(i)) for i in range(8)]
    found = queue_yield(studies).at_share
    ratio = found.relative_to(queue_yield(studies).at_share)
    assert (ratio.value, *ratio.interval) == (1, 1, 1)
    half = found.relative_to(Estimate(2 * found.value, 2 * found.resampled))
    assert (half.value, *half.interval) == pytest.approx((0.5, 0.5, 0.5))
