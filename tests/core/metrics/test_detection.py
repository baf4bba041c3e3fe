"""Detection of errors, counted over all pairs of voxels, and gross errors."""

import itertools

import numpy as np
import pytest

from napari_bayes_nnunet.core.metrics.detection import (
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    error_detection,
    excess_area_under_risk_coverage,
    gross_errors,
    rank_correlation,
    risk_coverage,
    worst_fifth_auroc,
)
from napari_bayes_nnunet.core.review.queue_yield import wrong_voxels


def share_of_pairs(uncertainty, wrong):
    """Return the share of pairs of a wrong and a right voxel ranked correctly; ties count ½."""
    a, b = uncertainty[wrong][:, None], uncertainty[~wrong]
    return ((a > b) + 0.5 * (a == b)).mean()


def mean_precision(uncertainty, wrong):
    """Return the mean over the wrong voxels of the precision at their uncertainty."""
    return np.mean([wrong[uncertainty >= u].mean() for u in uncertainty[wrong]])


def test_by_hand():
    """The errors are first and third of four: 3 of 4 pairs; precision 1 and 2/3."""
    found = error_detection(np.array([0.9, 0.8, 0.4, 0.1]), np.array([1, 0, 1, 0], bool))
    assert found.auroc == pytest.approx(3 / 4)
    assert found.auprc == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("steps", [4, 1000])
def test_all_pairs_of_voxels(steps):
    rng = np.random.default_rng(steps)
    uncertainty = rng.integers(steps, size=(2, 10, 20)).astype(np.float32) / np.float32(steps)
    wrong = rng.random(uncertainty.shape) < uncertainty / 3
    found = error_detection(uncertainty, wrong)
    assert found.auroc == pytest.approx(share_of_pairs(uncertainty, wrong))
    assert found.auprc == pytest.approx(mean_precision(uncertainty, wrong))


def test_equal_uncertainty_is_chance():
    found = error_detection(np.ones((2, 5)), np.arange(10).reshape(2, 5) < 3)
    assert found == (0.5, 0.3)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4)])
def test_detection_without_both_kinds_of_voxels_is_nan(value, shape):
    found = error_detection(np.random.default_rng(0).random(shape), np.full(shape, value))
    assert np.isnan([found.auroc, found.auprc]).all()


def test_no_voxels():
    assert np.isnan(error_detection(np.zeros(0), np.zeros(0, bool)).auroc)


def test_gross_errors_are_far_from_reference_contour():
    """At 1 mm a voxel the contour is 1 … 5 mm away from what is too much; at 2 mm 2 … 10."""
    reference = np.zeros((2, 1, 20), np.uint8)
    reference[0, :, 10:] = 1
    prediction = reference.copy()
    prediction[0, :, 5:10] = 1
    prediction[1, :, 0] = 2
    for step, places in ((1.0, [5, 6]), (2.0, [5, 6, 7, 8])):
        gross = gross_errors(prediction, reference, (10.0, 1.0, step))
        assert gross.dtype == bool
        np.testing.assert_array_equal(np.flatnonzero(gross[0, 0]), places)
        np.testing.assert_array_equal(np.flatnonzero(gross[1, 0]), [0])


def test_gross_errors_are_those_queue_is_judged_on():
    rng = np.random.default_rng(0)
    prediction, reference = rng.integers(0, 2, size=(2, 3, 9, 9)).repeat(4, axis=2).repeat(4, 3)
    gross = gross_errors(prediction, reference, (10, 2, 1))
    counted = wrong_voxels(prediction, reference, (10, 2, 1)).gross
    np.testing.assert_array_equal(gross.sum(axis=(1, 2)), counted)
    assert counted.any()


def test_nothing_wrong_is_nothing_gross():
    assert not gross_errors(np.ones((1, 1, 1), int), np.ones((1, 1, 1), int), (1, 1, 1)).any()


def mean_over_orders(confidence, risk):
    """Return the mean selective risks over every order in which confidence falls or stays."""
    orders = [
        order
        for order in itertools.permutations(range(len(risk)))
        if all(confidence[a] >= confidence[b] for a, b in itertools.pairwise(order))
    ]
    risks = np.array([[risk[i] for i in order] for order in orders])
    return (np.cumsum(risks, axis=1) / np.arange(1, len(risk) + 1)).mean(axis=0)


def test_risk_and_coverage_by_hand():
    found = risk_coverage([0.5, 0.9, 0.7, 0.1], [0.3, 0.1, 0.0, 0.8])
    np.testing.assert_allclose(found.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.risk, [0.1, 0.05, 0.4 / 3, 0.3])
    area = area_under_risk_coverage([0.5, 0.9, 0.7, 0.1], [0.3, 0.1, 0.0, 0.8])
    assert area == pytest.approx((0.1 + 0.05 + 0.4 / 3 + 0.3) / 4)


