"""Estimates and intervals over resampled patients, by enumeration and by SciPy's bootstrap."""

import numpy as np
import pytest
from scipy import stats

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics import bootstrap as module
from napari_bayes_nnunet.core.metrics.bootstrap import RESAMPLES, bootstrap, mean_estimate


def numbered(n):
    return [f"patient{i:03}" for i in range(n)]


def weighted_mean(values):
    return lambda weights: np.average(values, weights=weights)


def test_few_patients_have_no_interval():
    values = np.arange(6.0)
    assert not np.isnan(mean_estimate(values, [*"abcdee"]).interval).any()
    found = mean_estimate(values, [*"abcddd"])
    assert found.value == 2.5
    assert np.isnan(found.interval).all()
    assert np.isnan(bootstrap(weighted_mean(values), [*"abcddd"]).interval).all()


def test_the_number_itself_counts_every_case_once():
    values, patients = [1.0, 2.0, 6.0, 3.0, 0.0, 6.0], [*"aabcde"]
    found = bootstrap(weighted_mean(values), patients)
    assert found.value == mean_estimate(values, patients).value == 3
    assert len(found.resampled) == RESAMPLES


def test_means_are_those_of_the_loop():
    values = np.random.default_rng(0).normal(size=30)
    patients = numbered(15) * 2
    found, expected = mean_estimate(values, patients), bootstrap(weighted_mean(values), patients)
    assert found.value == pytest.approx(expected.value)
    np.testing.assert_allclose(found.resampled, expected.resampled)


def test_the_interval_is_that_of_scipy(monkeypatch):
    monkeypatch.setattr(module, "RESAMPLES", 20_000)
    values = np.random.default_rng(4).gamma(2, size=40)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    found = mean_estimate(values, numbered(40)).interval
    assert found == pytest.approx((expected.low, expected.high), rel=0.01)


def test_two_methods_are_compared_draw_by_draw():
    values, patients = np.arange(1.0, 9), numbered(8)
    ratio = mean_estimate(values, patients).relative_to(mean_estimate(2 * values, patients))
    assert (ratio.value, *ratio.interval) == pytest.approx((0.5, 0.5, 0.5))


def test_without_a_patient_nothing_is_drawn():
    with pytest.raises(InputError):
        bootstrap(np.sum, [])
