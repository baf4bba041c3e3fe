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


def test_no_voxels():
    assert np.isnan(error_detection(np.zeros(0), np.zeros(0, bool)).auroc)


def test_gross_errors_are_those_queue_is_judged_on():
    rng = np.random.default_rng(0)
    prediction, reference = rng.integers(0, 2, size=(2, 3, 9, 9)).repeat(4, axis=2).repeat(4, 3)
    gross = gross_errors(prediction, reference, (10, 2, 1))
    counted = wrong_voxels(prediction, reference, (10, 2, 1))["gross"]
    np.testing.assert_array_equal(gross.sum(axis=(1, 2)), counted)
    assert counted.any()


def test_best_and_worst_orders_bound_all_others():
    risk = np.array([0.4, 0.1, 0.7, 0.2])
    best, worst = area_under_risk_coverage(-risk, risk), area_under_risk_coverage(risk, risk)
    areas = [area_under_risk_coverage(c, risk) for c in itertools.permutations(range(4))]
    assert (min(areas), max(areas)) == pytest.approx((best, worst))
    assert np.mean(areas) == pytest.approx(risk.mean())


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


def test_excess_area_is_that_beyond_the_best_order():
    risk = np.array([0.0, 0.1, 0.3, 0.8])
    assert excess_area_under_risk_coverage(-risk, risk) == 0
    difference = area_under_risk_coverage(risk, risk) - area_under_risk_coverage(-risk, risk)
    assert excess_area_under_risk_coverage(risk, risk) == pytest.approx(difference)
    assert np.isnan(excess_area_under_risk_coverage([], []))


def test_generalized_area_is_the_accepted_risk():
    area = area_under_generalized_risk_coverage([0.5, 0.9, 0.7, 0.1], [0.3, 0.1, 0.0, 0.8])
    assert area == pytest.approx(np.mean([0.1, 0.1, 0.4, 1.2]) / 4)
    assert np.isnan(area_under_generalized_risk_coverage([], []))


def test_worst_fifth_is_detected_as_by_error_detection():
    random = np.random.default_rng(3)
    confidence, risk = random.integers(0, 6, 30).astype(float), random.random(30)
    worst = np.isin(np.arange(30), np.argsort(risk)[-6:])
    expected = error_detection(-confidence, worst).auroc
    assert worst_fifth_auroc(confidence, risk) == pytest.approx(expected)
    assert worst_fifth_auroc(-risk, risk) == 1
    assert np.isnan(worst_fifth_auroc([1.0, 2.0], [0.5, 0.5]))
    assert np.isnan(worst_fifth_auroc([], []))