@pytest.mark.parametrize(
    "confidence",
    [[1, 1, 1, 1, 1, 1], [3, 2, 2, 1, 1, 1], [1, 2, 1, 2, 3, 3], [0, 0, 0, np.inf, 1, np.inf]],
)
def test_equal_confidences_are_the_mean_over_their_orders(confidence):
    risk = [0.1, 0.9, 0.4, 0.0, 0.7, 0.2]
    found = risk_coverage(confidence, risk)
    np.testing.assert_allclose(found.risk, mean_over_orders(confidence, risk))


def test_best_and_worst_orders_bound_all_others():
    risk = np.array([0.4, 0.1, 0.7, 0.2])
    best, worst = area_under_risk_coverage(-risk, risk), area_under_risk_coverage(risk, risk)
    areas = [area_under_risk_coverage(c, risk) for c in itertools.permutations(range(4))]
    assert (min(areas), max(areas)) == pytest.approx((best, worst))
    assert np.mean(areas) == pytest.approx(risk.mean())


def test_one_case_and_none():
    assert risk_coverage([0.3], [0.2]).coverage.tolist() == [1]
    assert area_under_risk_coverage([0.3], [0.2]) == 0.2
    assert risk_coverage([], []).risk.shape == risk_coverage([], []).coverage.shape == (0,)
    assert np.isnan(area_under_risk_coverage([], []))


def test_cases_without_a_number_are_left_out():
    confidence, risk = [0.9, np.nan, 0.5, 0.7, 0.1], [0.1, 0.2, np.nan, 0.0, 0.8]
    found = risk_coverage(confidence, risk)
    np.testing.assert_allclose(found.risk, risk_coverage([0.9, 0.7, 0.1], [0.1, 0.0, 0.8]).risk)
    assert np.isnan(area_under_risk_coverage([np.nan], [0.2]))
    assert rank_correlation([1, 2, np.nan, 3], [5, 6, 0, 7]) == pytest.approx(1)


@pytest.mark.parametrize("cases", [3, 10, 80])
def test_rank_correlation_with_ties_equals_scipys(cases):
    from scipy import stats

    rng = np.random.default_rng(cases)
    score, quality = rng.integers(0, 4, cases), rng.normal(size=cases).round(1)
    expected = stats.spearmanr(score, quality).statistic
    assert rank_correlation(score, quality) == pytest.approx(expected, abs=1e-12)


def test_rank_correlation_by_hand():
    """Ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6·Σd²/(n(n²-1)) = 1 - 24/120."""
    assert rank_correlation([0.1, 0.2, 3, 40, 500], [20, 1, 44, 43, 45]) == pytest.approx(0.8)
    assert rank_correlation([1, 2, 3], [9, 4, 1]) == pytest.approx(-1)


def test_equal_numbers_share_their_rank():
    expected = np.corrcoef([1.5, 1.5, 3, 4], [1, 2, 3.5, 3.5])[0, 1]
    assert rank_correlation([0, 0, 7, 9], [1, 2, 5, 5]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("score", "quality"),
    [
        ([], []),
        ([1, 2], [1, 2]),
        ([1, 2, np.nan], [1, 2, 3]),
        ([1, 1, 1], [1, 2, 3]),
        ([1, 2, 3], [0.1, 0.1, 0.1]),
        ([1, 1, np.nan, 1], [1, 2, 3, 4]),
    ],
)
def test_without_order_there_is_no_correlation(score, quality):
    assert np.isnan(rank_correlation(score, quality))


def test_excess_area_is_that_beyond_the_best_order() -> None:
    risk = np.array([0.0, 0.1, 0.3, 0.8])
    assert excess_area_under_risk_coverage(-risk, risk) == 0
    difference = area_under_risk_coverage(risk, risk) - area_under_risk_coverage(-risk, risk)
    assert excess_area_under_risk_coverage(risk, risk) == pytest.approx(difference)
    assert np.isnan(excess_area_under_risk_coverage([], []))


def test_generalized_area_is_the_accepted_risk() -> None:
    area = area_under_generalized_risk_coverage([0.5, 0.9, 0.7, 0.1], [0.3, 0.1, 0.0, 0.8])
    assert area == pytest.approx(np.mean([0.1, 0.1, 0.4, 1.2]) / 4)
    assert np.isnan(area_under_generalized_risk_coverage([], []))


def test_worst_fifth_is_detected_as_by_error_detection() -> None:
    random = np.random.default_rng(3)
    confidence, risk = random.integers(0, 6, 30).astype(float), random.random(30)
    worst = np.isin(np.arange(30), np.argsort(risk)[-6:])
    expected = error_detection(-confidence, worst).auroc
    assert worst_fifth_auroc(confidence, risk) == pytest.approx(expected)
    assert worst_fifth_auroc(-risk, risk) == 1
    assert np.isnan(worst_fifth_auroc([1.0, 2.0], [0.5, 0.5]))
    assert np.isnan(worst_fifth_auroc([], []))
