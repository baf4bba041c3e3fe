"""Distances of features, compared with scikit-learn's covariance."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics import feature_distance
from napari_bayes_nnunet.core.metrics.feature_distance import FeatureRule, fit_features

PATIENTS = [f"p{n // 2}" for n in range(32)]


def drawn(count: int, seed: int, *, features: int = 12) -> np.ndarray:
    """Return features of which a few directions vary most."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(3, features))
    return 5 + 3 * rng.normal(size=(count, 3)) @ mixing + 0.3 * rng.normal(size=(count, features))


def test_distance_with_all_directions_is_that_of_the_covariance(monkeypatch):
    training, validation = drawn(60, 1), drawn(32, 2)
    monkeypatch.setattr(feature_distance, "DIRECTIONS", 12)
    rule = fit_features(training, validation, PATIENTS)
    precise = LedoitWolf().fit(training)
    expected = np.sqrt(precise.mahalanobis(validation))
    found = [rule.distance(features) for features in validation]
    assert found == pytest.approx(list(expected), rel=2e-3)


def test_a_rule_has_16_directions():
    training, validation = drawn(60, 1, features=20), drawn(32, 2, features=20)
    assert len(fit_features(training, validation, PATIENTS).directions) == 16


def test_many_patients_give_a_percentile():
    names = [f"p{n}" for n in range(100)]
    rule = fit_features(drawn(60, 1), drawn(100, 2), names)
    distances = sorted(rule.distance(features) for features in drawn(100, 2))
    assert rule.threshold == distances[95]  # the 96th of 100, for 95 % of 101


def test_other_features_are_refused():
    rule = fit_features(drawn(60, 1), drawn(32, 2), PATIENTS)
    with pytest.raises(InputError):
        rule.distance(np.zeros(5))
    with pytest.raises(InputError):
        FeatureRule(mean=(0.0,), directions=((1.0, 2.0),), variance=1.0, threshold=1, patients=9)
    with pytest.raises(InputError):
        FeatureRule(mean=(0.0,), directions=((1.0,),), variance=0.0, threshold=1, patients=9)
