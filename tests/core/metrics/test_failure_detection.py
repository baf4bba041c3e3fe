"""Risk against coverage, its area, and rank correlation: by hand and over all orders of ties."""

import itertools

import numpy as np
import pytest

from napari_bayes_nnunet.core.metrics.failure_detection import (
    area_under_risk_coverage,
    rank_correlation,
    risk_coverage,
)


def mean_over_orders(confidence, risk):
    """Mean selective risks over every order in which confidence falls or stays."""
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


def test_no_order_beats_the_best_and_the_worst_is_the_other_way_round():
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


@pytest.mark.parametrize("judge", [risk_coverage, area_under_risk_coverage, rank_correlation])
def test_unequal_numbers_of_cases_are_refused(judge):
    with pytest.raises(ValueError, match=r"both numbers, not \(2,\) and \(3,\)"):
        judge([1, 2], [1, 2, 3])
