"""Estimates and intervals over resampled patients, by enumeration and by SciPy's bootstrap."""

import numpy as np
import pytest
from scipy import stats

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics.bootstrap import (
    Estimate,
    bootstrap,
    case_weights,
    mean_estimate,
)


def numbered(n):
    return [f"patient{i:03}" for i in range(n)]


def weighted_mean(values):
    return lambda weights: np.average(values, weights=weights)


def test_patients_are_drawn_with_all_their_cases():
    patients = ["b", "a", "b", "c", "d", "e"]
    weights = case_weights(patients, resamples=500, seed=1)
    assert weights.shape == (500, 6)
    assert weights.dtype == np.int64
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, [0, 1, 3, 4, 5]].sum(axis=1), 5)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)


def test_five_patients_give_binomial_means():
    """Of five draws, as many are of the only patient with 1 as in a binomial distribution."""
    drawn = mean_estimate([0, 0, 0, 0, 1], numbered(5)).resampled
    counts = [(np.round(5 * drawn) == times).mean() for times in range(6)]
    np.testing.assert_allclose(counts, stats.binom(5, 0.2).pmf(range(6)), atol=0.04)


def test_few_patients_have_no_interval():
    values = np.arange(6.0)
    assert not np.isnan(mean_estimate(values, [*"abcdee"]).interval).any()
    found = mean_estimate(values, [*"abcddd"])
    assert found.value == 2.5
    assert np.isnan(found.interval).all()
    assert np.isnan(bootstrap(weighted_mean(values), [*"abcddd"]).interval).all()


def test_the_number_itself_counts_every_case_once():
    values, patients = [1.0, 2.0, 6.0, 3.0, 0.0, 6.0], [*"aabcde"]
    found = bootstrap(weighted_mean(values), patients, resamples=10)
    assert found.value == mean_estimate(values, patients).value == 3
    assert len(found.resampled) == 10


def test_equal_draws_are_computed_only_once():
    seen = []
    bootstrap(lambda weights: seen.append(tuple(weights)) or 0.0, numbered(5))
    assert seen[-1] == (1,) * 5, "the number itself"
    assert len(seen[:-1]) == len({*seen}) < 2000


def test_statistic_gets_each_case_as_often_as_drawn():
    values = np.random.default_rng(0).normal(size=12)
    patients = ["a", "b", "c", "d", "e", "e"] * 2
    found = bootstrap(lambda w: np.median(np.repeat(values, w)), patients, resamples=50)
    weights = case_weights(patients, resamples=50, seed=2022)
    expected = [
        np.median([v for v, n in zip(values, w, strict=True) for _ in range(n)]) for w in weights
    ]
    np.testing.assert_allclose(found.resampled, expected)


def test_means_are_those_of_the_loop():
    values = np.random.default_rng(0).normal(size=30)
    patients = numbered(15) * 2
    found, expected = mean_estimate(values, patients), bootstrap(weighted_mean(values), patients)
    assert found.value == pytest.approx(expected.value)
    np.testing.assert_allclose(found.resampled, expected.resampled)


def test_the_interval_is_that_of_scipy():
    values = np.random.default_rng(4).gamma(2, size=40)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    found = mean_estimate(values, numbered(40), resamples=20_000).interval
    assert found == pytest.approx((expected.low, expected.high), rel=0.01)


def test_values_that_are_nan_are_skipped():
    found = mean_estimate([1, np.nan, 3, 5, 2, 4], [*"aabcde"])
    expected = mean_estimate([1, 3, 5, 2, 4], [*"abcde"])
    assert found.value == 3
    np.testing.assert_allclose(found.resampled, expected.resampled)


def test_draws_without_value_are_left_out_of_interval():
    found = mean_estimate([2, *[np.nan] * 4], numbered(5))
    assert found.interval == (2, 2)
    assert np.isnan(found.resampled).mean() == pytest.approx(0.8**5, abs=0.04)


@pytest.mark.parametrize("values", [[], [np.nan], [np.nan, np.nan]])
def test_without_a_value_there_is_no_mean(values):
    found = mean_estimate(values, numbered(len(values)), resamples=5)
    assert np.isnan([found.value, *found.interval]).all()
    assert found.resampled.shape == (5,)


def test_the_draws_can_be_repeated():
    values, patients = np.arange(8.0), numbered(8)
    found = mean_estimate(values, patients).resampled
    np.testing.assert_array_equal(found, mean_estimate(values, patients).resampled)
    assert (found != mean_estimate(values, patients, seed=1).resampled).any()


def test_two_methods_are_compared_draw_by_draw():
    values, patients = np.arange(1.0, 9), numbered(8)
    ratio = mean_estimate(values, patients).relative_to(mean_estimate(2 * values, patients))
    assert (ratio.value, *ratio.interval) == pytest.approx((0.5, 0.5, 0.5))


def test_an_estimate_without_draws_has_no_interval():
    assert np.isnan(Estimate(1.0, np.zeros(0)).interval).all()
    assert np.isnan(mean_estimate([1.0], ["a"], resamples=0).interval).all()


def test_without_a_patient_nothing_is_drawn():
    with pytest.raises(InputError):
        bootstrap(np.sum, [])
